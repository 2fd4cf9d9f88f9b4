"""Writes the small files of tests/data/tables, and what must come out of each, to tables.json.

python -m tests.data.make_tables

Expected numbers are written by hand here, or computed by pandas or polars, never by fastbp.
"""

import gzip
import io
import json
import math
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

FOLDER = Path(__file__).parent / "tables"

CASES: list[dict[str, Any]] = []


def one_hot(name: str, values: list[str | None]) -> dict[str, list[float]]:
    texts = sorted({value for value in values if value is not None})
    columns = {f"{name}={text}": [float(value == text) for value in values] for text in texts}
    if None in values:
        columns[f"{name}=missing"] = [float(value is None) for value in values]
    return columns


def add(file: str, content: bytes | str, case: dict[str, Any]) -> None:
    name = f"{len(CASES):03}_{file}"
    (FOLDER / name).write_bytes(content.encode() if isinstance(content, str) else content)
    CASES.append({"file": name, **case})


def ok(
    file: str,
    content: bytes | str,
    inputs: dict[str, list[Any]],
    target: list[Any],
    *,
    by: str = "y",
    task: str = "regression",
    remarks: tuple[str, ...] = (),
    **options: Any,
) -> None:
    """Add a file that can be read; a list of texts is a column of categories."""
    expected: dict[str, list[float]] = {}
    for name, values in inputs.items():
        is_text = any(isinstance(value, str) for value in values)
        expected |= one_hot(name, values) if is_text else {name: [float(value) for value in values]}
    case = {"target": by, "options": options, "inputs": expected, "values": target, "task": task}
    add(file, content, case | {"remarks": list(remarks)})


def classes(
    file: str, content: bytes | str, inputs: dict[str, list[Any]], target: list[Any], **more: Any
) -> None:
    """Add a file whose target is classes."""
    ok(file, content, inputs, target, task="classification", **more)


def bad(file: str, content: bytes | str, *says: str, by: str = "y", **options: Any) -> None:
    """Add a file that is refused, and what the error says."""
    add(file, content, {"target": by, "options": options, "error": list(says)})


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def column(name: str, values: list[str], y: list[str] | None = None) -> str:
    """Return a file with one column beside a target of fractions."""
    y = y or [f"{i}.5" for i in range(len(values))]
    return lines(f"{name},y", *(f"{value},{goal}" for value, goal in zip(values, y, strict=True)))


HALVES = [0.5, 1.5, 2.5]


def spelled(file: str, values: list[str], numbers: list[float], *remarks: str, **options: Any) -> None:
    """Add a file with a column of numbers in another spelling."""
    quoted = [f'"{value}"' for value in values]
    y = [i + 0.5 for i in range(len(values))]
    ok(file, column("a", quoted), {"a": numbers}, y, remarks=remarks, **options)


