"""Early stopping: it ends a run that does not improve any more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastbp.errors import (
    OptionError,
    as_float,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    settle,
    shown,
)
from fastbp.kernels import rules
from fastbp.stopping_rules import AllOf, AnyOf, Patience, StoppingRule, rule_of
from fastbp.training.metrics import NAMED, Metric, NamedMetric, check_metric


@dataclass(frozen=True)
class EarlyStopping:
    """End a run by a rule, and keep the best parameters.

    The rule is patience, unless another one is given: the run ends after `patience` evaluations in a row
    without an improvement. An evaluation is an improvement if its value is better than the best one before it
    by more than `minimum_improvement`. NaN is never an improvement. There is an evaluation after each epoch,
    or with ``every=k`` of `train` after every k-th one.

    Parameters
    ----------
    patience : int, optional
        At least 1. The default is 10, if no other rule is given.
    minimum_improvement : float, default 0.0
        At least 0.
    monitor : str or callable, optional
        The value to look at: "loss", "validation_loss", the name of a metric, or a metric function. The run
        evaluates it too, if it is not among its metrics. Metrics are evaluated on the validation data, if
        there are any. The default is the validation loss if there are validation data, and the loss
        otherwise.
    higher_is_better : bool, optional
        Must be given for a metric function of your own. For the others it is known.
    rule : StoppingRule or str, optional
        Instead of patience: a rule of `fastbp.stopping_rules` or a combination, such as ``GL(5) | UP(3)``, or
        its text, ``"GL(5) | UP(3)"``. The best parameters are still those of the best value.
    restore_best : bool, default True
        Whether the network gets the parameters of the best epoch at the end, unless an exception ends the
        run. Otherwise it keeps the last ones.

    Raises
    ------
    OptionError
        If an argument has a value that it may not have.

    Examples
    --------
    >>> import fastbp
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 1], [1, 0], [1, 0], [0, 1]]
    >>> net = fastbp.Network([2, 2, 2], seed=1)
    >>> result = fastbp.train(net, X, Y, epochs=20_000, batch_size=1, seed=0, optimizer=fastbp.SGD(0.5),
    ...                       early_stopping=EarlyStopping(minimum_improvement=1e-6))
    >>> result.stop_reason, result.n_steps == 4 * (result.best_epoch + 10)
    ('early_stopping', True)

    The rule GL5 of Prechelt, with an evaluation every 5 epochs:

    >>> stopping = EarlyStopping(rule="GL5")
    >>> result = fastbp.train(net, X, Y, epochs=3000, optimizer=fastbp.RPROP(), every=5,
    ...                       early_stopping=stopping, validation_data=(X, Y))
    >>> result.history["epoch"][:3].tolist()
    [5, 10, 15]
    """

    patience: int | None = None
    minimum_improvement: float = 0.0
    monitor: str | Metric | None = None
    higher_is_better: bool | None = None
    restore_best: bool = True
    rule: StoppingRule | str | None = None

    def __post_init__(self) -> None:
        if self.rule is None:
            settle(
                self, lambda name, value: check_integer(name, 10 if value is None else value, 1), "patience"
            )
        else:
            settle(self, _check_rule, "rule")
            if self.patience is not None:
                raise OptionError(
                    f"patience is {self.patience}, and there is a rule, too; "
                    f"write rule=... | Patience({self.patience})"
                )
        settle(self, check_number, "minimum_improvement")
        settle(self, check_flag, "restore_best")
        if self.higher_is_better is not None:
            settle(self, check_flag, "higher_is_better")
        if self.monitor is not None and not isinstance(self.monitor, str):
            if not callable(self.monitor):
                raise OptionError(
                    f"monitor is {shown(self.monitor)}, and must be 'loss', 'validation_loss', a function, "
                    f"or one of {', '.join(NAMED)}"
                )
            check_metric("monitor", self.monitor)

    @property
    def whole_rule(self) -> StoppingRule:
        """The rule, whether it was given or is patience."""
        if isinstance(self.rule, StoppingRule):
            return self.rule
        assert self.patience is not None
        return Patience(self.patience, self.minimum_improvement)


def _check_rule(name: str, rule: object) -> StoppingRule:
    if isinstance(rule, str):
        return rule_of(rule)
    if not isinstance(rule, StoppingRule):
        raise OptionError(
            f"{name} is {rule!r}, and must be one of fastbp.stopping_rules, such as 'GL(5) | UP(3)'"
        )
    return rule


def compiled_rule(rule: StoppingRule) -> tuple[list[tuple[float, float, float]], list[int]]:
    """Return the constants and the program of a rule, as `fastbp.kernels.rules` has them.

    Examples
    --------
    >>> compiled_rule(rule_of("GL5 | UP3"))
    ([(1.0, 5.0, 0.0), (3.0, 3.0, 0.0)], [0, 1, -1])
    """
    constants: list[tuple[float, float, float]] = []
    program: list[int] = []

    def add(part: StoppingRule) -> None:
        """Add a rule to the program, the parts of a compound one before it."""
        if isinstance(part, AnyOf):
            for i, one in enumerate(part.rules):
                add(one)
                if i:
                    program.append(rules.ALL if isinstance(part, AllOf) else rules.ANY)
            return
        first, second, *_ = (*map(float, vars(part).values()), 0.0, 0.0)
        program.append(len(constants))
        constants.append((float(rules.CODES[type(part).__name__]), first, second))

    add(rule)
    return constants, program


@dataclass(frozen=True)
class MonitoredColumn:
    """The column of the history that early stopping looks at, and the sign that makes lower values better."""

    name: str
    sign: float


def find_monitored_column(
    stopping: EarlyStopping, metrics: dict[str, Metric | NamedMetric], validates: bool
) -> tuple[MonitoredColumn, dict[str, Metric | NamedMetric]]:
    """Return the column to look at, and the metrics of the run with the one that `monitor` adds."""
    monitor = stopping.monitor
    if monitor is None:
        monitor = "validation_loss" if validates else "loss"
    column, metrics = _find_column(
        "early_stopping.monitor", monitor, stopping.higher_is_better, metrics, validates
    )
    if column.sign < 0 and any(rule.needs_errors for rule in stopping.whole_rule):
        raise OptionError(
            f"early_stopping.rule is {stopping.rule}, which needs a value of which less is better, "
            f"and of {column.name!r} more is better"
        )
    return column, metrics


def find_goals(
    goal: Any, metrics: dict[str, Metric | NamedMetric], validates: bool
) -> tuple[tuple[tuple[MonitoredColumn, float], ...], dict[str, Metric | NamedMetric]]:
    """Return the columns of goals with their values, and the metrics with those that goals add."""
    if goal is None:
        return (), metrics
    wanted = goal if isinstance(goal, Mapping) else {"loss": goal}
    if not wanted or not (isinstance(goal, Mapping) or as_float(goal) is not None):
        raise OptionError(
            f"goal is {shown(goal)}, and must be a number, or values by names, such as {{'accuracy': 0.95}}"
        )
    found = []
    for name, value in wanted.items():
        if not isinstance(name, str):
            raise OptionError(f"goal has {name!r} where a name must be, such as 'loss' or 'accuracy'")
        if name in metrics and not isinstance(metrics[name], NamedMetric):
            raise OptionError(
                f"goal is for {name!r}, of which fastbp does not know whether more is better; use a callback"
            )
        argument = f"goal[{name!r}]" if isinstance(goal, Mapping) else "goal"
        column, metrics = _find_column("goal", name, None, metrics, validates)
        highest = 1.0 if column.sign < 0 else math.inf  # of metrics of which more is better
        found.append((column, check_number(argument, value, -math.inf, highest)))
    return tuple(found), metrics


def _find_column(
    argument: str,
    monitor: str | Metric,
    higher: bool | None,
    metrics: dict[str, Metric | NamedMetric],
    validates: bool,
) -> tuple[MonitoredColumn, dict[str, Metric | NamedMetric]]:
    """Return a column of the history by its name or metric, and the metrics with the one that it adds."""
    owner = argument.partition(".")[0]
    if monitor in ("loss", "validation_loss"):
        if monitor == "validation_loss" and not validates:
            raise OptionError(f"{argument} is 'validation_loss', and there are no validation_data")
        if higher:
            raise OptionError(f"{owner}.higher_is_better is True, and monitor is {monitor!r}: less is better")
        return MonitoredColumn(str(monitor), 1.0), metrics
    if isinstance(monitor, str):
        check_choice(argument, monitor, dict.fromkeys(("loss", "validation_loss", *metrics, *NAMED)))
        name, function = monitor, metrics.get(monitor) or NAMED[monitor]
    else:
        name, function = check_metric(argument, monitor)
        if metrics.get(name, function) is not function:
            raise OptionError(
                f"{argument} and one of metrics have the name {name!r}; give one another __name__"
            )
    if isinstance(function, NamedMetric):
        if higher is not None and higher != function.higher_is_better:
            better = "more" if function.higher_is_better else "less"
            raise OptionError(f"{owner}.higher_is_better is {higher}, and {better} {name!r} is better")
        higher = function.higher_is_better
    if higher is None:
        raise OptionError(f"{owner}.higher_is_better must be True or False for the metric {name!r}")
    column = f"validation_{name}" if validates else name
    return MonitoredColumn(column, -1.0 if higher else 1.0), metrics | {name: function}
