"""The `fastbp` command: one file per subcommand.

Exit status: 0 success, 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from fastbp._version import __version__
from fastbp.cli import bench, cv, example, info, predict, sweep, train, warmup
from fastbp.cli.reading_options import joined
from fastbp.errors import DivergenceError, FastbpError, OptionError, nearest, shell_options

COMMANDS = {
    "example": example,
    "train": train,
    "predict": predict,
    "cv": cv,
    "sweep": sweep,
    "info": info,
    "bench": bench,
    "warmup": warmup,
}


class _Stored(argparse._StoreAction):
    """Stores the value of an option, and remarks on a second one, which takes the place of the first."""

    given: object = None

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        if option is not None and self.given is not None and values != self.given:
            print(
                f"{parser.prog}: {option} is given twice, and the last one counts: {values}", file=sys.stderr
            )
        self.given = values
        super().__call__(parser, namespace, values, option)


class _Parser(argparse.ArgumentParser):
    """Prints an error in one line, like all other errors; --help prints the usage."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        for name in (None, "store"):
            self.register("action", name, _Stored)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(name) for name in action.choices]
            raise argparse.ArgumentError(
                action, f"{value!r} is none of {', '.join(names)}{nearest(value, names)}"
            )

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
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        parser.error(f"there is no command {command!r}{nearest(command, COMMANDS)}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        own = subparsers.choices[options.command]
        _refuse(own, unknown[0])
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


def _refuse(parser: argparse.ArgumentParser, argument: str) -> NoReturn:
    """Say that a command does not take an argument."""
    if not argument.startswith("-"):
        parser.error(f"{argument!r} is one argument too many")
    name = argument.partition("=")[0]
    names = [option for action in parser._actions for option in action.option_strings]
    parser.error(f"{name} is no option{nearest(name, names)}")


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
        """Print the message alone."""
        print(f"fastbp {command}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
