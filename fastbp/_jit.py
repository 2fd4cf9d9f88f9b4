"""Every compiler option, and why. The only place that calls `numba.njit`.

the cache on disk
    Kernels are compiled once per machine. The cache folder is named after a hash of all compiled sources.
    Numba itself looks only at the file of a function, and would miss a change in a helper from another file.
    The hash includes the processor, because kernels are built for its vector width.
``nogil=True``
    Kernels hold no Python object, so threads can train at the same time.
``error_model="numpy"``
    Division by zero gives inf, as in NumPy. A check would cost a branch per division.
no ``fastmath``
    It lets LLVM delete checks for NaN. Where a fused multiply-add is wanted, the code says `fma`.
``forceinline`` for helpers
    LLVM sees one function and keeps everything in registers.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, update_wrapper
from operator import attrgetter
from pathlib import Path
from threading import RLock
from typing import Any

import numba
import numba.extending
from numba import config
from numba.core import event

from fastbp import numba_internals, processor
from fastbp.calls import undisturbed
from fastbp.errors import NotSupportedError

_PACKAGE = Path(__file__).parent

COMPILED = (
    "_jit",
    "numba_internals",
    "processor",
    "simd",
    "memory",
    "activations",
    "losses",
    "optimizers",
)
"""The modules whose source decides what kernels compile to, besides those of `fastbp.kernels`.

Kernels use the codes in the last three, and the order of their hyper-parameters.
"""


def _cache_folder() -> str:
    """Return the folder for these sources and this processor, in NUMBA_CACHE_DIR or the user's cache."""
    sources = [_PACKAGE / f"{name}.py" for name in COMPILED]
    code = [source.read_bytes() for source in (*sources, *sorted((_PACKAGE / "kernels").glob("*.py")))]
    digest = hashlib.sha256(b"".join([*code, processor.identity().encode()])).hexdigest()[:16]
    try:
        user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home: an impossible folder, so nothing is cached
        user_cache = os.devnull
    return str(Path(config.CACHE_DIR or Path(user_cache) / "fastbp") / f"fastbp-{digest}")


_FOLDER = _cache_folder()


def cache_folder() -> str:
    """Return where compiled kernels are kept."""
    return _FOLDER


def unsaved_kernels() -> tuple[int, str]:
    """Return how many compiled kernels this process could not save, and the reason for the last one."""
    n_unsaved = sum(len(dispatcher.signatures) for dispatcher in numba_internals.without_cache)
    if n_unsaved:
        return n_unsaved, numba_internals.CACHE.lack
    found = numba_internals.unsaved
    if not found:
        return 0, ""
    error = found[-1]
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return len(found), f"{reason}; NUMBA_CACHE_DIR may name another folder"


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel: Python calls it, without the interpreter's lock; it is cached on disk.

    Ctrl-C does not interrupt the compiler, because that could leave Numba or LLVM in a bad state. It takes
    effect before the next helper is compiled, or after LLVM has optimised the whole kernel, which takes some
    seconds.
    """
    return _refuse if config.DISABLE_JIT else Kernel(function)


def _refuse(*arguments: Any) -> None:
    raise NotSupportedError("fastbp's kernels are compiled code; unset NUMBA_DISABLE_JIT")


class _Compiled:
    """A compiled function. Numba's form of it is made when it is first used.

    A start needs few of the 16 kernels, and none of their 280 parts if the kernels are in the cache. To make
    them all takes 50 ms.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        self.function, self.options = function, options
        update_wrapper(self, function)  # the number of a rule's arguments is read from its signature

    @cached_property
    def dispatcher(self) -> Any:
        """What `numba.njit` returns."""
        return undisturbed(self._made)

    def _made(self) -> Any:
        with _MAKING:
            if "dispatcher" not in vars(self):  # another thread may have made it meanwhile
                dispatcher = numba.njit(nogil=True, error_model="numpy", **self.options)(self.function)
                self.complete(dispatcher)
                self.dispatcher = dispatcher
        return vars(self)["dispatcher"]

    def complete(self, dispatcher: Any) -> None:
        """Say how the dispatcher compiles."""
        raise NotImplementedError

    __call__ = property(attrgetter("dispatcher"))  # a method of Python's takes 0.2 us more


class Kernel(_Compiled):
    """A function that Python calls, with what a dispatcher of Numba has."""

    def complete(self, dispatcher: Any) -> None:
        numba_internals.keep_in(_FOLDER, dispatcher)
        numba_internals.compile_with_parts(dispatcher)
        numba_internals.compile_undisturbed(dispatcher)

    def __getattr__(self, name: str) -> Any:
        """Return what a dispatcher has, such as `signatures`."""
        if name.startswith("__"):
            raise AttributeError(f"a kernel has no {name}")
        return getattr(self.dispatcher, name)


class _Part(_Compiled):
    def __init__(self, function: Callable[..., Any], is_inlined: bool):
        super().__init__(function, **numba_internals.inlining(is_inlined))

    def complete(self, dispatcher: Any) -> None:
        numba_internals.compile_as_part(dispatcher)


_MAKING = RLock()
"""Held while a dispatcher is made."""


@numba.extending.typeof_impl.register(_Compiled)
def _type_of_compiled(compiled: _Compiled, context: Any) -> Any:
    """Tell Numba that compiled code calls the dispatcher."""
    return numba.typeof(compiled.dispatcher)


def helper(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call; it becomes part of them."""
    return function if config.DISABLE_JIT else _Part(function, is_inlined=True)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call rarely; it stays out of their hot loops, unless it is small."""
    return function if config.DISABLE_JIT else _Part(function, is_inlined=False)


class _Announcement(event.Listener):
    """Says once per process that a kernel is being compiled, so that the user knows why it takes time."""

    def __init__(self) -> None:
        self.made = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""
        if not self.made and module.startswith("fastbp."):
            self.made = True
            with suppress(OSError, ValueError):  # standard error may be closed
                print(
                    "fastbp: compiling for this machine, once; a few seconds ...", file=sys.stderr, flush=True
                )

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
