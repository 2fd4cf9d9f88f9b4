"""Train the textbook network and compare every published figure.

The network is that of `fastbp.worked_example`: two inputs, two hidden and two output neurons.
"""

import argparse
import itertools
import json
import math
import platform
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from tabulate import tabulate

import fastbp
from fastbp import reference, worked_example
from fastbp.worked_example import Figure, Quantity, figure_name

WIDTH = 80
PLOT_SUFFIXES = (".png", ".svg")
RACE_STEPS = 10_000_000
RACE_SECONDS = 0.5
"""How long each pure Python contender is measured."""

RACE_TOLERANCE = 1e-9
"""By how much the contenders' weights may differ after 1,000 steps; they differ by rounding, about 1e-15."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastbp example`."""
    parser.add_argument(
        "--rounds",
        type=int,
        default=worked_example.ROUNDS,
        metavar="N",
        help="train for N rounds (default 10000, for which there are published figures)",
    )
    parser.add_argument(
        "--update",
        choices=(*worked_example.UPDATES, "both"),
        default="both",
        help="take every gradient at the weights from before the round (simultaneous), or update the output "
        "layer first and pass the error back through its new weights (sequential); default both",
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=worked_example.LEARNING_RATE,
        metavar="RATE",
        help="default 0.5, for which there are published figures",
    )
    parser.add_argument(
        "--steps",
        action="store_true",
        help="print round 1 in full, every formula and its value, instead of the table of figures",
    )
    parser.add_argument(
        "--race",
        type=int,
        nargs="?",
        const=RACE_STEPS,
        metavar="STEPS",
        help="time STEPS training steps (default 10000000) against pure Python, simultaneous update",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the loss and the weights over the rounds to FILE.png or FILE.svg",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON, in full precision")


