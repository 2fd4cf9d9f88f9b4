"""What is written from a session says what the session found, and nothing that it did not."""

import copy
import doctest
import json
import re
from html.parser import HTMLParser

import pytest

from bench import charts, page, report
from fastbp.benchmark.summary import three_digits

RATIO = {"median": 2.5, "low": 2.25, "high": 2.75}


def timed(peer, us, **ratio):
    return {
        "peer": peer,
        "status": "timed",
        "reason": "",
        "us": us,
        "times_as_fast": RATIO | ratio,
        "pairs": [[1.0, 2.5]],
    }


def workload(name, rows, **changes):
    base = {
        "name": name,
        "dtype": "float32",
        "group": "grid",
        "layer_sizes": [64, 128, 10],
        "batch_size": 32,
        "networks": 1,
        "flops_per_step": 10**9,
        "bytes_per_step": 10**6,
        "checked_steps": [16, 48],
        "is_large": True,
        "control": timed("fastbp", 100.0, median=1.0, low=0.99, high=1.01),
        "rows": [{"peer": "fastbp", "status": "timed", "reason": "", "us": 4000.0}, *rows],
    }
    return base | changes


@pytest.fixture
def document():
    wrong = {"peer": "JAX", "status": "wrong", "reason": "after 48 steps <its> parameters are 0.1 of the way"}
    skipped = {"peer": "FANN", "status": "skipped", "reason": "not installed: libfloatfann"}
    return {
        "format": 1,
        "fastbp": "0.1.0",
        "commit": "0123456789ab",
        "date": "2026-01-02T03:04:05+00:00",
        "quick": False,
        "machine": {
            "processor": "A & B <processor>",
            "LLVM CPU": "cpu",
            "cores": 2,
            "OS": "Linux",
            "C library": "glibc",
            "Python": "3.11",
            "C compiler": "cc -O3",
        },
        "versions": {"jax": "1", "torch": "2", "scikit-learn": "3", "numpy": "4"},
        "cores": [0, 1],
        "threads_each": 2,
        "protocol": {
            "pairs": 20, "turn_seconds": 0.02, "tolerance": {"float64": 1e-9}, "interval": "bootstrap"
        },
        "roofline": {
            "threads": 2, "gflops": {"float32": 500.0, "float64": 250.0}, "gbytes_per_second": 40.0
        },
        "workloads": [
            workload("first", [timed("C", 10.0), timed("PyTorch", 90.0, low=8.125), wrong, skipped]),
            workload("second", [timed("PyTorch", 9.0), timed("PyTorch compiled", 5.0, low=0.875)]),
            *(
                workload(f"width {n}", [timed("C", n / 10.0)], group="width", layer_sizes=[n, n, n, 10])
                for n in (16, 64, 256)
            ),
        ],
        "threads": {"fastbp": {"threads": [{"library": "openblas", "threads": 2}], "cores": [0, 1]}},
        "starts": [
            {
                "workload": "first, float32",
                "rows": [
                    {"peer": "fastbp", "import": 0.5, "cold": 7.0, "cached": 0.2},
                    {"peer": "C", "import": 0.1, "cold": 0.3, "cached": 0.3},
                ],
            }
        ],
        "tasks": [
            {
                "task": "digits",
                "steps": 100,
                "goal": "97 %",
                "published": "",
                "rows": [
                    {"peer": "fastbp", "status": "timed", "reason": "", "score": 0.98, "seconds": 0.5,
                     "with_import": 1.25},
                    {"peer": "JAX", "status": "wrong", "reason": "reached 0.5", "score": 0.5},
                ],
            }
        ],
        "control": {"median": 1.001, "low": 0.995, "high": 1.006},
        "sound": True,
        "seconds": 1234.0,
    }  # fmt: skip


class Structure(HTMLParser):
    """Checks that tags are closed in order, and gathers them."""

    VOID = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_self_contained_and_well_formed(document):
    tags = Structure(page.page(document)).tags
    names = {tag for tag, _ in tags}
    assert not names & {"script", "link", "img", "iframe", "object"}
    assert not any({"src", "href", "onload", "onclick"} & set(attributes) for _, attributes in tags)
    assert "url(" not in page.STYLE
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags
    assert sum(tag == "svg" and attributes.get("role") == "img" for tag, attributes in tags) == 2


def test_page_names_machine_versions_flags_commit_and_date(document):
    text = page.page(document)
    for fact in (
        "A &amp; B &lt;processor&gt;",
        "jax 1",
        "cc -O3",
        "0123456789ab",
        "2026-01-02",
        "500 GFLOP/s",
    ):
        assert fact in text


def test_a_wrong_peer_has_a_reason_and_no_number(document):
    text = page.page(document)
    row = re.search(r"<tr><td>JAX</td>.*?</tr>", text[text.index("Every number") :])[0]
    assert re.findall(r"<td>(.*?)</td>", row) == ["JAX", "", "", ""]
    assert "wrong: after 48 steps &lt;its&gt; parameters" in row
    assert not re.search(r"<title>JAX", text)
    first = report.as_markdown([document]).splitlines()[2]
    assert [cell.strip() for cell in first.split("|")][1:-1] == [
        "first", "float32", "4,000", "2.25", "wrong", "8.12", "", "", "",
    ]  # fmt: skip


