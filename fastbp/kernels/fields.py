"""What a job is made of: flat records through which Python hands a kernel its addresses, sizes and options.

A kernel that takes twenty arrays needs microseconds for every call, because each array is unpacked again. One
address costs nothing. So the arrays are unpacked once, when the job is made (`fastbp.engine.job`). The object
that makes the job keeps them alive.

A *record* is a sequence of numbers of eight bytes, which have names. Only these tables say what the records
hold. Kernels read them by name (`fastbp.kernels.records`). A name or a type that is not in the table does not
compile. Python compares every array with the table before it hands over the address.

Legend: boundary l = 0 .. L carries the activations between layers: boundary 0 is the input, L the output.
Layer l leads from boundary l to l + 1. A *row* is the distance between two rows, in elements. A field whose
name ends in *_at* counts elements from the start of a thread's work area, or of the packed vectors.
"""

from typing import NamedTuple

OWN = "own*"
"""The type of a field that holds the address of numbers of the network's own dtype."""

LAYOUT, DATA, OPTIONS, RUN, KERNEL = "layout", "data", "options", "run", "kernel"
"""Who writes a field: Python, when it makes the job (the first three) or between calls (RUN); the kernel."""

TRAIN, GRADIENT_ONLY, LOSS_ONLY, PREDICT = MODES = range(4)
"""What a job is for."""

X_OWN, X_FLOAT32, X_FLOAT64, X_UINT8 = range(4)
"""The type of the elements of X: the network's own, or another one that is converted as rows are gathered."""

SHARED, OWN_DRAWN, OWN_GIVEN = range(3)
"""The order of samples in a population: the same for all, or each network's own, drawn or given."""

IN_ORDER, DRAWN, GIVEN = range(3)
"""The order of samples: as they are, drawn by the kernel, or as Python writes it to `order` each epoch."""


class Field(NamedTuple):
    """What a field of a record holds.

    Attributes
    ----------
    type : str
        ``int64`` or ``float64``, the number itself; or the address of numbers (``int64*``, ``int32*``,
        ``float64*``, ``uint64*``, `OWN`), or of a record (its name). If several types are listed, it is
        one of them: see `typed`.
    shape : tuple of str
        The dimensions of the array at the address. Each is the name of an attribute of
        `engine.layout.Layout`. An array may be longer.
    written_by : tuple of str or int
        Who writes the number, or the elements of the array. A mode means the kernel, in a job of this mode.
    meaning : str
    """

    type: str
    shape: tuple[str, ...]
    written_by: tuple[str | int, ...]
    meaning: str

    @property
    def is_address(self) -> bool:
        """Whether the field holds an address."""
        return self.type not in ("int64", "float64")


def _integer(meaning: str, *writers: str) -> Field:
    return Field("int64", (), writers or (LAYOUT,), meaning)


