"""The benchmarks: fastbp against itself over time (pytest-benchmark), and against its rivals."""
