"""A sweep on processes, in a process that tells what it submits, and can be killed.

python -m tests.sweeping.killed JOURNAL [the shard whose worker dies, once]
"""

import hashlib
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fastbp
from fastbp.sweeping.transport import processes
from tests.sweeping.tasks import OPTIONS, SPACE, data

N_NETWORKS = 300


def worked_once(marker: Path, function, *arguments):
    """Call a function in a worker, which is killed instead the first time."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return function(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


class Telling(ProcessPoolExecutor):
    """Prints each shard that it is given; the worker of one of them dies."""

    deadly, folder = -1, Path()

    def submit(self, function, *arguments, **options):
        print("submitted", arguments[2], flush=True)
        if arguments[2] == self.deadly:
            return super().submit(worked_once, self.folder / "died", function, *arguments)
        return super().submit(function, *arguments, **options)


def digest(result: fastbp.sweeping.SweepResult) -> str:
    parts = (result.scores, result.epochs, result.order)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def main() -> None:
    folder = Path(sys.argv[1])
    Telling.deadly, Telling.folder = int(sys.argv[2]) if len(sys.argv) > 2 else -1, folder
    make = processes(2)
    result = fastbp.sweep(
        *data(),
        SPACE,
        N_NETWORKS,
        journal=folder,
        executor=lambda: Telling(*make.args),
        **OPTIONS,
    )
    print("digest", digest(result), result.n_repeated, flush=True)


if __name__ == "__main__":
    main()
