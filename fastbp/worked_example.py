"""The worked example: a small network that was trained by hand in print, and every published figure.

Two inputs, two hidden and two output neurons, all sigmoid, and one training pair:

    h1 = s(w1 x1 + w2 x2 + b1)      y1 = s(w5 h1 + w6 h2 + b2)
    h2 = s(w3 x1 + w4 x2 + b1)      y2 = s(w7 h1 + w8 h2 + b2)
    E = 1/2 (t1 - y1)^2 + 1/2 (t2 - y2)^2

with learning rate 0.5 and fixed biases. A round is one step of gradient descent.

The source mixes two procedures. Its hand calculation takes every gradient at the weights from before
the round: ``update="simultaneous"``. Its totals come from a program that updates the output layer
first and passes the error back through the updated weights: ``update="sequential"``. Both give the same w5 to
w8 after round 1, because these do not depend on the error that is passed back.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from fastbp import reference
from fastbp.errors import check_choice
from fastbp.network import Network

X = np.array([[0.05, 0.10]])
"""The inputs (x1, x2): one sample."""

Y = np.array([[0.01, 0.99]])
"""The targets (t1, t2)."""

WEIGHTS = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)
"""w1 to w8 before training."""

BIASES = (0.35, 0.60)
"""b1 of both hidden neurons, b2 of both output neurons."""

LEARNING_RATE = 0.5
UPDATES = ("simultaneous", "sequential")
ROUNDS = 10_000
"""The number of rounds before the source's last figures."""

X.flags.writeable = Y.flags.writeable = False


def network() -> Network:
    """Return the network of the worked example, at its initial weights.

    Examples
    --------
    >>> net = network()
    >>> net.weights[0].tolist()
    [[0.15, 0.25], [0.2, 0.3]]
    >>> round(net.loss(X, Y), 9)
    0.298371109
    """
    net = Network([2, 2, 2], bias="fixed")
    for W, b, layer in zip(net.weights, net.biases, reference_network(), strict=True):
        W[:] = layer.W
        b[:] = layer.b
    return net


def reference_network() -> reference.Network:
    """Return the same network in the form that `fastbp.reference` trains."""
    w1, w2, w3, w4, w5, w6, w7, w8 = WEIGHTS
    b1, b2 = BIASES
    return [
        reference.Layer([[w1, w3], [w2, w4]], [b1, b1]),
        reference.Layer([[w5, w7], [w6, w8]], [b2, b2]),
    ]


def named_weights(net: Network) -> dict[str, float]:
    """Return a 2-2-2 network's weights by the names of the worked example, w1 to w8.

    Examples
    --------
    >>> named_weights(network())["w6"]
    0.45
    """
    # The source numbers the weights neuron by neuron; a neuron is a column of W.
    columns = [float(w) for W in net.weights for w in W.T.reshape(-1)]
    return {f"w{i}": w for i, w in enumerate(columns, start=1)}


def quantities(net: Network) -> dict[str, float]:
    """Return the worked example's quantities for a network: its weights, one forward pass, and E.

    Examples
    --------
    >>> list(quantities(network()))[:8]
    ['net_h1', 'net_h2', 'h1', 'h2', 'net_y1', 'net_y2', 'y1', 'y2']
    >>> round(quantities(network())["h2"], 9)
    0.596884378
    """
    layers = [reference.Layer(W.tolist(), b.tolist()) for W, b in zip(net.weights, net.biases, strict=True)]
    (_, net_h, net_y), (_, h, y) = reference.forward_pass(layers, X[0].tolist())
    vectors = {"net_h": net_h, "h": h, "net_y": net_y, "y": y}
    forward = {f"{name}{j}": a for name, vector in vectors.items() for j, a in enumerate(vector, 1)}
    return {**forward, "E": reference.half_squared_error(y, Y[0].tolist()), **named_weights(net)}


# --- the published figures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One number of the worked example.

    Attributes
    ----------
    rounds : int
        The number of rounds of training before it: 0, 1 or 10,000.
    quantity : str
        A key of `quantities`.
    published : str or None
        The digits as the source prints them; None if it does not print them.
    computed : float
        What a computation in double precision gives.
    update : {"either", "simultaneous", "sequential"}
        The update that gives it.
    corrected : str or None
        The intended digits, as far as one can tell, if the published ones have a misprint.
    note : str
        What the misprint is, in plain words.
    """

    rounds: int
    quantity: str
    published: str | None
    computed: float
    update: str = "either"
    corrected: str | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The quantity and the round, in words."""
        return figure_name(self.rounds, self.quantity)

    def match(self, value: float) -> str | None:
        """Compare a value with the published digits.

        Returns
        -------
        {"yes", "misprint", "no"} or None
            "yes" if the published digits are the value, rounded to as many decimals as are printed;
            "misprint" if the corrected digits are, "no" if neither are; None if nothing is published.
        """
        if self.published is None:
            return None
        if rounds_to(value, self.published):
            return "yes"
        if self.corrected is not None and rounds_to(value, self.corrected):
            return "misprint"
        return "no"


