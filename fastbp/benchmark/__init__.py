"""The benchmark: fastbp and its rivals on the same cases, checked for equal results before they are timed."""
