"""The engine: memory layout, jobs, teams of threads, the runs of every kernel, and evaluation.

It knows specifications, arrays and kernels. It knows no loops, checkpoints or files.
"""
