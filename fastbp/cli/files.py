"""Files that a command writes or reads."""

from pathlib import Path

from fastbp.errors import ModelFileError, OptionError
from fastbp.interchange.atomic import check_writable
from fastbp.network import Network


def check_out(option: str, path: Path, suffixes: tuple[str, ...] = ()) -> None:
    """Raise an error, before any work, if a file cannot be written."""
    if "\0" in str(path):
        raise OptionError(f"{option} is {str(path)!r}, and no file name may have a zero byte")
    if suffixes and path.suffix.lower() not in suffixes:
        raise OptionError(f"{option} is {str(path)!r}, and must end in {' or '.join(suffixes)}")
    try:
        check_writable(path)
    except OSError as error:
        raise OptionError(f"{option} is {str(path)!r}, and cannot be written: {error.strerror}") from None


def load_model(path: Path) -> Network:
    """Return the network of a model file."""
    try:
        return Network.load(path)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from None


def size(path: Path) -> str:
    """Return a file's size in words.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(bytes(5130))
    ...     file.flush()
    ...     size(Path(file.name))
    '5.1 kB'
    """
    n_bytes: float = path.stat().st_size
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} bytes" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
