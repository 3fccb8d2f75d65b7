"""The Markdown leaderboard: one module for each group of its sections.

May import the board, the evidence, tables and figures of `bench.report`.
Start at `leaderboard`, the list of the sections; a new column of results goes into `tables`.
"""
