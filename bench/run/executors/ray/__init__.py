"""The executor for a Ray cluster: one warm actor on each GPU, or on so many CPUs.

May import what run may; Ray itself is imported when it is first used.
Start at `executor.RayCluster`.
"""
