"""Update rules: what the optimizers do with parameters that are in registers.

A rule takes the parameters ``w``, their gradient ``g``, the optimizer's state, and a named tuple ``c`` of
constants. It returns a tuple: the new parameters and the new state. These are vectors of one width, or
numbers. Every lane is a parameter of its own, and may have its own constants.

The function before the rule computes the constants of a step in float64. It takes the hyper-parameters ``h``,
the learning rate ``r`` of the step, and the number ``k`` of the step, counted from 1. The constants are
rounded once, to the type of the parameters. (In float32, 1 - 0.999 from a rounded 0.999 would have a relative
error of 5e-5.) ``decay`` is the weight decay that is added to the gradient as decay w; the caller adds the
option ``l2`` to it. ``down`` is -r.

The letters are those of the equations in `fastbp.optimizers`, which also has the sources.
"""

import inspect
import math
from collections import namedtuple
from collections.abc import Callable
from typing import NamedTuple

from fastbp._jit import helper
from fastbp.kernels.elementwise import SMALLEST_NORMAL, at_least
from fastbp.kernels.square_root import quick_root
from fastbp.kernels.tuples import replaced
from fastbp.optimizers import RPROP, SGD, Adam, AdamW, Optimizer, RMSprop, UnscaledAdam, VelocitySGD
from fastbp.processor import ADDS_APART
from fastbp.simd import fma, splat, where_less


@helper
def positive(x):
    """Return x, or the smallest normal number if x is below it. An x above 0 may have been rounded to 0."""
    return at_least(x, SMALLEST_NORMAL(x))


# --- SGD -------------------------------------------------------------------------------------------------


class SGDConstants(NamedTuple):
    """The constants of `sgd`, `sgd_momentum` and `sgd_nesterov`."""

    decay: float
    down: float
    momentum: float


@helper
def sgd_constants(h, r, k):
    """Return the constants of a step."""
    return SGDConstants(decay=h.weight_decay, down=0.0 - r, momentum=h.momentum)


@helper
def sgd(w, g, c):
    """Return w - r g."""
    g = fma(c.decay, w, g)
    return (fma(c.down, g, w),)


@helper
def sgd_momentum(w, g, v, c):
    """Return w - r v, and v = momentum v + g."""
    g = fma(c.decay, w, g)
    v = fma(c.momentum, v, g)
    return fma(c.down, v, w), v


@helper
def sgd_nesterov(w, g, v, c):
    """Return w - r (g + momentum v), and v = momentum v + g."""
    g = fma(c.decay, w, g)
    v = fma(c.momentum, v, g)
    return fma(c.down, fma(c.momentum, v, g), w), v


@helper
def moved(w, pull, push, a, decays):
    """Return what `sgd` returns for the gradient d a of one sample: w + pull w + push a.

    pull = -r decay, and push = -r d, which is the same for a row of weights. It is not computed as
    (1 + pull) w + push a: in float32 the error of 1 + pull is up to 3e-8, which is 3 % of a pull of 1e-6.
    """
    before = fma(pull, w, w) if decays else w
    return before + push * a if ADDS_APART else fma(push, a, before)


class VelocityConstants(NamedTuple):
    """The constants of `sgd_velocity`: the new parameter is w + ahead v + down_ahead g."""

    decay: float
    down: float
    momentum: float
    ahead: float
    down_ahead: float


@helper
def velocity_constants(h, r, k):
    """Return the constants of a step; without Nesterov's momentum, v itself is the step."""
    return VelocityConstants(
        decay=0.0,
        down=0.0 - r,
        momentum=h.momentum,
        ahead=h.momentum if h.nesterov else 1.0,
        down_ahead=0.0 - r if h.nesterov else 0.0,
    )


@helper
def sgd_velocity(w, g, v, c):
    """Return w + ahead v + down_ahead g, and v = momentum v + down g."""
    g = fma(c.decay, w, g)
    v = fma(c.momentum, v, c.down * g)
    return w + fma(c.ahead, v, c.down_ahead * g), v


# --- RMSprop ---------------------------------------------------------------------------------------------


class RMSpropConstants(NamedTuple):
    """The constants of `rmsprop` and `rmsprop_momentum`."""

    decay: float
    down: float
    alpha: float
    one_minus_alpha: float
    epsilon: float
    momentum: float


@helper
def rmsprop_constants(h, r, k):
    """Return the constants of a step."""
    return RMSpropConstants(
        decay=h.weight_decay,
        down=0.0 - r,
        alpha=h.alpha,
        one_minus_alpha=1.0 - h.alpha,
        epsilon=h.epsilon,
        momentum=h.momentum,
    )


@helper
def normalised(w, g, s, c):
    """Return q = g / (sqrt(s) + epsilon), and s = alpha s + (1 - alpha) g^2."""
    g = fma(c.decay, w, g)
    s = fma(c.alpha, s, c.one_minus_alpha * g * g)
    return g / (quick_root(s) + positive(c.epsilon)), s


@helper
def rmsprop(w, g, s, c):
    """Return w - r q, and s: see `normalised`."""
    q, s = normalised(w, g, s, c)
    return fma(c.down, q, w), s


@helper
def rmsprop_momentum(w, g, s, v, c):
    """Return w - r v, s, and v = momentum v + q: see `normalised`."""
    q, s = normalised(w, g, s, c)
    v = fma(c.momentum, v, q)
    return fma(c.down, v, w), s, v