def numbers_in_other_spellings() -> None:
    text = lines("T;H", "17,2;40,1", "18,9;41,7", "20,3;44,0")
    frame = pd.read_csv(io.StringIO(text), sep=";", decimal=",")
    ok(
        "decimal_comma_target.csv",
        text,
        {"H": frame["H"].tolist()},
        frame["T"].tolist(),
        by="T",
        remarks=("'T' is read as numbers, with ',' as the decimal mark",),
    )
    spelled("thousands.csv", ["1,234.50", "2,000", "12"], [1234.5, 2000, 12], "',' between thousands")
    text = lines("p;y", "1.234,50;0,5", "2.000,00;1,5", "3,25;2,5")
    frame = pd.read_csv(io.StringIO(text), sep=";", decimal=",", thousands=".")
    ok(
        "german.csv",
        text,
        {"p": frame["p"].tolist()},
        frame["y"].tolist(),
        remarks=("'.' between thousands", "column 'y' is read as numbers"),
    )
    spelled("blank_thousands.csv", ["1 234", "22 000", "5"], [1234, 22000, 5], "blanks between thousands")
    spelled(
        "french.csv",
        ["1\u202f234,5", "2\u00a0000,25", "7,0"],
        [1234.5, 2000.25, 7.0],
        "blanks between thousands",
    )
    spelled("swiss.csv", ["1'234.5", "2\u2019000.25", "7"], [1234.5, 2000.25, 7.0])
    spelled("indian.csv", ["1,23,456.5", "12,34,567", "999"], [123456.5, 1234567, 999])
    spelled("millions.csv", ["1,234,567", "89,000,000", "5"], [1234567, 89000000, 5])
    spelled("points_in_millions.csv", ["1.234.567", "89.000.000", "5"], [1234567, 89000000, 5], "'.' between")
    spelled("percent.csv", ["45%", "12.5 %", "-3%"], [45, 12.5, -3], "'%' as the unit")
    spelled("dollars.csv", ["$5", "-$6.50", "$-7"], [5, -6.5, -7], "'$' before them")
    spelled("euros.csv", ["5,50 €", "6,25 €", "7,00 €"], [5.5, 6.25, 7], "'€' as the unit")
    spelled("pounds.csv", ["£1,200.00", "£5", "£3.10"], [1200, 5, 3.1])
    spelled("currency_code.csv", ["EUR 5", "EUR 6", "EUR 7.5"], [5, 6, 7.5], "'EUR' before them")
    spelled("code_behind.csv", ["5 USD", "6 USD", "7 USD"], [5, 6, 7], "'USD' as the unit")
    spelled("kilograms.csv", ["45 kg", "46.5 kg", "47kg"], [45, 46.5, 47], "'kg' as the unit: '45 kg' is 45")
    spelled("speed.csv", ["120 km/h", "80 km/h", "5.5 km/h"], [120, 80, 5.5])
    spelled("degrees.csv", ["21.5°C", "-3°C", "0°C"], [21.5, -3, 0])
    spelled("unknown_unit.csv", ["5 widgets", "6 widgets", "7 widgets"], [5, 6, 7], "'widgets' as the unit")
    spelled("blanks_around.csv", [" 5 ", "  6.5", "7\t"], [5, 6.5, 7])
    spelled("plus.csv", ["+5", "-6", "+7.5"], [5, -6, 7.5])
    spelled("exponents.csv", ["1e3", "2.5E-2", "-1.5e+1"], [1000, 0.025, -15])
    spelled("exponents_with_comma.csv", ["1,5e3", "2,5E-2", "-1,25e+1"], [1500, 0.025, -12.5])
    spelled("parentheses.csv", ["(5)", "6", "(7.5)"], [-5, 6, -7.5])
    spelled("dollars_in_parentheses.csv", ["($5)", "$6", "($1,000)"], [-5, 6, -1000])
    spelled("minus_sign.csv", ["\u22125", "6", "\u22127.5"], [-5, 6, -7.5])
    spelled("bare_points.csv", [".5", "5.", "-.25"], [0.5, 5, -0.25])
    bad(
        "one_or_a_thousand.csv",
        column("a", ['"1,234"', '"2,000"', '"9,999"'], ["1", "2", "3"]),
        "column 'a'",
        "'1,234' in line 2",
        "1.234 or 1234",
        "decimal='.'",
        "decimal=','",
    )
    spelled("decided_by_the_target.csv", ["1,234", "2,000", "9,999"], [1234, 2000, 9999], "'1,234' is 1234")
    ok(
        "decided_by_another_column.csv",
        lines("a;b;y", "1,234;0,5;u", "2,000;1,5;v", "9,999;2;u"),
        {"a": [1.234, 2, 9.999], "b": [0.5, 1.5, 2]},
        ["u", "v", "u"],
        task="classification",
        remarks=("'1,234' is 1.234",),
    )
    told = column("a", ['"1,234"', '"2,000"', '"9,999"'], ["1", "2", "3"])
    classes("decimal_is_told.csv", told, {"a": [1.234, 2, 9.999]}, [1, 2, 3], decimal=",")
    classes("point_is_told.csv", told, {"a": [1234, 2000, 9999]}, [1, 2, 3], decimal=".")
    bad(
        "points_beside_commas.csv",
        lines("a;y", "1.234;0,5", "2.000;1,5", "9.999;2,5"),
        "column 'a'",
        "'1.234' in line 2",
        "decimal='.'",
        "decimal=','",
    )
    bad(
        "two_ways.csv",
        column("a", ['"1.234,5"', '"1,234.5"', "3"]),
        "column 'a'",
        "spells numbers in two ways",
        "line 2",
        "line 3",
        "text=['a']",
    )
    bad(
        "two_units.csv",
        column("a", ["5 kg", "500 g", "2 kg"]),
        "column 'a'",
        "mixes units",
        "'5 kg' in line 2",
        "'500 g' in line 3",
        "text=['a']",
    )
    bad("some_without_unit.csv", column("a", ["5 kg", "6", "7 kg"]), "'6' in line 3", "number=['a']")
    ok("number_is_told.csv", column("a", ["5 kg", "6", "7 kg"]), {"a": [5, 6, 7]}, HALVES, number=["a"])
    bad("two_currencies.csv", column("a", ["$5", "€6", "$7"]), "mixes units", "'€6' in line 3")
    bad(
        "comma_is_told_and_points_are_there.csv",
        lines("a;y", "1.5;0,5", "2,5;1,5", "3,5;2,5"),
        "column 'a'",
        "'1.5' in line 2",
        "decimal=','",
        decimal=",",
    )
    ok(
        "addresses.csv",
        column("a", ["10.0.0.1", "10.0.0.2", "10.0.0.1"]),
        {"a": ["10.0.0.1", "10.0.0.2", "10.0.0.1"]},
        HALVES,
    )
    ok("letters_behind.csv", column("a", ["10A", "10B", "11A"]), {"a": ["10A", "10B", "11A"]}, HALVES)
    ok("ranges.csv", column("a", ["0-10", "10-20", "0-10"]), {"a": ["0-10", "10-20", "0-10"]}, HALVES)
    ok(
        "currency_target.csv",
        lines("a,y", '1,"$1,000"', "2,$250", "3,$3.50"),
        {"a": [1, 2, 3]},
        [1000, 250, 3.5],
        remarks=("column 'y' is read as numbers",),
    )
    ok("percent_target.csv", lines("a,y", "1,10.5%", "2,20%", "3,30%"), {"a": [1, 2, 3]}, [10.5, 20, 30])
    ok(
        "hectares_target.csv",
        lines("a;y", "1;10,5 ha", "2;20 ha", "3;1.030,25 ha"),
        {"a": [1, 2, 3]},
        [10.5, 20, 1030.25],
    )


