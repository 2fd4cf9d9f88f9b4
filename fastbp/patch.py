"""``python -m fastbp.patch script.py args``: a script that runs with `fastbp.patch_sklearn`, unchanged.

``python -m fastbp.patch -m package.module args`` runs a module.
"""

import runpy
import sys
from pathlib import Path

from fastbp.patching import patch_sklearn

USAGE = "usage: python -m fastbp.patch script.py [arguments], or python -m fastbp.patch -m module [arguments]"


def main(arguments: list[str]) -> int:
    """Run a script or a module as Python would, with scikit-learn's classes replaced; return the status."""
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["-m"]:
        print(USAGE, file=sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    is_module = arguments[0] == "-m"
    script, *rest = arguments[is_module:]
    if not is_module and not Path(script).exists():
        print(f"fastbp.patch: there is no file {script}", file=sys.stderr)
        return 2
    patch_sklearn()
    sys.argv = [script, *rest]
    if is_module:
        sys.path.insert(0, "")
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(script).resolve().parent)
        runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
