"""The benchmark: fastbp and its rivals on the same cases; results are compared before anything is timed.

`fastbp bench` runs it on the 2-2-2 network, in one process, with the installed packages. The repository's
`bench` uses the same protocol, gate and statistics for rivals and networks of any size.
"""
