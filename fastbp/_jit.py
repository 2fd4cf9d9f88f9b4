"""Every compiler option, and why. The only place that calls `numba.njit`.

``cache=True``
    Compilation happens once a machine. The cache lives in a folder named after a hash of the
    package's compiled sources, because Numba looks only at the file that a function stands in: it
    would not see a change in a helper from another file.
``nogil=True``
    Kernels hold no Python object, so threads train at the same time.
``error_model="numpy"``
    Division by zero gives inf, as in NumPy; the check for it would cost a branch a division.
no ``fastmath``
    It lets LLVM delete checks for NaN. Where a fused multiply-add is wanted, the code says `fma`.
``forceinline`` for helpers
    LLVM sees one function and keeps everything in registers.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import config
from numba.core import event

_PACKAGE = Path(__file__).parent


def _cache_folder() -> str:
    """Return NUMBA_CACHE_DIR or the user's cache folder, and in it a folder for these very sources."""
    sources = [_PACKAGE / "_jit.py", _PACKAGE / "simd.py", *sorted((_PACKAGE / "kernels").glob("*.py"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return str(Path(config.CACHE_DIR or Path(user_cache) / "fastbp") / f"fastbp-{digest}")


@contextmanager
def _numba_cache_in(folder: str) -> Iterator[None]:
    previous, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        yield
    finally:
        config.CACHE_DIR = previous


_FOLDER = _cache_folder()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel: called from Python, cached on disk, without the interpreter's lock."""
    with _numba_cache_in(_FOLDER):
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # no folder can be written to: compile in every process
            return numba.njit(nogil=True, error_model="numpy")(function)


def helper(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call; it becomes part of them."""
    return numba.njit(forceinline=True, nogil=True, error_model="numpy")(function)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call rarely; it stays out of their hot loops."""
    return numba.njit(nogil=True, error_model="numpy")(function)


class _Announcement(event.Listener):
    """Say once a process that a kernel is being compiled, so that nobody wonders why it waits."""

    def __init__(self) -> None:
        self.made = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        if not self.made and module.startswith("fastbp."):
            self.made = True
            print("fastbp: compiling for this machine, once; a few seconds ...", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
