"""fastbp trains multilayer perceptrons by backpropagation on a CPU, as fast as the processor allows."""

from importlib import import_module
from typing import Any

from fastbp import interrupted_start as interrupted_start
from fastbp.quick_start import without_collections

with without_collections():
    from fastbp import schedules, stopping_rules
    from fastbp._version import __version__
    from fastbp.errors import (
        CheckpointError,
        CheckpointWarning,
        DataError,
        DataWarning,
        DivergenceError,
        FastbpError,
        ModelFileError,
        NotSupportedError,
        OptionError,
        PatchWarning,
        ShapeError,
        TargetWarning,
    )
    from fastbp.network import Network
    from fastbp.optimizers import RPROP, SGD, Adam, AdamW, RMSprop
    from fastbp.patching import patch_sklearn, sklearn_is_patched, unpatch_sklearn
    from fastbp.training import (
        Checkpoint,
        EarlyStopping,
        EpochState,
        StopReason,
        Trainer,
        TrainingResult,
        train,
    )

LAZY = {
    "MLPClassifier": "fastbp.sklearn",
    "MLPEnsembleClassifier": "fastbp.sklearn",
    "MLPEnsembleRegressor": "fastbp.sklearn",
    "MLPRegressor": "fastbp.sklearn",
    "MLPSearchCV": "fastbp.sklearn",
    "Model": "fastbp.data.model",
    "Population": "fastbp.populations",
    "PopulationResult": "fastbp.populations",
    "PopulationState": "fastbp.populations",
    "fit": "fastbp.data.model",
    "spaces": "fastbp.spaces",
    "sweep": "fastbp.sweeping",
    "train_population": "fastbp.populations",
}
"""Names that load an optional package, or that take time to load, and where they are.

They are loaded when they are first used.
"""


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(LAZY[name])
    value = globals()[name] = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY})


__all__ = [
    "RPROP",
    "SGD",
    "Adam",
    "AdamW",
    "Checkpoint",
    "CheckpointError",
    "CheckpointWarning",
    "DataError",
    "DataWarning",
    "DivergenceError",
    "EarlyStopping",
    "EpochState",
    "FastbpError",
    "ModelFileError",
    "Network",
    "NotSupportedError",
    "OptionError",
    "PatchWarning",
    "RMSprop",
    "ShapeError",
    "StopReason",
    "TargetWarning",
    "Trainer",
    "TrainingResult",
    "__version__",
    "patch_sklearn",
    "schedules",
    "sklearn_is_patched",
    "stopping_rules",
    "train",
    "unpatch_sklearn",
]
