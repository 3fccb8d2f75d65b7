"""What is pure data, and files: cells, records, plans, the archive, errors, selectors; no image and no torch.

May import nothing of ours. Everything else may import it.
Start at `cell`: `Cell`, its key, and `Record`; then `archive`, where records lie on disk.
"""
