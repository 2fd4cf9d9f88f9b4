"""Sheets of Excel files, read by fastexcel.

They have the habits of text files: lines before the names, empty columns, numbers with units.
"""

from collections.abc import Collection
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fastbp.data.sources import Source, polars
from fastbp.data.text_file import Text, read_text
from fastbp.data.text_form import listed
from fastbp.errors import DataError, OptionError, as_option
from fastbp.reading import Reading

if TYPE_CHECKING:
    import polars as pl


def read_excel(file: Source, reading: Reading, wanted: Collection[str]) -> Text:
    """Read a sheet: its cells as text, and those columns as numbers that have nothing else."""
    pl = polars()
    try:
        import fastexcel
    except ImportError:
        raise DataError(
            "reading .xlsx files needs fastexcel; install it: pip install 'fastbp[excel]'"
        ) from None
    book = fastexcel.read_excel(file.read())
    sheet = _sheet(file, book.sheet_names, reading.sheet)
    cells = book.load_sheet(sheet, header_row=None, dtypes="string").to_polars()
    if not len(cells):
        raise DataError(f"{file.name} has no cells in the sheet {sheet!r}")
    buffer = BytesIO()
    cells.write_csv(buffer, include_header=False)
    as_text = Source(file.name, ".csv", file.path, buffer.getvalue())
    form = replace(reading, separator=",", encoding="utf-8", quote='"')
    text = read_text(as_text, form, Reading(), wanted)
    if len(book.sheet_names) > 1 and reading.sheet is None:
        others = [name for name in book.sheet_names if name != sheet]
        text.form.remarks.append(
            f"{file.name} has the sheets {listed(book.sheet_names)}, and {sheet!r} was read; "
            f"{as_option('sheet', others[0])} reads another"
        )
    typed = book.load_sheet(sheet, header_row=None, skip_rows=text.form.n_before).to_polars()
    if typed.shape != text.frame.shape:
        return text
    columns = [
        _whole(cells).alias(column.name) if cells.dtype.is_numeric() or cells.dtype == pl.Boolean else column
        for column, cells in zip(text.frame, typed, strict=True)
    ]
    return replace(text, frame=pl.DataFrame(columns))


def _whole(cells: "pl.Series") -> "pl.Series":
    """Return numbers as integers if all are whole: Excel has floating-point numbers alone."""
    pl = polars()
    if cells.dtype.is_float() and ((cells == cells.floor()) & (cells.abs() <= 2**53)).all():
        return cells.cast(pl.Int64)
    return cells


def _sheet(file: Source, names: list[str], said: str | None) -> Any:
    if said is None:
        return names[0]
    if said in names:
        return said
    if said.isdigit() and 1 <= int(said) <= len(names):
        return names[int(said) - 1]
    raise OptionError(f"{as_option('sheet')} is {said!r}, and {file.name} has the sheets {listed(names)}")
