"""What images are: sources of pixels, views on them, tasks, data sets and their layouts, contamination.

May import core.
Start at `images`, all that a method ever sees, then `task` and `dataset`; `get` downloads and checks.
"""
