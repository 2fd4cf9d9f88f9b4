"""Whether fastbp still computes the same bits: digests of two hundred small runs, and what differs.

    python -m tests.digests                        compare with what is stored; exit status 1 if a bit differs
    python -m tests.digests store                  store what is computed now
    python -m tests.digests [store] --width 16 64  the same for vectors of other widths, in other processes
    python -m tests.digests --only dropout         only the configurations with this word in their names

Store before a change that is to keep every bit, and compare after it. `data/digests` has a file for each
kind of processor: the width of its vectors, whether it has a fused multiply-add, and whether that is taken
where its result goes to memory (`processor.ADDS_APART`) decide the bits. So do the elementary functions of
the C library and NumPy (`exp`, `cos` and powers) in a few configurations, so that the file has a digest of
them, too.
"""

import argparse
import contextlib
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastbp
from fastbp import (
    RPROP,
    SGD,
    Adam,
    AdamW,
    Checkpoint,
    EarlyStopping,
    RMSprop,
    activations,
    processor,
    schedules,
)
from tests.processes import environment

FOLDER = Path(__file__).parent / "data" / "digests"

OVERSUBSCRIBE = {"FASTBP_OVERSUBSCRIBE": "1"}
"""Three threads are three, on machines of two cores."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """A network, data that are drawn from a fixed seed, and options of `fastbp.train`."""

    name: str
    sizes: tuple[int, ...]
    options: dict[str, Any]
    network: dict[str, Any] = field(default_factory=dict)
    n_samples: int = 60
    labels: bool = False
    """Targets are class labels instead of rows."""
    form: Callable[[np.ndarray], Any] = np.asarray
    """What X, of float64 numbers from -1 to 1, is made into."""
    ends_early: dict[str, Any] | None = None
    """Options that end a run early, which is then resumed without them."""

    def __str__(self) -> str:
        return self.name

    def make(self) -> fastbp.Network:
        network = fastbp.Network(self.sizes, **({"seed": 1} | self.network))
        generator = np.random.default_rng(2)
        for b in network.biases:
            b[:] = 0.6 * generator.random(b.shape) - 0.3
        return network

    def data(self, seed: int = 3) -> tuple[Any, np.ndarray]:
        generator = np.random.default_rng(seed)
        X = 2 * generator.random((self.n_samples, self.sizes[0])) - 1
        Y = 0.1 + 0.8 * generator.random((self.n_samples, self.sizes[-1]))
        if self.labels:
            return self.form(X), Y.argmax(axis=1)
        if self.network.get("loss") == "categorical_cross_entropy":
            Y /= Y.sum(axis=1, keepdims=True)
        return self.form(X), Y

    def validation(self) -> tuple[Any, np.ndarray]:
        return self.data(seed=4)


# --- the configurations ----------------------------------------------------------------------------------

C = Configuration
DTYPES = ({"dtype": "float64"}, {"dtype": "float32"})
ONE = {"batch_size": 1, "steps": 200}
BATCHES = {"batch_size": 16, "steps": 40}  # of 60 samples: the last batch of an epoch is short


def as_bytes(X: np.ndarray) -> np.ndarray:
    return np.floor(4 * (X + 1)).astype(np.uint8)


def as_float32(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float32)


def every_second_row(X: np.ndarray) -> np.ndarray:
    return np.repeat(X, 2, axis=0)[::2]


class BrokenDownError(Exception):
    """What ends a run in its middle."""


def broken_down(state: fastbp.EpochState) -> None:
    """End the run in its third epoch, as a callback: the newest checkpoint is of the second one."""
    if state.epoch == 3:
        raise BrokenDownError


SCHEDULES = (
    schedules.InverseScaling(0.3, 0.7, 5.0, 2),
    schedules.StepDecay(0.3, every=11, factor=0.7),
    schedules.ExponentialDecay(0.3, 0.9, 7.0),
    schedules.CosineDecay(0.3, steps=30, final=0.01),
    schedules.LinearWarmup(schedules.Constant(0.3), steps=9),
    schedules.Adaptive(0.5, factor=1.5, patience=1, tolerance=0.05),
)

OPTIMIZERS = {
    "SGD": SGD(0.1),
    "SGD, decay": SGD(0.1, weight_decay=0.01),
    "momentum": SGD(0.1, momentum=0.9),
    "Nesterov, decay": SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.01),
    "RMSprop": RMSprop(0.01),
    "RMSprop, momentum, decay": RMSprop(0.01, alpha=0.9, momentum=0.5, weight_decay=0.01),
    "Adam": Adam(0.01),
    "Adam, decay": Adam(0.02, beta1=0.8, beta2=0.99, epsilon=1e-6, weight_decay=0.01),
    "AdamW": AdamW(0.01),
    "RPROP": RPROP(0.01),
}

LOSSES = (
    ("half_squared_error", "tanh"),
    ("mean_squared_error", "identity"),
    ("mean_absolute_error", "identity"),
    ("huber", "softplus"),
    ("binary_cross_entropy", "sigmoid"),
    ("categorical_cross_entropy", "softmax"),
    ("poisson", "softplus"),
    ("poisson", "sigmoid"),
    ("poisson", "softmax"),
    ("quantile(0.8)", "identity"),
)


def fused222() -> Iterator[Configuration]:
    sizes, plain = (2, 2, 2), ONE | {"steps": 5000, "optimizer": SGD(0.5)}
    for dtype in DTYPES:
        name = f"fused222, {dtype['dtype']}"
        for bias in ("trainable", "fixed", "none"):
            yield C(f"{name}, bias {bias}", sizes, plain, dtype | {"bias": bias})
        yield C(f"{name}, sequential", sizes, plain | {"update": "sequential"}, dtype)
        yield C(f"{name}, in order, one sample", sizes, plain | {"shuffle": False}, dtype, n_samples=1)
        yield C(f"{name}, exact", sizes, plain | {"math": "exact"}, dtype)
        yield C(
            f"{name}, exact, sequential, in order",
            sizes,
            plain | {"math": "exact", "update": "sequential", "shuffle": False},
            dtype | {"bias": "fixed"},
        )
    yield C("fused222, adaptive rate", sizes, plain | {"optimizer": SGD(SCHEDULES[-1])})
    yield C("fused222, resumed", sizes, plain, ends_early={"callbacks": [broken_down]})
    yield C(
        "fused222, resumed after max_seconds",
        sizes,
        plain | {"steps": 10**6},
        ends_early={"max_seconds": 1e-3},
    )


def online() -> Iterator[Configuration]:
    plain = ONE | {"optimizer": SGD(0.1)}
    for dtype in DTYPES:
        name = f"online, narrow, {dtype['dtype']}"
        for sizes, hidden, output in (
            ((2, 4, 1), "tanh", "identity"),
            ((4, 4, 4), "sigmoid", "sigmoid"),
            ((1, 1, 1), "relu", "tanh"),
            ((3, 2, 3), "identity", "relu"),
        ):
            functions = {"hidden_activation": hidden, "output_activation": output}
            yield C(f"{name}, {sizes}, {hidden}", sizes, plain, dtype | functions)
        yield C(f"{name}, bias none", (2, 3, 2), plain, dtype | {"bias": "none"})
        name = f"online, {dtype['dtype']}"
        yield C(f"{name}, wide, labels", (64, 128, 10), plain, dtype | CLASSES, labels=True)
        yield C(f"{name}, four layers", (17, 33, 9, 24, 3), plain, dtype | {"hidden_activation": "tanh"})
        yield C(f"{name}, no hidden layer", (9, 2), plain, dtype)
    for hidden in activations.HIDDEN:
        yield C(f"online, {hidden}", (5, 9, 7, 2), plain, {"hidden_activation": hidden})
    for loss, output in LOSSES:
        yield C(f"online, {loss}, {output}", (5, 9, 3), plain, {"loss": loss, "output_activation": output})
    for rate in SCHEDULES:
        for sizes in ((2, 4, 1), (5, 9, 3)):
            name = f"online, {type(rate).__name__}, {sizes}"
            yield C(name, sizes, plain | {"optimizer": SGD(rate)})
    weights = np.arange(60) % 7 / 3
    for sizes in ((2, 4, 1), (5, 9, 3)):
        name = f"online, {sizes}"
        yield C(f"{name}, in order", sizes, plain | {"shuffle": False})
        yield C(f"{name}, sequential", sizes, plain | {"update": "sequential"})
        yield C(f"{name}, bias fixed", sizes, plain, {"bias": "fixed"})
        yield C(f"{name}, l2", sizes, plain | {"l2": 0.01})
        yield C(f"{name}, decay", sizes, plain | {"optimizer": SGD(0.1, weight_decay=0.01)})
        yield C(f"{name}, sample weights", sizes, plain | {"sample_weight": weights})
        yield C(f"{name}, X of bytes", sizes, plain, form=as_bytes)
        yield C(f"{name}, resumed", sizes, plain, ends_early={"callbacks": [broken_down]})


CLASSES = {"output_activation": "softmax", "loss": "categorical_cross_entropy", "hidden_activation": "relu"}


def layered() -> Iterator[Configuration]:
    sizes, plain = (7, 9, 5, 3), BATCHES | {"optimizer": Adam(0.01)}
    for dtype in DTYPES:
        name = f"layered, {dtype['dtype']}"
        for which, optimizer in OPTIMIZERS.items():
            yield C(f"{name}, {which}", sizes, BATCHES | {"optimizer": optimizer}, dtype)
        for hidden in activations.HIDDEN:
            yield C(f"{name}, {hidden}", sizes, plain, dtype | {"hidden_activation": hidden})
    for output in activations.OUTPUT:
        functions = {"output_activation": output, "loss": "mean_squared_error"}
        yield C(f"layered, output {output}", sizes, plain, functions)
    for loss, output in LOSSES:
        yield C(f"layered, {loss}, {output}", sizes, plain, {"loss": loss, "output_activation": output})
    for rate in SCHEDULES:
        yield C(f"layered, {type(rate).__name__}", sizes, BATCHES | {"optimizer": SGD(rate)})
    for which in ("SGD", "momentum", "Adam"):
        options = ONE | {"optimizer": OPTIMIZERS[which], "kernel": "layered"}
        yield C(f"layered, one sample, {which}", sizes, options)
    for which in ("momentum", "Adam", "RPROP"):
        options = BATCHES | {"optimizer": OPTIMIZERS[which], "update": "sequential"}
        yield C(f"layered, sequential, {which}", sizes, options)
    yield C("layered, full batch, RPROP", sizes, {"steps": 30, "optimizer": RPROP(0.01)})
    yield C("layered, bias fixed", sizes, plain, {"bias": "fixed"})
    yield C("layered, bias none", sizes, plain, {"bias": "none"})
    yield C("layered, in order", sizes, plain | {"shuffle": False})
    yield C("layered, l2", sizes, plain | {"l2": 0.01})
    yield C("layered, clipped", sizes, plain | {"gradient_clip_norm": 0.01})
    yield C("layered, sample weights", sizes, plain | {"sample_weight": np.arange(60) % 7 / 3})
    yield C("layered, labels", sizes, plain, CLASSES, labels=True)
    yield C("layered, all at once", sizes, plain | EVERYTHING)
    yield C("layered, all at once, float32", sizes, plain | EVERYTHING, {"dtype": "float32"})


EVERYTHING = {"dropout": 0.3, "l2": 0.01, "gradient_clip_norm": 0.01, "sample_weight": np.arange(1.0, 61.0)}


def data_and_threads() -> Iterator[Configuration]:
    plain = {"optimizer": Adam(0.01)}
    for dtype in DTYPES:
        for threads in (1, 2, 3):
            name, some = f"{dtype['dtype']}, threads {threads}", plain | {"threads": threads}
            full, batches = some | {"steps": 6}, some | {"steps": 12, "batch_size": 32}
            yield C(f"groups, {name}", (3, 40, 2), full, dtype, n_samples=5000)
            yield C(f"tiles, {name}", (64, 256, 10), full | {"steps": 2}, dtype | CLASSES, 2500, labels=True)
            yield C(f"wide, {name}", (784, 128, 10), batches, dtype | CLASSES, 100, labels=True)
        yield C(f"X of bytes, {dtype['dtype']}", (30, 9, 2), plain | BATCHES, dtype, form=as_bytes)
        yield C(f"X of float32, {dtype['dtype']}", (30, 9, 2), plain | BATCHES, dtype, form=as_float32)
        yield C(f"dropout, {dtype['dtype']}", (7, 17, 9, 3), plain | BATCHES | {"dropout": 0.5}, dtype)
    large = plain | {"steps": 4, "threads": 2}
    for name, more in (
        ("clipped", {"gradient_clip_norm": 0.01}),
        ("dropout", {"dropout": 0.3}),
        ("sample weights", {"sample_weight": 1 + np.arange(5000.0) % 5}),
        ("sequential", {"update": "sequential"}),
        ("mini-batches", {"batch_size": 1111}),
    ):
        yield C(f"groups, {name}", (3, 40, 2), large | more, n_samples=5000)
    yield C("tiles, clipped", (64, 256, 10), large | {"gradient_clip_norm": 0.01}, n_samples=1500)
    yield C("tiles, sequential", (64, 256, 10), large | {"update": "sequential"}, n_samples=700)
    yield C("every second row of X", (7, 9, 3), plain | BATCHES, form=every_second_row)
    yield C("X by columns", (7, 9, 3), plain | BATCHES | {"shuffle": False}, form=np.asfortranarray)
    yield C("X as a list", (7, 9, 3), plain | BATCHES, form=np.ndarray.tolist)


def watched() -> Iterator[Configuration]:
    sizes, plain = (5, 9, 3), BATCHES | {"optimizer": Adam(0.05)}
    everything = plain | EVERYTHING | {"metrics": ["r2"]}
    stopping = {"early_stopping": EarlyStopping(3, 1e-4), "validation_data": True, "steps": 2000}
    yield C("validation, early stopping", sizes, plain | stopping)
    yield C("validation, early stopping, online", sizes, ONE | {"optimizer": SGD(0.3)} | stopping)
    yield C("metrics", sizes, plain | {"metrics": ["accuracy"]}, CLASSES, labels=True)
    yield C("resumed", sizes, everything, ends_early={"callbacks": [broken_down]})
    long = everything | {"steps": 4000}
    yield C("resumed after max_seconds", sizes, long, ends_early={"max_seconds": 1e-3})
    for which in ("momentum", "RMSprop, momentum, decay", "RPROP"):
        options = BATCHES | {"optimizer": OPTIMIZERS[which]}
        yield C(f"resumed, {which}", sizes, options, ends_early={"callbacks": [broken_down]})
    options = BATCHES | {"optimizer": SGD(SCHEDULES[-1])}
    yield C("resumed, adaptive rate", sizes, options, ends_early={"callbacks": [broken_down]})


CONFIGURATIONS = {
    configuration.name: configuration
    for family in (fused222, online, layered, data_and_threads, watched)
    for configuration in family()
}


# --- digests ---------------------------------------------------------------------------------------------


def digest(*arrays: Any) -> str:
    """Return a digest of types, shapes and bits."""
    sha = hashlib.sha256()
    for array in map(np.asarray, arrays):
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def digests(configuration: Configuration) -> dict[str, str]:
    """Train a configuration, and return digests of all that comes out."""
    network, (X, Y) = configuration.make(), configuration.data()
    found = {"data": digest(network.theta, X, Y)}
    options = {"seed": 5, "progress": False} | configuration.options
    if "validation_data" in options:
        options["validation_data"] = configuration.validation()
    weights, threads = options.get("sample_weight"), options.get("threads")
    found["gradient before"] = digest(network.gradient(X, Y, sample_weight=weights, threads=threads))
    if configuration.ends_early is None:
        result = fastbp.train(network, X, Y, **options)
    else:
        result = _resumed(configuration, network, X, Y, options)
    return found | {
        "kernel": result.kernel,
        "stop_reason": result.stop_reason,
        "theta": digest(network.theta),
        "loss_curve": digest(result.loss_curve, result.loss_steps),
        "history": digest(*(result.history[name] for name in sorted(result.history))),
        "predictions": digest(network.predict(X, threads=threads or 1)),
        "predictions of few rows": digest(network.predict(X[:1]), network.predict(X[:7])),
        "loss": digest(network.loss(X, Y, sample_weight=weights, threads=threads)),
        "gradient": digest(network.gradient(X, Y, sample_weight=weights, threads=threads)),
    }


def _resumed(
    configuration: Configuration, network: fastbp.Network, X: Any, Y: np.ndarray, options: dict[str, Any]
) -> fastbp.TrainingResult:
    """Train until something ends the run, and then to the end from the newest checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        options = options | {"checkpoint": Checkpoint(folder, every=2)}
        with contextlib.suppress(BrokenDownError):
            fastbp.train(configuration.make(), X, Y, **options, **configuration.ends_early)
        return fastbp.train(network, X, Y, **options, resume=True)


