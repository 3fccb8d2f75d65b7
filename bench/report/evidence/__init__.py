"""Which differences are real: scores and seeds in, intervals, tests and groups of methods out. No text.

May import `bench.core`, `bench.stats` and the board.
Start at `evidence`; `scored` reads the test images' scores, `comparison` compares the methods.
"""
