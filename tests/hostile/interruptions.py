"""Runs that Ctrl-C strikes at any moment: while they load kernels, train, resume, write, or call back.

Run as a script with its arguments in JSON; prints a report in JSON. It forks a process for every batch of
interruptions and presses Ctrl-C there. Such a process begins with no kernel loaded, and trains and resumes
until it was interrupted often enough. What it completes must have the bits of a run that nothing struck.
"""

import faulthandler
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from fastbp import Checkpoint
from tests.training.survivors import KINDS, finish, fork, is_readable, steps_of, train, undisturbed

PATIENCE = 120.0
"""Seconds after which a process that does not end hangs."""


def interval(generator: random.Random, steps: int) -> str | int:
    """Draw a time or a number of epochs between checkpoints: one after every chunk, or some 200 in all."""
    return generator.choice(["0.001ms", "0.001ms", "3ms", "1h", max(1, steps // 200), max(1, steps // 20)])


def pause(state: Any) -> None:
    """Stay a little in code of the user's, where Ctrl-C raises."""
    for _ in range(200):
        pass


def quietly() -> None:
    """Let Ctrl-C do nothing from here on, though it be pressed right now."""
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        except KeyboardInterrupt:
            pass


def attempt(kind: tuple[str, bool], steps: int, checkpoint: Checkpoint, others: dict[str, Any]) -> Any:
    """Return why a run ended and what it left; None in the place of both if it raised KeyboardInterrupt."""
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return train(*kind, steps, checkpoint, **others)
        finally:
            quietly()
    except KeyboardInterrupt:
        quietly()
        return None


def interrupted(
    kind: tuple[str, bool], steps: int, enough: int, seed: int
) -> tuple[dict[str, int], list[Any]]:
    """Train and resume until so many attempts were interrupted; count, and return what complete runs left."""
    generator = random.Random(seed)
    counts = {"interruptions": 0, "of them KeyboardInterrupt": 0, "runs": 0}
    left = []
    if generator.random() < 0.7:
        train(*kind, 1, None)  # loads the kernel, so that more strikes hit what comes after that
    others = {"callbacks": [pause]} if kind[1] and generator.random() < 0.5 else {}
    while counts["interruptions"] < enough:
        counts["runs"] += 1
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "run"
            while True:
                checkpoint = Checkpoint(
                    folder, every=interval(generator, steps), keep=generator.randint(1, 3)
                )
                if counts["interruptions"] < enough:
                    answer = attempt(kind, steps, checkpoint, others)
                else:
                    answer = train(*kind, steps, checkpoint, **others)
                if answer is not None and answer[0] != "interrupted":
                    left.append(answer)
                    break
                counts["interruptions"] += 1
                counts["of them KeyboardInterrupt"] += answer is None
    return counts, left


def press(process: int, pipe: int, generator: random.Random, longest: float) -> float:
    """Press Ctrl-C in a process at random moments until it answers; return the seconds that took."""
    began = time.monotonic()
    while not is_readable(pipe, generator.uniform(0, longest) if generator.random() < 0.8 else 0.0005):
        if time.monotonic() - began > PATIENCE:
            os.kill(process, signal.SIGUSR1)  # writes where it hangs
            time.sleep(1)
            os.kill(process, signal.SIGKILL)
            break
        os.kill(process, signal.SIGINT)
    return time.monotonic() - began


def batches(first: int, stop: int, enough: int, scale: float) -> dict[str, Any]:
    """Interrupt a random kind of run for each seed; return counts, and what went wrong by its seed."""
    counts: dict[str, int] = {}
    wrong: dict[int, str] = {}
    wholes: dict[Any, Any] = {}
    # Nothing strikes the child before it is ready for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for seed in range(first, stop):
        generator = random.Random(seed)
        kind = generator.choice(KINDS)
        steps = steps_of(kind, scale)
        if kind not in wholes:
            wholes[kind] = undisturbed(kind, steps)
        expected, seconds = wholes[kind]

        def child(kind: Any = kind, steps: int = steps, seed: int = seed) -> Any:
            faulthandler.enable()
            faulthandler.register(signal.SIGUSR1, all_threads=True)
            warnings.simplefilter("error")
            return interrupted(kind, steps, enough, seed)

        process, pipe = fork(child)
        press(process, pipe, generator, generator.choice([0.003, 0.02, max(0.02, seconds)]))
        try:
            answer = finish(process, pipe)
        except AssertionError as error:
            wrong[seed] = f"{kind}: {error}"
            continue
        if answer is None:
            wrong[seed] = f"{kind}: hung, and was killed"
            continue
        counted, left = answer
        for name, count in counted.items():
            counts[name] = counts.get(name, 0) + count
        if any(one != expected for one in left):
            wrong[seed] = (
                f"{kind}: a run that was interrupted and resumed has not the bits of the undisturbed one"
            )
    return {"counts": counts, "wrong": wrong}


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(json.dumps(batches(**json.loads(sys.argv[1]))))
