# Pure Python, one object a neuron: the program that people write when they learn backpropagation. It is
# the baseline of that name in `fastbp.baselines`, for the 2-2-2 network, and not meant to be fast: it
# says what leaving the textbook's form is worth. Its fast rival in pure Python is `python_lists`.

from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark.contenders import prepare_python_objects


def prepare(workload: Workload) -> Train:
    if workload.case is None:
        raise UnavailableError("the textbook's program is for the 2-2-2 network")
    if workload.dtype != "float64":
        raise UnavailableError("Python's numbers are float64")
    return prepare_python_objects(workload.case)
