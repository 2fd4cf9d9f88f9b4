"""Warnings that name the line which called fastbp."""

import sys
import warnings


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the first line outside fastbp: the call of `fit`, under a patch, too.

    Parameters
    ----------
    message : str
    category : type, default UserWarning
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastbp."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
