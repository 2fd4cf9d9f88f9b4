"""`python -m fastbp` is `fastbp`, for where the command is not on the path."""

import sys

from fastbp.cli import main

if __name__ == "__main__":
    sys.exit(main())
