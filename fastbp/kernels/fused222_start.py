"""A run of the 2-2-2 network starts over in one call."""

import numpy as np

from fastbp._jit import helper, kernel
from fastbp.kernels.fused222 import CARRY
from fastbp.kernels.layered import times_zero
from fastbp.kernels.records import get, record_at, write
from fastbp.kernels.slots import SLOT
from fastbp.simd import address, cast, put


@helper
def place_of_parameter(k, n):
    """Return where the kernel has parameter k of a `Network.theta` of n: with 8, there are no biases."""
    return k if n == 12 or k < 4 else k + 2


@kernel
def start_fused_over(fused_address, theta, X, T):
    """Begin again on other samples, if they are finite.

    Parameters
    ----------
    fused_address : int
        The address of the words of `fields.FUSED`.
    theta : array, shape (12,) or (8,)
        The parameters, laid out as `Network.theta`; those of a network without biases are the weights.
    X, T : array, shape (n_samples, 2)
        C-contiguous. The caller keeps them alive until the run is over.

    Returns
    -------
    bool
        False if a number is infinite or NaN. Then the samples are undefined.
    """
    fused = record_at("fused", fused_address, X)
    if times_zero(address(X), X.size) != 0 or times_zero(address(T), T.size) != 0:
        return False
    write(fused, "X", address(X))
    write(fused, "T", address(T))
    for k in range(theta.size):
        put(get(fused, "parameters"), place_of_parameter(k, theta.size), theta[k])
    for i in range(CARRY):
        put(get(fused, "carry"), i, cast(0.0, theta[0]))
    if get(fused, "guesses") != 0:  # a slot knows the sample's targets
        for i in range(get(fused, "n_samples") * SLOT):
            put(get(fused, "slots"), i, cast(np.nan, theta[0]))
    counters = get(fused, "counters")
    write(counters, "step", 0)
    write(counters, "position", -1)
    write(counters, "recorded", 0)
    if get(fused, "shuffles") != 0:
        for i in range(get(fused, "n_samples")):
            put(get(fused, "order"), i, i)
    return True
