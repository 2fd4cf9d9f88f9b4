"""The job: one flat int64 array through which Python hands a kernel its addresses, sizes and options.

A kernel that takes twenty arrays pays microseconds for every call, because each is taken apart anew; one
address costs nothing. So the arrays are taken apart once, when the job is made (`fastbp.engine.job`), and
the object that made it keeps them alive.

Legend: boundary l = 0 .. L carries the activations between layers: boundary 0 is the input, L the
output. Layer l leads from boundary l to l + 1. A *row* is the distance between two rows, in elements. What is
called *at* counts elements from the start of a thread's work area, or of the packed vectors.
"""

from fastbp._jit import helper
from fastbp.simd import at_address, element, shifted

(
    MODE,
    N_LAYERS,
    N_THREADS,
    N_SAMPLES,
    BATCH,
    TILE,
    N_GROUPS,
    N_SLOTS,
    PIECE,
    DONE,
    HAS_TRANSPOSES,
    LOSS,
    OPTIMIZER,
    TRAINS_BIASES,
    SEQUENTIAL,
    CLIPS,
    DROPS,
    SHUFFLES,
    RECORD_EVERY,
    FIRST_STEP,
    N_RATES,
    END,
    N_ITEMS,
    X,
    X_KIND,
    X_ROW,
    X_STEP,
    DIRECT,
    T,
    LABELS,
    WEIGHTS,
    ORDER,
    THETA,
    TRANSPOSES,
    STATE_1,
    STATE_2,
    N_PACKED,
    GRADIENT,
    WORK,
    WORK_SIZE,
    SCRATCH_AT,
    RESTS_AT,
    ZEROS,
    ROW_LOSSES,
    RATES,
    COUNTERS,
    TOTALS,
    LOSSES,
    GENERATOR,
    NUMBERS,
    HYPER,
    CONSTANTS,
    SHARED,
    ITEMS,
    N_FIELDS,
) = range(55)
"""Where a job's integers are; addresses are among them, 0 for what there is none of.

A call of the kernel leaves a long step after PIECE rows, of each group if there are groups, and the next call
goes on: DONE are the rows that the step at hand has behind it. HAS_TRANSPOSES is 1 once W^T are those of W.
THETA and TRANSPOSES are the arrays into which the addresses W, B and WT of the layers point.
"""

(
    SIZE,
    A_ROW,
    A_AT,
    Z_AT,
    D_AT,
    DROPPED_AT,
    MASK_AT,
    CODE,
    W,
    W_ROW,
    W_AT,
    B,
    B_AT,
    WT,
    WT_ROW,
    N_BOUNDARY_FIELDS,
) = range(16)
"""Where the integers of a boundary are, which follow. CODE is what made its activations; from W on they are
of the layer that begins there."""

TRAIN, GRADIENT_ONLY, LOSS_ONLY, PREDICT = range(4)
"""What a job may be for."""

X_OWN, X_FLOAT32, X_FLOAT64, X_UINT8 = range(4)
"""What the elements of X may be: of the network's own type, or another one that the gathering converts."""

STEP, ROW, EPOCH, POSITION, RECORDED, N_COUNTERS = range(6)
"""Where `COUNTERS` holds the steps taken, the rows of this epoch consumed, the epochs finished, the last
position drawn in `ORDER` (-1 before the first), and the losses recorded."""

LOSS_SUM, WEIGHT_SUM, EPOCH_LOSS, BATCH_WEIGHT, NOT_FINITE, N_TOTALS = range(6)
"""Where `TOTALS` holds the sum of this epoch's losses, each times its weight, that of the weights, the mean
loss of the last epoch that ended, the sum of weights of the batch at hand, and NaN once an epoch ended whose
loss was not finite, else 0."""

L2, CLIP_NORM, KEEP_PROBABILITY, CLIP_SCALE, CLIP_FACTOR, N_NUMBERS = range(6)
"""Where `NUMBERS` holds options, and the two factors, one after the other, that clip this step's gradient."""

ITEM_LAYER, ITEM_FIRST, ITEM_ROWS, N_ITEM_FIELDS = range(4)
"""An item of `ITEMS` is rows of a layer's W, or its biases: ITEM_FIRST is -1 then."""


@helper
def field(job, i):
    """Return an integer of the job."""
    return element(job, i)


@helper
def of(job, boundary, i):
    """Return an integer of a boundary, or of the layer that begins there."""
    return element(job, N_FIELDS + boundary * N_BOUNDARY_FIELDS + i)


@helper
def integers(job, i):
    """Return the address of int64 numbers that field i holds."""
    return at_address(element(job, i), element(job, i))


@helper
def doubles(job, i):
    """Return the address of float64 numbers that field i holds."""
    return at_address(element(job, i), 0.0)


@helper
def floats(job, i, like):
    """Return the address of numbers of the network's type, that of the number `like`, that field i holds."""
    return at_address(element(job, i), like)


@helper
def in_packed(job, i, at, like):
    """Return the address of element `at` of a packed vector."""
    return shifted(at_address(element(job, i), like), at)


@helper
def work_area(job, thread, like):
    """Return the address of a thread's work area."""
    return shifted(at_address(element(job, WORK), like), thread * element(job, WORK_SIZE))


@helper
def input_at(job, area, boundary, sample, row, like):
    """Return the address of what goes into layer `boundary`: of a row of the tile that begins at `sample`."""
    distance = of(job, boundary, A_ROW)
    if boundary == 0 and field(job, DIRECT) != 0:
        return shifted(floats(job, X, like), (sample + row) * distance)
    dropped = field(job, DROPS) != 0 and boundary > 0
    at = of(job, boundary, DROPPED_AT) if dropped else of(job, boundary, A_AT)
    return shifted(area, at + row * distance)


@helper
def outputs_of(job, area, boundary, i, row):
    """Return the address of a row of a boundary's A_AT, Z_AT, D_AT, ...: field i."""
    return shifted(area, of(job, boundary, i) + row * of(job, boundary, A_ROW))
