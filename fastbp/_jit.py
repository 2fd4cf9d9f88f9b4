"""Every compiler option, and why. The only place that calls `numba.njit`.

the cache on disk
    Compilation happens once a machine. The cache lives in a folder named after a hash of the
    package's compiled sources, because Numba looks only at the file that a function stands in: it
    would not see a change in a helper from another file. The processor is in the hash too, since kernels
    are built for the width of its vectors.
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
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numba
from numba import config
from numba.core import compiler, event
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.dispatcher import _FunctionCompiler

from fastbp import processor
from fastbp.calls import end_if_abandoned, undisturbed
from fastbp.errors import NotSupportedError

_PACKAGE = Path(__file__).parent


def _cache_folder() -> str:
    """Return, in NUMBA_CACHE_DIR or the user's cache folder, one for these sources and this processor."""
    sources = [_PACKAGE / name for name in ("_jit.py", "processor.py", "simd.py")]
    code = [source.read_bytes() for source in (*sources, *sorted((_PACKAGE / "kernels").glob("*.py")))]
    digest = hashlib.sha256(b"".join([*code, processor.identity().encode()])).hexdigest()[:16]
    try:
        user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home: a folder that cannot be, so that nothing is cached
        user_cache = os.devnull
    return str(Path(config.CACHE_DIR or Path(user_cache) / "fastbp") / f"fastbp-{digest}")


@contextmanager
def _numba_cache_in(folder: str) -> Iterator[None]:
    previous, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        yield
    finally:
        config.CACHE_DIR = previous


_FOLDER = _cache_folder()


def cache_folder() -> str:
    """Return where compiled kernels are kept."""
    return _FOLDER


def unsaved_kernels() -> tuple[int, str]:
    """Return how many kernels this process compiled and could not keep, and why the last one."""
    found = _Cache.unsaved
    if not found:
        return 0, ""
    error = found[-1]
    return len(found), getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Locator(CompileResultCacheImpl._locator_classes[0]):  # the one that follows config.CACHE_DIR
    """Finds the cache's folder; one that cannot be written to may still be read from."""

    def ensure_cache_path(self) -> None:
        with suppress(OSError):
            super().ensure_cache_path()


class _CacheImpl(CompileResultCacheImpl):
    # Numba's other locators would cache beside the sources, blind to a change in a helper.
    _locator_classes: ClassVar = [_Locator]


class _Cache(FunctionCache):
    """Numba's cache on disk, as files of which any may be missing, damaged or impossible to write."""

    _impl_class = _CacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for these argument types, or None if it must be compiled."""
        _load_array_functions()
        try:
            compiled = super().load_overload(sig, target_context)
        except Exception:  # a damaged file can raise anything when it is unpickled
            with suppress(Exception):
                self.flush()
            return None
        # Two processes that save different types at the same moment may choose the same file for them.
        return compiled if compiled and tuple(compiled.signature.args) == tuple(sig) else None

    unsaved: ClassVar[list[Exception]] = []
    """Why compiled functions of this process could not be saved."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the compiled function if that is possible."""
        try:
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # the index was damaged since it was read
                self.flush()
                super().save_overload(sig, data)
        except Exception as error:
            self.unsaved.append(error)


def _load_array_functions() -> None:
    """Load Numba's array functions without SciPy's linear algebra: 0.15 s of a start.

    Numba imports it there only to see whether it is installed. No kernel calls BLAS; code of the user's own
    that does imports it when it is compiled and when it runs.
    """
    if "numba.np.arraymath" in sys.modules:
        return
    from numba.np import linalg

    def ensure_there() -> None:
        if find_spec("scipy") is None:
            raise ImportError("SciPy is not installed")

    ensure_blas, linalg.ensure_blas = linalg.ensure_blas, ensure_there
    try:
        from numba.np import arraymath

        arraymath.ensure_blas = ensure_blas
    finally:
        linalg.ensure_blas = ensure_blas


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel: called from Python, cached on disk, without the interpreter's lock.

    Ctrl-C cannot tear the compiler, which would leave Numba or LLVM in a bad state. It is answered at the
    next part of the kernel, and where LLVM optimises the whole, after that: some seconds.
    """
    if config.DISABLE_JIT:
        return _refuse
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    with _numba_cache_in(_FOLDER):
        dispatcher._cache = _Cache(function)  # what Numba's own `enable_caching` does
    dispatcher.compile = partial(undisturbed, dispatcher.compile)
    return dispatcher


def prepare(kernel: Any, *arguments: Any) -> None:
    """Compile a kernel for such arguments, or load it, if that is still to be done."""
    signature = tuple(map(numba.typeof, arguments))
    if signature not in kernel.overloads:
        kernel.compile(signature)


def _refuse(*arguments: Any) -> None:
    raise NotSupportedError("fastbp's kernels are compiled code; unset NUMBA_DISABLE_JIT")


class _PartLibrary(JITCodeLibrary):
    """Code that is only ever linked into a kernel: left as it is, since the kernel is optimised as a whole.

    Numba optimises every function together with all that it calls, and makes machine code of it; the
    innermost ones a dozen times over. The layered kernel compiles in 8 s instead of 23.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """Where Numba would write the environment of an interpreted call, which there is none of."""
        return SimpleNamespace(set_env=lambda name, environment: None)


class _PartCompiler(_FunctionCompiler):
    def _compile_core(self, args: Any, return_type: Any) -> Any:
        end_if_abandoned()
        flags = compiler.Flags()
        self.targetdescr.options.parse_as_flags(flags, self.targetoptions)
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        context = self.targetdescr.target_context
        return compiler.compile_extra(
            self.targetdescr.typing_context,
            context,
            self.py_func,
            args=args,
            return_type=return_type,
            flags=flags,
            locals=self.locals,
            library=_PartLibrary(context.codegen(), self.py_func.__qualname__),
            pipeline_class=self.pipeline_class,
        )


def _part(function: Callable[..., Any], **options: Any) -> Any:
    if config.DISABLE_JIT:
        return function
    dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(function)
    ours = dispatcher._compiler
    dispatcher._compiler = _PartCompiler(
        function, ours.targetdescr, ours.targetoptions, ours.locals, ours.pipeline_class
    )
    return dispatcher


def helper(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call; it becomes part of them."""
    return _part(function, forceinline=True)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call rarely; it stays out of their hot loops."""
    return _part(function)


class _Announcement(event.Listener):
    """Say once a process that a kernel is being compiled, so that nobody wonders why it waits."""

    def __init__(self) -> None:
        self.made = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""
        if not self.made and module.startswith("fastbp."):
            self.made = True
            with suppress(OSError, ValueError):  # nobody may be listening any more
                print(
                    "fastbp: compiling for this machine, once; a few seconds ...", file=sys.stderr, flush=True
                )

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