def test_of_two_pytorches_the_faster_counts_and_slower_rows_stay(document):
    second = report.as_markdown([document]).splitlines()[3]
    assert "0.875" in second


def test_of_several_machines_there_is_the_geometric_mean_and_the_worst(document):
    other = copy.deepcopy(document)
    other["machine"]["LLVM CPU"] = "znver2"
    c, pytorch = other["workloads"][0]["rows"][1:3]
    c["times_as_fast"]["low"] = 4.0
    del pytorch["times_as_fast"]
    other["workloads"][0]["rows"][0]["us"] = 9000.0
    first = report.as_markdown([document, other]).splitlines()[2]
    assert [cell.strip() for cell in first.split("|")][1:-1] == [
        "first", "float32", "4,000 to 9,000", "3.00 (2.25)", "wrong", "8.12", "", "", "",
    ]  # fmt: skip
    text = report.footnote([document, other])
    assert "the worst one in brackets" in text
    assert "(znver2)" in text
    assert "worst" not in report.footnote([document])


def test_the_chart_over_the_width_shows_shares_of_the_peak(document):
    text = page.width_chart(document)
    workload = next(w for w in document["workloads"] if w["name"] == "width 16")
    us = next(row["us"] for row in workload["rows"] if row["peer"] == "C")
    share = workload["flops_per_step"] / us / 1e3 / document["roofline"]["gflops"]["float32"]
    assert f"C, 16: {three_digits(share)}" in text


def test_an_unsound_session_says_so_everywhere(document):
    assert "Unsound" not in page.page(document)
    document["sound"] = False
    assert "Unsound" in page.page(document)
    assert "UNSOUND" in report.as_markdown([document])
    document["control"] = None
    assert "nothing here can be trusted" in page.page(document)


def test_a_disturbed_workload_is_named(document):
    assert "disturbed" not in page.page(document) + report.as_markdown([document])
    document["workloads"][0]["quiet"] = False
    assert "Something disturbed this workload" in page.page(document)
    assert f"disturbed {document['workloads'][0]['name']} in float32" in report.as_markdown([document])


@pytest.mark.parametrize("module", [charts, page], ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def test_fraction_of_the_peak_is_operations_over_time(document):
    assert page.peak_fraction(document, document["workloads"][0]) == pytest.approx(1e9 / 4e-3 / 500e9)
    assert page.peak_fraction(document, document["workloads"][0] | {"is_large": False}) is None


def test_many_networks_get_their_chart_when_there_are_some(document):
    assert "Many networks" not in page.page(document)
    for n in (64, 1024):
        document["workloads"].append(workload(f"{n} networks", [timed("JAX", 3.0)], networks=n))
    assert "Many networks" in page.page(document)


def test_comparison_finds_what_fell_and_what_rose(document):
    old = copy.deepcopy(document)
    same, regressed = report.compare(document, old)
    assert (same, regressed) == ("Nothing changed.", False)
    rows = document["workloads"][0]["rows"]
    rows[1]["times_as_fast"] = {"median": 3.5, "low": 3.25, "high": 3.75}
    text, regressed = report.compare(document, old)
    assert "better" in text
    assert not regressed
    rows[2]["times_as_fast"] = {"median": 1.5, "low": 1.25, "high": 1.75}
    document["versions"]["torch"] = "2.1"
    text, regressed = report.compare(document, old)
    assert re.search(r"PyTorch +2.50 -> 1.50  REGRESSION", text)
    assert "torch 2 -> 2.1" in text
    assert regressed


def test_losing_a_number_is_a_regression(document):
    old = copy.deepcopy(document)
    row = document["workloads"][0]["rows"][1]
    del row["times_as_fast"]
    row |= {"status": "wrong", "reason": "elsewhere"}
    text, regressed = report.compare(document, old)
    assert "no number any more: wrong: elsewhere" in text
    assert regressed


def test_command_writes_page_and_readme_and_compares(document, tmp_path, capsys):
    result, readme, html = tmp_path / "r.json", tmp_path / "README.md", tmp_path / "r.html"
    result.write_text(json.dumps(document))
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.main([str(result), "--html", str(html), "--readme", str(readme)]) == 0
    assert html.read_text() == page.page(document)
    table = report.as_markdown([document])
    assert readme.read_text() == f"before\n{report.BEGIN}\n\n{table}\n\n{report.END}\nafter\n"
    assert report.main([str(result), "--against", str(result)]) == 0
    assert "Nothing changed." in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}'])
def test_a_file_that_is_no_result_is_a_one_line_error(text, tmp_path, capsys):
    path = tmp_path / "r.json"
    path.write_text(text)
    assert report.main([str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
