"""The worker processes of a session: on the same cores, with the same number of threads."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from fastbp.benchmark.protocol import LostError

ROOT = Path(__file__).parent.parent
PATIENCE = 300.0
"""Longest time for an answer in seconds; a peer that takes longer is lost."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

OTHER_KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""They make OpenBLAS take the kernels of another processor: with those of a Haswell, products of NumPy took
twice as long on a Zen 5. A rival is timed in its best form."""


def environment(cores: Sequence[int], caches: Path | None = None) -> dict[str, str]:
    """Return the environment of every worker: the same cores and threads, and folders for compiled code.

    Without `caches`, a worker uses its default folders, and may find code that it compiled before.
    """
    variables = {name: value for name, value in os.environ.items() if name not in OTHER_KERNELS}
    variables |= dict.fromkeys(THREAD_VARIABLES, str(len(cores)))
    variables |= {
        "FASTBP_BENCH_CORES": ",".join(map(str, cores)),
        "PYTHONPATH": str(ROOT),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONWARNINGS": "ignore",
    }
    if caches is not None:
        variables |= {
            "NUMBA_CACHE_DIR": str(caches / "numba"),
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
            "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
    return variables


class WorkerProcess:
    """A worker process, as a context manager: `ask` sends an order and returns the answer.

    Between orders the process is suspended. Otherwise, threads of BLAS and OpenMP spin for up to 0.2 s after
    their work, on the cores of the next timing: fastbp took 370 us instead of 122 for a step of 784-128-10.
    """

    def __init__(self, peer: str, variables: dict[str, str], module: str = "bench.worker"):
        self.peer = peer
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=variables,
        )

    def ask(self, patience: float = PATIENCE, **order) -> dict:
        """Return the answer to an order; raise `LostError` if the peer failed, died, or gave no answer."""
        self._signal("SIGCONT")
        try:
            self._process.stdin.write((json.dumps(order) + "\n").encode())
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # a broken pipe, or one that `end` closed
            raise LostError(f"its process ended with status {self._process.wait()}") from error
        ready, _, _ = select.select([self._process.stdout], [], [], patience)
        if not ready:
            self.end()
            raise LostError(f"no answer in {patience:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise LostError(f"its process ended with status {self._process.wait()}")
        self._signal("SIGSTOP")
        answer = json.loads(line)
        if "failed" in answer:
            raise LostError(answer["failed"])
        return answer

    def train(self, steps: int, path: Path) -> np.ndarray:
        """Return theta after `steps` steps; it is passed through a file."""
        self.ask(train=steps, into=str(path))
        return np.load(path)

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):  # not on Windows
            self._process.send_signal(getattr(signal, name))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.end()
