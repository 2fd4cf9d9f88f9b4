"""The samples of a step: which they are, what they weigh, and where their losses go."""

from fastbp._jit import helper
from fastbp.kernels.fields import IN_ORDER
from fastbp.kernels.records import get, has
from fastbp.simd import element, shifted


@helper
def sample_at(job, i):
    """Return the sample at position i of the epoch."""
    if get(job, "ordering") == IN_ORDER:
        return i
    return element(get(job, "order"), get(job, "order_at") + i)


@helper
def weight_of(job, sample):
    """Return the weight of a sample."""
    return element(get(job, "weights"), sample) if has(job, "weights") else 1.0


@helper
def inverse(divisor):
    """Return 1 / divisor, or 0 for 0: the weights of a batch may all be 0."""
    return 1.0 / divisor if divisor > 0.0 else 0.0


@helper
def shifted_to_batch(job, sample):
    """Return the address in `row_losses` for the sample at this position of the epoch."""
    return shifted(get(job, "row_losses"), sample - get(get(job, "counters"), "row"))
