"""The benchmark: fastbp and its rivals on the same cases, checked for equal results before they are timed.

`fastbp bench` runs it on the 2-2-2 network, in one process and with what an installation has. Its protocol,
gate and statistics serve the repository's `bench` too, where rivals train networks of any size.
"""
