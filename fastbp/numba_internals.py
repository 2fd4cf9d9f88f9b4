"""The undocumented names of Numba that fastbp uses.

Numba may change such names in any release, so pyproject.toml sets an upper bound on its version. A `Need`
lists the names that serve one purpose. If one is missing, a warning says which, and fastbp does
without that purpose, as plain `numba.njit` does. Kernels compute the same.

The rest of the package uses what is documented: ``njit``, ``typeof``, ``types``, ``config`` (by the names of
the environment variables), the event API, and the extension API (``numba.extending``, ``cgutils``, the
context and builder that it hands to code generators, and llvmlite's ``ir`` and ``binding``).

Longer than 500 lines, because whoever looks at a new version of Numba should find all of them here.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, ClassVar

import numba
from llvmlite import binding
from numba import config

from fastbp.calls import end_if_abandoned, undisturbed


def find(name: str, dispatcher: Any = None) -> Any:
    """Return what a name like ``module:attribute.attribute`` stands for, or None if it is missing.

    The module ``dispatcher`` stands for what `numba.njit` returns.
    """
    module, _, attributes = name.partition(":")
    try:
        return attrgetter(attributes)(dispatcher if module == "dispatcher" else import_module(module))
    except (ImportError, AttributeError):
        return None


class Need:
    """Names of Numba that serve one purpose.

    Parameters
    ----------
    *names : str
        As `find` takes them.
    otherwise : str
        The consequence of a missing name, for the warning.
    """

    def __init__(self, *names: str, otherwise: str):
        self.names, self.otherwise = names, otherwise
        self._missing: list[str] | None = None

    def is_met(self, dispatcher: Any = None) -> bool:
        """Return whether all names exist; the first call warns of those that are missing."""
        if self._missing is None:
            self._missing = [name for name in self.names if find(name, dispatcher) is None]
            if self._missing:
                warnings.warn(
                    f"{self.lack}, so {self.otherwise}; a version that fastbp requires has all that it uses",
                    RuntimeWarning,
                    stacklevel=3,
                )
        return not self._missing

    @property
    def lack(self) -> str:
        """Which names this version of Numba lacks."""
        return f"Numba {numba.__version__} lacks {', '.join(self._missing or ())}"


# --- the cache on disk -------------------------------------------------------------------------------

CACHE = Need(
    "dispatcher:_cache",
    "numba.core.caching:FunctionCache._impl_class",
    "numba.core.caching:FunctionCache.flush",
    "numba.core.caching:FunctionCache.load_overload",
    "numba.core.caching:FunctionCache.save_overload",
    "numba.core.caching:CompileResultCacheImpl._locator_classes",
    otherwise="every process has to compile its kernels",
)

_CacheImpl: Any = find("numba.core.caching:CompileResultCacheImpl") or object
_FunctionCache: Any = find("numba.core.caching:FunctionCache") or object
_FollowsCacheDir: Any = (getattr(_CacheImpl, "_locator_classes", None) or [object])[0]

unsaved: list[Exception] = []
"""Why compiled functions of this process could not be saved."""

without_cache: list[Any] = []
"""The dispatchers of kernels that no cache keeps, because names are missing."""


class _Locator(_FollowsCacheDir):
    """Finds the cache folder; a folder that is not writable may still be read."""

    def ensure_cache_path(self) -> None:
        with suppress(OSError):
            super().ensure_cache_path()


class _OneFolder(_CacheImpl):
    # Numba's other locators would cache beside the sources, and miss a change in a helper.
    _locator_classes: ClassVar = [_Locator]


class _Cache(_FunctionCache):
    """Numba's cache on disk. Any of its files may be missing, damaged or impossible to write."""

    _impl_class = _OneFolder

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
            unsaved.append(error)


def keep_in(folder: str, dispatcher: Any) -> None:
    """Keep what a dispatcher compiles in a folder, as `enable_caching` of Numba does in its own."""
    if not CACHE.is_met(dispatcher):
        without_cache.append(dispatcher)
        return
    with _settings(CACHE_DIR=folder, CACHE_LOCATOR_CLASSES=""):  # old versions lack the second
        dispatcher._cache = _Cache(dispatcher.py_func)


@contextmanager
def _settings(**changed: str) -> Iterator[None]:
    previous = {name: getattr(config, name, "") for name in changed}
    vars(config).update(changed)
    try:
        yield
    finally:
        vars(config).update(previous)


