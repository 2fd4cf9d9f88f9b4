"""Every loss by a name that a network takes, and the output activations that it goes with."""

from fastbp import activations, losses

EVERY_LOSS = tuple("quantile(0.8)" if name == "quantile" else name for name in losses.NAMES)


def fitting_outputs(loss: str) -> tuple[str, ...]:
    return losses.row_of(loss).outputs or activations.OUTPUT
