"""The results of `fastbp bench` as text, as Markdown and as JSON."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from tabulate import tabulate

from fastbp._version import __version__
from fastbp.benchmark.cases import Case
from fastbp.benchmark.contenders import Contender
from fastbp.benchmark.gate import TOLERANCE
from fastbp.benchmark.machine import describe_machine
from fastbp.benchmark.peak_shares import LARGE, Share, measure_shares
from fastbp.benchmark.protocol import CHECKED_STEPS, Comparison, Progress, Protocol, Result, compare
from fastbp.benchmark.statistics import CONFIDENCE, median_interval
from fastbp.interchange.standard_json import dumps

LARGE_NETWORKS = "Large networks, with Adam, on one core"


@dataclass(frozen=True)
class Report:
    """All results of one run of the benchmark."""

    comparisons: tuple[Comparison, ...]
    shares: list[Share]
    protocol: Protocol
    machine: dict[str, str | int] = field(default_factory=describe_machine)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def wrong(self) -> list[Result]:
        """The contenders that did not reach the reference's parameters."""
        return [
            result
            for comparison in self.comparisons
            for result in comparison.results
            if result.status == "wrong"
        ]


def run_benchmark(
    cases: Sequence[Case],
    contenders: Sequence[Contender],
    protocol: Protocol,
    progress: Progress = lambda text: None,
    networks: Sequence[tuple[tuple[int, ...], int]] = LARGE,
) -> Report:
    """Compare all contenders on all cases, and measure steps of large networks."""
    comparisons = tuple(compare(case, contenders, protocol, progress) for case in cases)
    return Report(comparisons, measure_shares(networks, protocol, progress), protocol)


# --- text and Markdown -------------------------------------------------------------------------------


def as_text(report: Report) -> str:
    """Return aligned tables and notes, in lines of at most 80 characters."""
    parts = []
    for comparison in report.comparisons:
        parts += [comparison.case.name, _table(comparison, "simple", _two_lines), *_not_timed(comparison)]
    parts += [LARGE_NETWORKS, _table_of_shares(report.shares, "simple", _two_lines)]
    notes = [textwrap.fill(note, 80, break_on_hyphens=False) for note in _notes(report)]
    return "\n\n".join([*parts, *notes])


def as_markdown(report: Report) -> str:
    """Return tables and notes in GitHub's Markdown."""
    parts = []
    for comparison in report.comparisons:
        parts += [f"**{comparison.case.name}**", _table(comparison, "github", str), *_not_timed(comparison)]
    parts += [f"**{LARGE_NETWORKS}**", _table_of_shares(report.shares, "github", str)]
    return "\n\n".join([*parts, *_notes(report)])


def _table(comparison: Comparison, style: str, header_form: Callable[[str], str]) -> str:
    headers = ["contender", "dtype", "ns a step", "steps a second"]
    if comparison.baseline:
        headers += [f"times as fast as {comparison.baseline.name}", f"{CONFIDENCE:g} % interval"]
    rows = [_row(result) for result in comparison.results]
    alignment = ("left", "left", "right", "right", "right", "right")[: len(headers)]
    return tabulate(
        rows, [header_form(header) for header in headers], style, disable_numparse=True, colalign=alignment
    )


def _table_of_shares(shares: Sequence[Share], style: str, header_form: Callable[[str], str]) -> str:
    headers = ["network, batch", "dtype", "us a step", "GFLOP/s", "peak, GFLOP/s", "share of the peak"]
    rows = [
        [
            share.name,
            share.dtype,
            three_digits(share.seconds * 1e6),
            three_digits(share.gflops),
            three_digits(share.peak),
            f"{share.share:.0%}",
        ]
        for share in shares
    ]
    alignment = ("left", "left", "right", "right", "right", "right")
    return tabulate(
        rows, [header_form(header) for header in headers], style, disable_numparse=True, colalign=alignment
    )


