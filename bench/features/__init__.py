"""Features: each image through each backbone once, and what methods need to use and train networks.

Imports `core` and `data`. Start with `provider` (what `Images` ask), then `backbone` and `spec` (names),
`network` (features of a batch), `store` (on disk) and `trainable` (fine-tuning).
"""
