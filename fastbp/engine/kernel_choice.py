"""The kernels that train, and the choice among them."""

from fastbp.engine.fused222_run import Fused222Run
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.layered_run import LayeredRun
from fastbp.engine.online_run import OnlineRun
from fastbp.errors import NotSupportedError, OptionError, check_choice
from fastbp.specification import Specification

AnyRun = type[Fused222Run] | type[OnlineRun] | type[LayeredRun]

KERNELS: tuple[AnyRun, ...] = (Fused222Run, OnlineRun, LayeredRun)
"""The runs of all kernels, the fastest first. The order is the same for all networks.

Microseconds a step of one sample, float32, on one core of a Zen 5 at 4.15 GHz:

=================  ========  ======  =======
network            fused222  online  layered
=================  ========  ======  =======
2-2-2 sigmoid         0.013   0.034     0.16
2-4-1                     -   0.035     0.16
4-10-3                    -   0.047     0.17
20-64-64-2                -    0.35      1.1
64-128-10                 -    0.42      1.4
784-128-10                -     7.1       11
784-512-512-10            -      59      127
1024-1024-1024-10         -     180      476
=================  ========  ======  =======
"""

NAMES = ("auto", *(run.name for run in KERNELS))
"""Possible values of the option `kernel`."""


def choose_kernel(kernel: str, specification: Specification, options: KernelOptions) -> AnyRun:
    """Return the run of the chosen kernel, or of the fastest one that can do what the options say.

    Raises
    ------
    OptionError, NotSupportedError
        If there is no such kernel, or it cannot do what the options say.
    """
    check_choice("kernel", kernel, NAMES)
    reasons = []
    for run in KERNELS:
        if kernel in ("auto", run.name):
            reason = run.refusal(specification, options)
            if options.math in run.maths:
                if reason is None:
                    return run
                reasons.append(reason)
    if kernel == "auto" or not reasons:
        able = " or ".join(repr(run.name) for run in KERNELS if options.math in run.maths)
        raise NotSupportedError(f"math={options.math!r} is for the kernel {able} alone; take math='fast'")
    raise OptionError(
        f"kernel is {kernel!r}, and {reasons[0]}; not Network({specification.summary}) with "
        f"batch_size={options.batch_size} and {options.optimizer!r}"
    )