# --- a start without SciPy ---------------------------------------------------------------------------

ARRAY_FUNCTIONS = Need("numba.np.linalg:ensure_blas", otherwise="the first call of a kernel loads SciPy")


def _load_array_functions() -> None:
    """Load Numba's array functions without SciPy's linear algebra: it saves 0.15 s at the start.

    Numba imports it there only to check that it is installed. No kernel calls BLAS. User code that calls it
    imports SciPy when it is compiled and when it runs.
    """
    if "numba.np.arraymath" in sys.modules or not ARRAY_FUNCTIONS.is_met():
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


# --- compiling that Ctrl-C cannot interrupt ----------------------------------------------------------

COMPILING = Need(
    "dispatcher:compile",
    "dispatcher:overloads",
    otherwise="Ctrl-C while a kernel compiles may leave Numba in a bad state",
)


def compile_undisturbed(dispatcher: Any) -> None:
    """Make a dispatcher compile where no exception of a signal handler can interrupt it."""
    if COMPILING.is_met(dispatcher):
        dispatcher.compile = partial(undisturbed, dispatcher.compile)


def prepare(dispatcher: Any, *arguments: Any) -> None:
    """Compile for arguments of these types, or load the compiled code, unless this has been done."""
    if not config.DISABLE_JIT and COMPILING.is_met(dispatcher):
        signature = tuple(map(numba.typeof, arguments))
        if signature not in dispatcher.overloads:
            dispatcher.compile(signature)


# --- compiled code by its address --------------------------------------------------------------------

ADDRESSES = Need(
    "numba.core.codegen:JITCodeLibrary.get_pointer_to_function",
    "numba.core.funcdesc:FunctionDescriptor.llvm_func_name",
    otherwise="what is done after every epoch takes some 0.1 ms longer",
)


def address_of_code(dispatcher: Any, *arguments: Any) -> int | None:
    """Return where the code for arguments of these types is; None if Numba does not say so.

    Another kernel can call it there, by Numba's own calling convention. To compile it into that kernel would
    take as long as it took alone.
    """
    if config.DISABLE_JIT or not (ADDRESSES.is_met(dispatcher) and COMPILING.is_met(dispatcher)):
        return None
    prepare(dispatcher, *arguments)
    compiled = dispatcher.overloads[tuple(map(numba.typeof, arguments))]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


# --- parts of kernels --------------------------------------------------------------------------------

INLINING = Need(
    "numba.core.cpu:CPUTargetOptions.forceinline", otherwise="LLVM decides alone what becomes part of a loop"
)
_PASSES = (
    "untyped_passes:TranslateByteCode",
    "untyped_passes:FixupArgs",
    "untyped_passes:IRProcessing",
    "untyped_passes:RewriteSemanticConstants",
    "untyped_passes:DeadBranchPrune",
    "untyped_passes:GenericRewrites",
    "untyped_passes:ReconstructSSA",
    "untyped_passes:DeadBranchPrune",
    "typed_passes:NopythonTypeInference",
    "typed_passes:PreLowerStripPhis",
    "typed_passes:IRLegalization",
    "typed_passes:AnnotateTypes",
    "typed_passes:NativeLowering",
    "typed_passes:NoPythonBackend",
)
"""Numba's passes over a part. The others are for closures, array expressions, exceptions, and functions that
Numba itself inlines: parts have none of them."""

PARTS = Need(
    "dispatcher:_compiler.locals",
    "dispatcher:_compiler.targetdescr",
    "dispatcher:_compiler.targetoptions",
    "dispatcher:targetctx._internal_codegen._tm",
    "numba.core.codegen:JITCPUCodegen._function_pass_manager",
    "numba.core.codegen:JITCodeLibrary._finalize_dynamic_globals",
    "numba.core.codegen:JITCodeLibrary._finalize_final_module",
    "numba.core.codegen:JITCodeLibrary._finalized",
    "numba.core.codegen:JITCodeLibrary._get_module_for_linking",
    "numba.core.codegen:JITCodeLibrary._optimize_final_module",
    "numba.core.codegen:JITCodeLibrary._optimize_functions",
    "numba.core.codegen:JITCodeLibrary.add_linking_library",
    "numba.core.codegen:JITCodeLibrary.codegen",
    "numba.core.codegen:JITCodeLibrary.enable_object_caching",
    "numba.core.codegen:JITCodeLibrary.finalize",
    "numba.core.compiler:CompilerBase.define_pipelines",
    "numba.core.compiler:Flags",
    "numba.core.compiler:compile_extra",
    "numba.core.compiler_machinery:PassManager.add_pass",
    "numba.core.compiler_machinery:PassManager.finalize",
    "numba.core.dispatcher:_FunctionCompiler._compile_core",
    *(f"numba.core.{name}" for name in dict.fromkeys(_PASSES)),
    otherwise="kernels take about three times as long to compile",
)

