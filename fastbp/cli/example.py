"""Train the textbook network and compare every published figure.

The network is that of `fastbp.worked_example`: two inputs, two hidden and two output neurons.
"""

import argparse
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastbp
from fastbp import worked_example
from fastbp.cli.picture import Trajectory, check_plot, draw
from fastbp.cli.race import Race, race_text, run_race
from fastbp.cli.tables import WIDTH, significant, table
from fastbp.interchange.standard_json import dumps
from fastbp.worked_example import Figure, Quantity, figure_name

RACE_STEPS = 10_000_000
MAX_STEPS = 10**18


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
    """Run `fastbp example`; the status is 1 if a figure or the race gives a wrong result."""
    for name in ("rounds", "race"):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= MAX_STEPS:
            raise fastbp.OptionError(f"--{name} is {value}, and must be from 1 to {MAX_STEPS}")
    optimizer = fastbp.SGD(learning_rate=options.learning_rate)
    if options.plot is not None:
        check_plot(options.plot, options.rounds)
    updates = worked_example.UPDATES if options.update == "both" else (options.update,)

    rows = compare(updates, options.rounds, optimizer)
    steps = {update: worked_example.one_round(update, options.learning_rate) for update in updates}
    if options.plot is not None:
        draw({update: trajectory(update, options.rounds, optimizer) for update in updates}, options.plot)
    if not options.json:
        print(steps_text(steps, options.learning_rate) if options.steps else figures_text(rows), flush=True)
    race = None if options.race is None else run_race(options.race, options.learning_rate)

    if options.json:
        document = {
            "learning_rate": options.learning_rate,
            "rounds": options.rounds,
            "updates": updates,
            "figures": [row.as_json() for row in rows],
            "steps": {u: [asdict(line) for line in steps[u]] for u in updates} if options.steps else None,
            "race": race and asdict(race),
            "plot": options.plot and str(options.plot),
        }
        print(dumps(document, indent=2))
    else:
        if race is not None:
            print(f"\n{race_text(race)}")
        if options.plot is not None:
            print(f"\nDrew the loss and the weights to {options.plot}.")
        print(f"\n{next_text(options)}")
    return exit_status(rows, race)


def exit_status(rows: Sequence["Row"], race: Race | None) -> int:
    """Return 1 if a figure did not come out, or the contenders of the race did not agree; else 0."""
    return 1 if (race and not race.agreed) or any(row.failed for row in rows) else 0


def train(network: fastbp.Network, rounds: int, update: str, optimizer: fastbp.SGD) -> None:
    """Train on the worked example's one sample."""
    X, Y = worked_example.X, worked_example.Y
    result = fastbp.train(network, X, Y, steps=rounds, optimizer=optimizer, update=update, progress=False)
    if result.stop_reason == "interrupted":
        raise KeyboardInterrupt


# --- the figures -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A quantity after some rounds, as each update gives it, and the published figure, if there is one."""

    rounds: int
    quantity: str
    figure: Figure | None
    computed: Mapping[str, float]

    @property
    def published(self) -> bool:
        """Whether digits were published."""
        return self.figure is not None and self.figure.published is not None

    @property
    def due(self) -> list[str]:
        """The computed updates that should give the figure."""
        given_by = self.figure.update if self.figure else None
        return [update for update in self.computed if given_by in ("either", update)]

    @property
    def match(self) -> str | None:
        """How the published digits compare with the updates that should give them, or else the other."""
        if self.figure is None or not self.published:
            return None
        matches = [self.figure.match(self.computed[update]) for update in self.due or self.computed]
        return "no" if "no" in matches else matches[0]

    @property
    def failed(self) -> bool:
        """Whether an update that should give the figure did not."""
        return bool(self.due) and self.match == "no"

    def as_json(self) -> dict[str, Any]:
        """Return the row for JSON."""
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
            "note": (figure and figure.note) or None,
        }


