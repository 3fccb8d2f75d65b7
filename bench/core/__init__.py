"""Pure data and files: cells, records, plans, selectors, errors, the archive; no image and no torch.

May import nothing of ours. Everything else may import it.
Start at `cell`: `Cell`, how its key is made, and `Record`; then `plan` (the cells of a suite, in their
places), `archive` (records on disk) and `pack` (a suite's in one file). `contamination` only describes one;
`bench.data.contaminate` draws it.
"""
