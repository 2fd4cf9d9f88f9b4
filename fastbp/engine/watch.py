"""What is done after epochs, in arrays: the history, the state of stopping rules, and the best parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.engine.words import Words
from fastbp.kernels import fields, rules
from fastbp.kernels.epoch_ends import COMPILE, COUNT, DIVERGED, FULL, LOOKED, REACHED, SETTLE, epoch_ends
from fastbp.kernels.layered import layered
from fastbp.memory import aligned_zeros
from fastbp.numba_internals import address_of_code
from fastbp.specification import Specification

ROWS, EPOCHS = (fields.place("watch_counters", name) for name in fields.WATCH_COUNTERS)


@dataclass(frozen=True)
class Rules:
    """Goals and stopping rules, by columns of the history.

    Attributes
    ----------
    goals : sequence of (int, float, float)
        Columns, signs that make less better, and values.
    monitored : int
        The column that rules look at; -1 for none.
    sign, minimum_improvement : float
        What makes less better in that column, and what an improvement of the best value is.
    keeps_best : bool
    constants : sequence of (float, float, float)
        Of each rule its code and parameters, as `kernels.rules` has them.
    program : sequence of int
        How the rules are combined.
    sums_strips : bool
        Whether a rule needs the loss of every epoch.
    """

    goals: Sequence[tuple[int, float, float]] = ()
    monitored: int = -1
    sign: float = 1.0
    minimum_improvement: float = 0.0
    keeps_best: bool = False
    constants: Sequence[tuple[float, float, float]] = ()
    program: Sequence[int] = ()
    sums_strips: bool = False


class Watch:
    """The history of a run, and what its rules remember. A run fills it in compiled code if it is attached.

    Parameters
    ----------
    specification : Specification
    n_columns, every, steps_per_epoch : int
    watch_rules : Rules
    flat : ndarray, optional
        The array for the parameters at a row; with room after it if they are evaluated there.
    shows : bool
        Whether Python wants to see every row: see `advance`.

    Attributes
    ----------
    counters : ndarray
        Rows, and epochs that have ended.
    state : ndarray
        As `kernels.rules` has it.
    rows : ndarray
        The history; rows beyond the counted ones mean nothing.
    flat, best : ndarray
        The parameters at the last row, if anything needs them there, and the best ones.
    show : function or None
        While the run advances: called after every row, if wanted; returns whether training just goes on.
    has_diverged : bool
        Whether a value was not finite. Then the epoch has not ended.
    """

    def __init__(
        self,
        specification: Specification,
        n_columns: int,
        every: int,
        steps_per_epoch: int,
        watch_rules: Rules,
        *,
        flat: np.ndarray | None = None,
        shows: bool = False,
    ):
        dtype = specification.dtype
        self._empty = np.empty((0, 1), dtype)
        self.flat = aligned_zeros(specification.n_parameters, dtype) if flat is None else flat
        self.best = np.empty(specification.n_parameters if watch_rules.keeps_best else 0, dtype)
        self.rows = np.empty((16, n_columns))
        self.counters = np.zeros(2, np.int64)
        self.state = np.zeros(rules.state_size(len(watch_rules.constants)))
        rules.begin_states(self.state)
        goals = [(column, sign, sign * value) for column, sign, value in watch_rules.goals]
        self._words = Words(
            "watch",
            dtype,
            every=every,
            steps_per_epoch=steps_per_epoch,
            n_parameters=specification.n_parameters,
            has_bias=specification.has_bias,
            n_outputs=specification.n_outputs,
            n_columns=n_columns,
            shows=shows,
            flattens=shows or watch_rules.keeps_best,
            flat=self.flat,
            best=self.best,
            counters=self.counters,
            state=self.state,
            n_goals=len(goals),
            goals=np.array(goals, np.float64),
            monitored=watch_rules.monitored,
            monitoring=np.array([watch_rules.sign, watch_rules.minimum_improvement]),
            keeps_best=watch_rules.keeps_best,
            sums_strips=watch_rules.sums_strips,
            rules=np.array(watch_rules.constants, np.float64),
            n_program=len(watch_rules.program),
            program=np.array(watch_rules.program, np.int64),
        )
        self.set_rows(self.rows)
        self.is_attached = self.has_diverged = False
        self.show: Callable[[], bool] | None = None

    def set_rows(self, rows: np.ndarray) -> None:
        """Take another array for the history, with room for as many rows as it has."""
        self.rows = rows
        self._words.set(rows=rows, n_room=len(rows))

    def attach(self, run_words: dict[str, Any] | None, evaluation_words: dict[str, Any] | None) -> None:
        """Let compiled code do the work after epochs, if it can do all.

        Parameters
        ----------
        run_words : dict or None
            As `Run.watched` returns them.
        evaluation_words : dict or None
            How it evaluates; empty if there is nothing to evaluate. Its jobs read their parameters at `flat`.
        """
        if run_words is None or evaluation_words is None or run_words["train_at"] is None:
            return
        evaluate_at = address_of_code(layered, 0, 0, 0, self._empty, self._empty)
        if evaluate_at is None:
            return
        self._words.set(**run_words, **evaluation_words, evaluate_at=evaluate_at)
        if evaluation_words:
            self._words.set(flattens=1)
        self.is_attached = True

    @property
    def n_rows(self) -> int:
        """Rows of the history."""
        return self.counters.item(ROWS)

    @property
    def n_epochs(self) -> int:
        """Epochs that have ended, or the last of them that had a row."""
        return self.counters.item(EPOCHS)

    def last(self) -> tuple[int, list[float]]:
        """Return the last epoch that has a row, and its row."""
        counters: list[int] = self.counters.tolist()  # one call takes half of the time of two
        row: list[float] = self.rows[counters[ROWS] - 1].tolist()
        return counters[EPOCHS], row

    def advance(self, until: int, is_stopped: Callable[[], bool]) -> bool:
        """Advance the attached run to a step; return whether it may go on.

        It may return early if the run is over, if `is_stopped` says so after a row, or if a value is not
        finite.
        """
        address, empty, show = self._words.address, self._empty, self.show
        while True:
            why = epoch_ends(address, until, empty)
            if why == LOOKED:
                if not (show and show()) or is_stopped():
                    return False
            elif why == FULL:
                self._make_room()
            else:
                self.has_diverged = why == DIVERGED
                return bool(why == REACHED)

    def settle(self, epoch: int, row: Sequence[float], theta: np.ndarray) -> None:
        """Add a row that was evaluated elsewhere: that of this epoch, at these parameters."""
        if len(self.rows) == self.n_rows:
            self._make_room()
        self.rows[self.n_rows] = row
        self.flat[:] = theta
        self.counters[EPOCHS] = epoch - 1
        epoch_ends(self._words.address, SETTLE, self._empty)

    def count(self, epoch: int, loss: float) -> None:
        """Take note of the loss of an epoch that has no row."""
        if len(self.rows) == self.n_rows:
            self._make_room()
        self.rows[self.n_rows, 0] = loss
        self.counters[EPOCHS] = epoch - 1
        epoch_ends(self._words.address, COUNT, self._empty)

    def compile(self) -> None:
        """Compile, or load the compiled code."""
        epoch_ends(self._words.address, COMPILE, self._empty)

    def _make_room(self) -> None:
        rows = np.empty((2 * max(8, len(self.rows)), self.rows.shape[1]))
        rows[: self.n_rows] = self.rows[: self.n_rows]
        self.set_rows(rows)
