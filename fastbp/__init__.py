"""fastbp trains multilayer perceptrons by backpropagation on a CPU, as fast as the processor allows."""

from fastbp import schedules
from fastbp.errors import (
    DataError,
    DivergenceError,
    FastbpError,
    NotSupportedError,
    OptionError,
    ShapeError,
)
from fastbp.network import Network
from fastbp.optimizers import RPROP, SGD, Adam, AdamW, RMSprop
from fastbp.training import TrainingResult, train

__version__ = "0.1.0"

__all__ = [
    "RPROP",
    "SGD",
    "Adam",
    "AdamW",
    "DataError",
    "DivergenceError",
    "FastbpError",
    "Network",
    "NotSupportedError",
    "OptionError",
    "RMSprop",
    "ShapeError",
    "TrainingResult",
    "schedules",
    "train",
]
