"""Standard JSON: Python's own writer writes Infinity and NaN, which the standard does not allow.

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
        It may be nested. Keys are strings.
    indent : int, optional
        Spaces per level, with each element on its own line; by default, everything is on one line.

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