_JITCodeLibrary: Any = find("numba.core.codegen:JITCodeLibrary") or object
_FunctionCompiler: Any = find("numba.core.dispatcher:_FunctionCompiler") or object
_CompilerBase: Any = find("numba.core.compiler:CompilerBase") or object


class _PartLibrary(_JITCodeLibrary):
    """Code that is only linked into kernels: not optimised alone, because the whole kernel is optimised.

    By default, Numba links into every function all that it calls, optimises it, and generates machine code.
    The innermost functions go through this a dozen times. On a Zen 2, a first layered training compiles for
    18 s, of which 12 are Python's (284 parts, for 142 functions): it was 25 s when each part linked what it
    calls, and routines became part of the loops that call them.
    """

    def __init__(self, codegen: Any, name: str):
        super().__init__(codegen, name)
        self.uses: list[Any] = []

    def add_linking_library(self, library: Any) -> None:
        """Remember what this code calls, for the kernel that links it."""
        self.uses.append(library)

    def _optimize_functions(self, ll_module: Any) -> None:
        """Simplify the code before it is inlined: without this, a step of 4-10-3 takes 5 % longer.

        Numba makes the passes anew for each function, and for each declaration.
        """
        passes, builder = super().codegen._function_pass_manager()
        for function in self._definitions(ll_module):
            passes.run(function, builder)

    def finalize(self) -> None:
        """Make the code ready to be linked: several parts of a kernel may contain it."""
        for function in self._definitions(self._final_module):
            if function.linkage == binding.Linkage.external:
                function.linkage = binding.Linkage.linkonce_odr
        self._finalize_dynamic_globals()
        self._finalized = True

    def alone(self) -> Any:
        """Return this code as a module that can be linked several times, without what it calls."""
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        """Return this code with all that it calls, for a function that Numba compiles as it usually does."""
        module = binding.parse_bitcode(self.alone().as_bitcode())
        for library in _callers_first(self):
            module.link_in(module_of(library), preserve=True)
        return module

    @staticmethod
    def _definitions(module: Any) -> list[Any]:
        return [function for function in module.functions if not function.is_declaration]

    @property
    def codegen(self) -> Any:
        """Where Numba stores the environment for calls from the interpreter; there are no such calls."""
        return SimpleNamespace(set_env=lambda name, environment: None)


def module_of(library: Any) -> Any:
    """Return a library's code for linking; a part's is without what it calls."""
    return library.alone() if isinstance(library, _PartLibrary) else library._get_module_for_linking()


def _callers_first(library: Any) -> list[Any]:
    """Return all that a library calls, each after all that call it.

    LLVM links a part only if what it has linked so far calls the part.
    """
    found: dict[Any, None] = {}

    def visit(caller: Any) -> None:
        for called in getattr(caller, "uses", ()):
            if called not in found:
                visit(called)
                found[called] = None

    visit(library)
    return list(found)[::-1]