def texts_ids_and_dates() -> None:
    many = [f"name {chr(97 + i % 26)}{i}" for i in range(30)]
    bad(
        "names.csv",
        column("name", many),
        "column 'name'",
        "30 different texts in 30 rows",
        "'name a0'",
        "ignore=['name']",
        "text=['name']",
    )
    ok(
        "names_are_told.csv",
        column("name", many[:22]),
        {"name": many[:22]},
        [i + 0.5 for i in range(22)],
        text=["name"],
    )
    bad(
        "a_class_a_row.csv",
        lines("a,y", *(f"{i},{text}" for i, text in enumerate(many))),
        "column 'y'",
        "30 different texts in 30 rows",
        "text=['y']",
    )
    ok(
        "few_names.csv",
        column("a", ["Ann", "Bob", "Cid", "Dee", "Eve"]),
        {"a": ["Ann", "Bob", "Cid", "Dee", "Eve"]},
        [i + 0.5 for i in range(5)],
        remarks=("column 'a' has another text in every row", "ignore=['a']"),
    )
    days = ["2020-01-31", "2020-02-29", "2021-12-01"]
    since = [(date.fromisoformat(day) - date(1970, 1, 1)).days for day in days]
    bad(
        "dates.csv",
        column("when", days),
        "column 'when'",
        "holds dates",
        "'2020-01-31' in line 2",
        "date='when=number'",
        "date='when=cyclic'",
        "ignore=['when']",
    )
    ok("days.csv", column("when", days), {"when:days": since}, HALVES, date="number")
    ok("days_of_one.csv", column("when", days), {"when:days": since}, HALVES, date="when")
    ok(
        "german_days.csv",
        column("when", ["31.01.2020", "29.02.2020", "1.12.2021"]),
        {"when:days": since},
        HALVES,
        date={"when": "number"},
    )
    ok(
        "slash_days.csv",
        column("when", ["2020/01/31", "2020/02/29", "2021/12/01"]),
        {"when:days": since},
        HALVES,
        date="number",
    )
    ok(
        "month_names.csv",
        column("when", ["31 Jan 2020", "29 Feb 2020", "01 Dec 2021"]),
        {"when:days": since},
        HALVES,
        date="number",
    )
    ok(
        "american_days.csv",
        column("when", ["01/31/2020", "02/29/2020", "12/01/2021"]),
        {"when:days": since},
        HALVES,
        date="number",
    )
    bad(
        "day_or_month.csv",
        column("when", ["01/02/2020", "03/04/2020", "05/06/2020"]),
        "column 'when'",
        "'01/02/2020' in line 2",
        "date_format='%d/%m/%Y'",
        "date_format='%m/%d/%Y'",
        date="number",
    )
    ok(
        "day_first.csv",
        column("when", ["01/02/2020", "03/04/2020", "05/06/2020"]),
        {"when:days": [(date(2020, m, d) - date(1970, 1, 1)).days for d, m in ((1, 2), (3, 4), (5, 6))]},
        HALVES,
        date="number",
        date_format="%d/%m/%Y",
    )
    bad(
        "digits_or_days.csv",
        column("when", ["20200131", "20200229", "20211201"]),
        "column 'when'",
        "20200131 in line 2",
        "date='when=number'",
        "number=['when']",
    )
    ok(
        "digits_are_days.csv",
        column("when", ["20200131", "20200229", "20211201"]),
        {"when:days": since},
        HALVES,
        date={"when": "number"},
    )
    ok(
        "digits_are_numbers.csv",
        column("when", ["20200131", "20200229", "20211201"]),
        {"when": [20200131, 20200229, 20211201]},
        HALVES,
        number=["when"],
    )
    moments = ["2020-01-31 12:00", "2020-02-29 06:30", "2021-12-01 18:45"]
    exact = [(datetime.fromisoformat(m) - datetime(1970, 1, 1)).total_seconds() / 86400 for m in moments]
    ok("moments.csv", column("when", moments), {"when:days": exact}, HALVES, date="number")
    ok(
        "moments_with_T.csv",
        column("when", [m.replace(" ", "T") + ":00Z" for m in moments]),
        {"when:days": exact},
        HALVES,
        date="number",
    )
    turns = [datetime.fromisoformat(m) for m in moments]
    of_year = [
        2 * math.pi * (e - (datetime(t.year, 1, 1) - datetime(1970, 1, 1)).days) / (365 + (t.year == 2020))
        for e, t in zip(exact, turns, strict=True)
    ]
    of_week = [2 * math.pi * (t.weekday() + e % 1) / 7 for e, t in zip(exact, turns, strict=True)]
    of_day = [2 * math.pi * (e % 1) for e in exact]
    cyclic = {}
    for part, angles in (("year", of_year), ("week", of_week), ("day", of_day)):
        cyclic[f"when:sin({part})"] = [math.sin(angle) for angle in angles]
        cyclic[f"when:cos({part})"] = [math.cos(angle) for angle in angles]
    ok("cyclic.csv", column("when", moments), cyclic, HALVES, date="cyclic")
    ok("both.csv", column("when", moments), {"when:days": exact, **cyclic}, HALVES, date="when=both")
    ok(
        "times.csv",
        column("at", ["06:00", "12:30", "23:15"]),
        {"at:days": [0.25, 12.5 / 24, 23.25 / 24]},
        HALVES,
        date="number",
    )
    ok(
        "dates_as_text.csv",
        column("when", ["2020-01-31", "2020-02-29", "2020-01-31"]),
        {"when": ["2020-01-31", "2020-02-29", "2020-01-31"]},
        HALVES,
        text=["when"],
    )
    ok(
        "date_target.csv",
        lines("a,y", "1,2020-01-31", "2,2020-02-29", "3,2021-12-01"),
        {"a": [1, 2, 3]},
        since,
        date="number",
        remarks=("the target 'y' is learned as a number of days since 1970",),
    )
    frame = pl.DataFrame({"when": [date(2020, 1, 31), date(2020, 2, 29), None], "y": HALVES})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    bad("dates.parquet", buffer.getvalue(), "column 'when'", "holds dates", "date='when=number'")
    ok(
        "days.parquet",
        buffer.getvalue(),
        {"when:days": [since[0], since[1], (since[0] + since[1]) / 2], "when=missing": [0, 0, 1]},
        HALVES,
        date="number",
        missing="indicator",
    )


