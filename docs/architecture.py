"""Draw the picture of `docs/architecture.md`: the layers of the package, and the way of X through them.

python docs/architecture.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, PALE, BLUE, GREEN, ORANGE = "#1f2933", "#f5f7fa", "#d7e8fb", "#dcf3e2", "#fde9cf"

LAYERS = (
    ("cli, patch, benchmark", "commands of the shell", BLUE),
    ("data, sklearn", "fit and Model; the estimators", BLUE),
    ("populations", "many networks at once, and the loop", BLUE),
    ("training", "train, Trainer, the loop, checkpoints, callbacks", BLUE),
    ("network", "Network: a specification, a theta, thin methods", BLUE),
    ("engine", "layouts, jobs, threads, runs, evaluation, Objective", GREEN),
    ("kernels", "compiled loops: fused222, online, layered, population", ORANGE),
    ("simd, _jit", "vectors in registers; compiler options and the cache", ORANGE),
    ("processor, numba_internals", "vector width;\nNumba's private names", ORANGE),
)
LEAVES = (
    "leaves, which\nall may import:\n\nspecification\nchecks, errors\nactivations\nlosses\noptimizers\n"
    "schedules\ninitializers\npreprocessing\nreading\ninterchange"
)

WAY = (
    ("X, Y", "the user's arrays, any layout", PALE),
    ("checks.check_data", "shape, type, finite;\nfloats and uint8 are not copied", BLUE),
    ("training: Loop", "asks a run for a chunk of steps, about 50 ms", BLUE),
    ("engine: a run and its job", "sizes and addresses,\nlaid out once", GREEN),
    ("kernel: a step", "takes the next batch; divides it into tiles", ORANGE),
    ("kernel: a tile", "rows of X are read in place, or gathered;\nforward, loss, backward", ORANGE),
    ("kernel: an item", "some rows of one W: gradient, then update,\nwhile both are in the cache", ORANGE),
    ("theta", "back in the network, however the run ends", PALE),
)


def _box(axes, x, y, width, height, title, text, colour):
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12",
                                  facecolor=colour, edgecolor=INK, linewidth=0.9))  # fmt: skip
    middle = y + height / 2
    axes.text(x + 0.2, middle, title, va="center", ha="left", weight="bold", size=9.5, color=INK)
    axes.text(x + width - 0.2, middle, text, va="center", ha="right", size=8.5, color=INK)


def _arrow(axes, x, start, end):
    axes.add_patch(FancyArrowPatch((x, start), (x, end), arrowstyle="-|>", mutation_scale=11, color=INK))


def main() -> None:
    """Write the picture beside this file."""
    figure, axes = plt.subplots(figsize=(13, 6.6))
    axes.set_xlim(0, 19)
    axes.set_ylim(0, 9.6)
    axes.axis("off")
    for column, (x, width, boxes, heading) in enumerate(
        ((0.1, 7.6, LAYERS, "Layers: imports point downwards"), (10.6, 8.3, WAY, "The way of X"))
    ):
        axes.text(x, 9.3, heading, size=12, weight="bold", color=INK)
        for i, (title, text, colour) in enumerate(boxes):
            y = 8.1 - 7.98 * i / (len(boxes) - 1)
            _box(axes, x, y, width, 0.84, title, text, colour)
            if i + 1 < len(boxes):
                _arrow(
                    axes,
                    x + (0.5 if column else width / 2),
                    y,
                    0.84 + 8.1 - 7.98 * (i + 1) / (len(boxes) - 1),
                )
    axes.add_patch(FancyBboxPatch((7.95, 2.2), 2.4, 4.4, boxstyle="round,pad=0,rounding_size=0.12",
                                  facecolor=PALE, edgecolor=INK, linewidth=0.9, linestyle="--"))  # fmt: skip
    axes.text(9.15, 4.4, LEAVES, ha="center", va="center", size=8, color=INK, linespacing=1.5)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=120, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
