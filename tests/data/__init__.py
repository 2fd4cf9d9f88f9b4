"""Stored results of other programs, and how to read them. `make_torch_data.py` says how they were made."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fastbp import optimizers, reference


@cache
def torch_data() -> dict[str, Any]:
    """Return what `torch.json` holds: problem, trajectories, schedules, losses, activations."""
    return json.loads(Path(__file__).with_name("torch.json").read_text())


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What PyTorch's optimizer did on the stored problem, samples in order, the last batch short.

    Attributes
    ----------
    optimizer : Optimizer
        The same optimizer in fastbp.
    batch_size : int
    steps : list of int
    thetas : float64[len(steps), n_parameters]
        Laid out as `Network.theta`, after each of these steps.
    """

    optimizer: optimizers.Optimizer
    batch_size: int
    steps: list[int]
    thetas: np.ndarray

    def __str__(self) -> str:
        return str(self.optimizer)


def trajectories() -> list[Trajectory]:
    """Return all of them, one for each set of hyper-parameters."""
    data = torch_data()
    return [
        Trajectory(
            getattr(optimizers, case["optimizer"])(**case["options"]),
            case["batch_size"],
            data["stored_steps"],
            np.array(case["thetas"]),
        )
        for case in data["trajectories"]
    ]


def problem() -> dict[str, Any]:
    """Return the task of the trajectories.

    It has layer_sizes, hidden_activation, output_activation and loss, as `Network` takes them; X and Y; and
    the first weights and biases, a list for each layer.
    """
    return torch_data()["problem"]


def problem_theta() -> np.ndarray:
    """Return the first parameters, laid out as `Network.theta`."""
    return flat(problem_layers())


def problem_layers() -> reference.Network:
    """Return the network at its start, in the form of `fastbp.reference`."""
    task = problem()
    names = (task["hidden_activation"], task["output_activation"])
    return [
        reference.Layer(W, b, name) for W, b, name in zip(task["weights"], task["biases"], names, strict=True)
    ]


def flat(layers: reference.Network) -> np.ndarray:
    """Return the parameters of a network of `fastbp.reference`, laid out as `Network.theta`."""
    return np.concatenate([np.ravel(part) for layer in layers for part in (layer.W, layer.b)]).astype(float)
