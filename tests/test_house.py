"""The house rules that a machine can check: the size of modules and functions, their names, their imports."""

import ast
from collections import Counter
from pathlib import Path

import grimp
import pytest

from tests.processes import PACKAGE

MODULES = {path.relative_to(PACKAGE.parent).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

LONG_MODULES = {
    "fastbp/kernels/elementwise.py",
    "fastbp/numba_internals.py",
    "fastbp/reference.py",
    "fastbp/simd.py",
}
"""They may be longer, as one idea needs it; their docstrings say why."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_at_most_500_lines_or_says_why_not(name):
    n_lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert (n_lines > 500) == (name in LONG_MODULES)
    if n_lines > 500:
        assert "Longer than 500 lines, because" in ast.get_docstring(parsed(MODULES[name]))


def lines_of(function: ast.FunctionDef) -> int:
    """Return how many lines a function has, its decorators and docstring not counted."""
    n = function.end_lineno - function.lineno + 1
    first = function.body[0]
    return n - (first.end_lineno - first.lineno + 1 if ast.get_docstring(function) is not None else 0)


def test_a_function_has_at_most_80_lines():
    long = {
        node.name
        for path in MODULES.values()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and lines_of(node) > 80
    }
    assert long == set()


def test_no_two_modules_share_a_name():
    names = [
        path.parent.name if path.name == "__init__.py" else path.stem
        for path in MODULES.values()
        if path.name != "__main__.py"
    ]
    assert [name for name, n in Counter(names).items() if n > 1] == []


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_another_only_for_typing(name):
    """Polars is: a package that may be missing, and is not loaded before it is needed."""
    imported = [
        alias.name
        for node in ast.walk(parsed(MODULES[name]))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for line in node.body
        for alias in line.names
    ]
    assert imported in ([], ["polars"])


def test_imports_never_run_in_a_circle():
    graph = grimp.build_graph("fastbp", cache_dir=None)
    left = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while leaves := {module for module, imports in left.items() if not imports}:
        left = {module: imports - leaves for module, imports in left.items() if module not in leaves}
    assert left == {}