def figure_name(rounds: int, quantity: str) -> str:
    """Return a quantity and its round, in words.

    Examples
    --------
    >>> figure_name(0, "E"), figure_name(1, "w6"), figure_name(10_000, "y1")
    ('E before training', 'w6 after round 1', 'y1 after 10,000 rounds')
    """
    when = {0: "before training", 1: "after round 1"}.get(rounds, f"after {rounds:,} rounds")
    return f"{quantity} {when}"


def rounds_to(value: float, digits: str) -> bool:
    """Return whether a finite value, rounded to as many decimals as the digits have, equals them.

    Examples
    --------
    >>> rounds_to(0.29950228726, "0.29950229"), rounds_to(0.29950228726, "0.29950228")
    (True, False)
    """
    printed = Decimal(digits)
    return round(Decimal(value), -int(printed.as_tuple().exponent)) == printed


FIGURES = (
    Figure(0, "net_h1", "0.3775", 0.3775),
    Figure(0, "h1", "0.593269992", 0.593269992107187255),
    Figure(0, "net_h2", "0.3925", 0.3925),
    Figure(0, "h2", "0.596884378", 0.596884378259767056),
    Figure(0, "net_y1", "1.10590597", 1.105905967059770078),
    Figure(0, "y1", None, 0.751365069552315708),
    Figure(0, "net_y2", "1.2249214", 1.224921404096465508),
    Figure(0, "y2", None, 0.772928465321462589),
    Figure(0, "E", "0.298371109", 0.298371108760002689),
    Figure(1, "w5", "0.35891648", 0.358916479717884611),
    Figure(
        1,
        "w6",
        "408666186",
        0.408666186076233372,
        corrected="0.408666186",
        note='The leading "0." is missing.',
    ),
    Figure(1, "w7", "0.511301270", 0.511301270238737530),
    Figure(1, "w8", "0.561370121", 0.561370121107989105),
    Figure(1, "w1", "0.149780716", 0.149780716132762827, "simultaneous"),
    Figure(1, "w2", "0.19956143", 0.199561432265525653, "simultaneous"),
    Figure(1, "w3", "0.24975114", 0.249751143632369570, "simultaneous"),
    Figure(1, "w4", "0.29950229", 0.299502287264739140, "simultaneous"),
    Figure(1, "E", "0.291027924", 0.291027923905441870, "sequential"),
    Figure(
        ROUNDS,
        "E",
        "0.0000351085",
        3.50847862963135e-05,
        "sequential",
        corrected="0.000035085",
        note='There seems to be a "1" too many: without it, the digits are those of the sequential update to '
        "nine decimals, the precision of the other totals, and y1 and y2 beside them are of that update too. "
        "(Taken as they stand, they would be E of the simultaneous update one round earlier, "
        "3.51085481e-5 after 9,999 rounds.)",
    ),
    Figure(
        ROUNDS,
        "y1",
        "0.159121960",
        0.0159121963260344542,
        "sequential",
        corrected="0.015912196",
        note="The zero after the point has gone to the end. An output of 0.159 would by itself make "
        "E = 0.011, three hundred times the E printed beside it.",
    ),
    Figure(ROUNDS, "y2", "0.984065734", 0.984065734485629096, "sequential"),
)
"""Every figure, in the source's order. The source does not print y1 and y2 before training."""


# --- one round in full -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantity:
    """One line of the hand calculation: ``name = formula``, and its value."""

    section: str
    name: str
    formula: str
    value: float


_FORWARD = """
    net_h1 = w1 * x1 + w2 * x2 + b1
    h1 = sigmoid(net_h1)
    net_h2 = w3 * x1 + w4 * x2 + b1
    h2 = sigmoid(net_h2)
    net_y1 = w5 * h1 + w6 * h2 + b2
    y1 = sigmoid(net_y1)
    net_y2 = w7 * h1 + w8 * h2 + b2
    y2 = sigmoid(net_y2)
    E1 = 1/2 * (t1 - y1)**2
    E2 = 1/2 * (t2 - y2)**2
    E = E1 + E2
"""

