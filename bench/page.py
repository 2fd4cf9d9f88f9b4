"""The page: one self-contained HTML file, from a session's document."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from bench import charts
from bench.peers import OURS, PEERS
from fastbp.benchmark.summary import three_digits

MEMORY_ROOF, FLOP_ROOF = "memory bandwidth", "FLOP peak"
SERIES = (*PEERS, FLOP_ROOF, MEMORY_ROOF)

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")

COLOURS = (
    "#111827", "#a16207", "#ca8a04", "#2563eb", "#0891b2", "#16a34a",
    "#84cc16", "#f97316", "#dc2626", "#db2777", "#7c3aed", "#6b7280", "#b45309",
)  # fmt: skip
DARK_FIRST = "#f3f4f6"


def colour_rules() -> str:
    rules = [f".s{i} {{ fill: {c}; stroke: {c}; }}" for i, c in enumerate(COLOURS)]
    rules.append(
        f"@media (prefers-color-scheme: dark) {{ .s0 {{ fill: {DARK_FIRST}; stroke: {DARK_FIRST}; }} }}"
    )
    return "\n".join(rules)


def page(document: dict) -> str:
    """Return the page of a session."""
    sections = [
        heading(document),
        ratio_charts(document),
        width_chart(document),
        networks_chart(document),
        start_tables(document),
        task_tables(document),
        workload_tables(document),
        method(document),
    ]
    body = "\n".join(filter(None, sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>fastbp and its rivals, {document['date'][:10]}</title>"
        f"<style>{STYLE}{colour_rules()}</style></head><body>\n{body}\n</body></html>\n"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], why: int | None = None) -> str:
    """Return a table of escaped cells; column `why` holds sentences."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = []
    for row in rows:
        cells = (
            f'<td class="why">{escape(cell)}</td>' if i == why else f"<td>{escape(cell)}</td>"
            for i, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def heading(document: dict) -> str:
    machine = document["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    facts = [
        f"{machine['processor']} ({machine['LLVM CPU']}), {len(document['cores'])} cores used of "
        f"{machine['cores']}, {document['threads_each']} threads for everybody",
        f"{machine['OS']}, {machine['C library']}, Python {machine['Python']}; {packages}",
        f"C compiler: {machine['C compiler']}",
        f"fastbp {document['fastbp']}, commit {document['commit']}, {document['date'][:10]}, "
        f"{document['seconds']:,.0f} s",
        roof_sentence(document),
    ]
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f'<h1>fastbp and its rivals</h1>{verdict(document)}<ul class="note">{items}</ul>'


def roof_sentence(document: dict) -> str:
    roof = document["roofline"]
    return (
        f"measured peak on {roof['threads']} threads: {roof['gflops']['float32']:.0f} GFLOP/s in float32, "
        f"{roof['gflops']['float64']:.0f} in float64; main memory {roof['gbytes_per_second']:.0f} GB/s"
    )


def verdict(document: dict) -> str:
    control = document["control"]
    if control is None:
        return '<p class="verdict unsound">No A/A control: nothing here can be trusted.</p>'
    numbers = f"{control['median']:.3f} ({control['low']:.3f} to {control['high']:.3f})"
    rough = " Quick run: the numbers are rough." if document["quick"] else ""
    if document["sound"]:
        return (
            f'<p class="verdict">Sound: fastbp against a second process of itself, over all workloads, came '
            f"to {numbers} times as fast, which contains 1.{rough}</p>"
        )
    return (
        f'<p class="verdict unsound">Unsound: fastbp against a second process of itself came to {numbers} '
        f"times as fast, which does not contain 1. Something disturbed this session; its ratios are not to "
        f"be quoted.{rough}</p>"
    )


def label(workload: dict) -> str:
    return f"{workload['name']}, {workload['dtype']}"


def timed(workload: dict) -> list[dict]:
    return [row for row in workload["rows"] if row["peer"] != OURS and "times_as_fast" in row]


def interval(numbers: dict) -> str:
    return f"{three_digits(numbers['low'])} to {three_digits(numbers['high'])}"


def ratio_charts(document: dict) -> str:
    parts = [
        "<h2>How many times as fast fastbp is</h2>",
        '<p class="note">Each dot is a rival on a workload: its time a step over that of fastbp, as the '
        "median of pairs, with its 95 % interval. Right of the dark rule fastbp is faster, left of it the "
        "rival is. The scale is logarithmic.</p>",
    ]
    for dtype in ("float32", "float64"):
        rows = []
        for workload in document["workloads"]:
            if workload["dtype"] != dtype or workload["group"] != "grid" or not timed(workload):
                continue
            marks = [
                charts.Mark(
                    row["peer"],
                    *(row["times_as_fast"][key] for key in ("median", "low", "high")),
                    f"{row['peer']}: {three_digits(row['times_as_fast']['median'])} "
                    f"({interval(row['times_as_fast'])}), {three_digits(row['us'])} us a step",
                )
                for row in timed(workload)
            ]
            rows.append((workload["name"], marks))
        if rows:
            parts.append(f"<h3>{dtype}</h3>" + charts.ratios(rows, SERIES, f"Ratios in {dtype}"))
    return "".join(parts)


def width_chart(document: dict) -> str:
    """Return a chart of the share of the peak over the width, with the limit of the memory's bandwidth."""
    workloads = [w for w in document["workloads"] if w["group"] == "width"]
    if len(workloads) < 2:
        return ""
    roof = document["roofline"]
    widths = [w["layer_sizes"][0] for w in workloads]
    fastest = [w["flops_per_step"] / roof["gflops"][w["dtype"]] / 1e3 for w in workloads]
    lines = [
        charts.Line(
            line.series, line.x, [fastest[widths.index(x)] / us for x, us in zip(line.x, line.y, strict=True)]
        )
        for line in peer_lines((w["layer_sizes"][0], w, 1.0) for w in workloads)
    ]
    memory = [
        us / (w["bytes_per_step"] / roof["gbytes_per_second"] / 1e3)
        for us, w in zip(fastest, workloads, strict=True)
    ]
    lines += [charts.Line(FLOP_ROOF, widths, [1.0] * len(widths), True)]
    lines += [charts.Line(MEMORY_ROOF, widths, memory, True)]
    batch = workloads[0]["batch_size"]
    return (
        "<h2>Share of the peak against width</h2>"
        f'<p class="note">Networks n-n-n-10, relu, softmax, batches of {batch}, Adam, float32: what the '
        "matrix products take at the measured peak, over the time of the step. No program can be above 1. "
        "The dashed line of the bandwidth holds if parameters and Adam's state do not fit the caches.</p>"
        + charts.curves(lines, SERIES, "Share of the peak against width", "width n", "share of the peak")
    )


def peer_lines(points: Iterable[tuple[int, dict, float]]) -> list[charts.Line]:
    """Return a line per peer, with its times from (x, workload, factor of its microseconds)."""
    times: dict[str, tuple[list[float], list[float]]] = {}
    for x, workload, factor in points:
        for row in workload["rows"]:
            if row.get("us"):
                xs, ys = times.setdefault(row["peer"], ([], []))
                xs.append(x)
                ys.append(row["us"] * factor)
    return [charts.Line(name, xs, ys) for name, (xs, ys) in times.items()]


def networks_chart(document: dict) -> str:
    """Return a chart of the time per step over the number of networks, if any trained together."""
    workloads = [w for w in document["workloads"] if w["networks"] > 1]
    if not workloads:
        return ""
    lines = peer_lines((w["networks"], w, 1e3 / w["networks"]) for w in workloads)
    return "<h2>Many networks at once</h2>" + charts.curves(
        lines, SERIES, "Cost of a network-step", "networks", "ns a network-step"
    )


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def steps_until_ahead(ours: dict, rival: dict, ours_us: float, rival_us: float, start: str) -> str:
    """Return the number of steps from which fastbp's total time, with import and start, is smaller.

    Examples
    --------
    >>> fast, slow = {"import": 0.5, "cached": 0.1}, {"import": 0.1, "cached": 0.1}
    >>> steps_until_ahead(fast, slow, 1.0, 5.0, "cached")
    '100,000'
    >>> steps_until_ahead(slow, fast, 1.0, 5.0, "cached"), steps_until_ahead(fast, slow, 5.0, 1.0, "cached")
    ('the first', 'never')
    """
    behind = ours["import"] + ours[start] - rival["import"] - rival[start]
    gain = (rival_us - ours_us) * 1e-6
    if gain <= 0:
        return "never" if behind >= 0 else f"up to {-behind / -gain:,.0f}"
    return "the first" if behind <= 0 else f"{behind / gain:,.0f}"


def start_tables(document: dict) -> str:
    parts = []
    by_label = {label(w): w for w in document["workloads"]}
    for start in document["starts"]:
        workload = by_label.get(start["workload"])
        ours = next((row for row in start["rows"] if row["peer"] == OURS), None)
        if workload is None or ours is None:
            continue
        us = {row["peer"]: row.get("us") for row in workload["rows"]}
        rows = []
        for row in start["rows"]:
            rival_us = us.get(row["peer"])
            ahead = ["", ""]
            if row is not ours and rival_us and us[OURS]:
                ahead = [
                    steps_until_ahead(ours, row, us[OURS], rival_us, kind) for kind in ("cached", "cold")
                ]
            rows.append(
                [
                    row["peer"],
                    *(seconds(row[kind]) for kind in ("import", "cold", "cached")),
                    three_digits(rival_us) if rival_us else "not timed",
                    *ahead,
                ]
            )
        header = (
            "", "import, s", "cold, s", "cached, s", "us a step", "fastbp ahead from step", "from step, cold",
        )  # fmt: skip
        parts.append(f"<h3>{escape(start['workload'])}</h3>" + table(header, rows))
    if not parts:
        return ""
    return (
        "<h2>Starting</h2>"
        '<p class="note">Import is a fresh Python that imports the package. Cold is the first preparation '
        "and epoch with empty caches, cached the same in the next process. The last columns say from which "
        "step on fastbp's total, import and start included, is the smaller.</p>" + "".join(parts)
    )


def task_tables(document: dict) -> str:
    parts = []
    for task in document["tasks"]:
        rows = []
        for row in task["rows"]:
            if row["status"] == "timed":
                rows.append([row["peer"], seconds(row["with_import"]), seconds(row["seconds"]), ""])
            else:
                rows.append([row["peer"], "", "", f"{row['status']}: {row['reason']}"])
        rows.sort(key=lambda row: float(row[1] or "inf"))
        parts.append(
            f'<h3>{escape(task["task"])}</h3><p class="note">{task["steps"]:,} steps; goal: '
            f"{escape(task['goal'])}. {escape(task['published'])}</p>"
            + table(("", "from process start, s", "of it after import, s", ""), rows, why=3)
        )
    return "<h2>Whole runs</h2>" + "".join(parts) if parts else ""


def workload_tables(document: dict) -> str:
    parts = [
        "<h2>Every number</h2>",
        '<p class="note">The claim is the lower end of an interval. A peer without a number says why.</p>',
    ]
    for workload in document["workloads"]:
        rows = []
        for row in workload["rows"]:
            ratio = row.get("times_as_fast")
            rows.append(
                [
                    row["peer"],
                    three_digits(row["us"]) if row.get("us") else "",
                    three_digits(ratio["median"]) if ratio else "",
                    interval(ratio) if ratio else "",
                    "" if row["status"] == "timed" else f"{row['status']}: {row['reason']}",
                ]
            )
        header = ("", "us a step", "fastbp is times as fast", "95 % interval", "")
        parts.append(
            f"<details><summary>{escape(label(workload))}</summary>{table(header, rows, why=4)}"
            f'<p class="note">{escape(" ".join(remarks(document, workload)))}</p></details>'
        )
    return "".join(parts)


def remarks(document: dict, workload: dict) -> list[str]:
    """Return the notes below a workload's table."""
    found = [f"Compared after {' and '.join(f'{n:,}' for n in workload['checked_steps'])} steps."]
    ratio = workload["control"].get("times_as_fast")
    if ratio:
        found.append(f"A/A: {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}).")
    if not workload.get("quiet", True):
        found.append("Something disturbed this workload each time it was timed.")
    fraction = peak_fraction(document, workload)
    if fraction is not None:
        found.append(f"fastbp reaches {fraction:.0%} of the FLOP peak.")
    return found


def peak_fraction(document: dict, workload: dict) -> float | None:
    """Return the fraction of the machine's FLOP peak that fastbp reaches on a large workload."""
    us = next((row.get("us") for row in workload["rows"] if row["peer"] == OURS), None)
    if not us or not workload["is_large"]:
        return None
    return workload["flops_per_step"] / us / 1e3 / document["roofline"]["gflops"][workload["dtype"]]


def pools(found: dict) -> str:
    listed = (f"{pool['library']} {pool['threads']}" for pool in found["threads"])
    return ", ".join(dict.fromkeys(listed)) or "no pool"


def method(document: dict) -> str:
    protocol = document["protocol"]
    tolerances = ", ".join(f"{value:.0e} in {dtype}" for dtype, value in protocol["tolerance"].items())
    threads = "; ".join(f"{name}: {pools(found)}" for name, found in document["threads"].items())
    sentences = [
        "Every peer runs in a process of its own, all on the same cores and with the same number of threads.",
        f"Before it is timed, it must end where the float64 reference ends from the same parameters over the "
        f"same samples: at a distance of at most {tolerances} of the way that the reference went.",
        f"Then fastbp and the rival take turns, A B B A, {protocol['pairs']} pairs of turns of "
        f"{protocol['turn_seconds'] * 1e3:g} ms or one epoch; the interval is the {protocol['interval']}.",
        f"Thread pools, as threadpoolctl sees them: {threads}.",
    ]
    return "<h2>Method</h2>" + "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