def compare(
    updates: Sequence[str],
    rounds: int,
    optimizer: fastbp.SGD,
    figures: Sequence[Figure] = worked_example.FIGURES,
) -> list[Row]:
    """Train with each update, and pair the results with the published figures."""
    computed = {}
    for update in updates:
        network = worked_example.network()
        for done, until in itertools.pairwise(sorted({0, 1, rounds})):
            computed[done, update] = worked_example.quantities(network)
            train(network, until - done, update, optimizer)
        computed[rounds, update] = worked_example.quantities(network)

    published = {
        (figure.rounds, figure.quantity): figure
        for figure in figures
        if figure.rounds == 0 or optimizer.learning_rate == worked_example.LEARNING_RATE
    }
    wanted = [(figure.rounds, figure.quantity) for figure in figures if figure.rounds <= 1]
    wanted += [(rounds, quantity) for quantity in ("E", "y1", "y2")]
    return [
        Row(when, what, published.get((when, what)), {u: computed[when, u][what] for u in updates})
        for when, what in dict.fromkeys(wanted)
    ]


def figures_text(rows: Sequence[Row]) -> str:
    """Return the figures as a table, followed by a summary."""
    updates = list(rows[0].computed)
    misprints = [row for row in rows if row.match == "misprint"]
    sections: dict[str, list[list[str]]] = {}
    for row in rows:
        figure = row.figure
        cells = [
            row.quantity,
            "" if figure is None else figure.published or "(not printed)",
            *(significant(row.computed[update]) for update in updates),
            "" if figure is None else figure.update,
            f"[{misprints.index(row) + 1}]" if row in misprints else row.match or "",
        ]
        sections.setdefault(figure_name(row.rounds, "").strip().capitalize(), []).append(cells)
    header = ["", "published", *updates, "given by", "match"]
    parts = [
        "The worked example: two inputs, two hidden and two output neurons, all sigmoid,\n"
        "one training pair. Each figure as published, and as each update computes it.",
        table(header, sections, ["left", "left", *("decimal" for _ in updates), "left", "left"]),
        textwrap.fill(verdict(rows), WIDTH),
    ]
    if misprints:
        notes = [misprint_text(number, row) for number, row in enumerate(misprints, 1)]
        parts.append("\n".join(["Misprints, as far as one can tell:", *notes]))
    return "\n\n".join(parts)


def verdict(rows: Sequence[Row]) -> str:
    """Return a summary of the comparison in plain words."""
    updates = list(rows[0].computed)
    compared = [row for row in rows if row.published]
    failed = [row for row in compared if row.failed]
    due = [row for row in compared if row.due]
    n_misprints = sum(row.match == "misprint" for row in compared)
    sentences = []
    if failed:
        names = ", ".join(figure_name(row.rounds, row.quantity) for row in failed)
        sentences.append(f"{len(failed)} of {len(due)} published figures did NOT come out: {names}.")
    else:
        corrected = "" if n_misprints == 0 else ", once a misprint is corrected"
        if n_misprints > 1:
            corrected = f", once {n_misprints} misprints are corrected"
        of_this = f" of the {updates[0]} update" if len(updates) == 1 else ""
        sentences.append(
            f"All {len(due)} published figures{of_this} come out, to the last printed digit{corrected}."
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


def misprint_text(number: int, row: Row) -> str:
    """Return what is printed, what is computed, and what the misprint seems to be."""
    figure = row.figure
    assert figure is not None
    text = (
        f"[{number}] {figure.name}: printed {figure.published}, computed "
        f"{significant(row.computed[row.due[0]])}, read as {figure.corrected}. {figure.note}"
    )
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="      ")


# --- one round in full -------------------------------------------------------------------------------


def steps_text(steps: Mapping[str, Sequence[Quantity]], learning_rate: float) -> str:
    """Return round 1 as a table, in which lines that the updates share appear once."""
    sections: dict[str, list[list[str]]] = {}
    # Both updates line by line, so that their hidden layers follow each other.
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


def trajectory(update: str, rounds: int, optimizer: fastbp.SGD) -> Trajectory:
    """Return the quantities after each of about 200 rounds, evenly spaced on a log axis."""
    stops = np.unique(np.geomspace(1, rounds, 200).round().astype(int))
    network = worked_example.network()
    seen = []
    for done, until in itertools.pairwise([0, *stops.tolist()]):
        train(network, until - done, update, optimizer)
        seen.append(worked_example.quantities(network))
    return Trajectory(stops, {name: np.array([values[name] for values in seen]) for name in seen[0]})


def next_text(options: argparse.Namespace) -> str:
    """Suggest what to try next."""
    ideas = {"--steps": options.steps, "--plot loss.png": options.plot, "--race": options.race}
    new = [idea for idea, used in ideas.items() if not used]
    return f"Next: fastbp example {', or '.join(new)}" if new else "Next: fastbp bench"
