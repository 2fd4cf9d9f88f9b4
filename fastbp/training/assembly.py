"""Makes a loop from the options of `fastbp.train`."""

from collections.abc import Callable

import numpy as np

from fastbp.engine.kernel_options import KernelOptions
from fastbp.engine.run import Run
from fastbp.engine.watch import Rules
from fastbp.errors import OptionError
from fastbp.network import Network
from fastbp.schedules import Adaptive
from fastbp.specification import Specification
from fastbp.training.callbacks import Callbacks
from fastbp.training.checkpoint import CheckpointFolder
from fastbp.training.early_stopping import compiled_rule
from fastbp.training.epochs import COLUMNS, Epochs
from fastbp.training.interrupts import Interrupts
from fastbp.training.keeping import CheckpointKeeper, describe
from fastbp.training.loop import Loop
from fastbp.training.metrics import bind
from fastbp.training.monitoring import MonitoringOptions
from fastbp.training.pace import Pacing
from fastbp.training.progress import ProgressBar, shows_progress
from fastbp.training.validation import Evaluation


def make_loop(
    run: Run,
    network: Network,
    data: tuple[np.ndarray, np.ndarray],
    kernel_options: KernelOptions,
    monitoring_options: MonitoringOptions,
    *,
    begin_again: Callable[[], Run] | None = None,
    pacing: Pacing = Pacing(),
    interrupts: Interrupts | None = None,
    progress: ProgressBar | None = None,
    folder: CheckpointFolder | None = None,
) -> Loop:
    """Return the loop that trains `network` by advancing `run`. `begin_again` makes the run again.

    The arguments after `begin_again` are for tests, which watch or replace what is inside.
    """
    options, learning_rate = monitoring_options, kernel_options.optimizer.learning_rate
    interrupts = interrupts or Interrupts()
    evaluation = callbacks = keeper = None
    if options.metrics or options.callbacks:
        interrupts.keep_settings()
    if options.validation_data is not None or options.metrics:
        evaluated = options.validation_data or data
        evaluation = Evaluation(
            network.specification,
            *evaluated,
            validates=options.validation_data is not None,
            metrics=bind(options.metrics, network.specification, data[1], evaluated[1]),
            interrupts=interrupts,
            work=pacing.evaluation_work,
        )
    columns = COLUMNS + (evaluation.columns if evaluation else ())
    if options.callbacks:
        callbacks = Callbacks(options.callbacks, network, kernel_options.n_steps, columns, interrupts)
    epochs = Epochs(
        run,
        network.specification,
        every=options.every,
        columns=columns,
        rules=watch_rules(options, columns, network.specification),
        evaluation=evaluation,
        adaptive=learning_rate if isinstance(learning_rate, Adaptive) else None,
        callbacks=callbacks,
    )
    if options.checkpoint is not None:
        keeper = CheckpointKeeper(
            run,
            epochs,
            options.checkpoint,
            folder or CheckpointFolder(options.checkpoint.path, options.checkpoint.keep),
            describe(run, network.specification, data, kernel_options, options),
            pacing.clock,
        )
    return Loop(
        run,
        network.theta.view(),
        kernel_options.n_steps,
        epochs=epochs,
        keeper=keeper,
        resume=options.resume,
        progress=progress or (ProgressBar() if shows_progress(options.progress) else None),
        max_seconds=options.max_seconds,
        interrupts=interrupts,
        pacing=pacing,
        # Callbacks write into the network, and a run that is resumed begins elsewhere.
        begin_again=begin_again if callbacks is None and keeper is None else None,
    )


def watch_rules(options: MonitoringOptions, columns: tuple[str, ...], specification: Specification) -> Rules:
    """Return goals and early stopping by the columns of the history, or say why a rule cannot be applied."""
    goals = [(columns.index(column.name), column.sign, value) for column, value in options.goals]
    stopping, monitored = options.early_stopping, options.monitored
    if stopping is None or monitored is None:
        return Rules(goals)
    rule = stopping.whole_rule
    has_ratios = any(one.needs_errors or one.needs_strips for one in rule)
    if has_ratios and specification.loss_name == "poisson":
        raise OptionError(
            f"early_stopping.rule is {rule}, which looks at ratios of losses, "
            "and those of 'poisson' may be negative"
        )
    constants, program = compiled_rule(rule)
    return Rules(
        goals,
        columns.index(monitored.name),
        monitored.sign,
        stopping.minimum_improvement,
        stopping.restore_best,
        constants,
        program,
        any(one.needs_strips for one in rule),
    )
