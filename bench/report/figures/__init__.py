"""Figures: each module prepares one kind from a board without matplotlib; `draw` only draws.

May import the board and `bench.stats`.
Start at `kinds`: the list of them, and which ones a leaderboard shows.
"""