def elementary_functions() -> str:
    """Return a digest of the functions whose last bit depends on the C library and on NumPy."""
    x = np.linspace(0.01, 20.0, 997)
    ours = [[math.exp(-v), math.log(v), math.pow(0.9, v)] for v in x.tolist()]
    return digest(ours, np.exp(-x), np.cos(x), 0.9**x, x**-0.7)


def kind() -> str:
    """Return what decides the bits of this processor."""
    fma, apart = "fma" if processor.HAS_FMA else "no-fma", "-adds-apart" if processor.ADDS_APART else ""
    return f"{processor.WIDTH}-bytes-{fma}{apart}"


def stored(folder: Path = FOLDER) -> dict[str, Any] | None:
    """Return what the file for this kind of processor holds, if there is one."""
    path = folder / f"{kind()}.json"
    return json.loads(path.read_text()) if path.exists() else None


def store(found: dict[str, dict[str, str]], folder: Path = FOLDER) -> Path:
    """Write digests to the file for this kind of processor, a line for each configuration."""
    made_with = {
        "processor": processor.NAME,
        "fastbp": fastbp.__version__,
        "NumPy": np.__version__,
        "C library": " ".join(platform.libc_ver()),
        "elementary functions": elementary_functions(),
    }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(line)}" for name, line in found.items())
    path = folder / f"{kind()}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{"made_with": {json.dumps(made_with)},\n"configurations": {{\n{lines}\n}}}}\n')
    return path


