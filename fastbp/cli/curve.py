"""The picture of a run: the loss over the epochs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fastbp.drawing import save_picture, style

COLOURS = {"training": "#0072B2", "validation": "#D55E00"}
"""From Okabe & Ito's palette, which colour-blind readers can tell apart."""


def draw_curve(
    history: Mapping[str, np.ndarray], path: Path, best_epoch: int | None = None, title: str = "Loss"
) -> None:
    """Draw the finite losses, and validation losses if there are any, over the epochs.

    Parameters
    ----------
    history : mapping of ndarray
        `TrainingResult.history`.
    path : Path
        A .png or .svg file.
    best_epoch : int, optional
        The epoch whose parameters were kept, if it was not the last.
    title : str
        What is drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter, MaxNLocator

    class Plain(LogFormatter):
        """Writes 0.4 instead of 4e-01 on a logarithmic axis, at the same ticks."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    named = {"training": history["loss"], "validation": history.get("validation_loss")}
    curves = {}
    for name, losses in named.items():
        if losses is not None and (finite := np.isfinite(losses)).any():
            curves[name] = (history["epoch"][finite], losses[finite])
    highest_first = sorted(curves, key=lambda name: -curves[name][1][-1])
    with style():
        picture = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = picture.subplots()
        for name, (epochs, losses) in curves.items():
            colour = COLOURS[name]
            axes.plot(epochs, losses, color=colour, linewidth=1.5, marker=_marker(losses))
            axes.annotate(
                name,
                (epochs[-1], losses[-1]),
                xytext=(6, 0),
                textcoords="offset points",
                color=colour,
                verticalalignment="bottom" if name == highest_first[0] else "top",  # they may end together
            )
        if best_epoch is not None:
            axes.axvline(best_epoch, color="0.6", linewidth=0.8, linestyle=(0, (4, 2)))
            axes.annotate(
                f"kept: epoch {best_epoch} ",
                (best_epoch, 1),
                xycoords=("data", "axes fraction"),
                horizontalalignment="right",
                verticalalignment="top",
                color="0.4",
            )
        if curves and all((losses > 0).all() for _, losses in curves.values()):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(Plain())
            axes.yaxis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.5)))
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("epochs")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92", linewidth=0.6)
        axes.set_axisbelow(True)
        save_picture(picture, path)


def _marker(losses: np.ndarray) -> str | None:
    """Return a marker if a single point would not be visible as a line."""
    return "o" if len(losses) == 1 else None
