"""Options from a TOML file; options on the command line override them."""

import argparse
import csv
import io
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fastbp.errors import OptionError, nearest


class _Parser(argparse.ArgumentParser):
    """Raises an error instead of exiting, because it is about a file, not about the command line."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(message)


def with_config(
    given: argparse.Namespace, add_arguments: Callable[[argparse.ArgumentParser], None]
) -> argparse.Namespace:
    """Return the typed options, completed by those of the file ``given.config``, if there is one.

    A key is the name of an option without its dashes, or of a positional argument. Its value is checked in
    the same way. ``hidden = [16, 16]`` means ``--hidden 16,16``, ``json = true`` means ``--json``, and false
    means no option.

    Parameters
    ----------
    given : argparse.Namespace
        Only what was typed: options must have ``default=argparse.SUPPRESS``. Positional arguments cannot have
        it, and are None.
    add_arguments : callable
        Declares the options.
    """
    path = getattr(given, "config", None)
    if path is None:
        return given
    parser = _Parser(add_help=False)
    add_arguments(parser)
    actions = {action.dest: action for action in parser._actions if action.dest != "config"}
    found = {}
    for key, value in _read(path).items():
        name = key.replace("-", "_")
        if name not in actions:
            near = nearest(key, [other.replace("_", "-") for other in actions])
            raise OptionError(f"{path}: {key!r} is not an option of this command{near}")
        try:
            parsed = vars(parser.parse_args(_typed(actions[name], key, value)))
        except OptionError as error:
            raise OptionError(f"{path}: {error}") from None
        if name in parsed:
            found[name] = parsed[name]
    typed = {
        name: value
        for name, value in vars(given).items()
        if value is not None or name not in actions or actions[name].option_strings
    }
    return argparse.Namespace(**(vars(given) | found | typed))


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise OptionError(f"--config {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise OptionError(f"--config {path} is not TOML: {error}") from None


def _joined(values: list[Any]) -> str:
    """Return values separated by commas; a value that has a comma is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue() if values else ""


def _typed(action: argparse.Action, key: str, value: Any) -> list[str]:
    """Return a key and its value as they would be typed."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise OptionError(f"{key} is {value!r}, and may be true or false")
        return [action.option_strings[0]] if value else []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in values):
        raise OptionError(f"{key} is {value!r}, and may be a number, a text or a list of them")
    text = _joined(values) if isinstance(value, list) else str(value)
    return [f"{action.option_strings[0]}={text}"] if action.option_strings else ["--", text]
