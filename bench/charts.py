"""Charts as inline SVG: text, circles and lines, styled by the page; every mark has a tooltip.

All are 420 units wide. On a phone, a unit is about a pixel, and text stays readable.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from fastbp.benchmark.summary import three_digits

WIDTH = 420
LEFT, RIGHT = 12, 12


@dataclass(frozen=True)
class Mark:
    """A value with its interval, of one series."""

    series: str
    value: float
    low: float
    high: float
    says: str


@dataclass(frozen=True)
class Line:
    """One series over x; dashed if it is computed, not timed."""

    series: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


class LogScale:
    """A map from positive numbers to positions, by their logarithm."""

    def __init__(self, values: Sequence[float], start: float, end: float):
        self.low = min(values) / 1.15
        self.high = max(values) * 1.15
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return powers of ten in range, and 2 and 5 times them where there is room."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1, 2, 5) if math.log10(self.high / self.low) < 2 else (1,)
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        return [tick for tick in found if self.low <= tick <= self.high]


def short(value: float) -> str:
    """Return a tick's label.

    Examples
    --------
    >>> short(0.1), short(20.0), short(100_000.0)
    ('0.1', '20', '100,000')
    """
    return f"{value:,.10f}".rstrip("0").rstrip(".")


N_COLOURS = 13


def colour(series: str, all_series: Sequence[str]) -> str:
    """Return the CSS class of a series, which sets its colour; unknown series have the last class."""
    known = list(all_series)
    return f"s{min(known.index(series) if series in known else N_COLOURS, N_COLOURS - 1)}"


def legend(series: Sequence[str], all_series: Sequence[str]) -> str:
    items = (
        f'<span class="key"><svg width="12" height="12" aria-hidden="true"><circle cx="6" cy="6" r="5" '
        f'class="{colour(name, all_series)}"/></svg>{escape(name)}</span>'
        for name in series
    )
    return f'<p class="legend">{"".join(items)}</p>'


def ratios(rows: Sequence[tuple[str, list[Mark]]], all_series: Sequence[str], title: str) -> str:
    """Draw a line per workload, a dot with its interval for each rival, and a rule at ratio 1."""
    values = [number for _, marks in rows for mark in marks for number in (mark.low, mark.high)]
    scale = LogScale([1.0, *values], LEFT, WIDTH - RIGHT)
    top, step = 26, 40
    height = top + step * len(rows) + 6
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top - 6}" y2="{height}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{top - 12}" class="tick" text-anchor="middle">{short(tick)}</text>')
    one = scale(1.0)
    parts.append(f'<line x1="{one}" x2="{one}" y1="{top - 6}" y2="{height}" class="one"/>')
    for i, (name, marks) in enumerate(rows):
        y = top + step * i
        parts.append(f'<text x="{LEFT}" y="{y + 12}" class="row">{escape(name)}</text>')
        for mark in marks:
            kind = colour(mark.series, all_series)
            low, high = scale(mark.low), scale(mark.high)
            middle = y + 25
            parts.append(
                f"<g><title>{escape(mark.says)}</title>"
                f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" class="bar {kind}"/>'
                f'<circle cx="{scale(mark.value)}" cy="{middle}" r="4.5" class="{kind}"/></g>'
            )
    return _svg(height, title, parts) + legend(_present(rows), all_series)


def _present(rows: Sequence[tuple[str, list[Mark]]]) -> list[str]:
    return list(dict.fromkeys(mark.series for _, marks in rows for mark in marks))


def curves(lines: Sequence[Line], all_series: Sequence[str], title: str, x_label: str, y_label: str) -> str:
    """Draw series over x, both axes logarithmic."""
    left, top, bottom, height = 52, 24, 40, 330
    xs = sorted({x for line in lines for x in line.x})
    horizontal = LogScale(xs, left, WIDTH - RIGHT)
    vertical = LogScale([y for line in lines for y in line.y], height - bottom, top)
    parts = [f'<text x="{LEFT}" y="14" class="tick">{escape(y_label)}</text>']
    for tick in vertical.ticks():
        y = vertical(tick)
        parts.append(f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" class="tick" text-anchor="end">{short(tick)}</text>')
    for x in xs:
        parts.append(
            f'<text x="{horizontal(x)}" y="{height - bottom + 16}" class="tick" text-anchor="middle">'
            f"{short(x)}</text>"
        )
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{height - 6}" class="tick" text-anchor="end">{escape(x_label)}</text>'
    )
    for line in lines:
        kind = colour(line.series, all_series)
        points = list(zip(map(horizontal, line.x), map(vertical, line.y), strict=True))
        path = " ".join(f"{x},{y}" for x, y in points)
        dash = " dashed" if line.dashed else ""
        parts.append(f'<polyline points="{path}" class="curve {kind}{dash}"/>')
        if not line.dashed:
            parts += [
                f'<circle cx="{x}" cy="{y}" r="3.5" class="{kind}">'
                f"<title>{escape(line.series)}, {short(at)}: {three_digits(value)}</title></circle>"
                for (x, y), at, value in zip(points, line.x, line.y, strict=True)
            ]
    return _svg(height, title, parts) + legend([line.series for line in lines], all_series)


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" class="chart">'
        f"{''.join(parts)}</svg>"
    )
