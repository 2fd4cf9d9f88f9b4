# fastbp: the public call with its defaults, as a user makes it. Everything that it does is timed: checks
# of the arguments, the loss curve, the search for divergence. Nothing is prepared outside the call but
# the network.

import inspect
import os

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError

HAS_THREADS = "threads" in inspect.signature(fastbp.train).parameters


def prepare(workload: Workload) -> Train:
    if workload.networks > 1:
        raise UnavailableError("fastbp trains one network at a time so far")
    network, theta = workload.network(), workload.starts()[0]
    X, Y = workload.samples()
    options = {"threads": int(os.environ["OMP_NUM_THREADS"])} if limited() and HAS_THREADS else {}

    def train(steps: int):
        network.theta[:] = theta
        result = fastbp.train(
            network,
            X,
            Y,
            steps=steps,
            batch_size=workload.batch_size,
            optimizer=workload.optimizer,
            shuffle=False,
            **options,
        )
        if result.stop_reason == "interrupted":
            raise KeyboardInterrupt
        return network.theta.copy()

    return train


def limited() -> bool:
    """Return whether the session allows fewer threads than this process has cores."""
    allowed = os.environ.get("OMP_NUM_THREADS")
    return allowed is not None and int(allowed) < len(os.sched_getaffinity(0))
