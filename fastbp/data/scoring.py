"""How good predictions are, by what the preprocessing says that they mean."""

import numpy as np

from fastbp.preprocessing import NumberTarget, Preprocessing, SeveralTargets
from fastbp.training.metrics import Decisions, accuracy, r2, rmse


@np.errstate(all="ignore")
def scores(preprocessing: Preprocessing, outputs: np.ndarray, Y: np.ndarray) -> dict[str, float]:
    """Return accuracy, or R2 and the root mean squared error in the unit of the target.

    Several targets have one accuracy, or the mean of their R2; and one of each for every target.

    Parameters
    ----------
    preprocessing : Preprocessing
    outputs : ndarray, shape (n_samples, n_outputs)
        The outputs of the network.
    Y : ndarray
        As `fastbp.data.targets` returns it.

    Examples
    --------
    >>> from fastbp.preprocessing import ClassTarget
    >>> scores(Preprocessing((), ClassTarget("kind", ("a", "b"))), np.array([[0.9, 0.1]]), np.array([0]))
    {'accuracy': 1.0}
    """
    target = preprocessing.target
    decisions = Decisions(not isinstance(target, SeveralTargets))
    if preprocessing.is_of_classes:
        found = {"accuracy": accuracy(decisions, Y, outputs)}
    else:
        found = {"r2": r2(Y, outputs)}
    if isinstance(target, NumberTarget):
        return found | {"rmse": target.scale * rmse(Y, outputs)}
    if isinstance(target, SeveralTargets):
        for i, one in enumerate(target.targets):
            Y_i, outputs_i = Y[:, i : i + 1], outputs[:, i : i + 1]
            if isinstance(one, NumberTarget):
                found |= {f"rmse {one.name}": one.scale * rmse(Y_i, outputs_i)}
            else:
                found |= {f"accuracy {one.name}": accuracy(decisions, Y_i, outputs_i)}
    return found
