"""Small training tasks, one for each thing that a run has to remember: the cases of many tests."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fastbp
from fastbp import RPROP, SGD, Adam, AdamW, EarlyStopping, Network, RMSprop, schedules
from tests.training.seams import Seams, train


def absolute_error(Y_true, Y_pred):
    return float(np.abs(Y_true - Y_pred).mean())


@dataclass(frozen=True)
class Task:
    """A network, data that are made from a seed, and options of `fastbp.train`."""

    name: str
    layer_sizes: tuple[int, ...]
    options: dict[str, Any]
    network: dict[str, Any] = field(default_factory=dict)
    n_samples: int = 7

    def __str__(self) -> str:
        return self.name

    def make(self) -> Network:
        return Network(self.layer_sizes, **({"seed": 0} | self.network))

    def data(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        X = generator.uniform(-1, 1, (self.n_samples, self.layer_sizes[0]))
        return X, generator.uniform(0.1, 0.9, (self.n_samples, self.layer_sizes[-1]))

    def train(
        self, steps: int, seams: Seams | None = None, **options: Any
    ) -> tuple[Network, fastbp.TrainingResult]:
        network = self.make()
        X, Y = self.data()
        options = {"steps": steps, "seed": 3} | self.options | options
        if seams is None:
            return network, fastbp.train(network, X, Y, **options)
        return network, train(network, X, Y, seams=seams, **options)

    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        return self.data(seed=1)


FUSED = {"batch_size": 1, "optimizer": SGD(0.5)}


def layered(optimizer: Any, **options: Any) -> dict[str, Any]:
    return {"batch_size": 2, "optimizer": optimizer} | options


FAST = Task("fused222", (2, 2, 2), FUSED)
EXACT = Task("fused222, exact", (2, 2, 2), FUSED | {"math": "exact"})
DROPOUT = Task("layered, dropout", (3, 5, 4, 2), layered(Adam(0.01), dropout=0.3, l2=0.01))
ADAPTIVE = Task(
    "layered, adaptive rate",
    (3, 5, 2),
    layered(SGD(schedules.Adaptive(2.0, factor=1.5, patience=2, tolerance=1e-3, minimum=1e-12))),
)
ONLINE = Task("online", (3, 9, 9, 2), {"batch_size": 1, "optimizer": SGD(0.1, weight_decay=0.001)})
NARROW = Task(
    "online, narrow, schedule",
    (2, 4, 1),
    {"batch_size": 1, "optimizer": SGD(schedules.CosineDecay(0.5, steps=40))},
)
TWO_THREADS = Task("layered, two threads", (3, 4, 2), layered(Adam(0.01), threads=2))

TASKS = [
    FAST,
    EXACT,
    Task("fused222, in order, sequential", (2, 2, 2), FUSED | {"shuffle": False, "update": "sequential"}),
    Task("fused222, float32, no bias", (2, 2, 2), FUSED, {"dtype": "float32", "bias": "none"}),
    Task("fused222, adaptive rate", (2, 2, 2), FUSED | {"optimizer": ADAPTIVE.options["optimizer"]}),
    Task("layered, plain", (3, 2), layered(SGD(0.1), shuffle=False)),
    Task("layered, momentum", (3, 4, 2), layered(SGD(0.1, momentum=0.9, nesterov=True))),
    Task("layered, RMSprop", (3, 4, 2), layered(RMSprop(momentum=0.5), gradient_clip_norm=0.1)),
    Task("layered, Adam, float32", (3, 4, 2), layered(Adam(0.01)), {"dtype": "float32"}),
    Task(
        "layered, AdamW, schedule",
        (3, 4, 2),
        layered(AdamW(schedules.LinearWarmup(schedules.CosineDecay(0.1, steps=40), steps=5))),
    ),
    Task("layered, RPROP, full batch", (3, 4, 2), {"optimizer": RPROP()}),
    DROPOUT,
    ADAPTIVE,
    Task("layered, weights", (3, 4, 2), layered(Adam(0.01), sample_weight=np.arange(1.0, 8.0))),
    TWO_THREADS,
    ONLINE,
    NARROW,
]
"""With one epoch in 7, 4 or, of full batches, 1 step."""

WATCHING = {
    "metrics": ["r2", absolute_error],
    "early_stopping": EarlyStopping(patience=6, monitor=absolute_error, higher_is_better=False),
}
"""Options that make the loop remember more."""
