"""The kernels that train populations, and the choice between them."""

import numpy as np

from fastbp.engine.population_layered import LayeredPopulationRun
from fastbp.engine.population_options import PopulationOptions
from fastbp.engine.population_run import PopulationRun
from fastbp.errors import check_choice
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
        wide &= not options.divides_l2 and options.n_rows == options.n_samples
        kernel = LayeredPopulationRun.name if wide else PopulationRun.name
    kind = LayeredPopulationRun if kernel == LayeredPopulationRun.name else PopulationRun
    return kind(specification, theta, X, Y, options)
