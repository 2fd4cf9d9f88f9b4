"""What a layout says fits together, whatever the network and the batch."""

from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.engine.division import LIMITS
from fastbp.engine.layout import JobOptions, is_read_in_place, make_layout
from fastbp.engine.packed_vectors import ALWAYS, IF_SMALLER, NEVER, Packing
from fastbp.kernels import fields
from fastbp.kernels.layered import ROWS_TOGETHER
from fastbp.kernels.nonzero import BLOCK
from fastbp.kernels.product import padded
from fastbp.memory import aligned_zeros
from fastbp.specification import Specification

SPECIFICATIONS = st.builds(
    Specification,
    st.lists(st.one_of(st.integers(1, 40), st.integers(1, 1200)), min_size=2, max_size=5),
    hidden_activations=st.sampled_from(["sigmoid", "gelu"]),
    output_activation=st.just("sigmoid"),
    loss_name=st.sampled_from(["half_squared_error", "binary_cross_entropy"]),
    bias=st.sampled_from(["trainable", "none"]),
    dtype=st.sampled_from(["float32", "float64"]),
)

OPTIONS = st.fixed_dictionaries(
    {
        "batch_size": st.one_of(st.integers(1, 100), st.integers(1, 100_000)),
        "X_in_place": st.booleans(),
        "transposed": st.booleans(),
        "sequential": st.booleans(),
        "clips": st.booleans(),
        "drops": st.booleans(),
    }
)

MODES = st.sampled_from([fields.TRAIN, fields.GRADIENT_ONLY])


@given(SPECIFICATIONS, MODES, OPTIONS)
def test_equal_arguments_give_equal_layouts_that_cannot_be_changed(specification, mode, options):
    layout = make_layout(specification, JobOptions(mode, **options))
    assert layout == make_layout(specification, JobOptions(mode, **options))
    with pytest.raises(FrozenInstanceError):
        layout.tile_rows = 7


@given(SPECIFICATIONS, MODES, OPTIONS)
def test_rows_are_divided_alike_for_any_number_of_threads(specification, mode, options):
    one, many = (make_layout(specification, JobOptions(mode, n_threads=n, **options)) for n in (1, 5))
    assert replace(many, options=one.options) == one


@given(SPECIFICATIONS, MODES, OPTIONS)
def test_what_a_work_area_holds_does_not_overlap(specification, mode, options):
    layout = make_layout(specification, JobOptions(mode, **options))
    rows = -(-layout.tile_rows // ROWS_TOGETHER) * ROWS_TOGETHER
    spans = [(layout.row_sums_at, rows), (layout.scratch_at, 1), (layout.strips_at, 0)]
    itemsize, block_rows = layout.dtype.itemsize, -(-layout.tile_rows // BLOCK) * BLOCK
    spans.append((layout.row_bits_at, rows * layout.row_bytes // itemsize))
    spans.append((layout.column_bits_at, block_rows * layout.row_bytes // itemsize))
    for number, boundary in enumerate(layout.boundaries):
        places = [boundary.a_at] if number or not layout.options.X_in_place else []
        if number:
            places.append(boundary.delta_at)
            places += [boundary.z_at] * (boundary.z_at != boundary.a_at)
        if layout.options.drops and 0 < number < layout.n_layers:
            places += [boundary.dropped_at, boundary.mask_at]
        spans += [(at, rows * boundary.row) for at in places]
    spans.sort()
    assert all(at + size <= following for (at, size), (following, _) in pairwise(spans))
    assert spans[-1][0] + spans[-1][1] <= layout.work_size


@given(SPECIFICATIONS, MODES, OPTIONS, st.booleans())
def test_items_are_all_parameters_once(specification, mode, options, biases):
    layout = make_layout(specification, JobOptions(mode, trains_biases=biases, **options))
    found = [
        (layer, row)
        for layer, first, rows, takes_b in layout.item_rows
        for row in [*range(first, first + rows), *[-1] * takes_b]
    ]
    wanted = [(n, row) for n, packed in enumerate(layout.packing.layers) for row in range(packed.n_rows)]
    wanted += [(n, -1) for n in range(layout.n_layers)] if biases else []
    assert sorted(found) == sorted(wanted)
    scratch = layout.strips_at - layout.scratch_at
    for layer, first, rows, takes_b in layout.item_rows:
        packed = layout.packing.layers[layer]
        n_biases = packed.b_size if takes_b or first < 0 else 0
        assert n_biases + (rows * packed.row if first >= 0 else 0) <= scratch


@given(SPECIFICATIONS, MODES, OPTIONS)
def test_there_is_a_partial_sum_for_every_binary_digit_of_the_number_of_tiles(specification, mode, options):
    layout = make_layout(specification, JobOptions(mode, **options))
    assert 0 <= layout.n_groups <= LIMITS.n_groups
    assert not (layout.n_groups and layout.options.sequential)
    rows = -(-layout.options.batch_size // max(1, layout.n_groups))
    tiles = -(-rows // (1024 if layout.options.sequential else layout.tile_rows))
    if layout.n_partial_sums:
        assert 2 ** (layout.n_partial_sums - 1) <= tiles < 2**layout.n_partial_sums
    else:  # the update consumes the gradient of a single tile
        assert mode == fields.TRAIN
        assert tiles == 1
        assert not any([layout.n_groups, layout.options.sequential, layout.options.clips])


@given(SPECIFICATIONS, st.sampled_from([NEVER, IF_SMALLER, ALWAYS]))
def test_packing_and_unpacking_give_theta_back(specification, transposed):
    theta = np.arange(1, specification.n_parameters + 1, dtype=specification.dtype)
    for packing in (Packing.padded(specification, transposed=transposed), Packing.as_theta(specification)):
        packed = aligned_zeros(packing.size, specification.dtype)
        packing.pack(theta, packed)
        assert np.array_equal(packing.unpack(packed), theta)
        assert np.count_nonzero(packed) == theta.size
    assert np.array_equal(packed[: theta.size], theta)


@given(SPECIFICATIONS, st.sampled_from([NEVER, IF_SMALLER, ALWAYS]))
def test_packed_rows_are_whole_vectors_and_do_not_overlap(specification, transposed):
    packing = Packing.padded(specification, transposed=transposed)
    ends = 0
    for layer in packing.layers:
        assert layer.row == padded(layer.n_columns, specification.dtype.itemsize) >= layer.n_columns
        assert layer.b_at == ends
        assert layer.W_at == layer.b_at + layer.b_size
        assert layer.W_size >= layer.n_rows * layer.row
        ends = layer.W_at + layer.W_size
    assert ends == packing.size


@pytest.mark.parametrize(
    ("X", "is_so"),
    [
        (np.ones((6, 3)), True),
        (np.ones((12, 3))[::2], True),
        (np.ones((6, 4))[:, :3], True),
        (np.ones((6, 1)), True),
        (np.ones((6, 2))[:, ::2], True),  # a single column
        (np.ones((6, 3), np.float32), False),
        (np.ones((3, 6)).T, False),
        (np.ones((6, 3))[:, ::-1], False),
    ],
)
def test_X_is_read_in_place_if_rows_are_as_kernels_read_them(X, is_so):
    assert is_read_in_place(X, np.dtype(float)) is is_so
