"""The picture of a sweep: the loss against each hyper-parameter, and parallel coordinates."""

from pathlib import Path
from typing import Any

import numpy as np

from fastbp.drawing import SUFFIXES, check_matplotlib, save_picture, style
from fastbp.errors import OptionError
from fastbp.spaces import Integers, LogUniform, Space
from fastbp.sweeping.leaderboard import OTHERS, Columns, as_text

MOST_POINTS = 4000
"""So many trials are drawn, evenly spaced in the ranking."""

MOST_LINES = 300
"""So many trials have a line in the parallel coordinates."""

PANELS_A_ROW = 3

BEST = "#D55E00"
"""The colour of the best trial, from Okabe & Ito's palette. The others go from dark to light by rank."""

HIGHEST = 20.0
"""Losses above so many times the median are drawn at the upper edge: few diverging trials set no scale."""


NONE_AT = -0.12
"""The place of trials that lack a hyper-parameter which others have, such as the momentum of Adam."""

MOST_LETTERS = 14
"""Labels of choices are cut off after so many letters, such as those of optimizers with their parameters."""

LETTERS_A_LINE = 96
"""So many letters of labels have room beside each other over the width of the picture."""


def shorten(text: str) -> str:
    """Return a label that is not too long."""
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


class Axis:
    """A hyper-parameter, as numbers to draw.

    Attributes
    ----------
    name : str
    values : float64[n]
        Between 0 and 1; below 0 for trials that have no such hyper-parameter.
    ticks, labels : list
        Where ticks are, and their labels.
    """

    def __init__(self, name: str, values: list[Any], space: Space):
        self.name = name
        distribution = space.distributions.get(name)
        if distribution is not None and len(set(values)) > 1:
            numbers = np.asarray([np.nan if value is None else value for value in values], np.float64)
            log = isinstance(distribution, LogUniform) or (
                isinstance(distribution, Integers) and distribution.log
            )
            low, high = float(distribution.low), float(distribution.high)
            if log:
                numbers, low, high = np.log10(numbers), np.log10(low), np.log10(high)
            self.values = (numbers - low) / (high - low)
            self.ticks, self.labels = _ticks(low, high, log)
            absent = np.isnan(numbers)
            if absent.any():
                self.values[absent] = NONE_AT
                self.ticks, self.labels = [NONE_AT, *self.ticks], ["none", *self.labels]
        else:
            nothing = "all" if name == "batch_size" else "none"
            texts = [as_text(value) or nothing for value in values]
            choices = [as_text(value) or nothing for value in space.choices.get(name, ())]
            order = [*dict.fromkeys([*choices, *texts])]
            order = [text for text in order if text in set(texts)]
            places = {text: (i + 0.5) / len(order) for i, text in enumerate(order)}
            self.values = np.array([places[text] for text in texts])
            self.ticks, self.labels = list(places.values()), [shorten(text) for text in order]
        self.is_continuous = distribution is not None


