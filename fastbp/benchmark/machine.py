"""The machine and software of a benchmark."""

import os
import platform
import subprocess
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding

from fastbp import processor
from fastbp.benchmark.contenders import C_FLAGS, find_c_compiler


def describe_machine() -> dict[str, str | int]:
    """Return the properties of the machine and its software that affect speed.

    Examples
    --------
    >>> sorted(describe_machine())  # doctest: +ELLIPSIS
    ['C compiler', 'C library', 'LLVM CPU', ..., 'Python', 'cores', 'processor', 'vector width']
    """
    return {
        "processor": _processor() or f"{platform.machine()} {binding.get_host_cpu_name()}",
        "LLVM CPU": processor.NAME,
        "vector width": f"{processor.WIDTH} bytes",
        "cores": len(core_numbers()),
        "OS": f"{platform.system()} {platform.machine()}",
        "C library": " ".join(platform.libc_ver()).strip() or "unknown",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Numba": numba.__version__,
        "C compiler": _c_compiler(),
    }


def _processor() -> str:
    """Return the maker's name of the processor, or "" if there is none, as in Linux on ARM."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
        return {key.strip(): value.strip() for key, value in facts.items()}["model name"]
    except (OSError, KeyError):
        return _first_line("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()


def core_numbers() -> list[int]:
    """Return the cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _c_compiler() -> str:
    """Return the version of the C compiler and its options."""
    compiler = find_c_compiler()
    if compiler is None:
        return "none"
    version = _first_line(compiler, "--version") or Path(compiler).name
    return f"{version}, {' '.join(C_FLAGS)}"


def _first_line(*command: str) -> str:
    """Return the first line that a command prints, or "" if it cannot be run."""
    try:
        run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout.strip().partition("\n")[0]
