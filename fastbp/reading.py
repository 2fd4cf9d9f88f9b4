"""How files are read: what the user says about their form and types, and how a column spells its numbers.

`Reading` holds what was said. `fastbp.data` guesses the rest. The model file keeps it, so that
`fastbp predict` reads files as `fastbp train` did.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fastbp.errors import DataError, OptionError, as_option, check_integer, shown

HEADERS = ("auto", "yes", "no")

SEPARATORS = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "\\t": "\t",
    "pipe": "|",
    "blanks": " ",
    "blank": " ",
}
"""Separators that have names; any single character is one, too. A blank stands for blanks in any number."""

DECIMALS = {"point": ".", "comma": ","}

QUOTES = {"double": '"', "single": "'", "none": ""}

OFF = "off"
"""Among the marks of a missing value: the usual ones are not marks."""

HOW = ("number", "cyclic", "both")
"""What dates may become: days since 1970; sines and cosines of year, week and day; all of these."""


@dataclass(frozen=True)
class Spelling:
    """How the numbers of a column are written.

    Attributes
    ----------
    decimal : {".", ","}
    thousands : str
        The mark between groups of digits; "" if there is none.
    prefix, suffix : str
        What stands before and behind each number, such as a currency sign or a unit.
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""

    def as_document(self) -> list[str]:
        """Return the spelling as JSON values; `from_document` is the inverse."""
        return [self.decimal, self.thousands, self.prefix, self.suffix]

    @classmethod
    def from_document(cls, document: Any) -> "Spelling":
        """Return the spelling that a document describes. The document need not be trusted."""
        if not isinstance(document, list) or len(document) != 4:
            raise DataError("a spelling of numbers must be a list of four strings")
        if not all(isinstance(part, str) for part in document) or document[0] not in (".", ","):
            raise DataError("a spelling of numbers must be four strings, the first of them '.' or ','")
        if len(document[1]) > 1 or document[1].isalnum() or document[1] == document[0]:
            raise DataError("the thousands of a spelling must be one character, and no digit or decimal mark")
        return cls(*document)