def _ticks(low: float, high: float, log: bool) -> tuple[list[float], list[str]]:
    """Return where ticks are between the bounds, as fractions, and their labels."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(4, integer=log and high - low >= 2).tick_values(low, high)
    inside = [tick for tick in found if low - 1e-9 <= tick <= high + 1e-9]
    labels = [_short(10**tick) if log else f"{tick:g}" for tick in inside]
    return [(tick - low) / (high - low) for tick in inside], labels


def _short(number: float) -> str:
    """Return a power of ten as people write it: 1e-6, and not 1e-06."""
    mantissa, e, exponent = f"{number:.2g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def check_picture(path: Path) -> None:
    """Raise an error, before any work, if a picture cannot be drawn."""
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"the picture is to be {str(path)!r}, and must end in {' or '.join(SUFFIXES)}")
    check_matplotlib()


@np.errstate(all="ignore")
def draw_sweep(columns: Columns, space: Space, path: Path) -> None:
    """Draw a leaderboard.

    Parameters
    ----------
    columns : Columns
    space : Space
    path : Path
        A .png or .svg file.
    """
    check_picture(path)
    from matplotlib.figure import Figure

    names = [name for name in columns if name not in OTHERS and len({*map(repr, columns[name])}) > 1]
    n = len(columns["rank"])
    chosen = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(np.int64))
    axes = [Axis(name, [columns[name][i] for i in chosen], space) for name in names]
    losses = np.asarray(columns["loss"], np.float64)[chosen]
    finite = losses[np.isfinite(losses)]
    top = min(finite.max(), HIGHEST * np.median(finite)) if finite.size else 1.0
    shown = np.where(np.isfinite(losses), np.minimum(losses, top), top)
    a_row = {0: 1, 1: 1, 2: 2, 4: 2}.get(len(names), PANELS_A_ROW)
    n_rows = -(-max(len(names), 1) // a_row)
    with style():
        picture = Figure(figsize=(9.6, 2.5 * n_rows + 3.0), layout="constrained")
        upper, lower = picture.subfigures(2, 1, squeeze=False, height_ratios=(2.5 * n_rows, 3.0))[:, 0]
        upper.suptitle(
            f"Validation loss of {n:,} trials. Darker is better: by epochs, and then by loss. The star is "
            "the best.",
            x=0.01,
            ha="left",
            fontweight="bold",
            fontsize=10,
        )
        panels = upper.subplots(n_rows, a_row, sharey=True, squeeze=False).ravel()
        for panel, axis in zip(panels, axes, strict=False):
            _scatter(panel, axis, shown, LETTERS_A_LINE // a_row)
        for panel in panels[len(axes) :]:
            panel.set_visible(False)
        for panel in panels[: len(axes) : a_row]:
            panel.set_ylabel("loss")
        _parallel(lower, axes, shown)
        save_picture(picture, path)


def _scatter(panel: Any, axis: Axis, losses: np.ndarray, most_letters: int) -> None:
    """Draw the losses against a hyper-parameter; choices are spread a little, as they would lie on a line."""
    from matplotlib.ticker import LogLocator, NullFormatter

    n = len(losses)
    x = axis.values
    if not axis.is_continuous:
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, n) / len(axis.ticks)
        x = x + np.r_[0.0, spread[1:]]
    panel.scatter(x[::-1], losses[::-1], c=np.arange(n)[::-1], cmap="viridis", s=8, linewidth=0, alpha=0.7)
    panel.scatter(
        x[:1], losses[:1], marker="*", s=140, color=BEST, edgecolor="white", linewidth=0.8, zorder=3
    )
    panel.set_title(axis.name, loc="left", fontsize=10)
    panel.set_xticks(axis.ticks, axis.labels)
    slanted = sum(len(label) + 2 for label in axis.labels) > most_letters
    for tick, label in zip(axis.ticks, panel.get_xticklabels(), strict=True):
        if slanted:
            label.set(rotation=30, ha="right", rotation_mode="anchor")
        elif tick > 0.99 or abs(tick) < 0.01:  # not into the labels of the next panel
            label.set_ha("right" if tick > 0.99 else "left")
    panel.set_xlim(min(-0.03, *(axis.values - 0.03)), 1.03)
    low, high = float(losses.min()), float(losses.max())
    if low > 0 and high > 5 * low:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        panel.yaxis.set_major_formatter(lambda value, _: _short(value))
        panel.yaxis.set_minor_formatter(NullFormatter())
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="0.92", linewidth=0.6)
    panel.set_axisbelow(True)


def _parallel(figure: Any, axes: list[Axis], losses: np.ndarray) -> None:
    """Draw a line for each of the best trials through all hyper-parameters to its loss; the best on top."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    n = min(len(losses), MOST_LINES)
    chosen = np.unique(np.linspace(0, len(losses) - 1, n).round().astype(np.int64))
    ranked = 1.0 - chosen / max(1, len(losses) - 1)
    generator = np.random.default_rng(0)
    columns = []
    for axis in axes:
        spread = np.zeros(len(chosen))
        if not axis.is_continuous:
            spread[1:] = generator.uniform(-0.25, 0.25, len(chosen) - 1) / len(axis.ticks)
        columns.append(axis.values[chosen] + spread)
    y = np.column_stack([*columns, ranked])
    x = np.arange(y.shape[1])
    panel = figure.subplots()
    lines = [np.column_stack([x, one]) for one in y]
    shades = colormaps["viridis"](chosen / max(1, len(losses) - 1))
    panel.add_collection(LineCollection(lines[:0:-1], colors=shades[:0:-1], linewidth=0.8, alpha=0.5))
    panel.plot(x, y[0], color=BEST, linewidth=2.2, zorder=3)
    for i, axis in enumerate(axes):
        panel.axvline(i, color="0.3", linewidth=0.8)
        for tick, label in zip(axis.ticks, axis.labels, strict=True):
            panel.annotate(
                label,
                (i, tick),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
                zorder=4,
            )
    panel.axvline(len(axes), color="0.3", linewidth=0.8)
    for place, label in ((1.0, "best"), (0.0, "worst")):
        panel.annotate(
            label, (len(axes), place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
    names = [*(axis.name for axis in axes), "rank"]
    slant = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"}
    panel.set_xticks(x, names, **(slant if sum(len(name) + 2 for name in names) > LETTERS_A_LINE else {}))
    panel.set_xlim(-0.4, len(axes) + 0.4)
    panel.set_ylim(min(0.0, y.min()) - 0.05, 1.05)
    panel.set_yticks([])
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.set_title("Each trial through its hyper-parameters", loc="left", fontweight="bold", fontsize=10)
