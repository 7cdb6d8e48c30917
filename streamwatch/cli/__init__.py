"""The commands: parse, call, print. Nothing else."""
