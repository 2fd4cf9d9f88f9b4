"""Networks of random populations train as `fastbp.train` trains them, with random losses and options."""

from dataclasses import replace

import numpy as np
import pytest

import fastbp
from fastbp import RPROP, SGD, Adam, AdamW, EarlyStopping, Population, RMSprop, schedules, train_population
from fastbp.activations import CODES as ACTIVATIONS
from fastbp.losses import NAMES as LOSSES
from fastbp.losses import row_of

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.TargetWarning")


def schedule(kind, rate):
    """Return one of four schedules that begin at a rate, or lead to it."""
    return [
        rate,
        schedules.CosineDecay(rate, steps=7, final=rate / 3),
        schedules.LinearWarmup(schedules.StepDecay(rate, every=3, factor=0.5), steps=4),
        schedules.InverseScaling(rate, every=2),
    ][kind]


def optimizer(kind, rate):
    return [
        SGD(rate),
        SGD(rate, momentum=0.7),
        SGD(rate, momentum=0.7, nesterov=True, weight_decay=0.01),
        RMSprop(rate, momentum=0.4),
        Adam(rate),
        AdamW(rate),
        RPROP(),
    ][kind]


class Drawn:
    """A population, data and options, drawn at random; the options of network i alone, too."""

    def __init__(self, seed):
        g = self.generator = np.random.default_rng(seed)
        loss = str(g.choice([name for name in LOSSES if name != "quantile"] + ["quantile(0.7)"]))
        sizes = [int(n) for n in g.integers(1, 7, g.integers(2, 5))]
        output = str(g.choice(row_of(loss).outputs or [name for name in ACTIVATIONS if name != "softmax"]))
        sizes[-1] += output == "softmax"
        self.n, rows = int(g.integers(1, 40)), int(g.integers(1, 20))
        self.population = Population(
            sizes,
            self.n,
            hidden_activation=[str(name) for name in g.choice(HIDDEN, len(sizes) - 2)],
            output_activation=output,
            loss=loss,
            bias=str(g.choice(["trainable", "fixed", "none"])),
            seed=seed,
            first=int(g.integers(0, 100)),
        )
        labels = loss == "categorical_cross_entropy"
        self.X, self.validation_X = (g.uniform(-1, 1, (size, sizes[0])) for size in (rows, 5))
        self.Y, self.validation_Y = (
            g.integers(0, sizes[-1], size) if labels else g.uniform(0.1, 0.9, (size, sizes[-1]))
            for size in (rows, 5)
        )
        self.kinds = int(g.integers(0, 7)), int(g.integers(0, 4))
        self.rate = float(10 ** g.uniform(-3, -1))
        self.shared = {
            "batch_size": None if self.kinds[0] == 6 else int(g.integers(1, rows + 3)),
            str(g.choice(["steps", "epochs"])): int(g.integers(1, 15)),
            "shuffle": bool(g.random() < 0.7),
        }
        if g.random() < 0.5:
            self.shared["validation_data"] = self.validation_X, self.validation_Y
            self.shared["early_stopping"] = EarlyStopping(patience=2)
        self.own = self.draw_own(rows)

    def draw_own(self, rows):
        g, own = self.generator, {}
        if g.random() < 0.5:
            own["l2"] = g.uniform(0, 0.1, self.n)
        if g.random() < 0.5:
            own["sample_weight"] = g.uniform(0, 1, (self.n, rows)) + 1e-3
        if g.random() < 0.5 and self.kinds[0] != 6:
            own["learning_rate"] = g.uniform(0.001, 0.1, self.n)
        if g.random() < 0.5 and self.kinds[0] in (1, 2, 3):
            own["momentum"] = g.uniform(0.1, 0.9, self.n)
        if g.random() < 0.5:
            own["seed"] = g.integers(0, 2**40, self.n)
            if g.random() < 0.5:
                own["dropout"] = g.uniform(0, 0.6, self.n)
        return own

    def together(self):
        options = {"seed": 5, "optimizer": optimizer(self.kinds[0], schedule(self.kinds[1], self.rate))}
        own_order = "seed" in self.own
        return options | self.shared | self.own | {"own_order": own_order}

    def alone(self, i):
        own = {name: values[i] for name, values in self.own.items()}
        rate = own.pop("learning_rate", self.rate)
        chosen = optimizer(self.kinds[0], schedule(self.kinds[1], rate))
        if "momentum" in own:
            chosen = replace(chosen, momentum=own.pop("momentum"))
        return {"seed": 5, "optimizer": chosen, "kernel": "layered"} | self.shared | own


HIDDEN = [name for name in ACTIVATIONS if name not in ("softmax", "exp")]


def check_drawn(seed):
    drawn = Drawn(seed)
    before = drawn.population[:]
    result = train_population(drawn.population, drawn.X, drawn.Y, **drawn.together())
    for i in {0, drawn.n - 1, drawn.n // 2}:
        network = before[i]
        try:
            alone = fastbp.train(network, drawn.X, drawn.Y, **drawn.alone(i))
        except fastbp.DivergenceError:
            assert result.diverged_at[i] >= 0
            continue
        distance = abs(network.theta - drawn.population.theta[i])
        assert (distance <= 1e-9 * (1e-3 + abs(network.theta))).all(), seed
        assert result.n_steps[i] == alone.n_steps
        if result.best_epoch is not None:
            assert result.best_epoch[i] == (alone.best_epoch or 0)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_train_as_alone(seed):
    check_drawn(seed)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_a_thousand_random_populations_train_as_their_networks_alone(first):
    for seed in range(first, first + 100):
        check_drawn(seed)