def forms() -> None:
    a, b, y = [1.5, 2.5, 3.5], [4.25, 5.25, 6.25], ["u", "v", "u"]
    rows = [("a", "b", "y"), *(map(str, row) for row in zip(a, b, y, strict=True))]
    rows = [tuple(row) for row in rows]
    plain = {"a": a, "b": b}

    def joined(mark: str) -> str:
        return lines(*(mark.join(row) for row in rows))

    for name, mark in (
        ("commas.csv", ","),
        ("semicolons.csv", ";"),
        ("tabs.csv", "\t"),
        ("pipes.txt", "|"),
        ("blanks.data", " "),
        ("many_blanks.txt", "   "),
        ("commas.tsv", ","),
        ("tabs.dat", "\t"),
    ):
        classes(name, joined(mark), plain, y)
    classes("aligned.txt", lines("   a    b  y", "1.5  4.25 u", " 2.5 5.25  v", "3.5 6.25 u  "), plain, y)
    classes("colons.csv", joined(":"), plain, y, separator=":")
    classes("named_separator.csv", joined(";"), plain, y, separator="semicolon")
    classes("sep_line.csv", "sep=;\n" + joined(";"), plain, y)
    classes("sep_line_in_quotes.csv", '"sep=|"\n' + joined("|"), plain, y)
    classes("windows.csv", joined(",").replace("\n", "\r\n"), plain, y)
    classes("old_mac.csv", joined(",").replace("\n", "\r"), plain, y)
    classes("byte_order_mark.csv", b"\xef\xbb\xbf" + joined(",").encode(), plain, y)
    classes("utf_16.csv", joined("\t").encode("utf-16"), plain, y)
    accents = lines("größe,y", "1.5,é", "2.5,ü", "3.5,é")
    bad(
        "latin_1.csv",
        accents.encode("latin-1"),
        "line 1 has the byte 0xf6",
        "encoding='cp1252'",
        "'größe,y'",
        by="y",
    )
    classes(
        "latin_1_is_told.csv", accents.encode("latin-1"), {"größe": a}, ["é", "ü", "é"], encoding="latin-1"
    )
    classes("preamble.csv", "Report of May\n\n" + joined(","), plain, y, skip_rows=2)
    classes(
        "comments.csv",
        "# made by hand\n" + joined(",").replace("\n2.5", "\n# two\n2.5"),
        plain,
        y,
        comment="#",
    )
    classes(
        "trailing_separators.csv",
        joined(";").replace("\n", ";\n"),
        plain,
        y,
        remarks=("empty, and left out",),
    )
    classes("trailing_in_rows.csv", joined(",").replace("\n", ",\n").replace("y,", "y"), plain, y)
    classes(
        "empty_column.csv",
        lines("a,e,b,y", "1.5,,4.25,u", "2.5,,5.25,v", "3.5,,6.25,u"),
        plain,
        y,
        remarks=("the column 'e'", "empty, and left out"),
    )
    classes("empty_rows.csv", joined(",") + ",,\n,,\n", plain, y, remarks=("2 rows",))
    classes("blank_lines.csv", joined(",").replace("\n", "\n\n"), plain, y)
    classes(
        "unnamed.csv",
        joined(",").replace("a,b", "a,"),
        {"a": a, "column_2": b},
        y,
        remarks=("without names, which are called 'column_2'",),
    )
    numbered = lines(",a,b,y", *(f"{i},{','.join(row)}" for i, row in enumerate(rows[1:])))
    classes("pandas_index.csv", numbered, plain, y, remarks=("running index, which is left out",))
    classes(
        "r_index.csv",
        numbered.replace(",a", "a", 1)
        .replace("\n0", "\n1", 1)
        .replace("\n1,2", "\n2,2")
        .replace("\n2,3", "\n3,3"),
        plain,
        y,
        remarks=("running index",),
    )
    classes(
        "quotes.csv",
        lines('"a","b","y"', '"1.5","4.25","u"', '"2.5","5.25","v"', '"3.5","6.25","u"'),
        plain,
        y,
    )
    classes(
        "quotes_after_blanks.csv",
        lines('a, "b", "y"', '1.5, "4.25", "u"', '2.5, "5.25", "v"', '3.5, "6.25", "u"'),
        plain,
        y,
    )
    classes(
        "single_quotes.csv",
        lines("a,b,y", "'1.5','4.25','u,w'", "2.5,5.25,v", "3.5,6.25,'u,w'"),
        plain,
        ["u,w", "v", "u,w"],
        quote="single",
    )
    classes(
        "lines_in_quotes.csv",
        lines("a,b,y", '1.5,4.25,"u\nw"', "2.5,5.25,v", '3.5,6.25,"u\nw"'),
        plain,
        ["u\nw", "v", "u\nw"],
    )
    classes(
        "doubled_quotes.csv",
        lines("a,b,y", '1.5,4.25,"u ""w"""', "2.5,5.25,v", '3.5,6.25,"u ""w"""'),
        plain,
        ['u "w"', "v", 'u "w"'],
    )
    bad(
        "stray_quote.csv",
        lines("a,b,y", "1.5,4.25,u", '2.5,"5.25,v', "3.5,6.25,u"),
        'opens a quote (")',
        "line 3",
        "quote='none'",
    )
    bad(
        "quote_inside.csv",
        lines("a,b,y", "1.5,4.25,u", '2.5,5.25,"v"w', "3.5,6.25,u"),
        "stray quote",
        "line 3",
        "quote='none'",
    )
    classes(
        "inches.csv",
        lines("a,b,y", '1.5,4.25,5"', '2.5,5.25,6"', '3.5,6.25,5"'),
        plain,
        ['5"', '6"', '5"'],
        quote="none",
        text=["y"],
    )
    ok(
        "blanks_or_commas.txt",
        lines("1,5 2,5 3,5", "3,5 4,5 5,5", "5,5 6,5 8,5"),
        {"x0": [1.5, 3.5, 5.5], "x1": [2.5, 4.5, 6.5]},
        [3.5, 5.5, 8.5],
        by="-1",
        header="no",
    )
    bad(
        "long_line.csv",
        lines("a,b,y", "1.5,4.25,u", "2.5,5.25,v,w"),
        "4 values in line 3",
        "3 names in line 1",
    )
    bad("short_line.csv", lines("a,b,y", "1.5,4.25,u", "2.5,5.25"), "2 of 3 values in line 3")
    bare = lines(*(",".join(row) for row in rows[1:]))
    classes("no_names.csv", bare, {"x0": a, "x1": b}, y, by="-1", remarks=("looks like data", "header='yes'"))
    classes("no_names_told.csv", bare, {"x0": a, "x1": b}, y, by="2", header="no")
    years = lines("2019,2020,2021", "1,0.5,u", "2,1.5,v", "3,2.5,u")
    bad(
        "names_or_data.csv",
        lines("1,2,3", "4,5,6", "7,8,9"),
        "numbers in its first line: 1,2,3",
        "header='no'",
        "header='yes'",
        by="-1",
    )
    classes("years_told.csv", years, {"2019": [1, 2, 3], "2020": HALVES}, y, by="2021", header="yes")
    classes("years_known.csv", years, {"2019": [1, 2, 3], "2020": HALVES}, y, by="2021")
    bad("two_names.csv", lines("a,b,a,y", "1,2,3,u"), "'a' for more than one column")
    bad("no_rows.csv", "a,b,y\n", "has no rows")
    bad("only_blanks.csv", "\n  \n\n", "no lines that are not blank")
    for name, content in (
        ("plain.csv.gz", gzip.compress(joined(",").encode(), mtime=0)),
        ("wrongly_named.csv", gzip.compress(joined(";").encode(), mtime=0)),
    ):
        classes(name, content, plain, y)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("inner.csv"), joined(";"))
    classes("plain.zip", buffer.getvalue(), plain, y)
    raw = joined(",").encode()  # a frame of Zstandard with one block that is stored as it is
    block = (len(raw) << 3 | 1).to_bytes(3, "little")
    classes("plain.csv.zst", b"\x28\xb5\x2f\xfd\x20" + bytes([len(raw)]) + block + raw, plain, y)
    frame = pl.DataFrame({"a": a, "b": b, "y": y})
    for suffix in ("parquet", "arrow", "feather"):
        buffer = io.BytesIO()
        frame.write_parquet(buffer) if suffix == "parquet" else frame.write_ipc(buffer)
        classes(f"plain.{suffix}", buffer.getvalue(), plain, y)
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array(a), b=np.array(b), y=np.array(y))
    classes("plain.npz", buffer.getvalue(), plain, y)
    buffer = io.BytesIO()
    np.save(buffer, np.array([[1.5, 0], [2.5, 1], [3.5, 0]]))
    classes("plain.npy", buffer.getvalue(), {"x0": a}, [0, 1, 0], by="-1")


