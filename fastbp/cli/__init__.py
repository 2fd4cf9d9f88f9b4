"""The `fastbp` command: one file per subcommand.

Exit status: 0 success, 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from fastbp._version import __version__
from fastbp.cli import bench, example, info, predict, train, warmup
from fastbp.cli.reading_options import joined
from fastbp.errors import DivergenceError, FastbpError, OptionError, shell_options

COMMANDS = {
    "example": example,
    "train": train,
    "predict": predict,
    "info": info,
    "bench": bench,
    "warmup": warmup,
}


class _Parser(argparse.ArgumentParser):
    """Prints an error in one line, like all other errors; --help prints the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help shows how\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    _mend_streams()
    parser = _Parser(prog="fastbp", description="Train small neural networks on a CPU, as fast as it allows.")
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, module in COMMANDS.items():
        text = (module.__doc__ or "").strip()
        subparser = subparsers.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
    try:
        arguments = joined(sys.argv[1:] if arguments is None else arguments)
    except OptionError as error:
        parser.error(str(error))
    options = parser.parse_args(arguments)
    try:
        with _plain_warnings(options.command), shell_options():
            status = COMMANDS[options.command].run(options)
        sys.stdout.flush()
        return status
    except FastbpError as error:
        print(f"fastbp {options.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, DivergenceError) else 2
    except BrokenPipeError:
        # The reader (head, less) has closed the pipe; without this, Python reports it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"fastbp {options.command}: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        reason = (str(error).splitlines() or [""])[0]
        print(f"fastbp {options.command}: not enough memory{reason and ': '}{reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"fastbp {options.command}: interrupted", file=sys.stderr)
        return 130


def _mend_streams() -> None:
    """Make printing safe: a stream may be closed, or its encoding may lack a character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _plain_warnings(command: str) -> Iterator[None]:
    """Print a warning like an error: in one line, without its place in the code."""

    def show(message: Warning | str, *place: object, **more: object) -> None:
        print(f"fastbp {command}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
