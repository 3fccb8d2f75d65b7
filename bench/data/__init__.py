"""What images are: sources of pixels, views on them, tasks, data sets and their layouts.

May import core.
Start at `images`, all that a method ever sees, then `task` and `dataset`; `contaminate` draws anomalies
into a train set, which `audit` counts, and `get` downloads, unpacks and checks data sets.
"""