class _KernelLibrary(_JITCodeLibrary):
    """The code of a kernel, with that of its parts. Each part is linked once, however many others call it."""

    def __init__(self, codegen: Any, name: str):
        super().__init__(codegen, name)
        self.enable_object_caching()
        self.uses: list[Any] = []

    def add_linking_library(self, library: Any) -> None:
        """Remember what this code calls."""
        self.uses.append(library)

    def finalize(self) -> None:
        """Link what is called, optimise, and generate machine code."""
        for library in _callers_first(self):
            if hasattr(self, "_reload_init"):  # not before Numba 0.63
                self._reload_init.update(library._reload_init)
            self._final_module.link_in(module_of(library), preserve=True)
        super().finalize()

    def _optimize_final_module(self) -> None:
        """Optimise once. Numba does so twice, to omit counts of references, which kernels hardly have.

        LLVM unrolls no loops, because register tiles use all registers. For a Zen 3 or later it would: two
        turns of a product's loop spilled 40 vectors, and a step of 1024-1024-1024-10 took 1.24 times as long
        on a Zen 5. No kernel was slower without there; other processors were not timed side by side.
        """
        options = binding.create_pipeline_tuning_options(speed_level=int(config.OPT))
        options.loop_vectorization, options.slp_vectorization = config.LOOP_VECTORIZE, config.SLP_VECTORIZE
        options.loop_unrolling = False
        builder = binding.create_pass_builder(self.codegen._tm, options)
        passes = builder.getModulePassManager()
        passes.add_refprune_pass()
        passes.run(self._final_module, builder)
        self._keep_parts_to_itself()

    def _keep_parts_to_itself(self) -> None:
        """Make the parts symbols of this kernel alone.

        A part's symbol is its name with a number that Numba counts in each process. So kernels that different
        processes compiled may have different parts of one name, such as the constants of Adam and of AdamW.
        The loader would take the first of them for both kernels.
        """
        for function in self._final_module.functions:
            if function.linkage == binding.Linkage.linkonce_odr:
                function.linkage = binding.Linkage.internal


@cache
def _passes_over_parts() -> Any:
    from numba.core.compiler_machinery import PassManager

    manager = PassManager("part")
    for name in _PASSES:
        manager.add_pass(find(f"numba.core.{name}"), name)
    manager.finalize()
    return manager


class _PartPipeline(_CompilerBase):
    """Runs over a part only the passes that it needs: a kernel compiles in a sixth less time."""

    def define_pipelines(self) -> list[Any]:
        return [_passes_over_parts()]


class _Compiler(_FunctionCompiler):
    """Compiles into a library of a class of its own."""

    library_class: ClassVar[Any]
    no_wrappers: ClassVar[bool]

    def _compile_core(self, args: Any, return_type: Any) -> Any:
        from numba.core import compiler

        end_if_abandoned()
        flags = compiler.Flags()
        self.targetdescr.options.parse_as_flags(flags, self.targetoptions)
        if self.no_wrappers:
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
            library=self.library_class(context.codegen(), self.py_func.__qualname__),
            pipeline_class=self.pipeline_class,
        )


class _PartCompiler(_Compiler):
    library_class, no_wrappers = _PartLibrary, True


class _KernelCompiler(_Compiler):
    library_class, no_wrappers = _KernelLibrary, False


def compile_as_part(dispatcher: Any) -> None:
    """Make a dispatcher compile a function that is only linked into kernels: see `_PartLibrary`.

    Numba compiles a function anew for every number that a call names, such as 0 in ``f(0)``. If routines were
    compiled once for all numbers, the layered kernel would compile in a sixth less time, but a step of 2-2-2
    or 4-10-3 would take 3 % longer.
    """
    _compile_by(_PartCompiler, dispatcher, _PartPipeline)


def compile_with_parts(dispatcher: Any) -> None:
    """Make a dispatcher compile a kernel that links parts: see `_KernelLibrary`."""
    _compile_by(_KernelCompiler, dispatcher)


def _compile_by(compiler: type[_Compiler], dispatcher: Any, pipeline: Any = None) -> None:
    if PARTS.is_met(dispatcher):
        its = dispatcher._compiler
        dispatcher._compiler = compiler(
            dispatcher.py_func, its.targetdescr, its.targetoptions, its.locals, pipeline or its.pipeline_class
        )


def inlining(is_inlined: bool) -> dict[str, bool]:
    """Return the option of `numba.njit` that inlines a function wherever it is called, or leaves it to LLVM.

    Without the option, Numba treats a function as the one that calls it first.
    """
    return {"forceinline": is_inlined} if INLINING.is_met() else {}


# --- the processor -----------------------------------------------------------------------------------

HOST_FEATURES = Need(
    "numba.core.codegen:get_host_cpu_features", otherwise="kernels do not heed NUMBA_ENABLE_AVX"
)


def host_cpu_features() -> str:
    """Return the features of this processor that Numba compiles for, a list like ``+sse2,+avx,-avx512f``."""
    if HOST_FEATURES.is_met():
        features: Callable[[], str] = find(HOST_FEATURES.names[0])
        return features()
    return binding.get_host_cpu_features().flatten()
