"""Where jobs run: this process, processes of this machine, a Ray cluster, a Slurm cluster.

May import what run may.
Start at `base`, the contract that a new executor meets; `choose` selects one for a suite. `pool` and
`process` watch worker processes (time, memory, death), `worker` is what runs in them, `remote` on other
machines.
"""