@dataclass(frozen=True)
class Reading:
    """What the user says about a file. Each field is a keyword in Python and an option in the shell.

    Attributes
    ----------
    separator : str, optional
        A character, or "comma", "semicolon", "tab", "pipe" or "blanks".
    decimal : {".", ","}, optional
        The decimal mark of all numbers.
    encoding : str, optional
        By default UTF-8, or what the file's first bytes say.
    skip_rows : int
        Lines to skip before the names.
    comment : str, optional
        Lines that begin with it are skipped.
    quote : str
        The character around values that have separators: '"', "'" or "none".
    header : {"auto", "yes", "no"} or bool
        Whether the first line names the columns.
    missing_values : sequence of str, or mapping of columns to marks
        Marks of missing values, beside the usual ones. "column=mark" is for one column. "off" means that the
        usual marks are none, and a blank alone is.
    text, number : sequence of str
        Columns that are text, or numbers, whatever they look like.
    date : sequence of str, or mapping of columns to "number", "cyclic" or "both"
        What dates become. "number" alone is for all columns of dates; "column=cyclic" is for one.
    date_format : str, optional
        How dates are written, such as "%d/%m/%Y".
    sheet : str, optional
        The sheet of an Excel file, by name or by number from 1.

    Examples
    --------
    >>> reading = Reading.of(separator="semicolon", decimal=",", missing_values=["-999", "age=unknown"])
    >>> reading.separator, reading.marks("age"), reading.marks("height")
    (';', ('-999', 'unknown'), ('-999',))
    >>> Reading.from_document(reading.as_document()) == reading
    True
    >>> Reading.of(seperator=";")
    Traceback (most recent call last):
    ...
    fastbp.errors.OptionError: 'seperator' is not an option; did you mean 'separator'?
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    skip_rows: int = 0
    comment: str | None = None
    quote: str = '"'
    header: str = "auto"
    missing_values: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    number: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    date_format: str | None = None
    sheet: str | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            """Set a field of the frozen dataclass."""
            object.__setattr__(self, name, value)

        put("separator", _character("separator", self.separator, SEPARATORS))
        put("decimal", _one_of("decimal", self.decimal, DECIMALS))
        put("quote", _one_of("quote", self.quote, QUOTES) or "")
        if isinstance(self.header, bool):
            put("header", "yes" if self.header else "no")
        if self.header not in HEADERS:
            raise OptionError(
                f"{as_option('header')} is {shown(self.header)}, and may be 'auto', 'yes' or 'no'"
            )
        put("skip_rows", check_integer(as_option("skip_rows"), self.skip_rows, 0))
        for name in ("comment", "date_format", "encoding"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value or "\0" in value):
                raise OptionError(
                    f"{as_option(name)} is {shown(value)}, and must be a text that is not empty"
                )
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.sheet is not None:
            put("sheet", str(self.sheet))
        for name in ("missing_values", "date", "text", "number"):
            put(name, _pairs(name, getattr(self, name)))
        both = sorted(set(self.text) & set(self.number))
        if both:
            raise OptionError(f"column {both[0]!r} is in {as_option('text')} and in {as_option('number')}")
        if self.separator is not None and self.separator == self.quote:
            raise OptionError(f"{as_option('separator')} and {as_option('quote')} are both {self.quote!r}")
        for how in self.date:
            if "=" in how and how.rpartition("=")[2] not in HOW:
                raise OptionError(
                    f"{as_option('date')} is {shown(how)}, and may be {', '.join(HOW)}, for all columns, or "
                    "as column=number"
                )

    @classmethod
    def of(cls, **options: Any) -> "Reading":
        """Return a `Reading` of these options, or say which name is wrong."""
        for name in options:
            if name not in OPTIONS:
                near = difflib.get_close_matches(name, OPTIONS, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise OptionError(f"{name!r} is not an option{hint}")
        return cls(**options)

    def marks(self, column: str) -> tuple[str, ...]:
        """Return the marks of a missing value that were given for a column; `OFF` may be among them."""
        found = []
        for item in self.missing_values:
            if "=" not in item:
                found.append(item)
            elif item.startswith(f"{column}="):
                found.append(item.removeprefix(f"{column}="))
        return tuple(found)

    def dates(self, column: str) -> str | None:
        """Return what a column of dates becomes, if it was said."""
        found = None
        for item in self.date:
            name, equals, how = item.rpartition("=")
            if item in HOW:
                found = found or item
            elif not equals and item == column:
                return "number"
            elif equals and name == column:
                return how
        return found

    def settled(self, find: Callable[[str, str], str]) -> "Reading":
        """Return the same with columns named as ``find(option, column)`` names them."""

        def marked(item: str) -> str:
            """Return a mark of missing values with its column as it is named."""
            column, equals, mark = item.partition("=")
            return f"{find('missing_values', column)}={mark}" if equals else item

        def dated(item: str) -> str:
            """Return how dates are taken, with their column as it is named."""
            column, equals, how = item.rpartition("=")
            if item in HOW:
                return item
            return f"{find('date', column)}={how}" if equals else find("date", item)

        return replace(
            self,
            text=tuple(find("text", column) for column in self.text),
            number=tuple(find("number", column) for column in self.number),
            missing_values=tuple(map(marked, self.missing_values)),
            date=tuple(map(dated, self.date)),
        )

    def as_document(self) -> dict[str, Any]:
        """Return what was said as JSON values; `from_document` is the inverse."""
        default = Reading()
        document = {name: getattr(self, name) for name in OPTIONS}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in document.items()
            if value != getattr(default, name)
        }

    @classmethod
    def from_document(cls, document: Any) -> "Reading":
        """Return the `Reading` that a document describes. The document need not be trusted."""
        if not isinstance(document, dict) or not set(document) <= set(OPTIONS):
            raise DataError(f"the form of the file may have {', '.join(OPTIONS)}, and nothing else")
        try:
            return cls(**document)
        except OptionError as error:
            raise DataError(str(error)) from None


OPTIONS = tuple(field.name for field in fields(Reading))


def _character(name: str, value: object, names: Mapping[str, str]) -> str | None:
    if value is None:
        return None
    value = names.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, str) or len(value.encode()) != 1 or value in '\n\r\0"' or value.isalnum():
        listed = ", ".join(repr(choice) for choice in names if len(choice) > 2 and choice != "blank")
        raise OptionError(f"{as_option(name)} is {shown(value)}, and may be one character, or {listed}")
    return value


def _one_of(name: str, value: object, names: Mapping[str, str]) -> str | None:
    if value is None:
        return None
    value = names.get(value, value) if isinstance(value, str) else value
    if value not in names.values():
        listed = ", ".join([*(repr(mark) for mark in names.values() if mark), *(repr(key) for key in names)])
        raise OptionError(f"{as_option(name)} is {shown(value)}, and may be {listed}")
    return value  # type: ignore[return-value]


def _check_encoding(encoding: str) -> None:
    try:
        "a".encode(encoding)
    except (LookupError, ValueError):  # unknown, or from bytes to bytes
        raise OptionError(
            f"{as_option('encoding')} is {encoding!r}, and may be 'utf-8', 'latin-1', 'cp1252', 'utf-16' or "
            "another encoding that Python knows"
        ) from None


def _pairs(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts; a mapping of columns to texts becomes texts "column=text"."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping):
        value = tuple(
            f"{column}={item}"
            for column, items in value.items()
            for item in (items if isinstance(items, list | tuple) else (items,))
        )
    if not isinstance(value, list | tuple):
        raise OptionError(f"{as_option(name)} is {shown(value)}, and must be a list of texts")
    return tuple(str(item) for item in value)