def run(options: argparse.Namespace) -> int:
    """Run `fastbp example`; the status is 1 if a figure or the race does not come out as it must."""
    for name in ("rounds", "race"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise fastbp.OptionError(f"--{name} is {value}, and must be at least 1")
    optimizer = fastbp.SGD(learning_rate=options.learning_rate)
    if options.plot is not None:
        check_plot(options.plot, options.rounds)
    updates = worked_example.UPDATES if options.update == "both" else (options.update,)

    rows = compare(updates, options.rounds, optimizer)
    steps = {update: worked_example.one_round(update, options.learning_rate) for update in updates}
    difference = None if options.race is None else race_difference(optimizer)
    if options.plot is not None:
        draw({update: trajectory(update, options.rounds, optimizer) for update in updates}, options.plot)
    if not options.json:
        print(steps_text(steps, options.learning_rate) if options.steps else figures_text(rows), flush=True)
    race = None if options.race is None else run_race(options.race, optimizer)

    if options.json:
        document = {
            "learning_rate": options.learning_rate,
            "rounds": options.rounds,
            "updates": updates,
            "figures": [row.as_json() for row in rows],
            "steps": {u: [asdict(line) for line in steps[u]] for u in updates} if options.steps else None,
            "race": race and {"largest_weight_difference": difference, **asdict(race)},
            "plot": options.plot and str(options.plot),
        }
        print(json.dumps(document, indent=2))
    else:
        if race is not None and difference is not None:
            print(f"\n{race_text(race, difference)}")
        if options.plot is not None:
            print(f"\nDrew the loss and the weights to {options.plot}.")
        print(f"\n{next_text(options)}")
    disagree = difference is not None and not difference < RACE_TOLERANCE
    return 1 if disagree or any(row.failed for row in rows) else 0


def train(network: fastbp.Network, rounds: int, update: str, optimizer: fastbp.SGD) -> None:
    """Train on the worked example's one sample."""
    X, Y = worked_example.X, worked_example.Y
    result = fastbp.train(network, X, Y, steps=rounds, optimizer=optimizer, update=update)
    if result.stop_reason == "interrupted":
        raise KeyboardInterrupt


# --- the figures -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A quantity after so many rounds, as each update gives it, and the figure to compare it with, if any."""

    rounds: int
    quantity: str
    figure: Figure | None
    computed: Mapping[str, float]

    @property
    def published(self) -> bool:
        """Whether there are digits to compare with."""
        return self.figure is not None and self.figure.published is not None

    @property
    def due(self) -> list[str]:
        """The updates at hand that should give the figure."""
        given_by = self.figure.update if self.figure else None
        return [update for update in self.computed if given_by in ("either", update)]

    @property
    def match(self) -> str | None:
        """How the published digits compare with the updates that should give them, or else with the other."""
        if self.figure is None or not self.published:
            return None
        matches = [self.figure.match(self.computed[update]) for update in self.due or self.computed]
        return "no" if "no" in matches else matches[0]

    @property
    def failed(self) -> bool:
        """Whether an update that should give the figure did not."""
        return bool(self.due) and self.match == "no"

    def as_json(self) -> dict[str, Any]:
        """Return the row for `json.dumps`."""
        figure = self.figure
        return {
            "name": figure_name(self.rounds, self.quantity),
            "quantity": self.quantity,
            "rounds": self.rounds,
            "published": figure and figure.published,
            "corrected": figure and figure.corrected,
            "given_by": figure and figure.update,
            "computed": self.computed,
            "match": self.match,
            "note": figure and figure.note,
        }


def compare(updates: Sequence[str], rounds: int, optimizer: fastbp.SGD) -> list[Row]:
    """Train by each update, and set what comes out beside what is published."""
    computed = {}
    for update in updates:
        network = worked_example.network()
        for done, until in itertools.pairwise(sorted({0, 1, rounds})):
            computed[done, update] = worked_example.quantities(network)
            train(network, until - done, update, optimizer)
        computed[rounds, update] = worked_example.quantities(network)

    published = {
        (figure.rounds, figure.quantity): figure
        for figure in worked_example.FIGURES
        if figure.rounds == 0 or optimizer.learning_rate == worked_example.LEARNING_RATE
    }
    wanted = [(figure.rounds, figure.quantity) for figure in worked_example.FIGURES if figure.rounds <= 1]
    wanted += [(rounds, quantity) for quantity in ("E", "y1", "y2")]
    return [
        Row(when, what, published.get((when, what)), {u: computed[when, u][what] for u in updates})
        for when, what in dict.fromkeys(wanted)
    ]


def figures_text(rows: Sequence[Row]) -> str:
    """Lay the figures out as a table, followed by what there is to say about them."""
    updates = list(rows[0].computed)
    slips = [row for row in rows if row.match == "slip"]
    sections: dict[str, list[list[str]]] = {}
    for row in rows:
        figure = row.figure
        cells = [
            row.quantity,
            "" if figure is None else figure.published or "(not printed)",
            *(significant(row.computed[update]) for update in updates),
            "" if figure is None else figure.update,
            f"slip {slips.index(row) + 1}" if row in slips else row.match or "",
        ]
        sections.setdefault(figure_name(row.rounds, "").strip().capitalize(), []).append(cells)
    header = ["", "published", *updates, "given by", "match"]
    parts = [
        "The worked example: two inputs, two hidden and two output neurons, all sigmoid,\n"
        "one training pair. Each figure as published, and as each update computes it.",
        table(header, sections, ["left", "left", *("decimal" for _ in updates), "left", "left"]),
        textwrap.fill(verdict(rows), WIDTH),
    ]
    if slips:
        notes = [slip_text(number, row) for number, row in enumerate(slips, 1)]
        parts.append("\n".join(["Slips of the pen, as far as one can tell:", *notes]))
    return "\n\n".join(parts)


def verdict(rows: Sequence[Row]) -> str:
    """Say in plain words how the published figures came out."""
    updates = list(rows[0].computed)
    compared = [row for row in rows if row.published]
    failed = [row for row in compared if row.failed]
    due = [row for row in compared if row.due]
    n_slips = sum(row.match == "slip" for row in compared)
    sentences = []
    if failed:
        names = ", ".join(figure_name(row.rounds, row.quantity) for row in failed)
        sentences.append(f"{len(failed)} of {len(due)} published figures did NOT come out: {names}.")
    else:
        slips = f", {n_slips} of them once a slip of the pen is set right" if n_slips else ""
        of_this = f" of the {updates[0]} update" if len(updates) == 1 else ""
        sentences.append(
            f"All {len(due)} published figures{of_this} come out, to the last printed digit{slips}."
        )
    if len(due) < len(compared):
        sentences.append(f"The other {len(compared) - len(due)} are of the other update.")
    if len(updates) == 2 and any(row.due == ["sequential"] for row in compared):
        sentences.append(
            "The source mixes two procedures. Its hand calculation takes every gradient at the weights "
            "from before the round (simultaneous); its totals come from a program that updates the output "
            "layer first and passes the error back through the new weights (sequential)."
        )
    if any(row.figure is None for row in rows):
        sentences.append(
            f"After training, figures are published for learning rate {worked_example.LEARNING_RATE} and "
            f"{worked_example.ROUNDS:,} rounds only."
        )
    return " ".join(sentences)


def slip_text(number: int, row: Row) -> str:
    """Say what is printed, what comes out, and what the slip seems to be."""
    figure = row.figure
    assert figure is not None
    text = (
        f"{number}  {figure.name}: printed {figure.published}, computed "
        f"{significant(row.computed[row.due[0]])}, read as {figure.corrected}. {figure.note}"
    )
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="     ")


