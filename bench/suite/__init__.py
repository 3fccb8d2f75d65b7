"""From a TOML file to cells: suites, the registry of adapters, resolved methods, the grid.

May import train, features, data and core; imports no adapter and no torch while it lists or plans.
Start at `grid.make_plan`; `registry` finds adapters by file, `resolve` says what a method is.
"""
