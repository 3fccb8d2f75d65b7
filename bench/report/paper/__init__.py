"""A paper's table: chosen rows and columns with the best, the second best and ties marked.

May import the board, the evidence and the table model; the renderers are those of `bench.report`.
Start at `paper`; `choice` is what names and globs on the command line mean.
"""
