"""Each image through each backbone once: backbones, networks, the feature store, nearest neighbours.

May import data and core.
Start at `provider`, which brings together memory, the `store` and the `network`; `backbone` names networks.
"""
