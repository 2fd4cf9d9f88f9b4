"""JSON that any program reads: Python's own writer has Infinity and NaN, which the standard has not.

RFC 8259, section 6, https://www.rfc-editor.org/rfc/rfc8259#section-6
"""

import json
import math
from typing import Any


def dumps(document: Any, *, indent: int | None = None) -> str:
    """Return a document as JSON, with null for every number that is not finite.

    Parameters
    ----------
    document : dict, list, tuple, str, int, float, bool or None
        And so on inside, with strings for keys.
    indent : int, optional
        Blanks a level, each item on a line of its own; by default, all is in one line.

    Examples
    --------
    >>> dumps({"loss": float("inf"), "rows": (1, 2.5, float("nan"))})
    '{"loss": null, "rows": [1, 2.5, null]}'
    """
    return json.dumps(_finite(document), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
