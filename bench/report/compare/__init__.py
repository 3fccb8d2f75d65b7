"""``anobench diff``: what moved between two results folders, exports or commits.

May import `bench.core`, `bench.stats` and the export.
Start at `diff`; `sides` reads the two sides, `text` is what the terminal shows.
"""
