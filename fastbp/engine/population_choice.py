"""The kernels that train populations, and the choice between them."""

import numpy as np

from fastbp.engine.population_layered import LayeredPopulationRun
from fastbp.engine.population_options import PopulationOptions
from fastbp.engine.population_run import PopulationRun
from fastbp.errors import check_choice
from fastbp.simd import lanes
from fastbp.specification import Specification

AnyPopulationRun = PopulationRun | LayeredPopulationRun

POPULATION_KERNELS = ("auto", PopulationRun.name, LayeredPopulationRun.name)
"""Possible values of the option `kernel` of `fastbp.train_population`."""

WIDE_PARAMETERS = 10_000
"""From so many parameters on, those of a block do not fit into the caches, and networks go one by one.

Microseconds a network-step, float32, tanh, SGD, on one core of a Zen 2:

=================  =====  ==========  ==========  =======
network            batch  parameters  population  layered
=================  =====  ==========  ==========  =======
20-64-64-2             1        5634         2.0      3.5
20-64-64-2            32        5634          16       20
64-128-10             32        9610          25       26
784-32-10             32       25450          81       53
64-128-128-10         32       26122          96       73
784-128-10             8      101770         105       60
784-128-10            32      101770         380      193
=================  =====  ==========  ==========  =======
"""

MOST_MULTIPLICATIONS, FEWEST_NETWORKS = 2000, 4
"""Training together is faster for networks of at most so many weights, from so many networks on."""

LOOK_WORK = 1e6
"""Multiplications of all networks in an epoch from which on a look after it takes little of the time.

A look of a population takes some 0.2 ms; compiled code does the same for a single network. 8 networks of
4-100-3 on 150 rows, with 50 for validation, are 1.1 times as fast together, and 8 of 4-8-3 0.6 times.
"""

MOST_BYTES = 2**18
"""The largest X. Each network reads rows of its own, and those of a larger one do not stay in the caches.

8 networks of 20-64-3, float64, in batches of 32, are 1.02 times as fast together on 1,000 rows, 0.95 times on
3,000, 0.78 times on 12,000 and 0.75 times on 50,000.
"""


def are_faster_together(
    specification: Specification, n_networks: int, n_rows: int, *, batch_size: int | None, looks: bool
) -> bool:
    """Whether a population trains so many networks in less time than one after the other.

    Parameters
    ----------
    specification : Specification
    n_networks, n_rows : int
    batch_size : int or None
    looks : bool
        Whether there is anything to do after every epoch.

    Notes
    -----
    The time of so many networks one after the other, divided by that of all together, each in an order of its
    own; relu, softmax, AdamW, on one thread of a Zen 2, with 4 lanes of float64 and 8 of float32:

    =========  =======  =====  ====  ====  ====  ====  ====  ====
    network    dtype    batch     2     3     4     6     8    16
    =========  =======  =====  ====  ====  ====  ====  ====  ====
    4-8-3      float64     16  0.82  1.24  1.66  1.35  1.82  2.01
    4-100-3    float64     16  0.60  0.90  1.21  0.99  1.37  1.62
    4-30-30-3  float64     16  0.59  0.92  1.23  1.02  1.42  1.69
    13-100-3   float64     16  0.56  0.85  1.17  0.96  1.31  1.64
    64-32-10   float64     32  0.47  0.71  0.97  0.85  1.12  1.59
    64-100-10  float64     16  0.43  0.64  0.86  0.72  1.05  1.05
    4-8-3      float32     16  0.58  0.90  1.20  1.83  2.52  2.72
    4-100-3    float32     16  0.46  0.68  0.92  1.45  1.92  2.42
    13-100-3   float32     16  0.39  0.62  0.87  1.30  1.77  2.43
    64-100-10  float32     32  0.28  0.47  0.61  0.97  1.42  1.64
    =========  =======  =====  ====  ====  ====  ====  ====  ====

    So at most a quarter of the lanes may be idle. Batches of one row are for the kernel "online": together, 8
    networks of 4-100-3 are 0.6 times as fast.

    Examples
    --------
    >>> iris, options = Specification([4, 100, 3]), {"batch_size": 16, "looks": False}
    >>> are_faster_together(iris, 16, 150, **options), are_faster_together(iris, 16, 50_000, **options)
    (True, False)
    """
    itemsize, work = specification.dtype.itemsize, specification.n_multiplications
    idle = -n_networks % lanes(itemsize)
    return (
        work <= MOST_MULTIPLICATIONS
        and n_networks >= FEWEST_NETWORKS
        and 4 * idle <= n_networks + idle
        and batch_size != 1
        and n_rows * specification.n_inputs * itemsize <= MOST_BYTES
        and (not looks or n_networks * n_rows * work >= LOOK_WORK)
    )


def start_population(
    specification: Specification,
    theta: np.ndarray,
    X: np.ndarray,
    Y: np.ndarray,
    options: PopulationOptions,
    kernel: str = "auto",
) -> AnyPopulationRun:
    """Return a run of a population on the chosen kernel, or on the faster one.

    The shape of the networks alone decides, so that a network has the same bits in every population.
    """
    check_choice("kernel", kernel, POPULATION_KERNELS)
    if kernel == "auto":
        wide = specification.n_parameters >= WIDE_PARAMETERS
        wide &= not options.divides_l2 and (options.own_parts or options.n_rows == options.n_samples)
        kernel = LayeredPopulationRun.name if wide else PopulationRun.name
    kind = LayeredPopulationRun if kernel == LayeredPopulationRun.name else PopulationRun
    return kind(specification, theta, X, Y, options)
