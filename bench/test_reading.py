"""A million rows of 20 columns: read, checked and standardised, beside polars alone."""

import numpy as np
import polars as pl
import pytest

from fastbp import data


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    generator = np.random.default_rng(0)
    n_rows = 1_000_000
    columns = {f"c{i}": generator.normal(size=n_rows).round(6) for i in range(15)}
    columns |= {f"i{i}": generator.integers(0, 100_000, n_rows) for i in range(5)}
    path = tmp_path_factory.mktemp("rows") / "million.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.mark.benchmark(group="a million rows of 20 columns")
def test_polars_reads(benchmark, path):
    frame = benchmark.pedantic(pl.read_csv, (path,), rounds=5, warmup_rounds=1)
    assert frame.shape == (1_000_000, 20)


@pytest.mark.benchmark(group="a million rows of 20 columns")
def test_fastbp_reads_checks_and_standardises(benchmark, path):
    dataset = benchmark.pedantic(data.load, (path,), {"target": "c0"}, rounds=5, warmup_rounds=1)
    assert dataset.X.shape == (1_000_000, 19)
    assert abs(dataset.X.mean()) < 1e-9
