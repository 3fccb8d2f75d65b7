"""Pure data and files: cells, records, plans, the archive, selectors, errors. No images, no torch.

Imports nothing of ours. Start with `cell` (what is computed and what came of it, and how a key is made), then
`plan` and `archive`.
"""
