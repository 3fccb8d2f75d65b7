"""From a TOML file to cells: suites, the registry of adapters, methods with their parameters, the grid.

May import train, features, data and core; imports no method and no torch while it lists or plans.
Start at `grid.make_plan`. `registry` finds the files in ``methods/`` and ``datasets/``, `adapterfile` reads
them and `adapter` loads them; `resolve` says what a cell's method is, with the one inside a wrapper.
"""
