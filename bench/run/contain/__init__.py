"""What cells share in a process, and how it is put back after each.

May import what `bench.run` may. Start at `containment`, a block around a cell's code, and `surroundings`,
which takes and restores; `python` and `libraries` list what is held, `replaced` finds exchanged functions,
`leftover` ends processes that a method leaves.
"""
