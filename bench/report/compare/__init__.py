"""``anobench diff``: what moved between two results folders, exports or commits.

May import `bench.core`, `bench.stats`, the export and the scores' test images.
Start at `diff`; `method` compares one method, `sides` reads the two sides, `text` is what the terminal shows.
"""
