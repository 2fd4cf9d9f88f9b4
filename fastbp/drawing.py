"""What all pictures share: their style, their files, and the error if matplotlib is missing."""

from io import BytesIO
from pathlib import Path
from typing import Any

from fastbp.errors import OptionError, as_option
from fastbp.interchange.atomic import write_atomically

SUFFIXES = (".png", ".svg")


def check_matplotlib() -> None:
    """Raise an error if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise OptionError(
            f"{as_option('plot')} needs matplotlib; install it: pip install 'fastbp[plot]'"
        ) from None


def save_picture(picture: Any, path: Path) -> None:
    """Write a picture; the same picture gives the same file."""
    suffix, drawn = path.suffix.lower(), BytesIO()
    picture.savefig(drawn, format=suffix[1:], dpi=160, metadata={"Date": None} if suffix == ".svg" else None)
    write_atomically(path, [drawn.getbuffer()])


def style() -> Any:
    """Return the matplotlib context for all pictures."""
    import matplotlib

    return matplotlib.rc_context({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "fastbp"})
