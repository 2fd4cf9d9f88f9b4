"""Training: `train` checks its arguments, chooses a kernel, and runs the loop around it."""

from typing import Any

from numpy.typing import ArrayLike

from fastbp.errors import NotSupportedError, OptionError, check_choice
from fastbp.network import Network
from fastbp.optimizers import SGD
from fastbp.training import fused222
from fastbp.training.loop import train_in_chunks
from fastbp.training.plan import make_plan
from fastbp.training.result import TrainingResult

__all__ = ["TrainingResult", "train"]

KERNELS = ("auto", "fused222")
PLANNED_KERNELS = ("online", "layered")
PLANNED_OPTIONS = (
    "sample_weight",
    "l2",
    "dropout",
    "validation_data",
    "gradient_clip_norm",
    "metrics",
    "early_stopping",
    "callbacks",
    "checkpoint",
    "resume",
    "max_seconds",
    "progress",
    "threads",
)


def train(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    optimizer: SGD,
    update: str = "simultaneous",
    shuffle: bool = True,
    seed: int | None = None,
    math: str = "fast",
    kernel: str = "auto",
    **planned: Any,
) -> TrainingResult:
    """Train a network in place.

    Parameters
    ----------
    network : Network
        In this version, one with two inputs, two hidden and two output neurons, all sigmoid.
    X : array_like, shape (n_samples, n_inputs)
    Y : array_like, shape (n_samples, n_outputs)
        Inputs and targets. They are converted to the network's dtype if need be, and never changed.
    epochs, steps : int
        How long to train; give exactly one. A step is one update, an epoch one pass over the samples.
    batch_size : int, optional
        Samples of one step; None is all of them. This version takes one sample a step, so pass 1
        unless X holds a single sample.
    optimizer : SGD
        ``fastbp.SGD(learning_rate=...)``.
    update : {"simultaneous", "sequential"}
        Take every gradient at the weights from before the step (true gradient descent), or update the
        output layer first and propagate back through its new weights.
    shuffle : bool
        Visit the samples in a new random order each epoch, or always in the order given.
    seed : int, optional
        Makes the shuffling reproducible: the same seed gives the same bits, for one version of
        the libraries and one kind of CPU.
    math : {"fast", "exact"}
        "exact" gives the bits of `fastbp.reference`. "fast" reorders and fuses operations, and takes the
        sigmoid from a table that is within 2 ulp.
    kernel : {"auto", "fused222"}
        Which kernel to run.

    Returns
    -------
    TrainingResult
        Ctrl-C ends the run within 0.1 s; the result then has ``stop_reason="interrupted"``, and the
        network holds the parameters of the last whole chunk of steps.

    Raises
    ------
    OptionError, ShapeError, DataError
        If an argument is not what it may be; before any work, and nothing is changed.
    NotSupportedError
        If this version cannot do what is asked for.
    DivergenceError
        If a parameter or the loss stops being finite. It names the first bad step; the network holds the
        parameters from before that step.

    Examples
    --------
    >>> net = Network([2, 2, 2], seed=1)
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 1], [1, 0], [1, 0], [0, 1]]
    >>> result = train(net, X, Y, epochs=20_000, batch_size=1, optimizer=SGD(learning_rate=0.5), seed=0)
    >>> result.n_steps, result.stop_reason, result.kernel
    (80000, 'completed', 'fused222')
    >>> net.predict(X).round().astype(int).tolist()
    [[0, 1], [1, 0], [1, 0], [0, 1]]
    """
    if planned:
        name = next(iter(planned))
        if name in PLANNED_OPTIONS:
            raise NotSupportedError(f"{name} is not supported yet; leave it out")
        raise TypeError(f"train() got an unexpected keyword argument {name!r}")
    if not isinstance(network, Network):
        raise OptionError(f"network is {network!r}, and must be a fastbp.Network")
    check_choice("kernel", kernel, KERNELS, PLANNED_KERNELS)
    X, Y = network.check_data(X, Y)
    plan = make_plan(
        len(X),
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        update=update,
        shuffle=shuffle,
        seed=seed,
        math=math,
    )
    if not fused222.supports(network):
        raise NotSupportedError(
            f"{network!r} cannot be trained yet; this version trains 2-2-2 networks: Network([2, 2, 2])"
        )
    return train_in_chunks(fused222.Fused222Run(network, X, Y, plan), network, X, Y, plan)
