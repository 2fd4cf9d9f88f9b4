"""A number that a user passes is the same number whatever its type."""

import dataclasses
import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import fastbp
from fastbp import RPROP, SGD, Adam, AdamW, Checkpoint, EarlyStopping, OptionError, RMSprop, schedules
from tests.numbers import INTEGER_TYPES, REAL_TYPES, numbers, same

DATACLASSES = [
    (SGD, {}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (RMSprop, {}),
    (Adam, {}),
    (AdamW, {}),
    (RPROP, {}),
    (schedules.Constant, {"initial": 0.1}),
    (schedules.InverseScaling, {"initial": 0.1}),
    (schedules.StepDecay, {"initial": 0.1, "every": 3}),
    (schedules.ExponentialDecay, {"initial": 0.1, "factor": 0.9}),
    (schedules.CosineDecay, {"initial": 0.1, "steps": 10}),
    (schedules.LinearWarmup, {"schedule": 0.1, "steps": 3}),
    (schedules.Adaptive, {"initial": 0.1}),
    (EarlyStopping, {}),
    (Checkpoint, {"path": "folder"}),
]
FIELDS = [
    pytest.param(made, options, field.name, id=f"{made.__name__}-{'-'.join(options)}-{field.name}")
    for made, options in DATACLASSES
    for field in dataclasses.fields(made)
    if re.search(r"\b(float|int)\b", str(field.type)) and field.name != "monitor"
]


def outcome(make):
    try:
        return make()
    except OptionError:
        return None


def test_every_field_that_is_a_number_is_tried():
    assert len(FIELDS) >= 51, [field.id for field in FIELDS]


@pytest.mark.parametrize(("made", "options", "field"), FIELDS)
def test_a_field_holds_a_plain_number_whatever_was_given(made, options, field):
    """And what the float of a number may not be, the number may not be."""
    taken = 0
    for name, number in numbers():
        got = outcome(lambda: made(**options | {field: number}))  # noqa: B023
        plain = next(f for f in dataclasses.fields(made) if f.name == field)
        integer = plain.type in (int, int | None) or field == "every"
        expected = outcome(lambda: made(**options | {field: (int if integer else float)(same(number))}))  # noqa: B023
        if integer and not hasattr(number[()] if isinstance(number, np.ndarray) else number, "__index__"):
            assert got is None, name
            continue
        assert (got, repr(got)) == (expected, repr(expected)), name
        if got is not None:
            taken += 1
            assert type(getattr(got, field)) is (int if integer else float), name
    assert taken >= 10


NO_NUMBERS = (
    math.nan, math.inf, -math.inf, np.float32("nan"), np.float16("inf"), np.longdouble("nan"),
    10**400, -(10**400), 10**5000, Fraction(10**400, 3), Fraction(-(10**5000)), Decimal("1e400"),
    Decimal("inf"), Decimal("nan"), Decimal("snan"), np.longdouble("1e400"), np.array(math.nan),
    np.array([0.5]), np.array("0.5"), 0.5 + 0j, np.complex64(0.5), "0.5", b"0.5", [0.5], object, True,
    np.True_, np.array(True), np.datetime64("2020"), np.timedelta64(1, "s"), np.ma.masked,
)  # fmt: skip


@pytest.mark.parametrize(("made", "options", "field"), FIELDS)
def test_what_is_no_number_or_none_that_a_float_holds_is_refused(made, options, field):
    for number in NO_NUMBERS:
        with np.errstate(all="raise"), pytest.raises(OptionError, match=rf"^{field} is ") as caught:
            made(**options | {field: number})
        assert len(str(caught.value)) < 1000


# --- to the kernels ------------------------------------------------------------------------------------

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])

KERNELS = {
    "fused222 fast": {"kernel": "fused222", "batch_size": 1},
    "fused222 exact": {"kernel": "fused222", "batch_size": 1, "math": "exact"},
    "online": {"kernel": "online", "batch_size": 1},
    "layered": {"kernel": "layered", "batch_size": 2},
}


def trained(optimizer, *, dtype="float64", **options):
    network = fastbp.Network([2, 2, 2], dtype=dtype, seed=1)
    if not {"epochs", "steps"} & set(options):
        options["epochs"] = 3
    result = fastbp.train(network, X, Y, **{"optimizer": optimizer, "seed": 0} | options)
    return network.theta.tobytes(), result.loss_curve.tobytes(), result.history["learning_rate"].tobytes()


