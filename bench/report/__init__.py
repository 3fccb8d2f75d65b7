"""From records to pages: a suite's leaderboard, CSV and JSON, tables for papers, figures, the page.

May import `bench.core`, `bench.features`, `bench.metrics` and `bench.stats`; never `bench.run`.
Start at `write` (what one report writes), then `board` (the numbers) and `table` (the model of a table).
"""
