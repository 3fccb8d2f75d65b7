"""Methods: their base classes, training loops with checkpoints, small heads, synthetic anomalies, losses.

Imports `core`, `data` and `features`. Start with `method` and `wrapper`; adapters use the rest through
`bench`.
"""
