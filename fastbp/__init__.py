"""fastbp trains multilayer perceptrons by backpropagation on a CPU, as fast as the processor allows."""

from fastbp import schedules
from fastbp._version import __version__
from fastbp.errors import (
    CheckpointError,
    CheckpointWarning,
    DataError,
    DivergenceError,
    FastbpError,
    ModelFileError,
    NotSupportedError,
    OptionError,
    ShapeError,
)
from fastbp.network import Network
from fastbp.optimizers import RPROP, SGD, Adam, AdamW, RMSprop
from fastbp.training import (
    Checkpoint,
    EarlyStopping,
    EpochState,
    StopReason,
    Trainer,
    TrainingResult,
    train,
)

__all__ = [
    "RPROP",
    "SGD",
    "Adam",
    "AdamW",
    "Checkpoint",
    "CheckpointError",
    "CheckpointWarning",
    "DataError",
    "DivergenceError",
    "EarlyStopping",
    "EpochState",
    "FastbpError",
    "ModelFileError",
    "Network",
    "NotSupportedError",
    "OptionError",
    "RMSprop",
    "ShapeError",
    "StopReason",
    "Trainer",
    "TrainingResult",
    "__version__",
    "schedules",
    "train",
]
