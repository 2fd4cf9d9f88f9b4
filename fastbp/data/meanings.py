"""What a column means: numbers, booleans, dates or text.

What could be meant in two ways is refused, with the option that decides.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbp.data.dates import DIGITS, date_formats, parse_dates
from fastbp.data.sources import polars
from fastbp.data.spelling import Numerals, described, parsed, take_apart
from fastbp.data.table_file import Table
from fastbp.errors import DataError, as_option, shown
from fastbp.reading import Spelling

if TYPE_CHECKING:
    import polars as pl

MOSTLY = 0.5
"""Text is numbers with typing errors if more than this fraction of its values, or of its different ones, are
numbers."""

UNGROUPED = r"\.(?:\d{1,2}|\d{4,})$|^[+-]?0?\.|e"
"""A number in whose points nobody sees marks of thousands."""

FEW_MARKS = 3
"""So many different texts among numbers may be marks of missing values."""

DATE_SAMPLE = 20
"""So many different texts of a column are tried as dates one by one, if they are not all dates."""

BOOLEANS = ("false", "true")

DECIMALS = "decimal marks of the file"
"""Under this key, a table knows the decimal marks that it is sure to have. No column has this name in
practice."""


@dataclass(frozen=True)
class Meaning:
    """What a column means.

    Attributes
    ----------
    kind : {"number", "boolean", "date", "text"}
    spelling : Spelling, optional
        How text spells the numbers; None if as Python does, or if the column holds numbers.
    format : str
        How text spells the dates.
    remark : str
        What was understood that is not plain; "" if nothing.
    codes : bool
        Whether the numbers begin with zeros, as codes do.
    """

    kind: str
    spelling: Spelling | None = None
    format: str = ""
    remark: str = ""
    codes: bool = False


def meaning_of(table: Table, name: str, decimal: str | None = None) -> Meaning:
    """Return what a column means, or raise an error that says what decides.

    Parameters
    ----------
    table : Table
    name : str
    decimal : {".", ","}, optional
        The decimal mark of the column in the training file; the file's own evidence counts first.
    """
    known = table.known.get(name)
    if known is None:
        table.known[name] = known = _found(table, name, decimal)
    if known.kind in ("number", "boolean") and _named(table, name):
        value = table.column(name).drop_nulls().head(1).to_list()
        such = f", such as {value[0]!r} in {table.place_of(name, value[0])}" if value else ""
        raise DataError(
            f"column {name!r} of {table.path} is to hold dates, and holds {known.kind}s{such}; "
            f"{as_option('date_format', DIGITS)} says how dates are written"
        )
    return known


def _found(table: Table, name: str, decimal: str | None) -> Meaning:
    pl = polars()
    column = table.raw(name)
    if name in table.reading.text:
        if column.dtype.is_nested():
            raise _of_no_use(table, name, column)
        return Meaning("text")
    how = table.reading.dates(name)
    if column.dtype.is_numeric() or column.dtype == pl.Null:
        if table.spelled and column.dtype.is_integer() and name not in table.reading.number:
            return _whole_numbers(table, name, column, how)
        return Meaning("number")
    if column.dtype == pl.Boolean:
        return Meaning("boolean")
    if column.dtype in (pl.Date, pl.Datetime, pl.Time):
        return _date(table, name, column, "", how)
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise _of_no_use(table, name, column)
    told = name in table.reading.number
    if column.dtype != pl.String or not (table.spelled or told or _named(table, name)):
        return Meaning("text")
    there = table.column(name).drop_nulls()
    written = table.reading.date_format if _named(table, name) else None
    if written and len(there) and not parse_dates(there, written).null_count():
        return Meaning("date", format=written)
    if len(there) and _is_plain(there) and table.reading.decimal != ",":
        return _plain(table, name, there, decimal)
    texts = there.alias("texts").to_frame()
    counts = texts.group_by("texts", maintain_order=True).len("rows")
    return _of_texts(table, name, counts["texts"], counts["rows"], decimal)


def _named(table: Table, name: str) -> bool:
    """Return whether this column, by name, is said to hold dates."""
    return any(item == name or item.startswith(f"{name}=") for item in table.reading.date)


def _of_no_use(table: Table, name: str, column: "pl.Series") -> DataError:
    return DataError(
        f"column {name!r} of {table.path} has type {column.dtype}, and may hold numbers, booleans, dates or "
        f"text; leave it out: {as_option('ignore', [name])}"
    )


# --- text ---------------------------------------------------------------------------------------------


def _is_plain(texts: "pl.Series") -> bool:
    """Return whether all texts are numbers as Python writes them."""
    pl = polars()
    return not any(part.cast(pl.Float64, strict=False).null_count() for part in (texts.head(100), texts))


def _of_texts(table: Table, name: str, texts: "pl.Series", rows: "pl.Series", decimal: str | None) -> Meaning:
    said = table.reading.decimal
    told = name in table.reading.number
    if not len(texts):
        return Meaning("number")
    if all(set(part.str.to_lowercase()) <= set(BOOLEANS) for part in (texts.head(10), texts)):
        return Meaning("boolean")
    numerals = take_apart(texts)
    if not numerals.parts["core"].null_count():
        affixes = numerals.affixes
        if len(affixes) == 1 or (told and len({affix for affix in affixes if any(affix)}) == 1):
            ways = numerals.ways(said)
            if len(ways) > 1:
                ways = _decided(table, name, texts, ways, decimal)
            if ways:
                return _spelled(table, name, texts, ways[0], affixes[-1])
        elif numerals.is_numeric().all():
            _complain_of_units(table, name, numerals)
    meaning = None if told else _dates(table, name, texts)
    if meaning is not None:
        return meaning
    if not told:
        _complain_of_no_dates(table, name, texts, rows)
    _complain_of_slips(table, name, texts, rows, numerals, told)
    return Meaning("text")


def _plain(table: Table, name: str, texts: "pl.Series", decimal: str | None) -> Meaning:
    """Return the meaning of texts that are all numbers as Python writes them."""
    pl = polars()
    zeros = texts.filter(
        texts.str.starts_with("0") | texts.str.starts_with("-0") | texts.str.starts_with("+0")
    )
    if zeros.str.contains(r"^[+-]?0\d+$").any():
        return Meaning("number", codes=name not in table.reading.number)
    eight = all(part.str.contains(r"^(?:19|20)\d{6}$").all() for part in (texts.head(100), texts))
    if eight and name not in table.reading.number:
        return _whole_numbers(table, name, texts.cast(pl.Int64), table.reading.dates(name))
    if table.reading.decimal is None and name not in table.reading.number:
        grouped = texts.head(0)
        if not any(part.str.contains(UNGROUPED).any() for part in (texts.head(1000), texts)):
            grouped = texts.str.contains(r"^[+-]?[1-9]\d{0,2}(?:\.\d{3})+$")
        if len(grouped) and grouped.any() and "," in (decimals_of(table) or {decimal or "."}):
            example = texts.filter(grouped)[0]
            raise _ambiguous(table, name, example, example.replace(".", ""), example)
    return Meaning("number")


def _whole_numbers(table: Table, name: str, values: "pl.Series", how: str | None) -> Meaning:
    """Return the meaning of whole numbers: those like 20201231 may be dates."""
    pl = polars()
    present = values.drop_nulls()
    if len(present) < 2 or not bool(((present >= 19000101) & (present <= 21001231)).all()):
        return Meaning("number")
    if parse_dates(present.cast(pl.String), DIGITS).null_count():
        return Meaning("number")
    if how is None or not _named(table, name):
        raw = table.column(name).drop_nulls()
        raise DataError(
            f"column {name!r} of {table.path} has numbers that may be dates, such as {present[0]} in "
            f"{table.place_of(name, raw[0])}: "
            f"{as_option('date', f'{name}=number')} takes them for dates, {as_option('number', [name])} "
            f"for numbers"
        )
    return Meaning("date", format=DIGITS)


def decimals_of(table: Table) -> set[str]:
    """Return the decimal marks that some column of a text file is sure to have."""
    found = table.known.get(DECIMALS)
    if found is None:
        found = set()
        pl = polars()
        if table.spelled:
            for name in table.names:
                dtype = table.raw(name).dtype
                if dtype.is_float():
                    found.add(".")
                elif dtype == pl.String:
                    found |= _sure_decimals(table.column(name).drop_nulls())
        table.known[DECIMALS] = found
    return found


def _sure_decimals(texts: "pl.Series") -> set[str]:
    if not len(texts):
        return set()
    if _is_plain(texts):
        return {"."} if texts.str.contains(r"\.(?:\d{1,2}|\d{4,})$").any() else set()
    texts = texts.unique(maintain_order=True)
    numerals = take_apart(texts)
    cores = numerals.parts["core"]
    if cores.null_count() or not cores.str.contains(r"[.,]").any():
        return set()
    ways = numerals.ways()
    grouped = cores.str.contains(r"^[1-9]\d{0,2}(?:\.\d{3})+$") | ~cores.str.contains(".", literal=True)
    if len(ways) != 1 or (ways == [(".", "")] and grouped.all()):
        return set()
    if len(numerals.affixes) > 1:
        return set()
    decimal, thousands = ways[0]
    if not cores.str.contains(decimal, literal=True).any():
        return {"." if thousands == "," else ","} if thousands in (".", ",") else set()
    return {decimal}


def _decided(
    table: Table, name: str, texts: "pl.Series", ways: list[tuple[str, str]], decimal: str | None
) -> list[tuple[str, str]]:
    """Return the one way in which ambiguous numbers are meant, by the other columns or the training file."""
    sure = decimals_of(table)
    marks = sure if sure else {decimal} if decimal else set()
    fitting = [way for way in ways if way[0] in marks]
    if len(marks) == 1 and len(fitting) == 1:
        return fitting
    example = texts.filter(texts.str.contains(r"\d[.,]\d"))[0]
    values = [parsed(_bare(example), Spelling(*way))[0] for way in ways[:2]]
    raise _ambiguous(table, name, example, *(f"{value:.15g}" for value in values))


def _bare(text: str) -> "pl.Series":
    """Return the number of a text, without what stands around it."""
    pl = polars()
    return take_apart(pl.Series([text])).parts["core"]


def _ambiguous(table: Table, name: str, example: str, one: str, other: str) -> DataError:
    return DataError(
        f"column {name!r} of {table.path} has {shown(example)} in {table.place_of(name, example)}, which "
        f"may be "
        f"{one} or "
        f"{other}: {as_option('decimal', '.')} or {as_option('decimal', ',')} says which"
    )


def _spelled(
    table: Table, name: str, texts: "pl.Series", way: tuple[str, str], affixes: tuple[str, str]
) -> Meaning:
    pl = polars()
    cores = take_apart(texts.head(1000)).parts["core"]
    thousands = way[1]
    spelling = Spelling(way[0], thousands, *affixes)
    if affixes == ("", "") and cores.str.contains(r"^0\d+$").any():
        return Meaning("number", spelling, codes=name not in table.reading.number)
    example = texts.filter(texts.str.contains(r"[^\d\s]")) if texts.str.contains(r"[^\d\s]").any() else texts
    text = example[0]
    number = parsed(pl.Series([text]), spelling)[0]
    remark = f"column {name!r} is read as numbers, with {described(spelling)}: {shown(text)} is {number:.15g}"
    return Meaning("number", spelling, remark=remark)


def _complain_of_units(table: Table, name: str, numerals: Numerals) -> None:
    """Raise an error for numbers of which some have another unit, or none."""
    texts, parts = numerals.texts, numerals.parts
    found = []
    differs = (parts["prefix"] != parts["prefix"][0]) | (parts["suffix"] != parts["suffix"][0])
    for text in (texts[0], texts.filter(differs)[0]):
        found.append(f"{shown(text)} in {table.place_of(name, text)}")
    number = f"{as_option('number', [name])} takes all for numbers of one unit, "
    units = {affix for affix in numerals.affixes if any(affix)}
    raise DataError(
        f"column {name!r} of {table.path} mixes units: {found[0]} and {found[1]}; "
        f"{number if len(units) == 1 else 'give all one unit, or '}{as_option('text', [name])} takes them "
        f"for categories, "
        f"{as_option('ignore', [name])} leaves the column out"
    )


def _dates(table: Table, name: str, texts: "pl.Series") -> Meaning | None:
    said = table.reading.date_format
    if said is not None and not parse_dates(texts, said).null_count():
        formats = [said]
    else:
        formats = date_formats(texts)
    if not formats:
        if table.reading.dates(name) and _named(table, name):
            offender = _first_no_date(texts, said)
            raise DataError(
                f"column {name!r} of {table.path} is to hold dates, and has {shown(offender)} in "
                f"{table.place_of(name, offender)}; {as_option('date_format', '%d/%m/%Y')} says how they "
                f"are written"
            )
        return None
    readings = {
        tuple(parse_dates(texts.head(1000), format).to_list()): format for format in reversed(formats)
    }
    if len(readings) > 1:
        one, other = formats[0], next(f for f in formats if f in readings.values() and f != formats[0])
        raise DataError(
            f"column {name!r} of {table.path} has dates whose day and month are not sure, such as "
            f"{shown(texts[0])} in "
            f"{table.place_of(name, texts[0])}: {as_option('date_format', one)} or "
            f"{as_option('date_format', other)} "
            "says which"
        )
    return _date(table, name, texts, formats[0], table.reading.dates(name))


def _complain_of_no_dates(table: Table, name: str, texts: "pl.Series", rows: "pl.Series") -> None:
    """Raise an error that locates what is no date in a column that mostly holds dates."""
    pl = polars()
    sample = (pl.Series([text]) for text in texts.head(DATE_SAMPLE))
    formats = Counter(format for text in sample for format in date_formats(text))
    if not formats:
        return
    fits = {format: parse_dates(texts, format).is_not_null() for format in formats}
    anyhow = pl.DataFrame([fit.alias(format) for format, fit in fits.items()]).max_horizontal()
    in_rows = int(rows.filter(anyhow).sum()), int(rows.sum())
    if max(in_rows[0] / in_rows[1], int(anyhow.sum()) / len(texts)) <= MOSTLY:
        return
    usual = max(fits, key=lambda format: int(fits[format].sum()))
    if fits[usual].all():
        return
    one = _first_of(table, name, texts.filter(fits[usual]))
    text = as_option("text", [name])
    if anyhow.all():
        other = _first_of(table, name, texts.filter(~fits[usual]))
        raise DataError(
            f"column {name!r} of {table.path} writes dates in two ways: {shown(one)} in "
            f"{table.place_of(name, one)} and {shown(other)} in {table.place_of(name, other)}; write them "
            f"in one, "
            f"or {text} takes them for categories, {as_option('ignore', [name])} leaves the column out"
        )
    others = texts.filter(~anyhow)
    offender = _first_of(table, name, others)
    marks = as_option("missing_values", [f"{name}={other}" for other in sorted(others)])
    help = f"{marks} takes {'it' if len(others) == 1 else 'them'} for missing, "
    raise DataError(
        f"column {name!r} of {table.path} holds dates, such as {shown(one)}, and in "
        f"{in_rows[1] - in_rows[0]:,} of {in_rows[1]:,} rows other text: {shown(offender)} in "
        f"{table.place_of(name, offender)}; {help if len(others) <= FEW_MARKS else ''}{text} takes all for "
        "categories"
    )


def _first_no_date(texts: "pl.Series", said: str | None) -> str:
    if said is None:
        return texts[0]
    return texts.filter(parse_dates(texts, said).is_null())[0]


def _date(table: Table, name: str, texts: "pl.Series", format: str, how: str | None) -> Meaning:
    if how is None:
        present = texts.drop_nulls()
        example = str(present[0]) if len(present) else "none"
        where = f" in {table.place_of(name, example)}" if format else ""
        raise DataError(
            f"column {name!r} of {table.path} holds dates, such as {shown(example)}{where}: "
            f"{as_option('date', f'{name}=number')} makes them days, {as_option('date', f'{name}=cyclic')} "
            f"sines and "
            f"cosines of year, week and day; {as_option('ignore', [name])} leaves them out, "
            f"{as_option('text', [name])} "
            "takes them for categories"
        )
    return Meaning("date", format=format)


def _complain_of_slips(
    table: Table, name: str, texts: "pl.Series", rows: "pl.Series", numerals: Numerals, told: bool
) -> None:
    """Raise an error that locates the text in a column that mostly holds numbers."""
    said = table.reading.decimal
    fits = numerals.is_numeric()
    if said is not None:
        wanted = [fit for (decimal, _), fit in numerals.fits.items() if decimal == said]
        fits = fits & (wanted[0] | wanted[1] | wanted[2] | wanted[3]).fill_null(False)
    fitting = fits.to_numpy()
    share = float(rows.to_numpy()[fitting].sum()) / float(rows.sum())
    many = int(fitting.sum()) > FEW_MARKS and float(fitting.mean()) > MOSTLY
    anyhow = numerals.is_numeric().all()
    if not (told or share > MOSTLY or many or anyhow):
        return
    if fits.all():
        _complain_of_mixture(table, name, numerals)
    others = texts.filter(~fits)
    counts = rows.filter(~fits)
    offender = _first_of(table, name, others)
    n_rows = int(counts.sum())
    help = f"{as_option('text', [name])} takes all for categories"
    if len(others) <= FEW_MARKS and not numerals.is_numeric().filter(~fits).any():
        marks = [f"{name}={text}" for text in sorted(others)]
        them = "it" if len(marks) == 1 else "them"
        help = f"{as_option('missing_values', marks)} takes {them} for missing, {help}"
    what = "text" if said is None else f"what is no number with {as_option('decimal', said)}"
    raise DataError(
        f"column {name!r} of {table.path} holds numbers, and in {n_rows:,} of {int(rows.sum()):,} rows "
        f"{what}: "
        f"{shown(offender)} in {table.place_of(name, offender)}; {help}"
    )


def _complain_of_mixture(table: Table, name: str, numerals: Numerals) -> None:
    """Raise an error for numbers that no one spelling reads."""
    fits = {way: fit.fill_null(False) for way, fit in numerals.fits.items()}
    usual = max(fits, key=lambda way: int(fits[way].sum()))
    texts = numerals.texts
    other = _first_of(table, name, texts.filter(~fits[usual]))
    one = _first_of(table, name, texts.filter(fits[usual]))
    raise DataError(
        f"column {name!r} of {table.path} spells numbers in two ways: {shown(one)} in "
        f"{table.place_of(name, one)} and "
        f"{shown(other)} in {table.place_of(name, other)}; write them in one, or {as_option('text', [name])} "
        f"takes them for "
        f"categories, {as_option('ignore', [name])} leaves the column out"
    )


def _first_of(table: Table, name: str, texts: "pl.Series") -> str:
    """Return the text that is first in the table."""
    column = table.raw(name)
    return column.filter(column.is_in(texts.to_list()))[0]
