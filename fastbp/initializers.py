"""Initial weights. Biases always start at zero.

Weights have mean 0 and variance ``gain / fan``. Uniform ones lie between -sqrt(3 gain / fan) and
sqrt(3 gain / fan).

==================  ====  =====================  ==========================================
name                gain  fan                    source
==================  ====  =====================  ==========================================
glorot_uniform      1     (n_in + n_out) / 2     Glorot & Bengio 2010, eq. 16
glorot_normal       1     (n_in + n_out) / 2     Glorot & Bengio 2010, eq. 12
he_uniform          2     n_in                   He, Zhang, Ren & Sun 2015, eq. 10
he_normal           2     n_in                   He, Zhang, Ren & Sun 2015, eq. 10
lecun_uniform       1     n_in                   LeCun, Bottou, Orr & Müller 1998, eq. 16
lecun_normal        1     n_in                   LeCun, Bottou, Orr & Müller 1998, eq. 16
zeros               0     any
==================  ====  =====================  ==========================================

``("uniform", r)`` draws all weights from -r to r, and ``("normal", s)`` with the standard deviation s. The
size of the layer does not count. Older recipes do this.
"""

import math

import numpy as np

from fastbp.errors import OptionError, as_drawn, check_number, nearest, number_drawn_by, shown

NAMES = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "zeros",
)

DISTRIBUTIONS = ("uniform", "normal")
"""What an initializer with a scale of its own may be."""

LARGEST_SCALE = 1e30
"""Weights of this size are finite in float32, too."""

Initializer = str | tuple[str, float]


def check_initializer(initializer: object) -> Initializer:
    """Return an initializer in the form that is stored, or say what it may be.

    Examples
    --------
    >>> check_initializer("he_normal"), check_initializer(["uniform", 1])
    ('he_normal', ('uniform', 1.0))
    """
    if not isinstance(initializer, tuple | list):
        if isinstance(initializer, str) and initializer in DISTRIBUTIONS:
            raise OptionError(
                f"initializer is {initializer!r}, and needs a scale, as in {as_drawn((initializer, 0.5))}"
            )
        if isinstance(initializer, str) and initializer in NAMES:
            return initializer
        raise OptionError(
            f"initializer is {shown(initializer)}, and may be {', '.join(map(repr, NAMES))}, or be like "
            f"{_pairs()}{nearest(initializer, (*NAMES, *DISTRIBUTIONS))}"
        )
    if len(initializer) != 2 or initializer[0] not in DISTRIBUTIONS:
        first = initializer[0] if initializer else ""
        near = "" if first in DISTRIBUTIONS else nearest(first, DISTRIBUTIONS)
        raise OptionError(
            f"initializer is {as_drawn(initializer)}, and a distribution must be like {_pairs()}{near}"
        )
    scale = number_drawn_by("initializer", 1)
    return initializer[0], check_number(scale, initializer[1], high=LARGEST_SCALE, above=True)


def _pairs() -> str:
    """Return examples of distributions, as the user would write them."""
    return " or ".join(as_drawn((name, 0.5)) for name in DISTRIBUTIONS)


def initial_weights(
    initializer: Initializer, n_in: int, n_out: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw the weights of one layer.

    Parameters
    ----------
    initializer : str or tuple
        As `check_initializer` returns it.
    n_in, n_out : int
        The number of the layer's inputs and outputs.
    generator : numpy.random.Generator
        Draws the numbers, and is advanced, except for zeros.

    Returns
    -------
    float64[n_in, n_out]
    """
    width, is_normal = weight_width(initializer, n_in, n_out)
    if width == 0:
        return np.zeros((n_in, n_out))
    if is_normal:
        return generator.normal(0.0, width, (n_in, n_out))
    return generator.uniform(-width, width, (n_in, n_out))


def weight_width(initializer: Initializer, n_in: int, n_out: int) -> tuple[float, bool]:
    """Return the standard deviation of normal weights, or the largest of uniform ones, and which they are.

    Examples
    --------
    >>> weight_width("lecun_normal", 4, 3), weight_width("zeros", 3, 4), weight_width(("uniform", 0.5), 3, 4)
    ((0.5, True), (0.0, False), (0.5, False))
    """
    if not isinstance(initializer, str):
        distribution, width = initializer
        return width, distribution == "normal"
    if initializer == "zeros":
        return 0.0, False
    method, _, distribution = initializer.partition("_")
    fan = (n_in + n_out) / 2 if method == "glorot" else n_in
    deviation = math.sqrt((2 if method == "he" else 1) / fan)
    if distribution == "normal":
        return deviation, True
    return math.sqrt(3) * deviation, False
