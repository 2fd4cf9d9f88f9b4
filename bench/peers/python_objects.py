# Pure Python, one object a neuron: the program that people write when they learn backpropagation. It is the
# textbook baseline in `fastbp.baselines`, for the 2-2-2 network. It is not meant to be fast; it shows how
# much speed is gained by leaving the textbook's form. Its fast rival in pure Python is `python_lists`.

from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark.contenders import prepare_python_objects


def prepare(workload: Workload) -> Train:
    if workload.case is None:
        raise UnavailableError("the textbook's program is for the 2-2-2 network")
    if workload.dtype != "float64":
        raise UnavailableError("Python's numbers are float64")
    return prepare_python_objects(workload.case)
