"""One peer in its own process: it reads orders as lines of JSON from standard input, and answers in JSON.

    python -m bench.worker PEER

Orders, each with its answer:

    {"load": true}                        {"unavailable": reason or ""}
    {"prepare": WORKLOAD}                 {"unavailable": reason or ""}
    {"train": STEPS, "into": PATH}        {}; theta is in PATH, in the form of `numpy.save`
    {"calibrate": SECONDS}                {"steps": whole epochs of about that long}
    {"time": STEPS}                       {"ns": nanoseconds}, after some steps that are not timed
    {"threads": true}                     {"threads": what threadpoolctl sees, "cores": [...]}

If a peer raises any other exception than `UnavailableError`, the answer is {"failed": MESSAGE}.
"""

import json
import os
import sys

# Before anything else is loaded: libraries count the cores once.
if "FASTBP_BENCH_CORES" in os.environ and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, map(int, os.environ["FASTBP_BENCH_CORES"].split(",")))

import numpy as np
from threadpoolctl import threadpool_info

from bench import peers
from bench.grid import ALL
from bench.tasks import TASKS
from fastbp.benchmark.machine import core_numbers
from fastbp.benchmark.protocol import calibrated_steps, time_call

WARMING = 10
"""A timing follows one part in so many of its steps, or an epoch if that is more, without a pause.

Who is timed more often finds more of its arrays in the caches. After turns of others, networks of fastbp were
0.3 to 0.8 % slower than after their own, although they took an epoch before.
"""


class Worker:
    """The state between orders: the workload and the prepared peer."""

    def __init__(self, peer: str):
        self.peer = peer
        self.workload = None
        self.train = None

    def answer(self, order: dict) -> dict:
        if "load" in order:
            return attempted(lambda: peers.load(self.peer))
        if "prepare" in order:
            return self.prepare(order["prepare"])
        if "train" in order:
            np.save(order["into"], self.train(order["train"]))
            return {}
        epoch = self.workload.steps_per_epoch if self.workload else 1
        if "calibrate" in order:
            return {"steps": calibrated_steps(self.train, order["calibrate"], epoch)}
        if "time" in order:
            self.train(epoch * max(1, order["time"] // (WARMING * epoch)))
            return {"ns": time_call(self.train, order["time"])}
        return {"threads": threads(), "cores": core_numbers()}

    def prepare(self, name: str) -> dict:
        self.train = None  # one workload's arrays at a time
        self.workload = ALL[name] if name in ALL else TASKS[name].workload

        def prepare():
            self.train = peers.prepare(self.peer, self.workload)

        return attempted(prepare)


def attempted(action) -> dict:
    try:
        action()
    except peers.UnavailableError as error:
        return {"unavailable": str(error)}
    return {"unavailable": ""}


def threads() -> list[dict]:
    return [
        {"library": pool["internal_api"], "threads": pool["num_threads"], "version": pool.get("version")}
        for pool in threadpool_info()
    ]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library's output is not an answer
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