# --- one round in full -------------------------------------------------------------------------------


def steps_text(steps: Mapping[str, Sequence[Quantity]], learning_rate: float) -> str:
    """Lay round 1 out as a table; what the updates have in common stands there once."""
    sections: dict[str, list[list[str]]] = {}
    # Line by line through both updates, so that their hidden layers come one after the other.
    for lines in zip(*steps.values(), strict=True):
        for line in dict.fromkeys(lines):
            cells = [line.name, line.formula, significant(line.value)]
            sections.setdefault(line.section, []).append(cells)
    given = [f"w{i} = {w}" for i, w in enumerate(worked_example.WEIGHTS, 1)]
    values = [
        "x1 = {}, x2 = {}, t1 = {}, t2 = {}".format(*worked_example.X[0], *worked_example.Y[0]),
        ", ".join(given[:4]),
        ", ".join(given[4:]),
        "b1 = {}, b2 = {}".format(*worked_example.BIASES) + f", learning_rate = {learning_rate:g}",
        "sigmoid(z) = 1 / (1 + exp(-z))",
    ]
    parts = [
        "Round 1 of the worked example in full. Given:",
        "\n".join(
            textwrap.fill(value, WIDTH, initial_indent="  ", subsequent_indent="  ") for value in values
        ),
        table(["", "formula", "value"], sections, ["left", "left", "decimal"]),
    ]
    if len(steps) == 2:
        errors = [significant(lines[-1].value) for lines in steps.values()]
        remark = (
            "The updates differ in two formulas, dE_dh1 and dE_dh2, and in all that follows from these: "
            f"E after the round is {errors[0]} (simultaneous) or {errors[1]} (sequential)."
        )
        parts.append(textwrap.fill(remark, WIDTH))
    return "\n\n".join(parts)


# --- the race ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    """A way to train, how many steps of it were measured, and what all steps take at that pace."""

    name: str
    measured_steps: int
    nanoseconds_per_step: float
    seconds: float
    times_as_slow: float


@dataclass(frozen=True)
class Race:
    """The contenders over so many steps; fastbp is the first, and the measure of the others."""

    n_steps: int
    contenders: list[Contender]


def fastbp_contender(optimizer: fastbp.SGD) -> tuple[Callable[[int], None], Callable[[], list[float]]]:
    """Return what trains for some steps, and what tells its weights, w1 to w8."""
    network = worked_example.network()
    return (
        lambda steps: train(network, steps, "simultaneous", optimizer),
        lambda: list(worked_example.named_weights(network).values()),
    )


