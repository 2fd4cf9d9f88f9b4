"""Early stopping: it ends a run that does not improve any more."""

import math
from dataclasses import dataclass, replace

from fastbp.errors import OptionError, check_choice, check_flag, check_integer, check_number, settle
from fastbp.training.metrics import NAMED, Metric, NamedMetric, check_metric


@dataclass(frozen=True)
class EarlyStopping:
    """End a run after `patience` epochs in a row without an improvement, and keep the best parameters.

    An epoch is an improvement if its value is better than the best one before it by more than
    `minimum_improvement` (Prechelt 1998, "Early stopping - but when?", where this is the criterion UP,
    https://doi.org/10.1007/3-540-49430-8_3). NaN is never an improvement.

    Parameters
    ----------
    patience : int, default 10
        At least 1.
    minimum_improvement : float, default 0.0
        At least 0.
    monitor : str or callable, optional
        The value to look at: "loss", "validation_loss", the name of a metric, or a metric function. The run
        evaluates it too, if it is not among its metrics. Metrics are evaluated on the validation data, if
        there are any. The default is the validation loss if there are validation data, and the loss
        otherwise.
    higher_is_better : bool, optional
        Must be given for a metric function of your own. For the others it is known.
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
    """

    patience: int = 10
    minimum_improvement: float = 0.0
    monitor: str | Metric | None = None
    higher_is_better: bool | None = None
    restore_best: bool = True

    def __post_init__(self) -> None:
        settle(self, check_integer, "patience", least=1)
        settle(self, check_number, "minimum_improvement")
        settle(self, check_flag, "restore_best")
        if self.higher_is_better is not None:
            settle(self, check_flag, "higher_is_better")
        if self.monitor is not None and not isinstance(self.monitor, str):
            check_metric("monitor", self.monitor)


@dataclass(frozen=True)
class EarlyStoppingState:
    """What `EarlyStopping` knows between epochs. A lower `best_value` is better."""

    best_value: float = math.inf
    best_epoch: int = 0
    stalled: int = 0

    def after_epoch(self, epoch: int, value: float, minimum_improvement: float) -> "EarlyStoppingState":
        """Return the state after an epoch that had this value."""
        if value < self.best_value - minimum_improvement or (self.best_epoch == 0 and not math.isnan(value)):
            return EarlyStoppingState(value, epoch)
        return replace(self, stalled=self.stalled + 1)


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
    if monitor in ("loss", "validation_loss"):
        if monitor == "validation_loss" and not validates:
            raise OptionError("early_stopping.monitor is 'validation_loss', and there are no validation_data")
        if stopping.higher_is_better:
            raise OptionError(
                f"early_stopping.higher_is_better is True, and monitor is {monitor!r}: less is better"
            )
        return MonitoredColumn(monitor, 1.0), metrics
    if isinstance(monitor, str):
        check_choice(
            "early_stopping.monitor", monitor, dict.fromkeys(("loss", "validation_loss", *metrics, *NAMED))
        )
        name, function = monitor, metrics.get(monitor) or NAMED[monitor]
    else:
        name, function = check_metric("early_stopping.monitor", monitor)
        if metrics.get(name, function) is not function:
            raise OptionError(f"early_stopping.monitor and one of metrics have the name {name!r}; "
                              "give one another __name__")  # fmt: skip
    higher = stopping.higher_is_better
    if isinstance(function, NamedMetric):
        if higher is not None and higher != function.higher_is_better:
            better = "more" if function.higher_is_better else "less"
            raise OptionError(f"early_stopping.higher_is_better is {higher}, and {better} {name!r} is better")
        higher = function.higher_is_better
    if higher is None:
        raise OptionError(f"early_stopping.higher_is_better must be True or False for the metric {name!r}")
    column = f"validation_{name}" if validates else name
    return MonitoredColumn(column, -1.0 if higher else 1.0), metrics | {name: function}