def labels_and_types() -> None:
    classes(
        "zip_target.csv",
        lines("a,zip", "1,02139", "2,10001", "3,02139"),
        {"a": [1, 2, 3]},
        ["02139", "10001", "02139"],
        by="zip",
    )
    bad(
        "zip_input.csv",
        column("zip", ["02139", "10001", "02139"]),
        "column 'zip'",
        "'02139' in line 2",
        "text=['zip']",
        "number=['zip']",
    )
    ok(
        "zip_is_text.csv",
        column("zip", ["02139", "10001", "02139"]),
        {"zip": ["02139", "10001", "02139"]},
        HALVES,
        text=["zip"],
    )
    ok(
        "zip_is_number.csv",
        column("zip", ["02139", "10001", "02139"]),
        {"zip": [2139, 10001, 2139]},
        HALVES,
        number=["zip"],
    )
    ok(
        "month_is_text.csv",
        column("month", ["1", "2", "12"]),
        {"month": ["1", "2", "12"]},
        HALVES,
        text=["month"],
    )
    big = [2**53, 2**53 + 1, 2**53]
    classes(
        "big_labels.csv",
        lines("a,y", *(f"{i},{value}" for i, value in enumerate(big))),
        {"a": [0, 1, 2]},
        big,
    )
    frame = pl.DataFrame({"a": [0.0, 1, 2], "y": big})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    classes("big_labels.parquet", buffer.getvalue(), {"a": [0, 1, 2]}, big)
    classes(
        "unsigned_labels.csv",
        lines("a,y", f"0,{2**64 - 1}", "1,5", f"2,{2**64 - 1}"),
        {"a": [0, 1, 2]},
        [2**64 - 1, 5, 2**64 - 1],
    )
    classes("float_labels.csv", lines("a,y", "0,1.0", "1,2.0", "2,1.0"), {"a": [0, 1, 2]}, [1.0, 2.0, 1.0])
    classes("signed_labels.csv", lines("a,y", "0,+1", "1,-1", "2,+1"), {"a": [0, 1, 2]}, ["+1", "-1", "+1"])
    for name, values in (("lower", ("true", "false", "true")), ("title", ("True", "False", "True"))):
        classes(
            f"{name}_case_booleans.csv",
            lines("a,b,y", *(f"{i},{v},{v}" for i, v in enumerate(values))),
            {"a": [0, 1, 2], "b": [1, 0, 1]},
            [True, False, True],
        )
    frame = pl.DataFrame({"a": [0, 1, 2], "b": [True, False, True], "y": [True, False, True]})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    classes("booleans.parquet", buffer.getvalue(), {"a": [0, 1, 2], "b": [1, 0, 1]}, [True, False, True])
    classes(
        "guessed_task.csv",
        lines("a,y", "0.5,1", "1.5,2", "2.5,1"),
        {"a": HALVES},
        [1, 2, 1],
        remarks=("2 different whole numbers, which are taken for classes", "task='regression'"),
    )
    frame = pl.DataFrame({"a": ["1", "2", "1"], "y": HALVES})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    ok("text_of_digits.parquet", buffer.getvalue(), {"a": ["1", "2", "1"]}, HALVES)
    ok("digits_are_told.parquet", buffer.getvalue(), {"a": [1, 2, 1]}, HALVES, number=["a"])
    classes(
        "number_target_as_text.csv",
        lines("a,y", "1,0.5", "2,1.5", "3,0.5"),
        {"a": [1, 2, 3]},
        ["0.5", "1.5", "0.5"],
        text=["y"],
    )


