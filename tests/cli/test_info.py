"""`fastbp info` and `fastbp warmup`, as a user types them."""

import json
import re
from pathlib import Path

import pytest

from fastbp import Network, __version__, _jit, processor
from fastbp.cli import main, warmup
from tests.processes import TRAIN, run


def test_the_machine_is_described(fastbp):
    done = fastbp("info")
    assert (done.status, done.err) == (0, "")
    facts = dict(re.split(r" {2,}", line, maxsplit=1) for line in done.out.splitlines())
    assert facts == {name: str(value) for name, value in json.loads(fastbp("info --json").out).items()}
    assert facts["fastbp"] == __version__
    assert facts["vector width"] == f"{processor.WIDTH} bytes"
    assert facts["compiled for"] == processor.NAME
    assert Path(facts["cache folder"]).name.startswith("fastbp-")
    assert all(facts.values())


def test_a_model_is_described(fastbp):
    fastbp("train iris.csv --target species --hidden 16,8 --epochs 5 --validation 0.2")
    done = fastbp("info iris.safetensors")
    assert (done.status, done.err) == (0, "")
    assert "predicts the class 'species': setosa, versicolor, virginica" in done.out
    assert re.search(r"^hidden 2 +8 +relu +136$", done.out, re.MULTILINE)
    assert "243 parameters, float64, loss categorical_cross_entropy" in done.out
    for column in Network.load("iris.safetensors").preprocessing.columns:
        assert f"{column.mean:.4g}" in done.out
    assert re.search(r"^optimizer +AdamW\(", done.out, re.MULTILINE)
    assert re.search(r"^validation accuracy +0\.\d+", done.out, re.MULTILINE)
    assert done.out.endswith("Next: fastbp predict iris.safetensors FILE --out predictions.csv\n")


def test_a_regression_and_text_columns_are_described(fastbp):
    Path("fruit.csv").write_text("colour,weight\ngreen,150.5\nyellow,120\nred,160\n")
    fastbp("train fruit.csv --target weight --epochs 2 --no-standardize")
    out = fastbp("info fruit.safetensors").out
    assert "predicts the number 'weight'" in out
    assert re.search(r"^colour +green, red, yellow$", out, re.MULTILINE)


def test_a_name_stays_in_its_line(fastbp):
    rows = "".join(f'{i},{i % 3},{i % 5},"cl\nass {i % 2}"\n' for i in range(20))
    Path("a.csv").write_text('a,"two\nlines","\x1b[31mred",y\n' + rows)
    trained = fastbp("train a.csv --target y --epochs 1")
    assert "2 classes of 'y': cl\\nass 0, cl\\nass 1" in trained.out
    assert "1 epoch, 2 steps in" in trained.out
    lines = fastbp("info a.safetensors").out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("column "))
    assert [line.split()[0] for line in lines[start + 2 : start + 5]] == ["a", "two\\nlines", "\\x1b[31mred"]


def test_json_has_the_whole_model_but_its_weights(fastbp):
    fastbp("train iris.csv --target species --epochs 2")
    document = json.loads(fastbp("info iris.safetensors --json").out)
    network = Network.load("iris.safetensors")
    assert document["n_parameters"] == network.theta.size
    assert document["preprocessing"] == json.loads(json.dumps(network.preprocessing.as_document()))
    assert document["notes"] == network.notes


def test_a_network_without_names_is_described(fastbp):
    Network([2, 1], bias="none", seed=0).save("net.safetensors")
    out = fastbp("info net.safetensors").out
    assert "does not say what its inputs and outputs mean" in out
    assert re.search(r"^outputs +1 +sigmoid +2$", out, re.MULTILINE)


@pytest.mark.parametrize("name", ["iris.csv", "none.safetensors", "."])
def test_what_is_no_model_is_one_line_and_status_2(fastbp, name):
    done = fastbp(f"info {name}")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("fastbp info: ")
    assert done.err.count("\n") == 1


CODE = """
import sys
from fastbp.cli import main
sys.exit(main(sys.argv[1:]))
"""

