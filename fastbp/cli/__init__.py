"""The `fastbp` command: one file a subcommand.

Exit status: 0 all went well, 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from fastbp import __version__
from fastbp.cli import bench, example
from fastbp.errors import DivergenceError, FastbpError

COMMANDS = {"example": example, "bench": bench}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="fastbp", description="Train small neural networks on a CPU, as fast as it allows."
    )
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        module.add_arguments(subparser)
    options = parser.parse_args(arguments)
    try:
        status = COMMANDS[options.command].run(options)
        sys.stdout.flush()
        return status
    except FastbpError as error:
        print(f"fastbp {options.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, DivergenceError) else 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough; without this, Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"fastbp {options.command}: interrupted", file=sys.stderr)
        return 130
