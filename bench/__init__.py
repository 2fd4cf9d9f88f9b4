"""The benchmarks: fastbp against itself over time (pytest-benchmark), and against its rivals.

Protocol, gate and statistics are those of `fastbp.benchmark`. `bench.session` adds networks of every size,
rivals that must be installed, one process for each, and a page. Three things have a second form here. Peers
take a `Workload`; `fastbp bench` takes a `Case`, which `fastbp.reference` can train in any number type, also
for tests. The gate's reference is NumPy in float64, because the readable reference takes seconds per step on
a large network; a test compares the two. Results are stored in a file, from which page, table and comparison
can be made later; `fastbp bench` prints its results at once.
"""