def locals_contender(optimizer: fastbp.SGD) -> tuple[Callable[[int], None], Callable[[], list[float]]]:
    """As `fastbp_contender`, for pure Python on local variables."""
    weights = list(worked_example.WEIGHTS)
    b1, b2 = worked_example.BIASES
    samples = [(*worked_example.X[0].tolist(), *worked_example.Y[0].tolist())]

    def run_steps(steps: int) -> None:
        weights[:] = reference.train_222_locals(
            weights, (b1, b1, b2, b2), samples, optimizer.learning_rate, steps
        )

    return run_steps, lambda: weights


def objects_contender(optimizer: fastbp.SGD) -> tuple[Callable[[int], None], Callable[[], list[float]]]:
    """As `fastbp_contender`, for pure Python with an object a neuron."""
    w1, w2, w3, w4, w5, w6, w7, w8 = worked_example.WEIGHTS
    b1, b2 = worked_example.BIASES
    x, t = worked_example.X[0].tolist(), worked_example.Y[0].tolist()
    hidden = [reference.Neuron([w1, w2], b1), reference.Neuron([w3, w4], b1)]
    output = [reference.Neuron([w5, w6], b2), reference.Neuron([w7, w8], b2)]
    network = reference.TextbookNetwork(hidden, output)

    def run_steps(steps: int) -> None:
        for _ in range(steps):
            network.train(x, t, optimizer.learning_rate)

    return run_steps, lambda: [weight for neuron in (*hidden, *output) for weight in neuron.weights]


CONTENDERS = {
    "fastbp": fastbp_contender,
    f"Python {platform.python_version()}, local variables": locals_contender,
    f"Python {platform.python_version()}, an object a neuron": objects_contender,
}


def race_difference(optimizer: fastbp.SGD) -> float:
    """Return the largest difference between any contender's weight and fastbp's, after 1,000 steps each.

    It also compiles what the race would otherwise wait for.
    """
    outcomes = []
    for contender in CONTENDERS.values():
        run_steps, weights = contender(optimizer)
        try:
            run_steps(1000)
        except OverflowError:
            raise fastbp.OptionError(
                f"--race at learning rate {optimizer.learning_rate:g}: exp overflows in plain Python; "
                "race at a smaller rate"
            ) from None
        outcomes.append(weights())
    return float(np.max(np.abs(np.subtract(outcomes[1:], outcomes[0]))))


def run_race(n_steps: int, optimizer: fastbp.SGD) -> Race:
    """Time fastbp over all the steps, and pure Python over about half a second's worth."""
    contenders: list[Contender] = []
    for name, contender in CONTENDERS.items():
        run_steps, _ = contender(optimizer)
        measured = n_steps
        if name != "fastbp":
            measured = max(1000, int(1000 * RACE_SECONDS / seconds_of(run_steps, 1000)))
        pace = seconds_of(run_steps, measured) / measured
        slower = pace / (contenders[0].nanoseconds_per_step * 1e-9) if contenders else 1.0
        contenders.append(Contender(name, measured, pace * 1e9, pace * n_steps, slower))
    return Race(n_steps, contenders)


def seconds_of(run_steps: Callable[[int], None], steps: int) -> float:
    """Return the wall-clock time of some steps."""
    started = time.perf_counter()
    run_steps(steps)
    return time.perf_counter() - started


def race_text(race: Race, difference: float) -> str:
    """Lay the race out as a table."""
    lines = [
        [
            contender.name,
            rounded(contender.nanoseconds_per_step),
            f"{rounded(contender.seconds)} s",
            rounded(contender.times_as_slow),
        ]
        for contender in race.contenders
    ]
    header = ["", "ns a step", f"time for {race.n_steps:,}", "times as slow"]
    agreement = (
        f"After 1,000 steps, the weights of all agree to within {difference:.0e}."
        if difference < RACE_TOLERANCE
        else f"Their weights do NOT agree: after 1,000 steps they differ by up to {difference:.0e}."
    )
    python_steps = " and ".join(f"{contender.measured_steps:,}" for contender in race.contenders[1:])
    remark = (
        f"fastbp took all {race.n_steps:,} steps. Pure Python was measured on {python_steps} steps, and "
        f"extrapolated. {agreement}"
    )
    return "\n\n".join(
        [
            f"The race: {race.n_steps:,} training steps on one core, simultaneous update.",
            table(header, {"": lines}, ["left", "right", "right", "right"]),
            textwrap.fill(remark, WIDTH),
        ]
    )