def _two_lines(header: str) -> str:
    """Break a header, so that a table fits a narrow terminal."""
    return "\n".join(textwrap.wrap(header, max(9, len(header) // 2 + 2)))


def _row(result: Result) -> list[str]:
    row = [result.contender.name, result.contender.dtype]
    if result.status != "timed":
        return [*row, result.status]
    ns, speedup = float(np.median(result.pairs[:, 1])), median_interval(result.speedup)
    interval = f"{three_digits(speedup.low)} to {three_digits(speedup.high)}"
    return [*row, three_digits(ns), three_digits(1e9 / ns), three_digits(speedup.median), interval]


def three_digits(number: float) -> str:
    """Return a positive number rounded to three digits, without an exponent.

    Examples
    --------
    >>> three_digits(12.9499), three_digits(77_246_810.0), three_digits(0.0086251)
    ('12.9', '77,200,000', '0.00863')
    """
    rounded = float(f"{number:.2e}")
    decimals = max(0, 2 - int(f"{rounded:e}".partition("e")[2]))
    return f"{rounded:,.{decimals}f}"


def _not_timed(comparison: Comparison) -> list[str]:
    """Return the reason for each contender without a number."""
    return [
        f"{result.contender}: {result.status}: {result.reason}"
        for result in comparison.results
        if result.status != "timed"
    ]


def _notes(report: Report) -> list[str]:
    """Return notes on the numbers, the machine and the software."""
    tolerances = ", ".join(f"{value:.0e} in {dtype}" for dtype, value in TOLERANCE.items())
    protocol = report.protocol
    machine = dict(report.machine)
    processor, llvm_cpu, width, cores = (
        machine.pop(name) for name in ("processor", "LLVM CPU", "vector width", "cores")
    )
    software = [f"fastbp {__version__}", *(f"{name} {value}" for name, value in machine.items())]
    return [
        f"Before it was timed, each contender reached the parameters of fastbp.reference after "
        f"{' and '.join(f'{steps:,}' for steps in CHECKED_STEPS)} steps, to within a part of the way there "
        f"({tolerances.replace('e-0', 'e-')}). Medians of {protocol.rounds} rounds; in a round each "
        f"contender and the float64 baseline take turns, for about {protocol.turn_seconds * 1000:g} ms each "
        f"on one core. Ratios are medians of the rounds' ratios, with their bootstrap interval.",
        "The peak is that of a loop of fused multiply-adds in registers. A step of a large network counts "
        "the operations of its matrix products alone; the shortest of some steps counts.",
        f"{processor} ({llvm_cpu}, vectors of {width}), {cores} cores; "
        f"{'; '.join(software)}; {report.date:%Y-%m-%d}.",
    ]


# --- JSON --------------------------------------------------------------------------------------------


def as_json(report: Report) -> str:
    """Return everything, including the time of each round, as JSON."""
    document = {
        "fastbp": __version__,
        "date": report.date.isoformat(timespec="seconds"),
        "machine": report.machine,
        "protocol": {
            "rounds": report.protocol.rounds,
            "turn_seconds": report.protocol.turn_seconds,
            "checked_steps": CHECKED_STEPS,
            "tolerance": TOLERANCE,
            "confidence_percent": CONFIDENCE,
        },
        "cases": [_comparison_as_dict(comparison) for comparison in report.comparisons],
        "large_networks": [asdict(share) | {"share": share.share} for share in report.shares],
    }
    return dumps(document, indent=2)


def _comparison_as_dict(comparison: Comparison) -> dict[str, Any]:
    return {
        "case": comparison.case.name,
        "n_samples": len(comparison.case.X),
        "baseline": str(comparison.baseline) if comparison.baseline else None,
        "results": [_result_as_dict(result) for result in comparison.results],
    }


def _result_as_dict(result: Result) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "contender": result.contender.name,
        "dtype": result.contender.dtype,
        "status": result.status,
    }
    if result.status != "timed":
        return entry | {"reason": result.reason}
    ns = result.pairs[:, 1]
    return entry | {
        "steps_per_second": 1e9 / float(np.median(ns)),
        "ns_per_step": median_interval(ns).as_dict() | {"rounds": ns.tolist()},
        "times_as_fast_as_baseline": median_interval(result.speedup).as_dict(),
    }
