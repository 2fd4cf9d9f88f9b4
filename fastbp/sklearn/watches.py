"""What may happen at every epoch besides training: callbacks of the user's and scikit-learn's, a bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.network import Network
from fastbp.sklearn.fit_epochs import Watch
from fastbp.training.callbacks import Callbacks, check_callbacks
from fastbp.training.interrupts import Interrupts
from fastbp.training.progress import ProgressBar

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """scikit-learn's callbacks do not exist in this version."""


class UserCallbacks(Watch):
    """Calls functions with a `fastbp.EpochState`, as `fastbp.train` does."""

    def __init__(
        self,
        estimator: Any,
        functions: Sequence[Any],
        network: Network,
        run: Any,
        interrupts: Interrupts,
    ):
        self._estimator, self._run = estimator, run
        shown = Network.from_specification(network.specification)
        steps = estimator.max_iter * run.steps_per_epoch
        interrupts.keep_settings()
        columns = "loss", "learning_rate", *("validation_score",) * bool(estimator.early_stopping)
        self._callbacks = Callbacks(check_callbacks(functions), shown, steps, columns, interrupts)

    def end_epoch(self) -> bool:
        """Call them; any of them may stop the run."""
        estimator = self._estimator
        row = [estimator.loss_curve_[-1], self._run.learning_rate, *(estimator.validation_scores_ or [])[-1:]]
        return self._callbacks.call(estimator.n_iter_, self._run.n_steps, row, self._run.theta)


class Bar(Watch):
    """Shows a progress bar of epochs."""

    def __init__(self, estimator: Any, run: Any):
        self._estimator, self._run, self._bar = estimator, run, ProgressBar()
        self._bar.start(run.n_steps, estimator.max_iter * run.steps_per_epoch)

    def end_epoch(self) -> bool:
        """Show how far training is."""
        self._bar.update(self._run.n_steps, self._estimator.loss_curve_[-1])
        return False

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


class TheirCallbacks(Watch):
    """Tells scikit-learn's callbacks of every epoch, by the protocol of scikit-learn 1.9.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    context : CallbackContext
        That of the whole fit.
    run : WholeRun or BatchedRun
    data : dict
        X, y and metadata, as the callbacks get them.
    """

    def __init__(self, estimator: Any, context: Any, run: Any, data: dict[str, Any]):
        self._estimator, self._context, self._run, self._data = estimator, context, run, data
        self._epoch: Any = None
        context.call_on_fit_task_begin(estimator=estimator, **data)

    def begin_epoch(self) -> None:
        """Tell them that an epoch begins."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(
            estimator=self._estimator, reconstruction_attributes=self._attributes, **self._data
        )

    def end_epoch(self) -> bool:
        """Tell them that an epoch has ended; return whether one of them stops training."""
        return bool(
            self._epoch.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=self._attributes, **self._data
            )
        )

    def close(self) -> None:
        """Tell them that the fit has ended."""
        self._context.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=self._attributes, **self._data
        )

    def _attributes(self) -> dict[str, list[np.ndarray]]:
        """Return what makes a copy of the estimator predict as after this epoch."""
        weights, biases = self._estimator._network.specification.views(self._run.theta)
        return {"coefs_": weights, "intercepts_": biases}