JOB = {
    "mode": _integer("TRAIN, GRADIENT_ONLY, LOSS_ONLY or PREDICT"),
    "n_layers": _integer("layers of the network"),
    "loss": _integer("code of the loss"),
    "loss_parameters": Field("float64*", ("n_loss_parameters",), (), "the level of quantile"),
    "n_threads": _integer("threads of the team that runs the next call", RUN),
    # --- data
    "n_samples": _integer("samples", LAYOUT, PREDICT),
    "X_kind": _integer("X_OWN, X_FLOAT32, X_FLOAT64 or X_UINT8", DATA),
    "X_row": _integer("distance between rows of X", DATA),
    "X_column": _integer("distance between columns of X", DATA),
    "X_in_place": _integer("whether layer 0 reads X itself, and not rows gathered into the work area"),
    "X": Field("own* float32* float64* uint8*", ("n_samples", "n_inputs"), (DATA,), "inputs"),
    "Y": Field(OWN, ("n_samples", "n_outputs"), (DATA, PREDICT), "targets; to PREDICT, the outputs"),
    "labels": Field("int64*", ("n_samples",), (DATA,), "class labels, instead of targets"),
    "weights": Field("float64*", ("n_samples",), (DATA,), "weights of the samples; 0 if they are all 1"),
    # --- the order of the samples
    "ordering": _integer("IN_ORDER, DRAWN or GIVEN"),
    "order": Field("int64*", ("n_ordered",), (KERNEL,), "the samples in the order of this epoch, or more"),
    "order_at": _integer("where this epoch begins in a given order of several epochs", RUN, KERNEL),
    "generator": Field("uint64*", ("n_generators",), (KERNEL,), "states: of the shuffle, and of the dropout"),
    # --- parameters
    "n_packed": _integer("numbers of a packed vector: one laid out as W and b of the layers are"),
    "theta": Field(OWN, ("n_parameters",), (TRAIN,), "the parameters, packed; or, if only read, flat"),
    "transposes": Field(OWN, ("n_transposes",), (TRAIN, GRADIENT_ONLY), "all W and W^T that are copies"),
    "has_transposes": _integer("whether the transposes are those of the present W", KERNEL),
    "state": Field(OWN, ("n_states", "n_packed"), (KERNEL,), "the optimizer's state vectors, packed"),
    "gradient": Field(OWN, ("n_gradients", "n_packed"), (KERNEL,), "partial sums of the gradient"),
    "zeros": Field(OWN, ("widest",), (), "as many zeros as the widest layer is wide"),
    # --- how a step is divided
    "batch_size": _integer("rows of a step"),
    "tile_rows": _integer("rows of a tile"),
    "n_groups": _integer("groups of a batch; 0: the threads of the team work on the same tile"),
    "n_partial_sums": _integer("partial sums of the gradients of tiles, for a group or for the team"),
    "chunk_rows": _integer("rows of a group, or of the batch, that one call takes in a long step", RUN),
    "done_rows": _integer("rows of a group, or of the batch, that earlier calls took in this step", KERNEL),
    "n_items": _integer("items"),
    "items": Field("item", ("n_items",), (), "the items"),
    # --- options
    "rule": _integer("code of the update rule"),
    "hyper": Field("float64*", ("n_hyperparameters",), (OPTIONS,), "the optimizer's hyper-parameters"),
    "constants": Field("float64*", ("n_step_constants",), (KERNEL,), "constants of the step, for the rule"),
    "numbers": Field("numbers", (), (OPTIONS, RUN, KERNEL), "see NUMBERS"),
    "trains_biases": _integer("whether b is trained"),
    "sequential": _integer("whether a layer is updated before the error passes back through it"),
    "as_scikit_learn": _integer("whether the loss has scikit-learn's form: see `KernelOptions`"),
    "clips": _integer("whether the gradient is clipped"),
    "drops": _integer("whether there is dropout"),
    "divides_by_weights": _integer(
        "whether a batch's loss is divided by the sum of its weights, not by its rows"
    ),
    "rates": Field("float64*", ("n_rates",), (RUN,), "learning rates from first_step on; the last one stays"),
    "n_rates": _integer("how many rates there are", RUN),
    "first_step": _integer("the step of the first rate", RUN),
    # --- counting and recording
    "n_steps": _integer("steps of the whole run"),
    "counters": Field("counters", (), (KERNEL,), "see COUNTERS"),
    "totals": Field("totals", (), (KERNEL,), "see TOTALS"),
    "record_every": _integer("epochs between two recorded losses"),
    "losses": Field("float64*", ("n_records",), (KERNEL,), "recorded losses"),
    "row_losses": Field("float64*", ("n_row_losses",), (KERNEL,), "losses of the rows of a batch"),
    "has_stopped": _integer("whether the stopping rule has ended training; see NUMBERS", RUN, KERNEL),
    "squares": Field("float64*", ("n_squares",), (KERNEL,), "sums of squares of the rows of all W"),
    # --- threads
    "shared": Field("int64*", ("n_shared",), (KERNEL,), "the shared words of `fastbp.kernels.barrier`"),
    "work": Field(OWN, ("n_threads", "work_size"), (KERNEL,), "a work area a thread"),
    "work_size": _integer("numbers of a work area"),
    "scratch_at": _integer("where a thread's scratch is"),
    "strips_at": _integer("where a thread copies A^T of a product to"),
    "row_sums_at": _integer("where the sums of exponentials of rows are"),
    # --- inputs that are 0: see `fastbp.kernels.nonzero`
    "skips_zeros": _integer("whether layer 0 leaves out inputs that are 0", KERNEL),
    "row_bytes": _integer("bytes between the bits of two samples; 0 if zeros are never left out"),
    "row_bits_at": _integer("where the bits of the samples are"),
    "column_bits_at": _integer("where the bits of the inputs are, in bytes for 8 samples each"),
}
"""The job itself. It is followed by a record `BOUNDARY` for each boundary."""

