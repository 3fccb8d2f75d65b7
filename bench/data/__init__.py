"""Images, tasks and data sets: where pixels come from, what is normal in a task, how a data set is read.

Imports `core` only. Start with `task` and `dataset`; `images` is what a method sees, `source` has the
pixels, `contaminate` draws anomalies into a train set, `get` downloads and checks.
"""
