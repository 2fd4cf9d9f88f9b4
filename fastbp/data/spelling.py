"""How a column of text spells its numbers: the decimal mark, marks of thousands, signs and units around them.

A column is numbers if all its values can be read in one way. Where they can be read in two ways, as "1,234"
can, the ways are told, and the caller decides.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbp.data.sources import polars
from fastbp.reading import Spelling

if TYPE_CHECKING:
    import polars as pl

CODES = "USD EUR GBP JPY CHF CNY INR AUD CAD NZD SEK NOK DKK PLN CZK HUF RUB BRL MXN ZAR KRW TRY SGD HKD"
SIGNS = "€$£¥₹₩₽¢₺₪฿"

UNIT_NAMES = """
% ‰ ° °C °F °K g kg mg µg ug t lb lbs oz st km m cm mm µm nm mi mile miles yd ft in inch inches h hr hrs hour
hours min mins minute minutes s sec secs second seconds ms us µs ns day days week weeks month months year
years yr yrs l ml mL cl dl gal kW MW Wh kWh kJ cal kcal mV mA Hz kHz MHz GHz kB KB MB GB TB bit bps kbps Mbps
Gbps bar Pa kPa hPa mmHg psi k K M bn m² m2 km² ha mph km/h kmh m/s rpm px pt ppm
"""
UNITS = frozenset({*UNIT_NAMES.split(), *CODES.split(), *SIGNS})
"""Units that are known as such: texts like "5 kg" and "500 g" are numbers in a mixture of units."""

PREFIX = rf"(?:(?:US|A|C|R|HK|NZ)\$|[{SIGNS}]|Rs\.?|kr\.?|(?:{CODES.replace(' ', '|')})\b)"
CORE = r"[0-9][0-9.,' ]*|[.,][0-9]+"
SUFFIX = r"[^\d\s.,+\-'\"()\[\]:;<>=?!*#|&][^\d\s]{0,11}(?: [^\W\d]{1,8})?"
NUMBER = (
    rf"^(?P<sign>[+-]?)\s*(?P<prefix>{PREFIX}?)\s*(?P<inner>[+-]?)"
    rf"(?P<core>{CORE})(?P<exponent>(?:[eE][+-]?[0-9]+)?)\s*(?P<suffix>(?:{SUFFIX})?)$"
)

READINGS = ((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal marks with marks of thousands, the usual ones first."""


@dataclass(frozen=True, eq=False)
class Numerals:
    """The different texts of a column, taken apart.

    Attributes
    ----------
    texts : polars.Series
        The different texts.
    parts : polars.DataFrame
        Their sign, prefix, core, exponent and suffix; null where a text has no number's form.
    fits : dict
        For each reading, which cores it can read.
    """

    texts: "pl.Series"
    parts: "pl.DataFrame"
    fits: "dict[tuple[str, str], pl.Series]"

    @property
    def affixes(self) -> list[tuple[str, str]]:
        """What stands around the numbers: different pairs of prefix and suffix."""
        found = self.parts.drop_nulls("core").select("prefix", "suffix").unique().sort("prefix", "suffix")
        return found.rows()

    def is_numeric(self) -> "pl.Series":
        """Return which texts are numbers in some spelling, alone or with a known unit."""
        pl = polars()
        anyhow = pl.Series([False] * len(self.texts), dtype=pl.Boolean)
        for fitting in self.fits.values():
            anyhow = anyhow | fitting
        plain = (self.parts["suffix"] == "") | self.parts["suffix"].is_in(list(UNITS))
        return (anyhow & plain).fill_null(False)

    def ways(self, decimal: str | None = None) -> list[tuple[str, str]]:
        """Return the readings that read all numbers, each with another meaning."""
        cores = self.parts["core"].drop_nulls()
        if not len(cores):
            return []
        present = {mark for mark in ".,' " if cores.str.contains(mark, literal=True).any()}
        found: dict[tuple[str, str], tuple[str, str]] = {}
        for reading, fitting in self.fits.items():
            if decimal in (None, reading[0]) and fitting.drop_nulls().all():
                meaning = (
                    reading[0] if reading[0] in present else "",
                    reading[1] if reading[1] in present else "",
                )
                if reading[1] in present or not reading[1]:
                    found.setdefault(meaning, reading)
        return list(found.values())


