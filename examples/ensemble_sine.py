"""An ensemble on a sine: 200 networks agree where there are data, and disagree where there are none.

    python -m examples.ensemble_sine --picture ensemble_sine.png       needs matplotlib

Each network has its own start, and its own bootstrap of the samples: weights that count how often each sample
was drawn.
"""

import argparse
from collections.abc import Sequence

import numpy as np

import fastbp

N_NETWORKS = 200


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Return noisy points of a sine, with a gap in the middle."""
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.uniform(-3, -0.8, 40), generator.uniform(1.0, 3, 40)])
    return x[:, np.newaxis], np.sin(2 * x)[:, np.newaxis] + generator.normal(0, 0.1, (80, 1))


def train(epochs: int = 2000) -> fastbp.Population:
    """Return the trained ensemble."""
    X, Y = samples()
    population = fastbp.Population(
        [1, 16, 16, 1],
        N_NETWORKS,
        hidden_activation="tanh",
        output_activation="identity",
        initializer="lecun_normal",
        seed=0,
    )
    drawn = np.random.default_rng(1).multinomial(len(X), np.full(len(X), 1 / len(X)), N_NETWORKS)
    fastbp.train_population(
        population, X, Y, epochs=epochs, batch_size=16, seed=0, own_order=True, sample_weight=drawn,
        optimizer=fastbp.Adam(fastbp.schedules.CosineDecay(0.01, steps=5 * epochs)),
    )  # fmt: skip
    return population


def draw(picture: str, population: fastbp.Population) -> None:
    """Draw the samples, some networks, and the mean with its spread."""
    from matplotlib.figure import Figure

    x = np.linspace(-4.5, 4.5, 400)[:, np.newaxis]
    each = population[:40].predict(x)[..., 0]
    mean, std = (population.predict(x, reduce=how)[:, 0] for how in ("mean", "std"))
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{N_NETWORKS} networks agree where there are samples", loc="left")
    axes.plot(x, mean, color="#0072B2", linewidth=2, zorder=3, label=f"mean of {N_NETWORKS} networks")
    axes.fill_between(x[:, 0], mean - 2 * std, mean + 2 * std, color="#0072B2", alpha=0.2, linewidth=0,
                      label="2 standard deviations")  # fmt: skip
    lines = axes.plot(x, each.T, color="0.6", linewidth=0.4)
    lines[0].set_label(f"{len(each)} of the networks")
    axes.plot(x, np.sin(2 * x), color="black", linestyle=(0, (4, 2)), linewidth=1, label="sin 2x")
    X, Y = samples()
    axes.plot(X, Y, "o", color="#D55E00", markersize=4, markeredgecolor="white", markeredgewidth=0.5,
              label="80 samples")  # fmt: skip
    axes.set_ylim(-3.1, 3.1)
    axes.set_xlim(-4.5, 4.5)
    axes.set_xlabel("x")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower center", ncols=5, columnspacing=1.5)
    figure.savefig(picture, dpi=130)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, report, and return how many times as much the networks disagree where there are no samples."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--picture", help="where to draw the ensemble; needs matplotlib")
    options = parser.parse_args(arguments)
    population = train(options.epochs)
    near, far = (population.predict(np.array([[x]]), reduce="std").item() for x in (2.0, 4.0))
    print(f"{N_NETWORKS} networks on a sine spread by {near:.3f} among the samples, and by {far:.3f} beyond")
    if options.picture:
        draw(options.picture, population)
    return far / near


if __name__ == "__main__":
    main()
