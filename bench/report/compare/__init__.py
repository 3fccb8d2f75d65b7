"""``anobench diff`` and ``anobench check``: what moved between two sides, and whether a change may pass.

May import `bench.core`, `bench.stats`, the export and the scores' test images.
Start at `diff` and `gate`; `method` compares one method, `sides` reads the two sides, `text` and `gatetext`
are what is shown.
"""