def missing_values() -> None:
    marks = ["NA", "N/A", "#N/A", "n/a", "null", "None", "-", "?", ".", "\\N", "", "NaN"]
    values = [f"{i}.5" for i in range(len(marks))]
    text = lines(
        "a,b,y", *(f"{m},{v},{v}" for m, v in zip(marks, values, strict=True)), "7,1.5,0.5", "9,1.5,0.5"
    )
    y = [float(value) for value in values] + [0.5, 0.5]
    b = [float(value) for value in values] + [1.5, 1.5]
    bad(
        "usual_marks.csv",
        text,
        "missing values in 'a' (12), the first in line 2",
        "missing='mean'",
        "missing='indicator'",
    )
    ok(
        "filled_with_mean.csv",
        text,
        {"a": [8] * 12 + [7, 9], "b": b},
        y,
        missing="mean",
        remarks=("12 missing",),
    )
    ok(
        "indicator.csv",
        text,
        {"a": [8] * 12 + [7, 9], "a=missing": [1] * 12 + [0, 0], "b": b},
        y,
        missing="indicator",
    )
    ok(
        "median.csv",
        column("a", ["1", "", "2", "9"]),
        {"a": [1, 2, 2, 9]},
        [0.5, 1.5, 2.5, 3.5],
        missing="median",
    )
    ok(
        "missing_category.csv",
        column("a", ["red", "NA", "red", "blue"]),
        {"a": ["red", None, "red", "blue"]},
        [0.5, 1.5, 2.5, 3.5],
        missing="mean",
    )
    ok(
        "told_marks.csv",
        column("a", ["5", "-999", "unknown", "9"]),
        {"a": [5, 7, 7, 9]},
        [0.5, 1.5, 2.5, 3.5],
        missing="mean",
        missing_values=["-999", "unknown"],
    )
    ok(
        "marks_of_one.csv",
        lines("a,b,y", "5,0,0.5", "0,0,1.5", "9,1,2.5"),
        {"a": [5, 7, 9], "b": [0, 0, 1]},
        HALVES,
        missing="mean",
        missing_values=["a=0"],
    )
    classes(
        "na_is_a_class.csv",
        lines("a,y", "1,NA", "2,SA", "3,NA"),
        {"a": [1, 2, 3]},
        ["NA", "SA", "NA"],
        missing_values="off",
    )
    classes(
        "na_is_a_class_of_one.csv",
        lines("a,b,y", "1,,NA", "2,4,SA", "3,NA,NA"),
        {"a": [1, 2, 3], "b": [4, 4, 4]},
        ["NA", "SA", "NA"],
        missing_values={"y": "off"},
        missing="mean",
    )
    bad(
        "missing_target.csv",
        lines("a,y", "1,NA", "2,SA", "3,EU"),
        "the target 'y'",
        "1 of 3 rows",
        "line 2",
        "missing_target='drop'",
        "missing_values=['y=off']",
        "'NA'",
    )
    classes(
        "target_dropped.csv",
        lines("a,y", "1,NA", "2,SA", "3,EU"),
        {"a": [2, 3]},
        ["SA", "EU"],
        missing_target="drop",
        remarks=("1 row without a target is left out",),
    )
    sparse = ["-"] * 40 + [str(i * 1.5) for i in range(10)]
    y = [i + 0.5 for i in range(50)]
    bad("mostly_missing.csv", column("a", sparse), "missing values in 'a' (40)")
    ok(
        "mostly_missing_filled.csv",
        column("a", sparse),
        {"a": [6.75] * 40 + [i * 1.5 for i in range(10)]},
        y,
        missing="mean",
    )
    bad(
        "mostly_another_mark.csv",
        column("a", ["unset"] * 40 + sparse[40:]),
        "column 'a'",
        "holds numbers",
        "'unset'",
        "line 2",
        "missing_values=['a=unset']",
        "text=['a']",
    )
    ok(
        "one_value_and_gaps.csv",
        lines("a,b,y", "5,1,0.5", ",2,1.5", "5,3,2.5"),
        {"a": [5, 5, 5], "b": [1, 2, 3]},
        HALVES,
        missing="mean",
        remarks=("'a' has the value 5 in every training row that is not missing",),
    )
    ok(
        "gaps_that_tell.csv",
        lines("a,b,y", "5,1,0.5", ",2,1.5", "5,3,2.5"),
        {"a": [5, 5, 5], "a=missing": [0, 1, 0], "b": [1, 2, 3]},
        HALVES,
        missing="indicator",
    )
    ok(
        "one_value.csv",
        lines("a,b,y", "5,1,0.5", "5,2,1.5", "5,3,2.5"),
        {"a": [5, 5, 5], "b": [1, 2, 3]},
        HALVES,
        remarks=("column 'a' has the same value in every training row",),
    )
    bad(
        "nothing_there.csv",
        lines("a,b,y", "NA,1,0.5", "?,2,1.5", "-,3,2.5"),
        "'a'",
        "ignore=['a']",
        missing="mean",
    )
    bad(
        "a_typing_error.csv",
        column("a", ["1", "2", "abc", "4"]),
        "'abc' in line 4",
        "1 of 4 rows",
        "missing_values=['a=abc']",
        "text=['a']",
    )
    bad("infinite.csv", column("a", ["1", "inf", "3"]), "'a'", "inf in line 3")


