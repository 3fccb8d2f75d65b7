"""What methods are made of: their base, wrappers, training loops, heads, synthetic anomalies, losses.

May import features, data and core.
Start at `method`: `Method` and `Scores`; then `training`, the loop of methods that train a network.
"""
