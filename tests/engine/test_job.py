"""No address goes to a kernel whose array was not compared with what the kernel reads there."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numba import TypingError, njit

import fastbp
from fastbp.engine.evaluation import Predictor
from fastbp.engine.job import Job
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.layout import JobOptions, Span, make_layout
from fastbp.engine.online_run import OnlineRun
from fastbp.kernels import fields
from fastbp.memory import aligned_zeros
from fastbp.optimizers import Adam
from fastbp.simd import address, number_of, same_type

SIZES = [3, 5, 2]


def jobs() -> dict[str, Job]:
    """Return a job of every mode, with all the arrays that it may have."""
    made = {}
    for dtype, name in (("float64", ""), ("float32", " in float32")):
        labels = fastbp.Network(
            SIZES, output_activation="softmax", loss="categorical_cross_entropy", dtype=dtype
        )
        network = fastbp.Network(SIZES, dtype=dtype)
        X, Y, weights = np.ones((6, 3), dtype), np.ones((6, 2), dtype), np.ones(6)
        for kind, of, targets, batch_size, optimizer in (
            (LayeredRun, network, Y, 4, Adam()),
            (LayeredRun, labels, np.zeros(6, np.int64), 4, Adam()),
            (OnlineRun, network, Y, 1, fastbp.SGD()),
        ):
            options = KernelOptions(
                6, epochs=3, steps=None, batch_size=batch_size, optimizer=optimizer,
                sample_weight=weights, threads=2 if batch_size > 1 else 1,
                gradient_clip_norm=1.0 if batch_size > 1 else None,
            )  # fmt: skip
            run = kind(of.specification, of.theta, X, targets, options)
            made[f"{kind.name} of {of.loss_name}{name}"] = run.make_job(
                {"theta": run.parameters, "state": run.optimizer_state}
            )
        specification = network.specification
        layout = make_layout(specification, JobOptions(fields.GRADIENT_ONLY, 6, n_threads=2, batch_size=6))
        packed = aligned_zeros(layout.packing.size, dtype)
        made["gradient" + name] = Job(layout, {"theta": packed, "X": X, "Y": Y, "weights": weights})
        for mode, kind in ((fields.LOSS_ONLY, "loss"), (fields.PREDICT, "predict")):
            arrays = {"theta": network.theta, "X": X, "Y": Y.copy()}
            made[kind + name] = Job(make_layout(specification, JobOptions(mode, 6, X_in_place=False)), arrays)
    return made


JOBS = jobs()


def arrays_of(job: Job) -> dict[str, np.ndarray]:
    """Return the arrays of a job by the names of their fields, X aside: that may have strides."""
    return {name: array for name, array in job.arrays.items() if name != "X"}


def spoilt(array: np.ndarray, least: int) -> dict[str, object]:
    """Return arrays like this one that a kernel would misread."""
    kinds = (
        np.float16,
        np.float32,
        np.float64,
        np.longdouble,
        np.int32,
        np.int64,
        np.uint64,
        np.uint8,
        object,
    )
    others = {kind.__name__: np.zeros(array.shape, kind) for kind in kinds if np.dtype(kind) != array.dtype}
    others |= {
        "the other byte order": array.astype(array.dtype.newbyteorder()),
        "complex": array.astype(np.complex128),
        "a list": array.tolist(),
        "a number": 3,
        "a float": 3.0,
    }
    if array.size:
        others["not aligned"] = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype)
    if array.size > 1:
        others["every other element"] = np.repeat(array.reshape(-1), 2)[::2]
        others["backwards"] = array.reshape(-1)[::-1]
    if array.ndim == 2 and min(array.shape) > 1:
        others["in Fortran's order"] = np.asfortranarray(array)
    if least:
        others["too short"] = array.reshape(-1)[: least - 1]
        others["empty"] = array.reshape(-1)[:0]
    return others


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_an_array_that_a_kernel_would_misread_is_refused(job):
    for name, array in arrays_of(job).items():
        if array.size == 0:
            continue  # a buffer that this mode does not need
        before = job.integers.tolist()
        assert array.size >= job.least(name)
        for wrong, other in spoilt(array, job.least(name)).items():
            with pytest.raises(TypeError, match=rf"^{name} ") as caught:
                job.replace(name, other)
            assert "must be" in str(caught.value), wrong
        assert job.integers.tolist() == before
        assert job.arrays[name] is array


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_an_array_is_taken_that_is_a_part_of_another_one(job):
    for name, array in arrays_of(job).items():
        part = aligned_zeros(array.size + 10, array.dtype)[5 : 5 + array.size].reshape(array.shape)
        try:
            job.replace(name, part)
            assert job[name] == part.ctypes.data
        finally:
            job.replace(name, array)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_a_kernel_writes_into_may_not_be_read_only(job):
    for name, array in arrays_of(job).items():
        read_only = array.view()
        read_only.flags.writeable = False
        if job.layout.needs[name].is_written:
            with pytest.raises(TypeError, match="read-only"):
                job.replace(name, read_only)
        else:
            job.replace(name, read_only)
            job.replace(name, array)


def test_what_kernels_write_is_known():
    """Which arrays have to be writable, in a job for what."""
    always = {name for name, field in fields.JOB.items() if fields.KERNEL in field.written_by}
    always -= {"has_transposes", "done_rows"}  # numbers
    assert {"order", "counters", "losses", "gradient", "work", "state"} < always
    written = {
        name: {array for array in arrays_of(job) if job.layout.needs[array].is_written} - always
        for name, job in JOBS.items()
        if "float32" not in name
    }
    assert written == {
        "layered of half_squared_error": {"theta", "transposes"},
        "layered of categorical_cross_entropy": {"theta", "transposes"},
        "online of half_squared_error": {"theta", "transposes"},
        "gradient": {"transposes"},
        "loss": set(),
        "predict": {"Y"},
    }


def test_every_field_with_an_address_is_tried():
    tried = {name for job in JOBS.values() for name in job.arrays}
    assert tried == {name for name, field in fields.JOB.items() if field.is_address}


def test_kernels_use_every_field():
    tables = Path(fields.__file__)
    kernels = "".join(path.read_text() for path in tables.parent.glob("*.py") if path != tables)
    named = set(re.findall(r'"(\w+)"', kernels))
    named |= {"transposes", "n_lanes"}  # which they read layer by layer, as WT; the length of arrays alone
    assert [name for table in fields.RECORDS.values() for name in table if name not in named] == []


def test_every_dimension_of_an_array_is_known():
    assert all(JOBS["loss"].layout[n] >= 0 for field in fields.JOB.values() for n in field.shape)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_an_array_that_a_kernel_needs_may_not_be_missing(job):
    made = {name for name, _, _ in job.layout.buffers.slices}
    for name in ("theta", "order", "X", "Y", "labels"):
        if name in job.arrays and job.arrays[name].size and name not in made:
            given = {other: array for other, array in job.arrays.items() if other != name}
            with pytest.raises(TypeError, match="None"):
                Job(job.layout, given)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_job_does_not_depend_on_the_order_in_which_arrays_are_given(job):
    given, turned = (Job(job.layout, arrays) for arrays in (job.arrays, dict(reversed(job.arrays.items()))))
    assert given.integers.tolist() == turned.integers.tolist()
    filled = [name for name, array in job.arrays.items() if array.size]  # an empty one may lie anywhere
    assert [given[name] for name in filled] == [job[name] for name in filled]


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_boundaries_point_into_the_arrays_that_are_there(job):
    name = "theta"
    other = aligned_zeros(job.arrays[name].size, job.arrays[name].dtype)
    before, present = job.integers.copy(), job.arrays[name]
    try:
        job.replace(name, other)
        moved = np.flatnonzero(job.integers != before)
        assert len(moved) >= 1 + 2 * 2  # theta itself, and W and b of two layers
        assert set(job.integers[moved] - before[moved]) == {other.ctypes.data - present.ctypes.data}
    finally:
        job.replace(name, present)
    assert (job.integers == before).all()


def test_a_boundary_points_to_elements_that_there_are():
    network = fastbp.Network(SIZES, bias="none")
    layout = make_layout(network.specification, JobOptions(fields.LOSS_ONLY))
    for at, size in ((0, 26), (20, 6), (-1, 3), (26, 0), (3, -4), (30, -10)):
        wrong = replace(layout.boundaries[0], W=Span("theta", at, size))
        with pytest.raises(TypeError, match="W of boundary 0 cannot point to elements"):
            Job(replace(layout, boundaries=(wrong, *layout.boundaries[1:])), {"theta": network.theta})


def test_rates_are_counted_where_they_are_handed_over():
    job = jobs()["gradient"]
    job.set_rates(5, np.zeros(7))
    assert (job["first_step"], job["n_rates"], job["rates"]) == (5, 7, job.arrays["rates"].ctypes.data)
    with pytest.raises(TypeError, match="rates is"):
        job.set_rates(5, np.zeros(0))


def test_items_are_those_of_the_layout():
    job = JOBS["gradient"]
    assert job["n_items"] == len(job.layout.item_rows) == job.arrays["items"].size // len(fields.ITEM)
    assert job.arrays["items"].reshape(-1, len(fields.ITEM)).tolist() == list(map(list, job.layout.item_rows))


@pytest.mark.parametrize("value", [1.0, np.float64(1), None, "1", np.zeros(3), [1]], ids=str)
def test_a_number_is_an_integer(value):
    with pytest.raises(TypeError):
        JOBS["gradient"].set("done_rows", value)


@pytest.mark.parametrize("name", ["batch_size", "X_row", "n_partial_sums", "theta"])
def test_what_the_layout_and_the_arrays_fix_cannot_be_set(name):
    with pytest.raises(TypeError, match=f"{name} is not for a run to set"):
        JOBS["gradient"].set(name, 1)


def test_there_is_a_work_area_for_every_thread():
    job = jobs()["gradient"]
    for n_threads in (1, 2):
        job.set("n_threads", n_threads)
        assert job["n_threads"] == n_threads
    for n_threads in (0, 3):
        with pytest.raises(ValueError, match="there are 2 work areas"):
            job.set("n_threads", n_threads)
    with pytest.raises(TypeError, match="work is"):
        job.replace("work", job.arrays["work"][: job["work_size"]])


@pytest.mark.parametrize("name", ["X", "Y", "weights"])
def test_data_of_the_same_form_are_taken_in_place_of_others(name):
    job = jobs()["gradient"]
    other, before = job.arrays[name].copy(), job.integers.copy()
    job.replace(name, other)
    changed = np.flatnonzero(job.integers != before)
    assert changed.tolist() == [fields.place_in_job(name)]
    assert job.integers[changed] == [other.ctypes.data]
    assert job.arrays[name] is other


@pytest.mark.parametrize(
    "X",
    [
        np.ones((6, 3), np.float16),
        np.ones((6, 3), np.int64),
        np.ones((6, 3), ">f8"),
        np.ones((6, 3), np.longdouble),
        np.ones((5, 3)),
        np.ones((6, 2)),
        np.ones(18),
        np.zeros(6 * 3 * 8 + 1, np.uint8)[1:].view(float).reshape(6, 3),
        np.lib.stride_tricks.as_strided(np.ones(40), (6, 3), (28, 8)),
        [[1.0] * 3] * 6,
    ],
    ids=lambda X: f"{getattr(X, 'dtype', 'list')} {np.shape(X)}",
)
def test_X_may_have_strides_but_no_other_type_or_shape(X):
    job = jobs()["loss"]
    for strided in (np.ones((12, 3))[::2], np.ones((3, 6)).T, np.ones((6, 9), np.uint8)[:, ::-3]):
        job.replace("X", strided)
    with pytest.raises(TypeError, match=r"^X is .*, which no kernel can read"):
        job.replace("X", X)


def test_X_that_is_read_in_place_has_the_type_of_the_network_and_unit_stride():
    job = jobs()["gradient"]
    assert job["X_in_place"]
    for wrong in (np.ones((3, 6)).T, np.ones((6, 3), np.float32), np.ones((6, 6))[:, ::2]):
        with pytest.raises(TypeError, match="X is"):
            job.replace("X", wrong)
    job.replace("X", np.ones((12, 4))[::2, :3])
    assert (job["X_row"], job.integers[fields.place_in_job("row", 0)]) == (8, 8)


def test_theta_must_have_room_for_whole_vectors():
    network = fastbp.Network(SIZES)
    theta = np.zeros(network.theta.size)
    with pytest.raises(TypeError, match="theta has no room after it"):
        Job(make_layout(network.specification, JobOptions(fields.LOSS_ONLY)), {"theta": theta})


# --- the arrays of single predictions ------------------------------------------------------------------


@njit
def addresses(inputs, outputs):
    """Take the addresses that `layered` takes, as it does."""
    return number_of(same_type(address(inputs), address(outputs)))


@pytest.mark.parametrize(
    "X",
    [
        np.ones((4, 3), np.float32),
        np.ones((4, 3), np.int64),
        np.asfortranarray(np.ones((4, 3))),
        np.ones((4, 6))[:, ::2],
    ],
    ids=lambda X: f"{X.dtype} {X.strides}",
)
def test_inputs_of_another_type_or_order_do_not_compile(X):
    out = np.ones((4, 2))
    assert addresses(np.ones((4, 3)), out) != 0
    with pytest.raises(TypingError, match="is not"):
        addresses(X, out)


@pytest.mark.parametrize(("n_rows", "n_columns"), [(3, 3), (5, 3), (4, 2), (4, 4), (0, 3)])
def test_inputs_of_another_shape_leave_the_outputs_as_they_are(n_rows, n_columns):
    network, out = fastbp.Network(SIZES), np.full((4, 2), 7.0)
    assert not Predictor(network.specification, network.theta)(np.ones((n_rows, n_columns)), out)
    assert (out == 7).all()
