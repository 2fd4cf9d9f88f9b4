"""A million networks of 2-2-2 learn exclusive or: how many solve it, and where the others end.

    python -m examples.xor_basins                            some seconds
    python -m examples.xor_basins --picture basins.png       needs matplotlib

The picture has a million networks, too: one for each pixel. They differ in two of their start weights alone.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

import fastbp

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0, 1], [1, 0], [1, 0], [0, 1]], np.float32)  # exclusive or, and its opposite

SOLVED, MANY_WRONG = 0, 5
ENDS = (
    "solved",
    "only (0, 0) wrong",
    "only (0, 1) wrong",
    "only (1, 0) wrong",
    "only (1, 1) wrong",
    "more wrong",
)
COLOURS = ("#f4f1e8", "#56B4E9", "#009E73", "#D55E00", "#5c4b8a", "#111111")


def train(population: fastbp.Population, steps: int) -> tuple[np.ndarray, fastbp.PopulationResult]:
    """Train, and return where each network ends, an index into `ENDS`, and the result."""
    result = fastbp.train_population(
        population, X, Y, steps=steps, batch_size=1, optimizer=fastbp.SGD(5.0), seed=0
    )
    first, second = np.moveaxis((population.predict(X) > 0.5) != (Y > 0.5), 2, 0)
    wrong = first | second
    n_wrong = sum(wrong.T.astype(np.int8))
    ends = np.where(n_wrong == 1, 1 + wrong.argmax(axis=1), MANY_WRONG)
    ends[n_wrong == 0] = SOLVED
    return ends, result


def basins(side: int, steps: int, reach: float = 10.0, seed: int = 1) -> np.ndarray:
    """Return where networks end that differ in the two weights into the first hidden neuron, side x side."""
    population = fastbp.Population([2, 2, 2], side * side, dtype="float32", initializer="zeros")
    population.theta[:] = fastbp.Population([2, 2, 2], 1, dtype="float32", seed=seed).theta
    weights = np.linspace(-reach, reach, side)
    population.weights[0][:, 0, 0] = np.tile(weights, side)
    population.weights[0][:, 1, 0] = np.repeat(weights, side)
    return train(population, steps)[0].reshape(side, side)


def draw(picture: str, ends: np.ndarray, losses: np.ndarray, steps: int, side: int = 1000) -> None:
    """Draw the basins, and the losses of the networks with random weights."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(12, 6.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    colours = ListedColormap(COLOURS)
    left.imshow(
        basins(side, steps), origin="lower", extent=(-10, 10, -10, 10), cmap=colours, vmin=0, vmax=5,
        interpolation="nearest",
    )  # fmt: skip
    left.set_title(f"Where {side * side:,} networks end, by two of their start weights", loc="left")
    left.set_xlabel("start weight from input 1 to hidden neuron 1")
    left.set_ylabel("start weight from input 2 to hidden neuron 1")
    bins = np.linspace(0, 0.3, 76)
    for end, colour in enumerate(COLOURS):
        shade = colour if end else "#a39d8b"  # the background's would hardly be seen as a line
        right.hist(losses[ends == end], bins, histtype="step", color=shade, linewidth=1.6, log=True)
    right.set_title(f"Losses of {len(ends):,} others, from random weights", loc="left")
    right.set_xlabel(f"loss after {steps:,} steps")
    right.set_ylabel("networks")
    right.spines[["top", "right"]].set_visible(False)
    share = [float((ends == end).mean()) for end in range(len(ENDS))]
    labels = [f"{name}: {100 * part:.2g} %" for name, part in zip(ENDS, share, strict=True)]
    handles = [Patch(facecolor=colour, edgecolor="0.3", linewidth=0.3) for colour in COLOURS]
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(ENDS), fontsize=9)
    right.set_xlim(0, 0.3)
    right.set_ylim(0.7, len(ends))
    figure.savefig(picture, dpi=130)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, report, and return the fraction of the networks that solved it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--picture", help="where to draw the basins; needs matplotlib")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    population = fastbp.Population([2, 2, 2], options.networks, dtype="float32", seed=0)
    ends, result = train(population, options.steps)
    seconds = time.perf_counter() - started
    print(f"{options.networks:,} networks of 2-2-2, {options.steps:,} steps each: {seconds:.2f} s")
    print(
        f"training alone {result.seconds:.2f} s: {result.seconds / result.n_steps.sum() * 1e9:.2f} ns a step"
    )
    for end, name in enumerate(ENDS):
        count = int((ends == end).sum())
        print(f"{name:18} {count:9,}  {100 * count / options.networks:6.2f} %")
    if options.picture:
        draw(options.picture, ends, result.loss, options.steps)
    return float((ends == SOLVED).mean())


if __name__ == "__main__":
    main()
