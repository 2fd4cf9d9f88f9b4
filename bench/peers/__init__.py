"""The rivals, each in its fastest form, and fastbp: one small file each, with one interface.

``prepare(workload)`` returns a function ``train(steps)``. Each call starts at the workload's parameters,
takes that many steps over its batches in order, and returns the final parameters, laid out as
`fastbp.Network.theta` (one row per network if there are several). Every call does the same work, and the
timed call is the one that is checked. Steps are whole epochs: `Workload.checked_steps`.

A peer that cannot do a workload raises `UnavailableError` with the reason, which the report prints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from bench.grid import Workload
from fastbp.benchmark.contenders import Train, UnavailableError

__all__ = ["OURS", "PEERS", "Peer", "Prepare", "Train", "UnavailableError", "load", "prepare"]

Prepare = Callable[[Workload], Train]

OURS = "fastbp"


@dataclass(frozen=True)
class Peer:
    """The module of a peer, and the packages that a program with it must import."""

    module: str
    function: str
    imports: str


PEERS = {
    OURS: Peer("ours", "prepare", "import fastbp"),
    "Python, objects": Peer("python_objects", "prepare", "import math"),
    "Python, lists": Peer("python_lists", "prepare", "import math"),
    "NumPy": Peer("numpy_arrays", "prepare", "import numpy, scipy.special"),
    "Numba": Peer("numba_loops", "prepare", "import numpy, numba"),
    "C": Peer("c_loops", "prepare", "import numpy, ctypes"),
    "FANN": Peer("fann", "prepare", "import numpy, ctypes"),
    "scikit-learn": Peer("sklearn_mlp", "prepare", "from sklearn.neural_network import MLPClassifier"),
    "PyTorch": Peer("pytorch", "prepare_eager", "import torch"),
    "PyTorch compiled": Peer("pytorch", "prepare_compiled", "import torch"),
    "JAX": Peer("jax_scan", "prepare", "import jax"),
}


def load(name: str) -> Prepare:
    """Return a peer's function `prepare`, and import its packages.

    A peer outside the table is named as ``module:function``.
    """
    if name in PEERS:
        module, function = f"bench.peers.{PEERS[name].module}", PEERS[name].function
    else:
        module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except ImportError as error:
        raise UnavailableError(f"not installed: {error}") from error


def prepare(name: str, workload: Workload) -> Train:
    """Prepare a workload for a peer."""
    return load(name)(workload)
