"""The benchmarks: fastbp against itself over time (pytest-benchmark), and against its rivals.

Protocol, gate and statistics are those of `fastbp.benchmark`. `bench.session` adds networks of every size,
rivals that must be installed, a process for each, and a page. Three things have a second form here. Peers
take a `Workload`; the `Case` of `fastbp bench` is what `fastbp.reference` trains in any number type, for
tests too. The gate's reference is NumPy in float64, because the readable one takes seconds a step on a large
network; a test compares the two. Results are a document on disk, from which page, table and comparison are
made at any time later; `fastbp bench` prints what it has just found.
"""
