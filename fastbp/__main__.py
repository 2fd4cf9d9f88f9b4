"""`python -m fastbp` is the command `fastbp`, also if that is not on the path."""

import sys

from fastbp.cli import main

if __name__ == "__main__":
    sys.exit(main())