BOUNDARY = {
    "size": _integer("neurons, or inputs"),
    "activation": _integer("code of the activation that made these numbers"),
    "row": _integer("distance between rows of activations; of z, deltas and masks, too", LAYOUT, DATA),
    "a_at": _integer("where the activations a = f(z) are"),
    "z_at": _integer("where z is; a_at if z need not be kept"),
    "delta_at": _integer("where dL/dz is"),
    "dropped_at": _integer("where the activations are after dropout"),
    "mask_at": _integer("where the factors of dropout are"),
    "W": Field(OWN, (), (LAYOUT,), "W of the layer that begins here, as are all fields below"),
    "W_row": _integer("distance between rows of W"),
    "W_at": _integer("where W, or W^T, is in a packed vector"),
    "packed_row": _integer("distance between its rows there"),
    "is_transposed": _integer("whether it is W^T"),
    "b": Field(OWN, (), (LAYOUT,), "b; zeros if there are no biases"),
    "b_at": _integer("where b is in a packed vector"),
    "WT": Field(OWN, (), (LAYOUT,), "W^T"),
    "WT_row": _integer("distance between rows of W^T"),
}
"""A boundary, and the layer that begins there. Its addresses point into `theta`, `transposes` or `zeros`."""

COUNTERS = {
    "step": _integer("steps taken", KERNEL),
    "row": _integer("samples of this epoch consumed", KERNEL),
    "epoch": _integer("epochs finished", KERNEL),
    "position": _integer("last position drawn in `order`; -1 before the first", KERNEL),
    "recorded": _integer("losses recorded", KERNEL),
}
"""How far a run is."""


def _number(meaning: str, *writers: str) -> Field:
    return Field("float64", (), writers, meaning)


TOTALS = {
    "loss_sum": _number("sum of this epoch's losses, each times its weight", KERNEL),
    "row_sum": _number("rows of these losses", KERNEL),
    "epoch_loss": _number("mean loss of the last epoch that ended", KERNEL),
    "divisor": _number("what the loss of the batch at hand is divided by", KERNEL),
    "not_finite": _number("NaN if an epoch has ended whose loss was not finite, else 0", KERNEL),
}
"""Sums over the samples of a run so far."""

NUMBERS = {
    "l2": _number("factor of the L2 penalty", OPTIONS),
    "step_l2": _number("factor of the L2 penalty in this step", KERNEL),
    "clip_norm": _number("largest norm of the gradient", OPTIONS),
    "keep_probability": _number("probability that dropout keeps an activation", OPTIONS),
    "clip_scale": _number("first factor that clips this step's gradient", KERNEL),
    "clip_factor": _number("second factor, applied after the first", KERNEL),
    "patience": _number("the rule stops training after more epochs without improvement; 0: no rule", RUN),
    "tolerance": _number("a smaller improvement of the loss is none", RUN),
    "best_loss": _number("least mean loss of an epoch", RUN, KERNEL),
    "stale_epochs": _number("epochs without improvement, up to the last one", RUN, KERNEL),
}
"""Options that are not integers, and the stopping rule of scikit-learn's perceptrons."""

ITEM = {
    "layer": _integer("the layer"),
    "first": _integer("first row of W; -1: the item is b"),
    "rows": _integer("rows of W; 1 for b"),
    "takes_b": _integer(
        "whether the item also has b, which lies before W: W is small, and all of it is here"
    ),
}
"""An item: rows of a layer's W, or its b, or both."""