def differences(found: dict[str, dict[str, str]], known: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Return, for every configuration that is stored and differs, the names of what differs."""
    return {
        name: unequal
        for name, line in found.items()
        if name in known and (unequal := [key for key in line if line[key] != known[name].get(key)])
    }


# --- the command -----------------------------------------------------------------------------------------


def compare(found: dict[str, dict[str, str]], folder: Path = FOLDER) -> int:
    """Print what differs from what is stored, and return the exit status."""
    file = stored(folder)
    if file is None:
        print(f"{kind()}: nothing is stored for this kind of processor; python -m tests.digests store")
        return 1
    known = file["configurations"]
    unequal = differences(found, known)
    new = [name for name in found if name not in known]
    for name, what in unequal.items():
        print(f"{kind()}: {name}: other bits in {', '.join(what)}")
    for name in new:
        print(f"{kind()}: {name}: not stored")
    if unequal and file["made_with"]["elementary functions"] != elementary_functions():
        print(f"{kind()}: exp, cos or powers round otherwise here than with {file['made_with']}")
    print(
        f"{kind()}: {len(found) - len(unequal) - len(new)} of {len(found)} configurations have the same bits"
    )
    return 1 if unequal else 0


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Compare or store, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.digests", description=__doc__.splitlines()[0])
    parser.add_argument("action", nargs="?", choices=("compare", "store"), default="compare")
    parser.add_argument("--width", type=int, nargs="+", choices=(16, 32, 64), default=[])
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    if options.action == "store" and options.only:
        parser.error("all configurations are stored together: leave --only out")
    if options.width:
        again = [sys.executable, "-m", "tests.digests", options.action, "--only", options.only]
        return max(subprocess.call(again, env=os.environ | environment(width)) for width in options.width)
    os.environ.update(OVERSUBSCRIBE)
    chosen = [row for row in CONFIGURATIONS.values() if options.only in row.name]
    found = {configuration.name: digests(configuration) for configuration in chosen}
    if options.action == "store":
        print(f"{store(found, folder)}: {len(found)} configurations")
        return 0
    return compare(found, folder)


if __name__ == "__main__":
    sys.exit(main())
