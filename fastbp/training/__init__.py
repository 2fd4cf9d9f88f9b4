"""Training: `train` checks its arguments, chooses a kernel, and runs the loop around it."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.checks import check_data, warn_of_targets_out_of_reach
from fastbp.engine.kernel_choice import NAMES, choose_kernel
from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.run import Run
from fastbp.errors import OptionError, check_choice
from fastbp.losses import smoothed_targets
from fastbp.network import Network
from fastbp.optimizers import Optimizer
from fastbp.training.assembly import make_loop
from fastbp.training.at_once import IdleRuns
from fastbp.training.callbacks import EpochState
from fastbp.training.checkpoint import Checkpoint
from fastbp.training.early_stopping import EarlyStopping
from fastbp.training.metrics import Metric
from fastbp.training.monitoring import MonitoringOptions, apart, check_validation_data
from fastbp.training.result import TrainingResult
from fastbp.training.stopping import StopReason
from fastbp.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "EpochState",
    "StopReason",
    "Trainer",
    "TrainingResult",
    "train",
]


IDLE = IdleRuns()
"""For all calls of `train`."""


def train(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    optimizer: Optimizer,
    update: str = "simultaneous",
    shuffle: bool | str = True,
    seed: int | None = None,
    sample_weight: ArrayLike | None = None,
    l2: float = 0.0,
    dropout: float = 0.0,
    label_smoothing: float = 0.0,
    validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    gradient_clip_norm: float | None = None,
    metrics: Iterable[str | Metric] = (),
    early_stopping: EarlyStopping | None = None,
    goal: float | Mapping[str, float] | None = None,
    every: int = 1,
    callbacks: Iterable[Any] = (),
    checkpoint: Checkpoint | None = None,
    resume: bool | str = "auto",
    max_seconds: float | None = None,
    progress: bool | str = "auto",
    threads: int | None = None,
    math: str = "fast",
    kernel: str = "auto",
) -> TrainingResult:
    """Train a network in place.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_samples, n_inputs)
    Y : array_like, shape (n_samples, n_outputs)
        Inputs and targets. For categorical_cross_entropy, Y may be class labels instead: integers from 0 to
        n_outputs - 1, shape (n_samples,). Targets of a single output may have that shape, too. Both are
        converted to the network's dtype if necessary, and never changed.
    epochs, steps : int
        How long to train. Give exactly one of them. A step is one update; an epoch is one pass over the
        samples.
    batch_size : int, optional
        Samples of one step; None means all of them. The last batch of an epoch has the remaining samples.
    optimizer : SGD, RMSprop, Adam, AdamW or RPROP
        Its learning rate may be a number or a schedule from `fastbp.schedules`.
    update : {"simultaneous", "sequential"}
        "simultaneous" takes every gradient at the weights from before the step (true gradient descent).
        "sequential" updates each layer before the error passes back through its new weights.
    shuffle : {True, False, "blocks"}
        Whether to visit the samples in a new random order in each epoch, and not always in the given order.
        "blocks" is for an X on a disk, such as a memory map that is larger than memory: blocks of a MiB come
        in a random order, and the samples of 64 blocks at a time are shuffled together. So the disk reads
        large pieces, and not a page for every sample. Its order depends on `seed`; None is as 0 here.
    seed : int, optional
        Makes shuffling and dropout reproducible. The same seed gives the same bits, for one version of the
        libraries and one kind of CPU.
    sample_weight : array_like, shape (n_samples,), optional
        The loss of a batch is ``sum_i w_i L_i / n``, over its n samples. The weights are first divided by
        their mean over all samples: only their ratios count, and an epoch's loss is the weighted mean. The
        largest may be 1e301 times the smallest one above 0.
    l2 : float
        Adds ``l2 / 2`` times the sum of all squared weights, without biases, to the loss that is minimised.
    dropout : float
        The probability, from 0 to below 1, that the activation of a hidden neuron is set to 0 for one sample
        in one step. The others are divided by ``1 - dropout``, so that predictions need no correction
        (Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014,
        https://jmlr.org/papers/v15/srivastava14a.html).
    label_smoothing : float
        The share of the probability that is divided among all classes, from 0 to below 1: a target t becomes
        ``(1 - s) t + s / K`` for K classes, and ``(1 - s) t + s / 2`` with binary_cross_entropy (Szegedy,
        Vanhoucke, Ioffe, Shlens & Wojna 2016, https://arxiv.org/abs/1512.00567). The training loss is that of
        these targets. Validation data and metrics have the targets that are given.
    validation_data : (array_like, array_like), optional
        Inputs and targets, in the form of X and Y. Their loss is evaluated after every epoch.
    gradient_clip_norm : float, optional
        If the Euclidean norm of the gradient of all trained parameters is larger, scale it down to this
        (Pascanu, Mikolov & Bengio 2013, https://arxiv.org/abs/1211.5063).
    metrics : sequence of str or callable
        What to evaluate after every epoch, on the validation data if there are any, and otherwise on X and Y.
        "accuracy", "f1" and "auc" are for classes; "r2", "mae" and "rmse" are for numbers. A function
        ``metric(Y_true, Y_pred)`` that returns a number is a metric, too. Targets are classes if they are
        class labels, have one high value in each row, or belong to softmax outputs. Then the largest output
        is the predicted class. Other targets of two values, such as 0 and 1 or -1 and 1, are several labels,
        and each output predicts one of them. `fastbp.training.metrics` has the definitions.
    early_stopping : EarlyStopping, optional
        Ends the run when it does not improve any more, or by another rule, and keeps the best parameters.
    goal : float or dict of str to float, optional
        Ends the run when the loss of an epoch is at most this. A dict such as ``{"accuracy": 0.95}`` has
        goals by names: "loss", "validation_loss", and those of metrics that have names. They are evaluated
        as `metrics` are. The run ends when all values are as good as these after the same epoch.
    every : int, default 1
        Do what is done after epochs only after every k-th: evaluate validation data and metrics, look at
        goals, early stopping and an adaptive learning rate, and call the callbacks. The history has a row for
        each of these.
    callbacks : sequence of callable
        Called after every epoch with an `EpochState`: its epoch, step, loss, validation loss, metrics and
        network. ``state.stop()`` ends the run. An object with a method ``on_epoch_end(state)`` is a callback,
        too. An exception of a callback comes out of `train`, and the network holds the parameters of that
        epoch. NumPy's error handling (`numpy.errstate`) applies to callbacks and metrics, and has no effect
        on the training itself.
    checkpoint : Checkpoint, optional
        Saves the run to a folder from time to time.
    resume : {"auto", True, False}
        "auto" continues from the newest checkpoint in that folder, if there is one. True raises an error if
        there is none. False starts a new run. A run that is over continues, too, if there are more epochs or
        steps now: training for 10 epochs and then to 20 gives the bits of 20 at once. A `CosineDecay` over
        all steps of the run may become longer with the run; then the bits differ, and a warning says so.
    max_seconds : float, optional
        End the run after this time, within 0.1 s. The time of this call counts, without compilation.
    progress : {"auto", True, False}
        Whether to show a progress bar on standard error. "auto" shows it on a terminal.
    threads : int, optional
        How many threads work on a step. None chooses as many as make it faster. There are never more than the
        process may use, by its affinity and by a container's quota, unless the environment variable
        FASTBP_OVERSUBSCRIBE is 1. The result has the same bits for any number.
    math : {"fast", "exact"}
        "exact" gives the bits of `fastbp.reference`; only the kernel "fused222" has it. "fast" reorders and
        fuses operations, and replaces numbers below the smallest normal one by 0. The kernel "fused222" then
        takes the sigmoid from a table, within 2 ulp.
    kernel : {"auto", "fused222", "online", "layered"}
        Which kernel to run. "fused222" is for 2-2-2 sigmoid networks, half the squared error and plain SGD,
        one sample a step. "online" is for any network and SGD without momentum, one sample a step. "layered"
        is for everything. "auto" takes the first that can.

    Returns
    -------
    TrainingResult
        Ctrl-C ends the run within 0.1 s, in the middle of a step if it is long (except with
        ``update="sequential"``). Then ``stop_reason`` is "interrupted", and the network holds the parameters
        after the last complete step. This holds in the main thread, if Python's own handler of Ctrl-C is
        installed. At other times, Ctrl-C raises KeyboardInterrupt: while data are checked, a checkpoint is
        read, or kernels compile (after some seconds), and while the first bad step of a diverged run is
        searched for.

    Raises
    ------
    OptionError, ShapeError, DataError
        If an argument is not what it may be. This is found before any work, and nothing is changed.
    NotSupportedError
        If no kernel can do what is asked for.
    CheckpointError
        If the newest checkpoint is of another run.
    ModelFileError
        If there are checkpoints, and none can be read.
    OSError
        If the first checkpoint cannot be written. If a later one cannot, the run continues with a
        CheckpointWarning.
    DivergenceError
        If a parameter or the loss stops being finite. It names the first bad step, and the network holds the
        parameters from before that step. All parameters are checked, and the losses of all batches, each at
        the parameters from before its step. After 200 epochs or more, the loss over all samples is checked at
        the end, too: there this takes less than 1 % of the time.

    Examples
    --------
    >>> from fastbp import SGD, Adam
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 1], [1, 0], [1, 0], [0, 1]]
    >>> net = Network([2, 2, 2], seed=1)
    >>> result = train(net, X, Y, epochs=20_000, batch_size=1, optimizer=SGD(learning_rate=0.5), seed=0)
    >>> result.n_steps, result.stop_reason, result.kernel
    (80000, 'completed', 'fused222')
    >>> net.predict(X).round().astype(int).tolist()
    [[0, 1], [1, 0], [1, 0], [0, 1]]

    Class labels, and two hidden layers:

    >>> net = Network([2, 16, 16, 2], hidden_activation="relu", output_activation="softmax",
    ...               loss="categorical_cross_entropy", seed=1)
    >>> result = train(net, X, [1, 0, 0, 1], epochs=500, optimizer=Adam(learning_rate=0.01))
    >>> net.predict(X).argmax(axis=1).tolist(), result.kernel
    ([1, 0, 0, 1], 'layered')
    """
    _check_network(network)
    of_kernel = {
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "update": update,
        "shuffle": shuffle,
        "sample_weight": sample_weight,
        "l2": l2,
        "dropout": dropout,
        "label_smoothing": label_smoothing,
        "gradient_clip_norm": gradient_clip_norm,
        "math": math,
        "threads": threads,
    }
    of_loop = {
        "metrics": metrics,
        "early_stopping": early_stopping,
        "goal": goal,
        "every": every,
        "callbacks": callbacks,
        "checkpoint": checkpoint,
        "resume": resume,
        "max_seconds": max_seconds,
        "progress": progress,
    }
    call = kernel, validation_data, *of_kernel.values(), *of_loop.values()
    if result := IDLE.train(call, network, X, Y, seed):
        return result
    check_choice("kernel", kernel, NAMES)
    given_X, given_Y = X, Y
    X, Y = check_data(network.specification, X, Y)
    kernel_options = KernelOptions(len(X), seed=seed, **of_kernel)  # type: ignore[arg-type]  # settled there
    monitoring_options = MonitoringOptions(
        validation_data=check_validation_data(network, validation_data),
        **of_loop,  # type: ignore[arg-type]  # settled there
    )
    X, Y = apart(X, network.theta), apart(Y, network.theta)
    warn_of_targets_out_of_reach(network.specification, Y)
    begin = partial(make_run, kernel, network, X, Y, kernel_options)
    run = begin()
    result = make_loop(run, network, (X, Y), kernel_options, monitoring_options, begin_again=begin).train()
    is_plain = not (monitoring_options.watches or kernel_options.label_smoothing)
    if run.may_start_over and is_plain and X is given_X and Y is given_Y:
        IDLE.keep(call, network, X, Y, run)
    return result


def _check_network(network: object) -> None:
    if not isinstance(network, Network):
        raise OptionError(f"network is a {type(network).__name__}, and must be a fastbp.Network")
    if not network.theta.flags.writeable:
        raise OptionError(
            "network.theta is read-only, and training writes to it; set network.theta.flags.writeable = True"
        )


def make_run(kernel: str, network: Network, X: np.ndarray, Y: np.ndarray, options: KernelOptions) -> Run:
    """Return the run of the kernel that is asked for, or of the fastest that can do what the options say."""
    specification = network.specification
    chosen = choose_kernel(kernel, specification, options)
    Y = smoothed_targets(network.loss_name, Y, options.label_smoothing, network.n_outputs, network.dtype)
    with np.errstate(all="ignore"):
        return chosen(specification, network.theta, X, Y, options)
