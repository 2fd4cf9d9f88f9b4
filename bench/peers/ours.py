# fastbp: the public call with its defaults, as a user makes it. Everything in it is timed: the checks of
# arguments, the loss curve, the search for divergence. Only the network is prepared outside the call.
# Rivals are called the same way: what a call costs is a part of the time of its steps.

import os

from bench.grid import Workload
from bench.peers import Train, UnavailableError
from fastbp.benchmark.contenders import public_call
from fastbp.benchmark.machine import core_numbers


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("fastbp trains one network at a time so far")
    options = {"batch_size": workload.batch_size, "optimizer": workload.optimizer}
    allowed = int(os.environ.get("OMP_NUM_THREADS", 0))
    if 0 < allowed < len(core_numbers()):  # the session has fewer threads than this process has cores
        options["threads"] = allowed
    return public_call(workload.network(), *workload.samples(), **options)