def pairs() -> None:
    text = lines(
        "sep=;", "when;price;y", "31.01.2020;1.234,50 €;0,5", "29.02.2020;99,00 €;1,5", "01.12.2021;-;2,5"
    )
    since = [18292, 18321, 18962]
    ok(
        "german_export.csv",
        text.encode("utf-16"),
        {"when:days": since, "price": [1234.5, 99, 666.75], "price=missing": [0, 0, 1]},
        [0.5, 1.5, 2.5],
        date="number",
        missing="indicator",
        remarks=("'€' as the unit",),
    )
    ok(
        "zipped_comma.csv.gz",
        gzip.compress(lines("a;y", "1,5;0,5", "2,5;1,5").encode(), mtime=0),
        {"a": [1.5, 2.5]},
        [0.5, 1.5],
    )
    ok("blanks_and_commas.txt", lines("a   y", "1,5 0,5", "2,5   1,5"), {"a": [1.5, 2.5]}, [0.5, 1.5])
    ok(
        "comment_and_preamble.csv",
        lines("made in May", "# units: kg", "a;y", "# first", "5 kg;0.5", "6 kg;1.5"),
        {"a": [5, 6]},
        [0.5, 1.5],
        skip_rows=1,
        comment="#",
    )
    bad(
        "line_after_comments.csv",
        lines("# one", "# two", "a,y", "1,0.5", "# three", "x,1.5", "3,2.5"),
        "'x' in line 6",
        comment="#",
    )
    bad(
        "line_after_skipped_rows.csv",
        lines("one", "two", "", "a,y", "1,0.5", "", "x,1.5", "3,2.5"),
        "'x' in line 7",
        skip_rows=2,
    )
    bad(
        "line_after_lines_in_quotes.csv",
        lines("t,a,y", '"u\nv",1,0.5', '"u\nv",x,1.5', "u,3,2.5"),
        "'x' in line 4",
    )
    bad("latin_and_semicolons.csv", lines("maß;y", "1,5;0,5").encode("cp1252"), "line 1", "encoding='cp1252'")
    ok(
        "latin_and_commas.csv",
        lines("maß;y", "1,5;0,5", "2,5;1,5").encode("cp1252"),
        {"maß": [1.5, 2.5]},
        [0.5, 1.5],
        encoding="cp1252",
    )
    classes(
        "index_and_trailing.csv",
        lines(",a,y,", "0,1.5,u,", "1,2.5,v,"),
        {"a": [1.5, 2.5]},
        ["u", "v"],
        remarks=("running index", "empty, and left out"),
    )
    classes(
        "quotes_and_thousands.csv",
        lines('"a", "y"', '"1,234.5", "u"', '"2,000.25", "v"'),
        {"a": [1234.5, 2000.25]},
        ["u", "v"],
    )
    classes(
        "no_names_and_semicolons.csv",
        lines("1,5;2;u", "2,5;3;v", "3,5;4;u"),
        {"x0": [1.5, 2.5, 3.5], "x1": [2, 3, 4]},
        ["u", "v", "u"],
        by="-1",
        header="no",
    )
    ok("percent_and_gaps.csv", column("a", ["5 %", "n/a", "7 %"]), {"a": [5, 6, 7]}, HALVES, missing="mean")
    ok(
        "thousands_and_own_mark.csv",
        column("a", ['"1,000.5"', "none given", '"2,000.5"', "7"]),
        {"a": [1000.5, 1002.6666666666666, 2000.5, 7]},
        [0.5, 1.5, 2.5, 3.5],
        missing="mean",
        missing_values=["none given"],
    )
    bad(
        "units_and_typing_error.csv",
        column("a", ["5 kg", "6 kg", "x kg", "7 kg"]),
        "column 'a'",
        "'x kg' in line 4",
    )
    bad(
        "dates_in_quotes.csv",
        lines('"when", "y"', '"2020-01-31", "0.5"', '"2020-02-29", "1.5"'),
        "column 'when'",
        "line 2",
        "date='when=number'",
    )
    classes("pipe_and_quotes.txt", lines("a|y", '1.5|"u|w"', "2.5|v"), {"a": [1.5, 2.5]}, ["u|w", "v"])


