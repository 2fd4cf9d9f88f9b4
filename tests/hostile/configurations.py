"""Random configurations of everything that `fastbp.train` takes, each drawn from one number."""

import pickle
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastbp
from fastbp import activations, schedules
from tests.every_loss import EVERY_LOSS, fitting_outputs

MOST_STEPS, MOST_SAMPLES = 12, 12

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40]
"""Around the multiples of 2, 4, 8 and 16 lanes."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """A network, data and options of `fastbp.train`."""

    seed: int
    network: dict[str, Any]
    theta: np.ndarray
    X: np.ndarray
    Y: np.ndarray
    options: dict[str, Any]
    layouts: tuple[str, ...]
    """How X and Y lie in memory when they are handed over."""

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.network}, "
            f"X {self.X.dtype}{self.X.shape}, Y {self.Y.dtype}{self.Y.shape}, "
            f"in memory {self.layouts}, {self.options}"
        )

    def make(self) -> fastbp.Network:
        network = fastbp.Network(**self.network)
        network.theta[:] = self.theta
        return network


# --- how data lie in memory ------------------------------------------------------------------------------


def read_only(array: np.ndarray, folder: Path) -> np.ndarray:
    copied = array.copy()
    copied.flags.writeable = False
    return copied


def memory_mapped(array: np.ndarray, folder: Path) -> np.ndarray:
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npy", delete=False) as file:
        np.save(file, array)
    return np.load(file.name, mmap_mode="r")


def unaligned(array: np.ndarray, folder: Path) -> np.ndarray:
    view = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {
    "C": lambda array, folder: np.ascontiguousarray(array),
    "Fortran": lambda array, folder: np.asfortranarray(array),
    "every second row": lambda array, folder: np.repeat(array, 2, axis=0)[::2],
    "inside another": lambda array, folder: np.pad(array, 1)[(slice(1, -1),) * array.ndim],
    "backwards": lambda array, folder: np.flip(np.flip(array).copy()),
    "big-endian": lambda array, folder: array.astype(array.dtype.newbyteorder(">")),
    "list": lambda array, folder: array.tolist(),
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "unaligned": unaligned,
}


# --- drawing ---------------------------------------------------------------------------------------------


class Draw:
    """Draws from a seed."""

    def __init__(self, seed: int):
        self.generator = np.random.default_rng(seed)

    def one_of(self, *choices: Any) -> Any:
        return choices[self.generator.integers(len(choices))]

    def chance(self, probability: float) -> bool:
        return bool(self.generator.random() < probability)

    def integer(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high + 1))

    def size(self, low: float, high: float) -> float:
        """Draw evenly in the logarithm."""
        return float(np.exp(self.generator.uniform(np.log(low), np.log(high))))


def draw(seed: int) -> Configuration:
    """Draw a configuration that `fastbp.train` takes."""
    d = Draw(seed)
    fused = d.chance(0.12)
    network = _network(d, fused)
    sizes = network["layer_sizes"]
    n_samples = d.integer(1, MOST_SAMPLES)
    X = _inputs(d, n_samples, sizes[0])
    Y = _targets(d, n_samples, network)
    n_parameters = fastbp.Network(**network).theta.size
    fan_in = np.mean(sizes[:-1])
    theta = d.generator.normal(0, 0.7 / np.sqrt(fan_in), n_parameters).astype(network["dtype"])
    options = _options(d, n_samples, fan_in, fused)
    layouts = (d.one_of(*LAYOUTS), d.one_of(*LAYOUTS))
    return Configuration(seed, network, theta, X, Y, options, layouts)


def _network(d: Draw, fused: bool) -> dict[str, Any]:
    common = {"bias": d.one_of("trainable", "fixed", "none"), "dtype": d.one_of("float64", "float32")}
    if fused:
        return {"layer_sizes": (2, 2, 2)} | common
    sizes = [d.one_of(*SIZES) for _ in range(d.integer(2, 5))]
    loss = d.one_of(*EVERY_LOSS)
    output = d.one_of(*fitting_outputs(loss))
    if output == "softmax" and sizes[-1] == 1:
        sizes[-1] = d.one_of(*SIZES[1:])
    return {
        "layer_sizes": tuple(sizes),
        "hidden_activation": tuple(d.one_of(*activations.HIDDEN) for _ in sizes[2:]),
        "output_activation": output,
        "loss": loss,
    } | common


def _inputs(d: Draw, n_samples: int, n_features: int) -> np.ndarray:
    dtype = d.one_of("float64", "float32", "float16", "uint8", "int16", "int64")
    shape = (n_samples, n_features)
    if dtype.startswith("float"):
        return d.generator.normal(size=shape).astype(dtype)
    return d.generator.integers(0 if dtype == "uint8" else -2, 3, shape).astype(dtype)


def _targets(d: Draw, n_samples: int, network: dict[str, Any]) -> np.ndarray:
    n_outputs, loss = network["layer_sizes"][-1], network.get("loss", "half_squared_error")
    dtype = d.one_of("float64", "float32")
    shape = (n_samples, n_outputs)
    if loss == "categorical_cross_entropy":
        if d.chance(0.5):
            return d.generator.integers(0, n_outputs, n_samples).astype(d.one_of("int64", "uint8", dtype))
        return (d.generator.multinomial(64, np.full(n_outputs, 1 / n_outputs), n_samples) / 64).astype(dtype)
    if loss == "poisson":
        return d.generator.poisson(1.5, shape).astype(d.one_of("int64", dtype))
    if loss == "binary_cross_entropy":
        return (d.generator.uniform(-0.3, 1.3, shape).clip(0, 1)).astype(dtype)
    return d.generator.uniform(-1, 1, shape).astype(dtype)


def _options(d: Draw, n_samples: int, fan_in: float, fused: bool) -> dict[str, Any]:
    batch_size = 1 if fused or d.chance(0.3) else d.one_of(None, d.integer(1, n_samples), n_samples + 3)
    batch = min(n_samples, batch_size or n_samples)
    per_epoch = -(-n_samples // batch)
    options: dict[str, Any] = {"batch_size": batch_size, "seed": d.integer(0, 2**40)}
    if d.chance(0.5):
        options["epochs"] = d.integer(1, max(1, MOST_STEPS // per_epoch))
    else:
        options["steps"] = d.integer(1, MOST_STEPS)
    options["update"] = d.one_of("simultaneous", "sequential")
    options["shuffle"] = d.chance(0.6)
    options["progress"] = False
    if d.chance(0.4):
        options["threads"] = d.integer(1, 3)
    if d.chance(0.3):
        options |= {"validation": True}
    if d.chance(0.2):
        options["checkpoint"] = d.one_of("0.001ms", "1h", 1)
    rate = d.size(1e-2, 0.5) / max(1.0, fan_in / 3)
    if fused:
        rate = d.one_of(rate, schedules.Adaptive(rate, patience=1, factor=2.0, tolerance=0.1))
        options["math"] = d.one_of("fast", "exact")
        options["kernel"] = d.one_of("auto", "fused222")
        options["optimizer"] = fastbp.SGD(rate)
        return options
    options["optimizer"] = _optimizer(d, rate, plain=batch == 1 and d.chance(0.6))
    if d.chance(0.4):
        options["l2"] = d.size(1e-4, 0.3)
    if d.chance(0.3):
        weights = d.generator.uniform(0, 3, n_samples) * (d.generator.random(n_samples) > 0.15)
        weights[d.integer(0, n_samples - 1)] = 1.0
        options["sample_weight"] = weights * d.size(1e-6, 1e6)
    one_sample_sgd = batch == 1 and type(options["optimizer"]) is fastbp.SGD
    can_be_online = one_sample_sgd and options["optimizer"].momentum == 0
    if can_be_online and d.chance(0.7):
        options["kernel"] = d.one_of("auto", "online")
        return options
    options["kernel"] = d.one_of("auto", "layered")
    if options["update"] == "simultaneous" and d.chance(0.3):
        options["gradient_clip_norm"] = d.size(1e-3, 3.0)
    if d.chance(0.25):
        options["dropout"] = float(d.generator.uniform(0.05, 0.7))
    return options


def _schedule(d: Draw, rate: float) -> Any:
    # A loss that stalls is a comparison; steps of this tolerance make it one that rounding does not turn.
    by_step = d.one_of(
        rate,
        schedules.Constant(rate),
        schedules.InverseScaling(rate, d.size(0.1, 2.0), d.size(0.5, 10.0), d.integer(1, 4)),
        schedules.StepDecay(rate, d.integer(1, 6), d.one_of(0.1, 0.5, 1.0)),
        schedules.ExponentialDecay(rate, d.size(0.3, 1.0), d.size(0.5, 10.0)),
        schedules.CosineDecay(rate, d.integer(1, 14), d.one_of(0.0, rate / 7)),
    )
    if d.chance(0.2):
        return schedules.LinearWarmup(by_step, d.integer(1, 8))
    if d.chance(0.15):
        return schedules.Adaptive(rate, factor=d.size(1.1, 5.0), patience=d.integer(1, 2), tolerance=0.1)
    return by_step


def _optimizer(d: Draw, rate: float, *, plain: bool) -> fastbp.optimizers.Optimizer:
    momentum = d.one_of(0.0, d.size(0.1, 0.95))
    decay = d.one_of(0.0, d.size(1e-4, 0.3))
    if plain:
        return fastbp.SGD(_schedule(d, rate), weight_decay=decay)
    kind = d.one_of("SGD", "RMSprop", "Adam", "AdamW", "RPROP")
    if kind == "RPROP":
        smallest = d.size(1e-8, 1e-3)
        bounds = {"smallest_step": smallest, "largest_step": smallest + d.size(1e-3, 1.0)}
        return fastbp.RPROP(rate / 10, d.size(0.1, 0.9), 1 + d.size(0.01, 2.0), **bounds)
    if kind == "SGD":
        return fastbp.SGD(_schedule(d, rate), momentum, momentum > 0 and d.chance(0.5), decay)
    epsilon = d.size(1e-8, 1e-2)
    schedule = _schedule(d, rate / 3)
    if kind == "RMSprop":
        return fastbp.RMSprop(schedule, 1 - d.size(1e-3, 1.0), epsilon, momentum, decay)
    betas = d.one_of((0.9, 0.999), (1 - d.size(1e-3, 1.0), 1 - d.size(1e-5, 1.0)))
    return getattr(fastbp, kind)(schedule, *betas, epsilon, decay)


# --- training --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Found:
    """What fastbp computes for a configuration."""

    kernel: str
    loss: float
    gradient: np.ndarray
    outputs: np.ndarray
    """These three before training."""
    theta: np.ndarray
    curve: dict[int, float]
    """The recorded losses by their step."""
    validation_losses: list[float]
    same_bits: bool
    """Whether the same run had them on another number of threads."""


def train(configuration: Configuration) -> Found:
    """Train a configuration, twice."""
    network, twin = configuration.make(), configuration.make()
    options = dict(configuration.options)
    weights = options.get("sample_weight")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = (configuration.X, configuration.Y)
        X, Y = (LAYOUTS[k](array, folder) for k, array in zip(configuration.layouts, data, strict=True))
        outputs = network.predict(X, threads=options.get("threads"))
        loss = network.loss(X, Y, sample_weight=weights)
        gradient = network.gradient(X, Y, sample_weight=weights, threads=options.get("threads"))
        if options.pop("validation", False):
            options["validation_data"] = (X, Y)
        if "checkpoint" in options:
            options["checkpoint"] = fastbp.Checkpoint(folder / "run", every=options["checkpoint"])
        result = fastbp.train(network, X, Y, **options)
        others = {"checkpoint": None, "threads": 1 + configuration.seed % 3}
        fastbp.train(twin, configuration.X, configuration.Y, **(options | others))
        del X, Y  # which may map a file in the folder
    return Found(
        result.kernel,
        loss,
        gradient,
        outputs,
        network.theta.copy(),
        dict(zip(result.loss_steps.tolist(), result.loss_curve.tolist(), strict=True)),
        list(result.history.get("validation_loss", [])),
        network.theta.tobytes() == twin.theta.tobytes(),
    )


def write_found(seeds: list[int]) -> None:
    """Write what each seed gives, or the exception that it raises, to standard output."""
    warnings.simplefilter("ignore", fastbp.TargetWarning)  # targets are drawn without a look at the outputs
    for seed in seeds:
        configuration = draw(seed)
        try:
            found: Any = train(configuration)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        pickle.dump(found, sys.stdout.buffer)
        sys.stdout.buffer.flush()
