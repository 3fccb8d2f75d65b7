"""The executor for a Ray cluster: one warm actor on each GPU or group of CPUs.

May import what run may; Ray itself is imported when it is first used.
Start at `executor.RayCluster`.
"""
