"""Writes job.md, which describes what a kernel is told: run it as ``python docs/job.py``."""

from pathlib import Path

from fastbp.kernels import fields

MODES = {
    fields.TRAIN: "kernel, to train",
    fields.GRADIENT_ONLY: "kernel, for a gradient",
    fields.LOSS_ONLY: "kernel, for a loss",
    fields.PREDICT: "kernel, to predict",
}

HEAD = """# What a kernel is told

This page is made from `fastbp/kernels/fields.py` by `python docs/job.py`. Kernels read these fields by name:
`get(job, "rates")`, or `of(job, "size", layer)`. Python checks every array with the same table before it
hands over the address (`fastbp/engine/job.py`).

A type with a star is the address of such numbers; `own` is the network's type. Dimensions are attributes of
`engine.layout.Layout`.
"""


def text() -> str:
    """Return the page."""
    sections = [HEAD]
    for record, table in fields.RECORDS.items():
        lines = [f"## {record}\n", "| field | type | shape | written by | |", "|---|---|---|---|---|"]
        for name, (kind, shape, writers, meaning) in table.items():
            who = "; ".join(str(MODES.get(writer, writer)) for writer in writers) or "nobody"
            kinds = ", ".join(f"`{one}`" for one in kind.split())
            lines.append(f"| `{name}` | {kinds} | {' x '.join(shape)} | {who} | {meaning} |")
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(text(), encoding="utf-8")
