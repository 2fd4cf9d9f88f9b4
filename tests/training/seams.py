"""`fastbp.train` with its seams open: a run that is watched, a clock and a pace of the test's own."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import fastbp
from fastbp.checks import check_data
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.run import Run
from fastbp.training import make_run
from fastbp.training.assembly import make_loop
from fastbp.training.checkpoint import CheckpointFolder
from fastbp.training.interrupts import Interrupts
from fastbp.training.monitoring import MonitoringOptions, apart, check_validation_data
from fastbp.training.pace import Pacing
from fastbp.training.progress import ProgressBar


@dataclass(frozen=True)
class Seams:
    """What a test can replace in a call of `fastbp.train`."""

    pacing: Pacing = field(default_factory=Pacing)
    watch: Callable[[Run], Run] = lambda run: run
    """Returns the run that the loop gets in the place of the real one, such as a `WatchedRun` of it."""
    interrupts: Interrupts | None = None
    progress: ProgressBar | None = None
    folder: CheckpointFolder | None = None
    make_run: Callable[..., Run] = make_run


def train(
    network: fastbp.Network,
    X: Any,
    Y: Any,
    *,
    seams: Seams,
    kernel: str = "auto",
    validation_data: Any = None,
    **options: Any,
) -> fastbp.TrainingResult:
    """Train as `fastbp.train` does."""
    of_kernel = {option.name for option in fields(KernelOptions)}
    X, Y = (apart(array, network.theta) for array in check_data(network.specification, X, Y))
    kernel_options = KernelOptions(len(X), **{n: value for n, value in options.items() if n in of_kernel})
    monitoring_options = MonitoringOptions(
        validation_data=check_validation_data(network, validation_data),
        **{name: value for name, value in options.items() if name not in of_kernel},
    )

    def begin():
        return seams.make_run(kernel, network, X, Y, kernel_options)

    run = seams.watch(begin())
    return make_loop(
        run,
        network,
        (X, Y),
        kernel_options,
        monitoring_options,
        begin_again=lambda: run.again(begin()) if isinstance(run, WatchedRun) else begin(),
        pacing=seams.pacing,
        interrupts=seams.interrupts,
        progress=seams.progress,
        folder=seams.folder,
    ).train()


class WatchedRun:
    """A run that tells of its calls of `advance`, and of those of its snapshots.

    Parameters
    ----------
    run : Run
    before, after : function
        Called with the number of the call, the run, and the step to which it is to go. Call 0 compiles.
    """

    def __init__(self, run, before=lambda *_: None, after=lambda *_: None, calls=None):
        self.run, self._before, self._after = run, before, after
        self._calls = [] if calls is None else calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    @property
    def schedule(self):
        return self.run.schedule

    @schedule.setter
    def schedule(self, schedule):
        self.run.schedule = schedule

    def advance(self, until, *is_stopped):
        call = len(self._calls)
        self._calls.append(until)
        self._before(call, self.run, until)
        self.run.advance(until, *is_stopped)
        self._after(call, self.run, until)

    def snapshot(self, instead_of=None):
        return self.again(self.run.snapshot(instead_of and instead_of.run))

    def again(self, run):
        """Watch another run, with the same count of calls."""
        return type(self)(run, self._before, self._after, self._calls)


def watching(before=lambda *_: None, after=lambda *_: None):
    """Return what makes a run watched."""
    return lambda run: WatchedRun(run, before, after)


def pressing(nth: int, when: str) -> Callable[[Run], Run]:
    """Return what makes a run press Ctrl-C before or after its nth call of `advance`."""

    def press(call: int, run: Run, until: int) -> None:
        if call == nth:
            signal.raise_signal(signal.SIGINT)

    return watching(**{when: press})


class Clock:
    """A clock that a test moves, or that moves at each look."""

    def __init__(self, seconds_a_look: float = 0.0):
        self.now, self._seconds_a_look = 0.0, seconds_a_look

    def __call__(self) -> float:
        self.now += self._seconds_a_look
        return self.now


ONE_STEP_A_CHUNK = Pacing(chunk_seconds=0.0)
"""For the kernels whose chunks begin with one step: all do."""


def always_due() -> Pacing:
    """Return a pace of one step a chunk, of a clock by which checkpoints of a millisecond are always due."""
    return Pacing(clock=Clock(seconds_a_look=1.0), chunk_seconds=0.0, snapshot_seconds=1e9)