POPULATION = {
    "mode": _integer("TRAIN, LOSS_ONLY or PREDICT"),
    "n_layers": _integer("layers of the networks"),
    "layers": Field("population_layer", ("n_layers",), (), "the layers"),
    "n_parameters": _integer("parameters of a network"),
    "n_lanes": _integer("networks, with those that fill the last block"),
    "loss": _integer("code of the loss"),
    "loss_parameters": Field("float64*", ("n_loss_parameters",), (), "the level of quantile"),
    # --- data
    "n_samples": _integer("samples"),
    "n_rows": _integer("rows of X: more than the samples of an epoch if a given order chooses from them"),
    "X": Field(OWN, ("n_rows", "n_inputs"), (DATA,), "inputs"),
    "Y": Field(OWN, ("n_rows", "n_outputs"), (DATA,), "targets; labels as rows of probabilities"),
    "weights": Field(OWN, ("n_weights",), (DATA,), "weights of samples; 0 if they are all 1"),
    "weighs_each": _integer("whether each network has its own weights: block, sample, lane"),
    # --- the order of the samples
    "ordering": _integer("SHARED, OWN_DRAWN or OWN_GIVEN"),
    "sequence": Field("int32*", ("n_sequence",), (RUN,), "the samples of these steps, if shared"),
    "sequence_step": _integer("the step at which the sequence begins", RUN),
    "orders": Field("int32*", ("n_lanes", "n_samples"), (KERNEL,), "the samples in each network's own order"),
    "generators": Field("uint64*", ("n_lanes", "2"), (KERNEL,), "states: of the shuffle, and of the dropout"),
    # --- what training changes: blocks of networks, a lane each
    "theta": Field(OWN, ("n_blocks", "n_parameters", "lanes"), (TRAIN,), "parameters"),
    "together": _integer("blocks of a bundle"),
    "is_222": _integer("whether the networks are trained in registers"),
    "decays": _integer("whether any network has an l2 above 0"),
    "loss_parts": Field(OWN, ("n_lanes",), (KERNEL,), "sums of losses that are not yet in loss_sums"),
    "state": Field(OWN, ("n_blocks", "n_states", "n_parameters", "lanes"), (KERNEL,), "optimizer's state"),
    "n_states": _integer("state vectors of the optimizer"),
    "active": Field(OWN, ("n_lanes",), (RUN, KERNEL), "1 for a network that is trained, 0 if frozen"),
    "steps": Field("int64*", ("n_bundles",), (KERNEL,), "steps that each bundle has taken"),
    "frozen_at": Field("int64*", ("n_lanes",), (RUN, KERNEL), "steps of a frozen network; -1 if active"),
    "diverged_at": Field("int64*", ("n_lanes",), (KERNEL,), "the bad step, counted from 1; -1 if none"),
    "loss_sums": Field("float64*", ("n_lanes",), (KERNEL,), "sums of this epoch's losses, with weights"),
    "epoch_losses": Field("float64*", ("n_lanes",), (KERNEL,), "mean losses of the last epoch that ended"),
    "curve": Field("float64*", ("n_curve", "n_lanes"), (KERNEL,), "mean losses of the recorded epochs"),
    "curve_every": _integer("every such epoch is recorded; 0 if none is", RUN),
    "curve_first": _integer(
        "the number of the first row; the row of epoch e is e / curve_every, upwards", RUN
    ),
    "last_epoch": _integer("an epoch that is recorded in any case", RUN),
    # --- options
    "batch_size": _integer("rows of a step"),
    "steps_per_epoch": _integer("steps of an epoch"),
    "tile_rows": _integer("rows that go through the networks together"),
    "burst_steps": _integer("steps between two checks for numbers that are not finite"),
    "rule": _integer("code of the update rule"),
    "hyper": Field("float64*", ("n_hyperparameters",), (OPTIONS,), "the optimizer's hyper-parameters"),
    "update": _integer("code of the update function"),
    "kinds": Field("int64*", ("n_step_constants",), (), "what each constant of a step depends on"),
    "rates": Field("float64*", ("n_lanes",), (RUN,), "learning rates"),
    "relative_rates": Field("float64*", ("n_rates",), (RUN,), "factors of the rates from first_step on"),
    "n_rates": _integer("how many factors there are; the last one stays", RUN),
    "first_step": _integer("the step of the first factor", RUN),
    "momenta": Field("float64*", ("n_lanes",), (OPTIONS,), "momenta"),
    "l2": Field("float64*", ("n_lanes",), (OPTIONS,), "factors of the L2 penalties"),
    "divides_l2": _integer("whether these are divided by the rows of a step, and losses contain the penalty"),
    "keep": Field("float64*", ("n_lanes",), (OPTIONS,), "probabilities that dropout keeps an activation"),
    "drops": _integer("whether there is dropout"),
    "has_biases": _integer("whether layers have b"),
    "trains_biases": _integer("whether b is trained"),
    "clips": _integer("whether the gradient is clipped"),
    "clip_norm": Field("float64*", ("1",), (OPTIONS,), "largest norm of a network's gradient"),
    "reach": Field("float64*", ("2",), (OPTIONS,), "2-2-2: largest input, and bound of |y - t| y (1 - y)"),
    # --- evaluation
    "losses": Field("float64*", ("n_lanes",), (LOSS_ONLY,), "sums of losses, each times its weight"),
    "outputs": Field(OWN, ("n_lanes", "n_samples", "n_outputs"), (PREDICT,), "outputs"),
    # --- threads
    "work": Field(OWN, ("n_threads", "work_size"), (KERNEL,), "a work area a thread"),
    "work_size": _integer("numbers of a work area"),
    "scratch": Field("float64*", ("n_threads", "scratch_size"), (KERNEL,), "numbers of a thread"),
    "scratch_size": _integer("numbers of a thread's scratch"),
    "drawn": Field("int32*", ("n_threads", "drawn_size"), (KERNEL,), "own samples of the steps of a burst"),
    "drawn_size": _integer("numbers of a thread's part of drawn"),
    "targets_at": _integer("where the targets of a tile are in the work area"),
    "scales_at": _integer("where the weights of a tile's samples are"),
    "gradient_at": _integer("where the gradient is"),
    "constants_at": _integer("where the constants of a step are, a vector each"),
    "saved_at": _integer("where the parameters and the state from before are"),
}
"""Many networks of one shape, a network a SIMD lane; see `fastbp.kernels.population`."""