_BACKWARD_OUTPUT = """
    dE_dy1 = y1 - t1
    dy1_dnet_y1 = y1 * (1 - y1)
    delta_y1 = dE_dy1 * dy1_dnet_y1
    dE_dy2 = y2 - t2
    dy2_dnet_y2 = y2 * (1 - y2)
    delta_y2 = dE_dy2 * dy2_dnet_y2
    dE_dw5 = delta_y1 * h1
    dE_dw6 = delta_y1 * h2
    dE_dw7 = delta_y2 * h1
    dE_dw8 = delta_y2 * h2
    new_w5 = w5 - learning_rate * dE_dw5
    new_w6 = w6 - learning_rate * dE_dw6
    new_w7 = w7 - learning_rate * dE_dw7
    new_w8 = w8 - learning_rate * dE_dw8
"""

# {w} is "w" in the simultaneous update and "new_w" in the sequential one: their only difference.
_BACKWARD_HIDDEN = """
    dE_dh1 = delta_y1 * {w}5 + delta_y2 * {w}7
    dh1_dnet_h1 = h1 * (1 - h1)
    delta_h1 = dE_dh1 * dh1_dnet_h1
    dE_dh2 = delta_y1 * {w}6 + delta_y2 * {w}8
    dh2_dnet_h2 = h2 * (1 - h2)
    delta_h2 = dE_dh2 * dh2_dnet_h2
    dE_dw1 = delta_h1 * x1
    dE_dw2 = delta_h1 * x2
    dE_dw3 = delta_h2 * x1
    dE_dw4 = delta_h2 * x2
    new_w1 = w1 - learning_rate * dE_dw1
    new_w2 = w2 - learning_rate * dE_dw2
    new_w3 = w3 - learning_rate * dE_dw3
    new_w4 = w4 - learning_rate * dE_dw4
"""

_FORWARD_AGAIN = """
    new_h1 = sigmoid(new_w1 * x1 + new_w2 * x2 + b1)
    new_h2 = sigmoid(new_w3 * x1 + new_w4 * x2 + b1)
    new_y1 = sigmoid(new_w5 * new_h1 + new_w6 * new_h2 + b2)
    new_y2 = sigmoid(new_w7 * new_h1 + new_w8 * new_h2 + b2)
    new_E = 1/2 * (t1 - new_y1)**2 + 1/2 * (t2 - new_y2)**2
"""


def one_round(update: str, learning_rate: float = LEARNING_RATE) -> list[Quantity]:
    """Return every intermediate quantity of round 1, in the order of a hand calculation.

    The two updates differ in the hidden layer only: the error comes back to it through the weights from
    before the round (``w5``), or through the new weights of the output layer (``new_w5``).

    Parameters
    ----------
    update : {"simultaneous", "sequential"}
    learning_rate : float, default 0.5

    Returns
    -------
    list of Quantity
        The formulas are Python; ``dE_dw5`` is the derivative of E with respect to w5, ``delta_y1`` that with
        respect to net_y1.

    Examples
    --------
    >>> for line in one_round("sequential")[:2]:
    ...     print(line.name, "=", line.formula, "=", round(line.value, 9))
    net_h1 = w1 * x1 + w2 * x2 + b1 = 0.3775
    h1 = sigmoid(net_h1) = 0.593269992
    """
    w = {"simultaneous": "w", "sequential": "new_w"}[check_choice("update", update, UPDATES)]
    sections = {
        "Forward pass": _FORWARD,
        "Backward pass, output layer": _BACKWARD_OUTPUT,
        f"Backward pass, hidden layer, {update}": _BACKWARD_HIDDEN.format(w=w),
        f"Forward pass again, {update}": _FORWARD_AGAIN,
    }
    values: dict[str, float] = {f"w{i}": w_i for i, w_i in enumerate(WEIGHTS, 1)}
    values |= {"b1": BIASES[0], "b2": BIASES[1], "learning_rate": learning_rate}
    values |= {f"x{i}": x_i for i, x_i in enumerate(X[0].tolist(), 1)}
    values |= {f"t{j}": t_j for j, t_j in enumerate(Y[0].tolist(), 1)}
    lines = []
    for section, formulas in sections.items():
        for line in formulas.strip().splitlines():
            name, formula = line.strip().split(" = ")
            # The printed text itself is evaluated, so formula and value always agree. It is a constant of
            # this file: no input reaches `eval`.
            values[name] = eval(formula, {"__builtins__": {}, "sigmoid": reference.sigmoid}, values)
            lines.append(Quantity(section, name, formula, values[name]))
    return lines
