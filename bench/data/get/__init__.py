"""Getting data sets: download, unpack, check every image, describe.

Imports `core` and `data`. Start with `download`.
"""
