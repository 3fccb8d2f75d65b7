"""Where jobs run: this process, processes of this machine, a Ray cluster, a Slurm cluster.

May import what run may.
Start at `base`, the contract that a new executor meets; `choose` picks the one that runs a suite.
"""
