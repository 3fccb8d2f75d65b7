"""The executor for a Slurm cluster: arrays of jobs, through submitit.

May import what run may; submitit is imported when it is first used.
Start at `executor.Slurm`.
"""
