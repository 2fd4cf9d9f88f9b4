"""The worked example's picture: the loss and the eight weights over the rounds, for both updates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import fastbp
from fastbp.cli.files import check_out
from fastbp.drawing import SUFFIXES, check_matplotlib, save_picture, style


@dataclass(frozen=True)
class Trajectory:
    """Quantities over the rounds, for one update."""

    rounds: np.ndarray
    values: Mapping[str, np.ndarray]


def check_plot(path: Path, rounds: int) -> None:
    """Raise an error, before any work, if a picture cannot be drawn."""
    check_out("--plot", path, SUFFIXES)
    if rounds < 2:
        raise fastbp.OptionError(f"--plot needs --rounds of at least 2, and has {rounds}")
    check_matplotlib()


# Okabe & Ito's colours, which colour-blind readers can tell apart: one for each neuron that has weights.
NEURONS = {
    "h1": ("#0072B2", ("w1", "w2")),
    "h2": ("#009E73", ("w3", "w4")),
    "y1": ("#D55E00", ("w5", "w6")),
    "y2": ("#CC79A7", ("w7", "w8")),
}
STYLES: dict[str, dict[str, Any]] = {
    "simultaneous": {"linewidth": 3.0, "alpha": 0.4, "solid_capstyle": "butt"},
    "sequential": {"linewidth": 1.3, "linestyle": (0, (4, 2))},
}
LOSS_COLOUR = "black"


@np.errstate(all="ignore")
def draw(trajectories: Mapping[str, Trajectory], path: Path) -> None:
    """Draw the loss and the weights over the rounds, and the difference in loss between two updates."""
    from matplotlib.figure import Figure as Picture

    with style():
        picture = Picture(figsize=(9.6, 4.6), layout="constrained")
        left, right = picture.subfigures(1, 2, width_ratios=(1, 1.05), squeeze=False)[0]
        both = len(trajectories) == 2
        panels = left.subplots(
            2 if both else 1, 1, sharex=True, squeeze=False, height_ratios=(2.6, 1)[: 1 + both]
        )
        loss, weights = panels[0, 0], right.subplots()
        for update, course in trajectories.items():
            loss.loglog(course.rounds, course.values["E"], color=LOSS_COLOUR, label=update, **STYLES[update])
            for colour, names in NEURONS.values():
                for name in names:
                    weights.semilogx(course.rounds, course.values[name], color=colour, **STYLES[update])
        loss.set_title("Loss E", loc="left", fontweight="bold")
        loss.legend(title="update", frameon=False, loc="lower left", alignment="left")
        if both:
            simultaneous, sequential = (course.values["E"] for course in trajectories.values())
            difference = panels[1, 0]
            difference.axhline(0, color="0.8", linewidth=0.8)
            percent = 100 * (sequential / simultaneous - 1)
            difference.semilogx(trajectories["sequential"].rounds, percent, color=LOSS_COLOUR, linewidth=1.3)
            difference.set_title("E by the sequential update, against simultaneous", loc="left", fontsize=10)
            difference.yaxis.set_major_formatter(lambda x, _: f"{x:+.2g} %" if x else "0 %")
        weights.set_title("Weights", loc="left", fontweight="bold")
        label_ends(weights, trajectories)
        for axes in (*panels[:, 0], weights):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="0.92", linewidth=0.6)
            axes.set_axisbelow(True)
        for axes in (panels[-1, 0], weights):
            axes.set_xlabel("rounds")
        save_picture(picture, path)


def label_ends(axes: Any, trajectories: Mapping[str, Trajectory]) -> None:
    """Write each weight's name at the end of its line; move names apart if they would overlap."""
    course = next(iter(trajectories.values()))
    low, high = axes.get_ylim()
    ends = sorted(
        (course.values[name][-1], name, neuron) for neuron in NEURONS for name in NEURONS[neuron][1]
    )
    heights = spread([end for end, _, _ in ends], 0.052 * (high - low))
    for height, (end, name, neuron) in zip(heights, ends, strict=True):
        colour = NEURONS[neuron][0]
        axes.annotate(
            f"{name} to {neuron}",
            (course.rounds[-1], end),
            (1.04, (height - low) / (high - low)),
            textcoords="axes fraction",
            color=colour,
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 1},
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return ascending heights, moved as little as needed to be at least `gap` apart.

    Neighbours that are too close form a cluster, evenly spaced about the mean of its heights.

    Examples
    --------
    >>> spread([0.0, 1.0, 1.0, 5.0], 1.0)
    [-0.333..., 0.666..., 1.666..., 5.0]
    """
    groups: list[list[float]] = []
    for height in heights:
        group = [height]
        while groups and mean(group) - mean(groups[-1]) < gap * (len(group) + len(groups[-1])) / 2:
            group = groups.pop() + group
        groups.append(group)
    return [mean(group) + gap * (i - (len(group) - 1) / 2) for group in groups for i in range(len(group))]