POPULATION_LAYER = {
    "n_in": _integer("inputs of the layer"),
    "n_out": _integer("neurons"),
    "activation": _integer("code of the activation"),
    "W_at": _integer("where W is in the parameters; b follows it"),
    "x_at": _integer("where the inputs are in a work area, in numbers of a tile"),
    "a_at": _integer("where the activations are"),
    "z_at": _integer("where z is; a_at if z need not be kept"),
    "delta_at": _integer("where dL/dz is"),
    "mask_at": _integer("where the factors of dropout are; -1 if this layer has none"),
    "dropped_at": _integer("where the activations are after dropout"),
}
"""A layer of the networks of a population."""

FUSED = {
    "X": Field(OWN, ("n_samples", "2"), (DATA,), "inputs"),
    "T": Field(OWN, ("n_samples", "2"), (DATA,), "targets"),
    "n_samples": _integer("samples", OPTIONS),
    "order": Field("int64*", ("n_samples",), (KERNEL,), "the samples in the order of this epoch"),
    "generator": Field("uint64*", ("1",), (KERNEL,), "state of the shuffle"),
    "counters": Field("fused_counters", (), (KERNEL,), "see FUSED_COUNTERS"),
    "parameters": Field(OWN, ("12",), (KERNEL,), "the parameters, as `kernels.fused222` lists them"),
    "losses": Field(
        "float64*",
        ("n_records",),
        (KERNEL,),
        "the loss before training, after every record_every steps, at the end",
    ),
    "loss": Field("float64*", ("1",), (KERNEL,), "the loss over all samples, if it is asked for"),
    "rate": Field("float64*", ("1",), (RUN,), "the learning rate"),
    "trains_biases": _integer("whether b is trained", OPTIONS),
    "sequential": _integer("whether a layer is updated before the error passes back through it", OPTIONS),
    "shuffles": _integer("whether the order is drawn anew for each epoch", OPTIONS),
    "record_every": _integer("steps between two recorded losses", OPTIONS),
    "guesses": _integer("whether rows of the sigmoid's table are guessed", OPTIONS),
    "carry": Field(OWN, ("10",), (KERNEL,), "zeros at first: hands the look-ahead to the next chunk"),
    "slots": Field(OWN, ("n_samples", "32"), (KERNEL,), "NaN at first: the rows that are guessed"),
    "guess_table": Field(OWN, (), (), "the sigmoid's table for guessed rows"),
    "lookup_table": Field(OWN, (), (), "the sigmoid's table for rows found from z"),
}
"""What the kernels of the 2-2-2 network are told."""

FUSED_COUNTERS = {
    "step": _integer("steps taken", KERNEL),
    "position": _integer("position of the coming step's sample in `order`; -1 before the first call", KERNEL),
    "recorded": _integer("losses recorded", KERNEL),
    "end": _integer("steps of the whole run", OPTIONS),
}
"""How far a run on such a kernel is."""

