"""Which learning rate for which batch size: 6,144 networks tell two moons apart, and make a map of it.

    python -m examples.rate_map --picture rate_map.png       needs matplotlib

Every batch size is a population: 64 learning rates, each from the same 12 starts.
"""

import argparse
from collections.abc import Sequence

import numpy as np

import fastbp

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
RATES = np.geomspace(1e-3, 30, 64)


TICKS = (0.15, 0.2, 0.3, 0.4, 0.6, 0.8)


def moons(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n noisy points on two interleaved half circles, and which of the two each is on."""
    generator = np.random.default_rng(seed)
    angle, which = generator.uniform(0, np.pi, n), np.arange(n) % 2
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    points[which == 1] = [1, 0.5] - points[which == 1]
    return (points + generator.normal(0, 0.2, (n, 2))).astype(np.float32), which[:, np.newaxis]


def losses(epochs: int, starts: int) -> np.ndarray:
    """Return the median validation loss for each batch size and learning rate; NaN if most diverge."""
    (X, Y), validation_data = moons(256, seed=0), moons(1024, seed=1)
    rates = np.repeat(RATES, starts)
    rows = []
    for batch_size in BATCH_SIZES:
        population = fastbp.Population(
            [2, 16, 1],
            len(rates),
            hidden_activation="tanh",
            loss="binary_cross_entropy",
            dtype="float32",
            seed=np.tile(np.arange(starts), len(RATES)),
        )
        result = fastbp.train_population(
            population, X, Y, epochs=epochs, batch_size=batch_size, seed=0, own_order=True,
            optimizer=fastbp.SGD(), learning_rate=rates,
        )  # fmt: skip
        found = population.loss(*validation_data)
        found[(result.diverged_at >= 0) | ~np.isfinite(found)] = np.inf
        rows.append(np.median(found.reshape(len(RATES), starts), axis=1))
    return np.array(rows)


def draw(picture: str, found: np.ndarray, options: argparse.Namespace) -> None:
    """Draw the map, with the best rate of each batch size."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.2), layout="constrained")
    axes = figure.subplots()
    shown = np.ma.masked_invalid(found)
    half = (RATES[1] / RATES[0]) ** 0.5
    edges = np.append(RATES / half, RATES[-1] * half)
    rows = np.arange(len(BATCH_SIZES) + 1) - 0.5
    axes.set_facecolor("0.75")
    mesh = axes.pcolormesh(edges, rows, shown, norm=LogNorm(shown.min(), 0.8), cmap="viridis_r")
    best = RATES[np.argmin(found, axis=1)]
    axes.plot(
        best, np.arange(len(BATCH_SIZES)), "o", color="#D55E00", markeredgecolor="white", label="best rate"
    )
    axes.set_xscale("log")
    axes.set_yticks(range(len(BATCH_SIZES)), [str(size) for size in BATCH_SIZES])
    axes.set_xlabel("learning rate")
    axes.set_ylabel("batch size")
    axes.set_title(
        f"Validation loss after {options.epochs} epochs: the median of {options.starts} starts", loc="left"
    )
    axes.legend(loc="lower left", framealpha=0.9)
    bar = figure.colorbar(mesh, label="loss", extend="max", ticks=TICKS)
    bar.ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    bar.ax.minorticks_off()
    figure.savefig(picture, dpi=130)


def main(arguments: Sequence[str] | None = None) -> np.ndarray:
    """Train, report, and return the best learning rate of each batch size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--picture", help="where to draw the map; needs matplotlib")
    options = parser.parse_args(arguments)
    found = losses(options.epochs, options.starts)
    best = np.argmin(found, axis=1)
    for size, row, i in zip(BATCH_SIZES, found, best, strict=True):
        print(f"batch size {size:3}: best learning rate {RATES[i]:.3g}, with a loss of {row[i]:.4f}")
    if options.picture:
        draw(options.picture, found, options)
    return RATES[best]


if __name__ == "__main__":
    main()