def normalised(text: "pl.Series") -> "pl.Series":
    """Return text with plain blanks, minus signs and apostrophes; (5) becomes -5."""
    text = text.str.replace_all("[\u00a0\u2007\u2009\u202f]", " ").str.replace_all("[−–]", "-")
    text = text.str.replace_all("[’`]", "'").str.strip_chars()
    return text.str.replace(r"^\((\D{0,4}\d[^()]*)\)$", "-$1")


def take_apart(texts: "pl.Series") -> Numerals:
    """Return the different texts of a column, taken apart."""
    parts = normalised(texts).str.extract_groups(NUMBER).struct.unnest()
    core = parts["core"].str.strip_chars()
    parts = parts.with_columns(core.set((parts["sign"] != "") & (parts["inner"] != ""), None))  # not "--5"
    fits = {}
    for decimal, thousands in READINGS:
        d, t = re.escape(decimal), re.escape(thousands)
        whole = r"\d*" if not thousands else rf"(?:[1-9]\d{{0,2}}(?:{t}\d{{3}})+|\d*)"
        if thousands == "," and decimal == ".":
            whole = r"(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3}|\d*)"  # the second as in India
        fits[decimal, thousands] = parts["core"].str.contains(rf"^{whole}(?:{d}\d*)?$")
    return Numerals(texts, parts, fits)


def parsed(text: "pl.Series", spelling: Spelling | None) -> "pl.Series":
    """Return text as numbers in this spelling; null where a text is none.

    Examples
    --------
    >>> import polars as pl
    >>> parsed(pl.Series(["$1,234.50", "-$2", "$-3", "4"]), Spelling(".", ",", "$")).to_list()
    [1234.5, -2.0, -3.0, 4.0]
    """
    pl = polars()
    if spelling is None:
        return text.cast(pl.Float64, strict=False)
    numerals = take_apart(text)
    parts = numerals.parts
    fits = numerals.fits.get((spelling.decimal, spelling.thousands))
    if fits is None:
        fits = parts["core"].is_null() & parts["core"].is_not_null()
    affixed = parts["prefix"].is_in(["", spelling.prefix]) & parts["suffix"].is_in(["", spelling.suffix])
    core = parts["core"]
    if spelling.thousands:
        core = core.str.replace_all(spelling.thousands, "", literal=True)
    if spelling.decimal != ".":
        core = core.str.replace_all(spelling.decimal, ".", literal=True)
    numbers = (core + parts["exponent"]).cast(pl.Float64, strict=False)
    negative = (parts["sign"] == "-") != (parts["inner"] == "-")
    numbers = pl.DataFrame({"n": numbers, "m": negative, "f": (fits & affixed).fill_null(False)}).select(
        pl.when(pl.col("f")).then(pl.when(pl.col("m")).then(-pl.col("n")).otherwise(pl.col("n")))
    )
    return numbers.to_series().alias(text.name)


def described(spelling: Spelling) -> str:
    """Return in words how numbers are spelled.

    Examples
    --------
    >>> described(Spelling(",", ".", "", "kg"))
    "',' as the decimal mark, '.' between thousands, 'kg' as the unit"
    """
    parts = []
    if spelling.decimal != ".":
        parts.append(f"{spelling.decimal!r} as the decimal mark")
    if spelling.thousands:
        mark = "blanks" if spelling.thousands == " " else repr(spelling.thousands)
        parts.append(f"{mark} between thousands")
    if spelling.prefix:
        parts.append(f"{spelling.prefix!r} before them")
    if spelling.suffix:
        parts.append(f"{spelling.suffix!r} as the unit")
    return ", ".join(parts) or "signs and blanks of their own"