# --- the picture -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trajectory:
    """Quantities over the rounds, one update."""

    rounds: np.ndarray
    values: Mapping[str, np.ndarray]


def trajectory(update: str, rounds: int, optimizer: fastbp.SGD) -> Trajectory:
    """Train in pieces between some 200 rounds, evenly spaced on a log axis."""
    stops = np.unique(np.geomspace(1, rounds, 200).round().astype(int))
    network = worked_example.network()
    seen = []
    for done, until in itertools.pairwise([0, *stops.tolist()]):
        train(network, until - done, update, optimizer)
        seen.append(worked_example.quantities(network))
    return Trajectory(stops, {name: np.array([values[name] for values in seen]) for name in seen[0]})


def check_plot(path: Path, rounds: int) -> None:
    """Complain, before any work, of a picture that could not be drawn."""
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise fastbp.OptionError(f"--plot is {str(path)!r}, and must end in {' or '.join(PLOT_SUFFIXES)}")
    if not path.parent.is_dir():
        raise fastbp.OptionError(f"--plot is {str(path)!r}, and there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise fastbp.OptionError(f"--plot is {str(path)!r}, and that is a folder")
    if rounds < 2:
        raise fastbp.OptionError(f"--plot needs --rounds of at least 2, and has {rounds}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise fastbp.OptionError("--plot needs matplotlib; install it: pip install 'fastbp[plot]'") from None


# Okabe & Ito's colours, which colour-blind readers can tell apart; one for each neuron that weights lead to.
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


def draw(trajectories: Mapping[str, Trajectory], path: Path) -> None:
    """Draw the loss and the weights over the rounds, and between the two updates the difference in loss."""
    import matplotlib
    from matplotlib.figure import Figure as Picture

    with matplotlib.rc_context({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "fastbp"}):
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
        try:
            picture.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise fastbp.OptionError(
                f"--plot is {str(path)!r}, and cannot be written: {error.strerror}"
            ) from None


def label_ends(axes: Any, trajectories: Mapping[str, Trajectory]) -> None:
    """Write each weight's name at the end of its line, pushed apart where names would overlap."""
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
    """Return ascending heights moved as little as it takes to be a gap apart.

    Neighbours that are too close become a group, evenly spaced about the mean of what its members wanted.

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


# --- text --------------------------------------------------------------------------------------------


def table(header: Sequence[str], sections: Mapping[str, list[list[str]]], align: Sequence[str]) -> str:
    """Lay out aligned columns, with a heading above each section that has a name."""
    cells = [row for rows in sections.values() for row in rows]
    lines = tabulate(
        cells, headers=header, tablefmt="simple", disable_numparse=True, colalign=align
    ).splitlines()
    text, body = lines[:2], iter(lines[2:])
    for heading, rows in sections.items():
        if heading:
            text += [heading] if len(text) == 2 else ["", heading]
        text += itertools.islice(body, len(rows))
    return "\n".join(line.rstrip() for line in text)


def significant(value: float) -> str:
    """Return ten significant digits, without an exponent where one can do without.

    Examples
    --------
    >>> significant(3.508478629631e-5), significant(-1.25), significant(1e100)
    ('0.00003508478630', '-1.250000000', '1.000000000e+100')
    """
    text = f"{value:.9e}"
    return f"{Decimal(text):f}" if 1e-6 < abs(value) < 1e6 else text


def rounded(value: float) -> str:
    """Return a positive number to three significant digits, and never fewer than its whole part.

    Examples
    --------
    >>> rounded(0.02345), rounded(24.54), rounded(1234567.8)
    ('0.0234', '24.5', '1,234,568')
    """
    decimals = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{decimals}f}"


def next_text(options: argparse.Namespace) -> str:
    """Say what else there is to see."""
    ideas = {"--steps": options.steps, "--plot loss.png": options.plot, "--race": options.race}
    new = [idea for idea, used in ideas.items() if not used]
    return f"Next: fastbp example {', or '.join(new)}" if new else "Next: fastbp bench"