WATCH = {
    "trainer": _integer("the kernel that trains: LAYERED, ONLINE or FUSED of `kernels.epoch_ends`", OPTIONS),
    "train_at": _integer("where its code is", OPTIONS),
    "evaluate_at": _integer("where the code of the layered kernel is", OPTIONS),
    "job": Field("job", (), (KERNEL,), "the job that trains"),
    "fused": Field("fused", (), (KERNEL,), "or what a kernel of the 2-2-2 network is told"),
    "losses_job": Field(
        "job", (), (KERNEL,), "the job for the loss of the validation data; 0 if there are none"
    ),
    "outputs_job": Field("job", (), (KERNEL,), "the job for the outputs; 0 without metrics"),
    "steps_per_epoch": _integer("steps of an epoch", OPTIONS),
    "every": _integer("epochs between two rows", OPTIONS),
    # --- parameters
    "n_parameters": _integer("parameters of the network", OPTIONS),
    "has_bias": _integer("whether layers have biases", OPTIONS),
    "flattens": _integer("whether a row needs the parameters", OPTIONS),
    "flat": Field(OWN, ("n_parameters",), (KERNEL,), "the parameters at a row, laid out as `Network.theta`"),
    "best": Field(OWN, ("n_parameters",), (KERNEL,), "the best parameters"),
    # --- metrics
    "n_evaluated": _integer("samples that are evaluated", OPTIONS),
    "n_outputs": _integer("outputs of the network", OPTIONS),
    "n_measures": _integer("metrics", OPTIONS),
    "measures": Field("int64*", ("n_measures",), (), "their codes, from `kernels.measures`"),
    "outputs": Field(OWN, ("n_evaluated", "n_outputs"), (KERNEL,), "outputs"),
    "targets": Field(OWN, ("n_evaluated", "n_outputs"), (DATA,), "targets, for metrics of numbers"),
    "truth": Field("int64*", ("n_evaluated",), (), "the classes of the targets, or 0 and 1 for each output"),
    "threshold": Field("float64*", ("1",), (), "an output decides for yes from here on"),
    "spread": Field(
        "float64*", ("n_outputs",), (), "the sum of the squared distances of targets from their mean"
    ),
    "scratch": Field("float64*", ("(n_evaluated + 1) * n_outputs",), (KERNEL,), "numbers to be added"),
    # --- the history
    "rows": Field(
        "float64*", ("n_room", "n_columns"), (KERNEL,), "the history: loss, learning rate, what is evaluated"
    ),
    "n_columns": _integer("columns of the history", OPTIONS),
    "n_room": _integer("rows for which there is room", RUN),
    "counters": Field("watch_counters", (), (KERNEL,), "see WATCH_COUNTERS"),
    "shows": _integer("whether Python wants to see every row", OPTIONS),
    # --- goals and rules
    "n_goals": _integer("goals", OPTIONS),
    "goals": Field("float64*", ("n_goals", "3"), (), "their columns, signs, and values times signs"),
    "monitored": _integer("the column that rules look at; -1 without rules", OPTIONS),
    "monitoring": Field("float64*", ("2",), (), "its sign that makes less better, and the least improvement"),
    "keeps_best": _integer("whether the best parameters are kept", OPTIONS),
    "sums_strips": _integer("whether rules need the loss of every epoch", OPTIONS),
    "rules": Field("float64*", ("n_rules", "3"), (), "codes and parameters, as `kernels.rules` has them"),
    "n_program": _integer("words of the program", OPTIONS),
    "program": Field("int64*", ("n_program",), (), "how the rules are combined"),
    "state": Field("float64*", ("n_state",), (KERNEL,), "what rules remember, as `kernels.rules` has it"),
}
"""What is done after epochs, inside `kernels.epoch_ends`."""

WATCH_COUNTERS = {
    "rows": _integer("rows of the history", KERNEL),
    "epochs": _integer("epochs that have ended", KERNEL),
}
"""How far a history is."""

RECORDS = {
    "job": JOB,
    "boundary": BOUNDARY,
    "counters": COUNTERS,
    "totals": TOTALS,
    "numbers": NUMBERS,
    "item": ITEM,
    "population": POPULATION,
    "population_layer": POPULATION_LAYER,
    "fused": FUSED,
    "fused_counters": FUSED_COUNTERS,
    "watch": WATCH,
    "watch_counters": WATCH_COUNTERS,
}


PLACES = {record: {name: i for i, name in enumerate(table)} for record, table in RECORDS.items()}
"""For every record, the places of its fields."""


def place(record: str, name: str) -> int:
    """Return where a field is in its record.

    Examples
    --------
    >>> place("counters", "row")
    1
    """
    return PLACES[record][name]


def place_in_job(name: str, boundary: int | None = None) -> int:
    """Return where a field is in the job's integers: the job's own, or a boundary's.

    Examples
    --------
    >>> place_in_job("size", 1) - place_in_job("size", 0) == len(BOUNDARY)
    True
    """
    if boundary is None:
        return PLACES["job"][name]
    return len(JOB) + boundary * len(BOUNDARY) + PLACES["boundary"][name]


def element_type(record: str) -> str:
    """Return the type of the numbers of a record: int64, unless the numbers in it are float64."""
    return "float64" if next(iter(RECORDS[record].values())).type == "float64" else "int64"