NEEDED = """
import contextlib, io, json, sys
from fastbp._jit import Kernel
from fastbp.cli import main
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    for command in json.loads(sys.argv[1]):
        assert main(command) == 0
modules = [module for name, module in sys.modules.items() if name.startswith("fastbp.kernels.")]
kernels = {value for module in modules for value in vars(module).values() if isinstance(value, Kernel)}
needed = [f"{kernel.__name__}{types}" for kernel in kernels for types in kernel.signatures]
print(json.dumps({"printed": printed.getvalue(), "needed": needed}))
"""
"""Run commands, and print which kernels they needed for which types."""


def commands(real_data):
    iris = f"train {real_data / 'iris.csv'} --target species --epochs 2 --validation 0.2"
    diabetes = f"train {real_data / 'diabetes.csv'} --target progression --epochs 2 --dtype float32"
    cv = f"cv {real_data / 'iris.csv'} --target species --folds 2 --repeats 1 --epochs 2"
    sweep = f"sweep {real_data / 'diabetes.csv'} --target progression --networks 8 --epochs 2"
    return [line.split() for line in ("example --steps", iris, diabetes, cv, sweep)]


def assert_all_are_named(output):
    assert "All kernels are compiled" in output
    uses = re.findall(r"^(\S.*?)  +(float\d\d) +[\d.]+$", output, re.MULTILINE)
    assert {dtype for _, dtype in uses} == {"float64", "float32"}
    assert {"fused222, math=fast", "fused222, math=exact", "predict"} <= {name for name, _ in uses}


def test_warmup_compiles_every_kernel_that_commands_need(tmp_path, real_data, monkeypatch):
    """Seen by what they load from the cache that all tests share: `make soak` compiles into an empty one."""
    monkeypatch.chdir(tmp_path)
    warm = json.loads(run(NEEDED, json.dumps([["warmup"]]))[0])
    assert_all_are_named(warm["printed"])
    needed = json.loads(run(NEEDED, json.dumps(commands(real_data)))[0])["needed"]
    names = {kernel.partition("(")[0] for kernel in needed}
    assert {"layered", "population"} <= names
    assert set(needed) <= set(warm["needed"])


@pytest.mark.soak
def test_after_warmup_nothing_is_compiled(tmp_path, real_data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    output, errors = run(CODE, "warmup", **cache)
    assert "compiling" in errors
    assert_all_are_named(output)
    for command in commands(real_data):
        assert run(CODE, *command, **cache)[1] == ""
    again = json.loads(run(CODE, "warmup", "--json", **cache)[0])
    assert len(again["kernels"]) == len(re.findall("float(?:32|64)", output))


def test_a_warmup_of_one_type_leaves_the_other_out(capsys):
    assert main(["warmup", "--dtype", "float32", "--json"]) == 0
    kernels = json.loads(capsys.readouterr().out)["kernels"]
    assert {row["dtype"] for row in kernels} == {"float32"}
    assert len(kernels) > 5


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "JSON"])
def test_a_warmup_that_keeps_nothing_says_so_and_why(capsys, as_json):
    row = {"kernel": "layered", "dtype": "float64", "seconds": 1.5}
    assert warmup.report([row], 2, "Permission denied", as_json) == 1
    out, err = capsys.readouterr()
    assert err == f"fastbp warmup: 2 kernels could not be kept in {_jit.cache_folder()}: Permission denied\n"
    if as_json:
        assert json.loads(out) == {"kernels": [row], "not_kept": 2}
    else:
        assert "kept for later" not in out
        assert "compile them again" in out


def test_a_cache_that_cannot_be_written_is_noticed(tmp_path):
    """For one kernel, as compiling all takes long."""
    (tmp_path / "file").write_text("where the cache's folder should be")
    code = TRAIN + "\nfrom fastbp import _jit\nprint(_jit.unsaved_kernels())"
    output, _ = run(code, "float64", "exact", NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert output.splitlines()[-1] == "(1, 'Not a directory; NUMBA_CACHE_DIR may name another folder')"
