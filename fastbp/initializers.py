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
"""

import math

import numpy as np

from fastbp.errors import check_choice

NAMES = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "zeros",
)


def check_initializer(name: object) -> str:
    """Return `name` if it is an initializer that fastbp has."""
    return check_choice("initializer", name, NAMES)


def initial_weights(name: str, n_in: int, n_out: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the weights of one layer.

    Parameters
    ----------
    name : str
        One of the names in the module's table.
    n_in, n_out : int
        The number of the layer's inputs and outputs.
    generator : numpy.random.Generator
        Draws the numbers, and is advanced.

    Returns
    -------
    float64[n_in, n_out]
    """
    width, is_normal = weight_width(name, n_in, n_out)
    if width == 0:
        return np.zeros((n_in, n_out))
    if is_normal:
        return generator.normal(0.0, width, (n_in, n_out))
    return generator.uniform(-width, width, (n_in, n_out))


def weight_width(name: str, n_in: int, n_out: int) -> tuple[float, bool]:
    """Return the standard deviation of normal weights, or the largest of uniform ones, and which they are.

    Examples
    --------
    >>> weight_width("lecun_normal", 4, 3), weight_width("zeros", 3, 4)
    ((0.5, True), (0.0, False))
    """
    if check_initializer(name) == "zeros":
        return 0.0, False
    method, _, distribution = name.partition("_")
    fan = (n_in + n_out) / 2 if method == "glorot" else n_in
    deviation = math.sqrt((2 if method == "he" else 1) / fan)
    if distribution == "normal":
        return deviation, True
    return math.sqrt(3) * deviation, False
