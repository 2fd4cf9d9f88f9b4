import numpy as np
import pytest

from fastbp.errors import OptionError
from fastbp.initializers import NAMES, check_initializer, initial_weights

N_IN, N_OUT = 300, 500

VARIANCE = {
    "glorot": 2 / (N_IN + N_OUT),
    "he": 2 / N_IN,
    "lecun": 1 / N_IN,
}


def draw(name, seed=0):
    return initial_weights(name, N_IN, N_OUT, np.random.default_rng(seed))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "zeros"])
def test_weights_have_the_mean_and_variance_of_their_source(name):
    W = draw(name)
    method, _, distribution = name.partition("_")
    assert W.shape == (N_IN, N_OUT)
    # 150,000 draws: the standard error of the mean is 0.26 % of a deviation, of the variance 0.37 % at most.
    assert abs(W.mean()) < 0.015 * np.sqrt(VARIANCE[method])
    assert W.var() == pytest.approx(VARIANCE[method], rel=0.02)
    largest = np.abs(W).max() / np.sqrt(VARIANCE[method])
    if distribution == "uniform":
        assert np.sqrt(3) * 0.999 < largest <= np.sqrt(3)
    else:
        assert largest > 3


@pytest.mark.parametrize("name", NAMES)
def test_the_same_generator_gives_the_same_weights(name):
    np.testing.assert_array_equal(draw(name), draw(name))
    if name != "zeros":
        assert not np.array_equal(draw(name), draw(name, seed=1))


@pytest.mark.parametrize(("pair", "deviation"), [(("uniform", 0.5), 0.5 / np.sqrt(3)), (["normal", 2], 2)])
def test_a_pair_has_its_own_scale(pair, deviation):
    checked = check_initializer(pair)
    assert checked == tuple(pair)
    W = initial_weights(checked, N_IN, N_OUT, np.random.default_rng(0))
    assert abs(W.mean()) < 0.015 * deviation
    assert W.std() == pytest.approx(deviation, rel=0.01)
    assert (np.abs(W).max() <= 0.5) == (pair[0] == "uniform")


@pytest.mark.parametrize(
    ("initializer", "complaint"),
    [
        ("uniform", r"needs a scale, as in \('uniform', 0.5\)"),
        (("unifrom", 1), "did you mean 'uniform'"),
        (("uniform", 0), r"initializer\[1\] is 0, and must be a finite number above 0"),
        (("normal", np.inf), r"initializer\[1\] is inf"),
        (("normal", 1e31), r"at most 1e\+30"),
        (("normal", "wide"), r"initializer\[1\] is 'wide'"),
        (("normal",), r"a distribution must be like \('uniform', 0.5\) or \('normal', 0.5\)"),
        ((), "a distribution must be"),
        ((["normal"], 1), "a distribution must be"),
        (
            {"normal": 1},
            r"initializer is {'normal': 1}, and may be .*'zeros', or be like \('uniform', 0.5\) or",
        ),
        (("uniform", 1, 2), r"a distribution must be like \('uniform', 0.5\) or \('normal', 0.5\)$"),
        ("unifrom", "did you mean 'uniform'"),
    ],
)
def test_a_pair_that_cannot_be_is_named(initializer, complaint):
    with pytest.raises(OptionError, match=complaint):
        check_initializer(initializer)


def test_zeros_are_zero_and_draw_nothing():
    generator = np.random.default_rng(0)
    assert not initial_weights("zeros", 2, 3, generator).any()
    assert generator.random() == np.random.default_rng(0).random()


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match=r"did you mean 'glorot_uniform'\?"):
        check_initializer("glorot_unifrom")