# --- Adam and AdamW --------------------------------------------------------------------------------------


class AdamConstants(NamedTuple):
    """The constants of `adam`; `shrink` is r times AdamW's weight decay."""

    decay: float
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    pace: float
    epsilon: float
    shrink: float


@helper
def adam_constants(h, r, k):
    """Return the constants of a step.

    r / (1 - beta1^k) m / (sqrt(v) / u + epsilon), with u = sqrt(1 - beta2^k), is computed as
    pace m / (sqrt(v) + epsilon u), with pace = r u / (1 - beta1^k).
    """
    u = math.sqrt(1.0 - h.beta2**k)
    return AdamConstants(
        decay=h.weight_decay,
        beta1=h.beta1,
        one_minus_beta1=1.0 - h.beta1,
        beta2=h.beta2,
        one_minus_beta2=1.0 - h.beta2,
        pace=r * u / (1.0 - h.beta1**k),
        epsilon=h.epsilon * u,
        shrink=0.0,
    )


@helper
def unscaled_adam_constants(h, r, k):
    """Return Adam's constants, with epsilon as it is."""
    return replaced(adam_constants(h, r, k), "epsilon", h.epsilon)


@helper
def adamw_constants(h, r, k):
    """Return Adam's constants, with the weight decay apart from the gradient."""
    return replaced(replaced(adam_constants(h, r, k), "decay", 0.0), "shrink", r * h.weight_decay)


@helper
def adam(w, g, m, v, c):
    """Return w - shrink w - pace m / (sqrt(v) + epsilon), and the moments.

    m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2.
    """
    g = fma(c.decay, w, g)
    m = fma(c.beta1, m, c.one_minus_beta1 * g)
    v = fma(c.beta2, v, c.one_minus_beta2 * g * g)
    return w - fma(c.shrink, w, c.pace * m / (quick_root(v) + positive(c.epsilon))), m, v


# --- RPROP -----------------------------------------------------------------------------------------------


class RPROPConstants(NamedTuple):
    """The constants of `rprop`."""

    decay: float
    eta_minus: float
    eta_plus: float
    smallest_step: float
    largest_step: float


@helper
def rprop_constants(h, r, k):
    """Return the constants of a step."""
    return RPROPConstants(
        decay=0.0,
        eta_minus=h.eta_minus,
        eta_plus=h.eta_plus,
        smallest_step=h.smallest_step,
        largest_step=h.largest_step,
    )


@helper
def rprop(w, g, g_previous, d, c):
    """Return w - sign(g) d, g, and d.

    Where p = g g_previous is above 0, d has grown to eta_plus d. Where p is below 0, it has shrunk to
    eta_minus d, and g is 0.
    """
    zero, one, smallest = splat(0.0, w), splat(1.0, w), positive(c.smallest_step)
    g = fma(c.decay, w, g)
    p = g * g_previous
    d = d * where_less(zero, p, c.eta_plus, where_less(p, zero, c.eta_minus, one))
    d = where_less(d, smallest, smallest, where_less(c.largest_step, d, c.largest_step, d))
    g = where_less(p, zero, zero, g)
    return w - where_less(zero, g, d, where_less(g, zero, zero - d, g)), g, d


# --- the table -------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    """An update rule: its name, its optimizer, the constants of a step, and the function itself."""

    name: str
    optimizer: type[Optimizer]
    constants: Callable
    Constants: type
    update: Callable

    @property
    def n_states(self) -> int:
        """How many state vectors the rule takes: all its arguments but w, g and c."""
        return len(inspect.signature(self.update).parameters) - 3


RULES = (
    Rule("sgd", SGD, sgd_constants, SGDConstants, sgd),
    Rule("sgd_momentum", SGD, sgd_constants, SGDConstants, sgd_momentum),
    Rule("sgd_nesterov", SGD, sgd_constants, SGDConstants, sgd_nesterov),
    Rule("rmsprop", RMSprop, rmsprop_constants, RMSpropConstants, rmsprop),
    Rule("rmsprop_momentum", RMSprop, rmsprop_constants, RMSpropConstants, rmsprop_momentum),
    Rule("adam", Adam, adam_constants, AdamConstants, adam),
    Rule("adamw", AdamW, adamw_constants, AdamConstants, adam),
    Rule("sgd_velocity", VelocitySGD, velocity_constants, VelocityConstants, sgd_velocity),
    Rule("adam_unscaled", UnscaledAdam, unscaled_adam_constants, AdamConstants, adam),
    Rule("rprop", RPROP, rprop_constants, RPROPConstants, rprop),
)
"""All rules. `Optimizer.rule` gives the name. Kernels know a rule by its code, which is its place here."""

CODES = {rule.name: code for code, rule in enumerate(RULES)}

HYPERPARAMETERS = {
    optimizer: namedtuple(optimizer.__name__, optimizer.hyperparameter_names())
    for optimizer in dict.fromkeys(rule.optimizer for rule in RULES)
}
"""For each optimizer, a named tuple of its hyper-parameters in the order of `Optimizer.hyperparameters`."""

N_HYPERPARAMETERS = max(len(names._fields) for names in HYPERPARAMETERS.values())
N_CONSTANTS = max(len(rule.Constants._fields) for rule in RULES)
