"""How an option of `fastbp.train` is declared: once, as a field of a frozen dataclass that checks itself.

A field says whether the option decides the result: if so, a run is resumed only with the same value.
"""

from dataclasses import MISSING, field, fields
from typing import Any


def option(default: Any = MISSING, *, decides_result: bool) -> Any:
    """Declare an option, with its default as in the signature of `fastbp.train`, or without one.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Options:
    ...     epochs: int = option(decides_result=True)
    ...     progress: bool = option(False, decides_result=False)
    >>> deciding(Options(epochs=3))
    {'epochs': 3}
    """
    return field(default=default, metadata={"decides_result": decides_result})


def deciding(options: Any) -> dict[str, Any]:
    """Return the options that decide the result, by name."""
    return {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.metadata.get("decides_result")
    }
