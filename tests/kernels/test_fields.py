"""The tables of what a kernel is told: they are sound, and the documentation is made of them."""

import re
import runpy
from pathlib import Path

import pytest

from fastbp.kernels import fields

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_says_what_the_tables_say():
    made = runpy.run_path(str(DOCS / "job.py"))["text"]()
    assert (DOCS / "job.md").read_text(encoding="utf-8") == made, "run python docs/job.py"
    assert all(f"| `{name}` |" in made for table in fields.RECORDS.values() for name in table)


@pytest.mark.parametrize("record", fields.RECORDS)
def test_every_field_has_a_type_that_there_is_and_a_meaning(record):
    numbers = "int64", "float64"
    addresses = (
        *(f"{kind}*" for kind in ("own", "int64", "int32", "float64", "uint64", "float32", "uint8")),
    )
    for name, field in fields.RECORDS[record].items():
        assert re.fullmatch(r"[a-zA-Z_]\w*", name)
        if field.is_address:
            assert field.type in fields.RECORDS or set(field.type.split()) <= set(addresses)
        else:
            assert field.type in numbers
            assert field.shape == ()
        assert field.meaning
    assert len({field.type for field in fields.RECORDS[record].values() if not field.is_address}) == 1


def test_places_follow_each_other():
    n = len(fields.JOB)
    assert [fields.place("job", name) for name in fields.JOB] == list(range(n))
    boundaries = [fields.place_in_job(name, boundary) for boundary in range(3) for name in fields.BOUNDARY]
    assert boundaries == list(range(n, n + 3 * len(fields.BOUNDARY)))