def slips() -> None:
    """What is nearly right is named, and not taken for categories."""
    days = [f"2020-01-{day:02}" for day in range(1, 8)]
    bad(
        "no_such_day.csv",
        column("when", [*days, "2020-02-30"]),
        "column 'when'",
        "holds dates",
        "'2020-02-30' in line 9",
        "missing_values=['when=2020-02-30']",
    )
    bad(
        "dates_in_two_ways.csv",
        column("when", [*days, "8.1.2020"]),
        "'2020-01-01' in line 2 and '8.1.2020' in line 9",
        "ignore=['when']",
    )
    ok(
        "fractions_of_some_seconds.csv",
        column("when", ["2020-01-01 06:00:00", "2020-01-01 12:00:00.5"]),
        {"when:days": [18262.25, 18262.5 + 0.5 / 86400]},
        [0.5, 1.5],
        date=["when"],
    )
    bad(
        "no_date_at_all.csv",
        column("when", ["1577836800", "1577923200"]),
        "column 'when'",
        "is to hold dates, and holds numbers",
        "'1577836800' in line 2",
        date=["when=cyclic"],
    )
    bad(
        "other_digits.csv",
        column("a", ["\u0661\u0662", "\u0663"] * 11 + list("abcdefghijklmnopqrstu")),
        "ignore=['a']",
    )
    for option in ("text", "number", "missing_values", "date"):
        said = {"missing_values": "wieght=-1", "date": "wieght=number"}.get(option, "wieght")
        bad(
            f"no_such_column_{option}.csv",
            column("weight", ["1", "2"]),
            "'wieght'",
            "did you mean 'weight'?",
            **{option: [said]},
        )
    classes(
        "columns_by_position.csv",
        column("a", ["1", "2", "-9"], ["u", "v", "u"]),
        {"a": ["1", "2", None]},
        ["u", "v", "u"],
        text=["0"],
        missing_values=["0=-9"],
        missing="mean",
    )
    ok("thousandths.csv", column("a", ['"0,126"', '"1,304"']), {"a": [0.126, 1.304]}, [0.5, 1.5])


def main() -> None:
    for path in FOLDER.iterdir():
        path.unlink()
    for make in (
        numbers_in_other_spellings,
        texts_ids_and_dates,
        forms,
        labels_and_types,
        missing_values,
        pairs,
        slips,
    ):
        make()
    (FOLDER / "tables.json").write_text(
        json.dumps(CASES, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(f"{len(CASES)} files")


if __name__ == "__main__":
    main()
