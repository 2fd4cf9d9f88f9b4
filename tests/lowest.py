"""Prints what pip takes as constraints: the lowest version of each package that pyproject.toml requires.

python -m tests.lowest > lowest.txt
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"

RIVALS = "peers"
"""The extra whose packages are for the benchmark alone, which is run with new ones."""


OTHERS = ("pyparsing<3.3",)
"""What these require in turn, where the newest would warn: of names that matplotlib 3.8.4 uses."""


def lowest() -> dict[str, str]:
    """Return the packages, each with the version that it is required to have at least."""
    document = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = document["project"]
    requirements = [*project["dependencies"], *document["build-system"]["requires"]]
    for extra, more in project["optional-dependencies"].items():
        requirements += more if extra != RIVALS else []
    found = {}
    for requirement in requirements:
        if not requirement.startswith("fastbp["):
            name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<[\d.]+)?", requirement).groups()
            found[name] = version
    return found


if __name__ == "__main__":
    for name, version in lowest().items():
        print(f"{name}=={version}")
    print(*OTHERS, sep="\n")
