"""What `fastbp.fit` and `fastbp train` choose if nothing is said: by the number of rows.

Nested cross-validation on twelve real tables chose these numbers, and twelve other tables judged them:
docs/defaults.md has both, and the command. The rate falls to 0 by half a cosine, so that no rows need be put
aside to know when to stop. AdamW's decay keeps probabilities modest, and is weaker the more rows there are.
"""

import math
from dataclasses import dataclass

from fastbp.errors import OptionError, check_integer
from fastbp.optimizers import AdamW
from fastbp.schedules import CosineDecay

LEARNING_RATE = 3e-3
"""Where the cosine begins."""

LARGEST_DECAY, DECAY_ROWS = 1.0, 300
"""The weight decay is 300 / n_rows, and at most 1."""

MANY_ROWS = 5000
"""From here on two layers are better than one, and longer batches save time."""

EPOCHS = 100


@dataclass(frozen=True)
class Defaults:
    """What is chosen for a table of some rows.

    Examples
    --------
    >>> Defaults.of(150)
    Defaults(hidden=(100,), batch_size=16, epochs=100, weight_decay=1.0)
    >>> Defaults.of(30_000)
    Defaults(hidden=(64, 64), batch_size=32, epochs=100, weight_decay=0.01)
    """

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    weight_decay: float

    @classmethod
    def of(cls, n_rows: int) -> "Defaults":
        """Return the defaults for so many training rows."""
        decay = min(LARGEST_DECAY, DECAY_ROWS / n_rows)
        if n_rows < MANY_ROWS:
            return cls((100,), 16, EPOCHS, decay)
        return cls((64, 64), 32, EPOCHS, decay)

    def optimizer(self, n_steps: int, learning_rate: float | None = None) -> AdamW:
        """Return AdamW with a rate that falls to 0 in so many steps.

        Examples
        --------
        >>> Defaults.of(150).optimizer(1000).learning_rate
        CosineDecay(initial=0.003, steps=1000, final=0.0)
        """
        rate = LEARNING_RATE if learning_rate is None else learning_rate
        return AdamW(CosineDecay(rate, steps=n_steps), weight_decay=self.weight_decay)


def steps_of(n_rows: int, epochs: int | None, steps: int | None, batch_size: int | None) -> int:
    """Return how many steps a run takes, whichever of epochs and steps is given.

    Examples
    --------
    >>> steps_of(150, 10, None, 16), steps_of(150, None, 7, None), steps_of(150, 10, None, None)
    (100, 7, 10)
    """
    if steps is not None:
        return check_integer("steps", steps, 1)
    if epochs is None:
        raise OptionError("epochs is None, and must be given, or steps")
    size = n_rows if batch_size is None else check_integer("batch_size", batch_size, 1)
    return check_integer("epochs", epochs, 1) * math.ceil(n_rows / min(size, n_rows))
