"""The solver "lbfgs": SciPy's L-BFGS-B on the loss and gradient of the kernels."""

from typing import Any

import numpy as np
import scipy
from scipy.optimize import OptimizeResult, minimize
from sklearn.exceptions import ConvergenceWarning

from fastbp.engine.objective import Objective
from fastbp.sklearn.user_warnings import warn_user
from fastbp.specification import Specification

PRINTS = tuple(int(part) for part in scipy.__version__.split(".")[:2]) < (1, 15)
"""Whether SciPy's L-BFGS-B knows the option `iprint`."""


BLOCK_NUMBERS = 2**19
"""Numbers of a block of rows of a sparse matrix that is dense at a time."""


class SparseObjective:
    """What `Objective` is, over a sparse X, of which one block of rows is dense at a time.

    Parameters
    ----------
    specification : Specification
    X : CSR matrix
    Y, weights : ndarray
        As `Objective` takes them.
    threads : int, optional
    block_numbers : int
        Numbers of a block of rows.
    """

    def __init__(
        self,
        specification: Specification,
        X: Any,
        Y: np.ndarray,
        weights: np.ndarray | None,
        threads: int | None,
        block_numbers: int = BLOCK_NUMBERS,
    ):
        self.specification, self._X, self._Y, self._weights = specification, X, Y, weights
        self._threads, self._n_rows = threads, max(1, block_numbers // X.shape[1])

    def value_and_gradient(self, theta: np.ndarray, gradient: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss, and its gradient in theta, which is written to `gradient`."""
        value, n_samples = 0.0, self._X.shape[0]
        gradient[:] = 0
        for first in range(0, n_samples, self._n_rows):
            rows = slice(first, first + self._n_rows)
            X = self._X[rows].toarray()
            weights = None if self._weights is None else self._weights[rows]
            block = Objective(
                self.specification, X, self._Y[rows], weights, threads=self._threads, as_scikit_learn=True
            )
            of_block, slope = block.value_and_gradient(theta)
            value += of_block * (len(X) / n_samples)
            gradient += slope * (len(X) / n_samples)
        return value, gradient


class Penalised:
    """The loss with the penalty, and its gradient, which are computed together.

    SciPy asks for the value and then for the gradient at the same place, and gives away its copy of it. With
    ``jac=True`` it compares and copies each place once more: a fit of 30-50-2 takes 5 % longer.

    Parameters
    ----------
    objective : Objective or SparseObjective
    decay : ndarray
        For each parameter, the factor of half its square.
    """

    def __init__(self, objective: Objective | SparseObjective, decay: np.ndarray):
        self._objective, self._decay, self._pull = objective, decay, np.empty(decay.size)
        self._theta: np.ndarray | None = None
        self._gradient = np.empty(decay.size)

    def value(self, theta: np.ndarray) -> float:
        """Return the value at `theta`, which must not change afterwards."""
        gradient = np.empty(theta.size)
        value, _ = self._objective.value_and_gradient(theta, gradient)
        np.multiply(self._decay, theta, out=self._pull)
        gradient += self._pull
        self._theta, self._gradient = theta, gradient
        return value + 0.5 * float(self._pull @ theta)

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        """Return the gradient at `theta`."""
        if self._theta is None or not (theta == self._theta).all():
            self.value(theta)
        return self._gradient


def minimise(
    estimator: Any, objective: Objective | SparseObjective, alpha: float, theta: np.ndarray
) -> OptimizeResult:
    """Return SciPy's result of minimising the loss plus alpha / 2 times the sum of squared weights.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    objective : Objective
        In scikit-learn's form.
    alpha : float
        Divided by the number of samples, or the sum of their weights.
    theta : ndarray
        Where to start.
    """
    decay = np.zeros(theta.size)
    for W in objective.specification.views(decay)[0]:
        W[...] = alpha
    penalised = Penalised(objective, decay)
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    if PRINTS:
        options["iprint"] = 1 if estimator.verbose >= 1 else -1
    best = OptimizeResult(x=theta.copy(), fun=np.inf, nit=0, status=0, message="")

    def keep(intermediate_result: OptimizeResult) -> None:
        """Keep where the search is, so that Ctrl-C loses nothing."""
        best.x[:], best.fun, best.nit = intermediate_result.x, intermediate_result.fun, best.nit + 1

    try:
        return minimize(
            penalised.value,
            theta,
            method="L-BFGS-B",
            jac=penalised.gradient,
            options=options,
            callback=keep,
        )
    except KeyboardInterrupt:
        warn_user("Training interrupted by user.")
        return best


def count_iterations(result: OptimizeResult, max_iter: int) -> int:
    """Return how many iterations there were, and warn if they did not converge."""
    n_iter = min(result.nit, max_iter)
    if result.status != 0:
        message = (
            f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):\n"
            f"{result.message}\n"
        )
        if n_iter == max_iter:
            message += f"\nMore iterations may help (max_iter={max_iter})."
        warn_user(message + "\nIt may also help to scale the data.", ConvergenceWarning)
    return int(n_iter)