RATES = {
    "number": lambda rate: rate,
    "Constant": schedules.Constant,
    "InverseScaling": lambda rate: schedules.InverseScaling(rate, power=rate, decay_steps=rate),
    "StepDecay": lambda rate: schedules.StepDecay(rate, every=2, factor=rate),
    "ExponentialDecay": lambda rate: schedules.ExponentialDecay(rate, rate, rate),
    "CosineDecay": lambda rate: schedules.CosineDecay(rate, steps=5, final=rate),
    "LinearWarmup": lambda rate: schedules.LinearWarmup(rate, steps=2),
    "Adaptive": lambda rate: schedules.Adaptive(rate, tolerance=rate, minimum=rate),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("kernel", "rate"),
    [
        (kernel, rate)
        for kernel in KERNELS
        for rate in RATES
        if not kernel.startswith("fused222") or rate in ("number", "Adaptive")  # it takes no others
    ],
)
def test_a_learning_rate_of_any_type_trains_as_the_float_does(kernel, rate, dtype):
    options, make = KERNELS[kernel] | {"dtype": dtype}, RATES[rate]
    expected = {value: trained(SGD(make(value)), **options) for value in (0.5, 1.0)}
    assert expected[0.5] != expected[1.0]
    for kinds, value in ((REAL_TYPES, 0.5), (INTEGER_TYPES, 1)):
        for name, kind in kinds.items():
            assert trained(SGD(make(kind(value))), **options) == expected[value], name


@pytest.mark.parametrize(
    ("make", "kernel"),
    [
        (lambda half: SGD(0.1, momentum=half, nesterov=True, weight_decay=half), "layered"),
        (lambda half: SGD(0.1, weight_decay=half), "online"),
        (lambda half: RMSprop(half, alpha=half, epsilon=half, momentum=half, weight_decay=half), "layered"),
        (lambda half: Adam(half, beta1=half, beta2=half, epsilon=half, weight_decay=half), "layered"),
        (lambda half: AdamW(half, beta1=half, beta2=half, epsilon=half, weight_decay=half), "layered"),
        (lambda half: RPROP(half, eta_minus=half, eta_plus=4, smallest_step=half, largest_step=1), "layered"),
    ],
    ids=["SGD", "SGD online", "RMSprop", "Adam", "AdamW", "RPROP"],
)
def test_a_hyper_parameter_of_any_type_trains_as_the_float_does(make, kernel):
    expected = trained(make(0.5), **KERNELS[kernel])
    for name, kind in REAL_TYPES.items():
        assert trained(make(kind(0.5)), **KERNELS[kernel]) == expected, name


@pytest.mark.parametrize(
    "options", [{"l2": 0.5}, {"dropout": 0.5}, {"gradient_clip_norm": 0.5}, {"max_seconds": 60.5}], ids=str
)
def test_a_real_option_of_any_type_trains_as_the_float_does(options):
    ((name, value),) = options.items()
    expected = trained(SGD(0.5), **options)
    for kind in REAL_TYPES.values():
        assert trained(SGD(0.5), **{name: kind(value)}) == expected


@pytest.mark.parametrize("option", ["epochs", "steps", "batch_size", "threads", "seed", "l2"])
def test_an_integer_option_of_any_type_trains_as_the_int_does(option):
    expected = trained(SGD(0.5), **{option: 1})
    for name, kind in INTEGER_TYPES.items():
        assert trained(SGD(0.5), **{option: kind(1)}) == expected, name


def test_sizes_and_seeds_of_a_network_may_be_integers_of_any_type():
    for kind in INTEGER_TYPES.values():
        network = fastbp.Network([kind(1), kind(1)], seed=kind(1))
        assert set(map(type, network.layer_sizes)) == {int}
        assert network.theta.tobytes() == fastbp.Network([1, 1], seed=1).theta.tobytes()


@pytest.mark.parametrize("option", ["epochs", "steps", "batch_size", "threads", "seed"])
def test_an_integer_option_that_is_none_is_refused(option):
    for value in (10**5000, 1.0, np.float32(1), Fraction(1), "1", True, np.True_):
        with pytest.raises(OptionError, match=rf"^{option} is "):
            trained(SGD(0.5), **{option: value})


@pytest.mark.parametrize("sizes", [[10**5000, 1], [1, True], [np.True_, 1]], ids=["huge", "bool", "np.bool"])
def test_a_size_that_is_none_is_refused(sizes):
    with pytest.raises(OptionError, match=r"^layer_sizes is "):
        fastbp.Network(sizes)


def test_a_schedule_may_be_asked_for_steps_of_any_integer_type():
    schedule = schedules.InverseScaling(0.1)
    for kind in (np.int8, np.uint8, np.int64):
        assert schedule.rates(kind(100), kind(100)).tobytes() == schedule.rates(100, 100).tobytes()
        assert schedule.rate(kind(100)) == schedule.rate(100)


def test_the_loss_that_an_adaptive_rate_sees_may_be_of_any_type():
    schedule = schedules.Adaptive(0.1)
    state = schedule.after_epoch(schedule.start(), np.float32(0.5))
    assert type(state.best_loss) is float
