"""Files for a network that was trained: read as the training file was, to fit what the network knows."""

import codecs
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastbp.data.meanings import meaning_of
from fastbp.data.sources import polars
from fastbp.data.spelling import parsed
from fastbp.data.table_file import PathLike, Table, read_table
from fastbp.errors import DataError, OptionError, as_option, check_choice
from fastbp.preprocessing import (
    MISSING,
    ClassTarget,
    DateColumn,
    NumberColumn,
    NumberTarget,
    Preprocessing,
    TextColumn,
)
from fastbp.reading import OPTIONS, Reading, Spelling

if TYPE_CHECKING:
    import polars as pl

WIDE = ("utf-16", "utf-32")
"""Encodings that are not told apart from text in UTF-8 by their bytes, if these have no mark."""

FORM = ("separator", "encoding", "skip_rows", "comment", "quote", "header", "sheet")
"""What a file of another form has otherwise than the training file."""


def read_for(preprocessing: Preprocessing, source: "PathLike | pl.DataFrame", **reading: Any) -> Table:
    """Open a file for a network that was trained, in the form of the training file if it has it.

    Parameters
    ----------
    preprocessing : Preprocessing
        The network's.
    source : path-like or polars.DataFrame
    **reading
        What is said about this file: fields of `fastbp.reading.Reading`.

    Returns
    -------
    Table
        What was said about the training file counts where nothing is said about this one.
    """
    said = Reading.of(**reading)
    typed = set(said.as_document()) | set(reading)
    remembered = preprocessing.reading
    untold = {name: getattr(remembered, name) for name in OPTIONS if name not in typed}
    if remembered.encoding and not codecs.lookup(remembered.encoding).name.startswith(WIDE):
        untold.pop("encoding", None)  # `read_table` takes what it remembers, unless the file is in UTF-8
    merged = replace(said, **untold)
    merged = _of_inputs(merged, preprocessing, typed)
    wanted = [column.name for column in preprocessing.columns]
    as_text = [
        column.name
        for column in preprocessing.columns
        if isinstance(column, TextColumn | DateColumn) or column.spelling is not None
    ]
    labels = [target.name for target in preprocessing.targets if isinstance(target, ClassTarget)]
    as_text += [
        target.name
        for target in preprocessing.targets
        if isinstance(target, NumberTarget) and target.spelling is not None
    ]
    options: dict[str, Any] = {
        "remembered": remembered,
        "wanted": wanted,
        "as_text": as_text,
        "labels": labels,
        "keeps_rows": True,
    }
    usual = Reading()
    other = replace(merged, **{name: getattr(usual, name) for name in FORM if name not in typed})
    if other == merged:
        return _with_remarks(read_table(source, merged, **options), preprocessing)
    try:
        table = read_table(source, merged, **options)
        if set(wanted) <= set(table.names):
            return _with_remarks(table, preprocessing)
    except DataError as error:
        table, reason = None, error
    try:
        second = read_table(source, other, **options)
    except DataError:
        second = None
    if second is not None and (table is None or set(wanted) <= set(second.names)):
        return _with_remarks(second, preprocessing)
    if table is None:
        raise reason
    return table


def _with_remarks(table: Table, preprocessing: Preprocessing) -> Table:
    """Add what is understood of columns that spell numbers otherwise than the training file."""
    for column in preprocessing.columns:
        if not (table.spelled and isinstance(column, NumberColumn) and column.name in table.names):
            continue
        text = table.column(column.name)
        _remark_on_lacking_unit(table, text, column.spelling)
        if text.dtype != polars().String or parsed(text, column.spelling).null_count() == text.null_count():
            continue
        with suppress(DataError):  # raised again where the column is used
            meaning = meaning_of(table, column.name, column.spelling.decimal if column.spelling else None)
            table.remarks.extend([meaning.remark] if meaning.remark else [])
    return table


def _remark_on_lacking_unit(table: Table, text: "pl.Series", spelling: Spelling | None) -> None:
    unit = spelling and (spelling.prefix or spelling.suffix)
    if not unit or text.dtype != polars().String or len(text) == text.null_count():
        return
    if not text.str.contains(unit, literal=True).any():
        table.remarks.append(
            f"column {text.name!r} of {table.path} has numbers alone, and the training file had {unit!r} "
            "with them: they are taken for the same unit"
        )


def _of_inputs(reading: Reading, preprocessing: Preprocessing, typed: set[str]) -> Reading:
    """Return what is said, without types of columns that the network does not take."""
    names = {column.name for column in (*preprocessing.columns, *preprocessing.targets)}
    kept: dict[str, Any] = {
        name: tuple(column for column in getattr(reading, name) if name in typed or column in names)
        for name in ("text", "number")
    }
    return replace(reading, **kept)


def with_missing(preprocessing: Preprocessing, missing: str | None) -> Preprocessing:
    """Return the preprocessing with another policy for missing values; None keeps its own.

    Raises
    ------
    OptionError
        If the network does not know what the policy needs.
    """
    if missing is None or missing == preprocessing.missing:
        return preprocessing
    check_choice(as_option("missing"), missing, MISSING)
    numbers = [column for column in preprocessing.columns if isinstance(column, NumberColumn)]
    if missing == "median" and any(column.fill is None for column in numbers):
        raise OptionError(
            f"{as_option('missing')} is 'median', and the model knows no medians, as it was trained with "
            f"{as_option('missing', preprocessing.missing)}; {as_option('missing', 'mean')} takes the "
            f"means, which it knows"
        )
    told = any(
        column.has_missing if isinstance(column, TextColumn) else column.indicator
        for column in preprocessing.columns
    )
    if missing == "indicator" and not told:
        raise OptionError(
            f"{as_option('missing')} is 'indicator', and the model has no input that says what is missing: "
            f"it was trained with {as_option('missing', preprocessing.missing)}; "
            f"{as_option('missing', 'mean')} takes the means, which it knows"
        )
    if missing == "mean":
        columns = tuple(
            replace(column, fill=None) if isinstance(column, NumberColumn) else column
            for column in preprocessing.columns
        )
        return replace(preprocessing, columns=columns, missing=missing)
    return replace(preprocessing, missing=missing)
