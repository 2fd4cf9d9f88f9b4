"""The engine: memory layout, jobs, teams of threads, the runs of every kernel, and evaluation.

It knows specifications, arrays and kernels; it knows nothing of loops, checkpoints or files.
"""
