"""Tables that people bring: CSV, or XLSX with the extra `nvfair`; columns found by any of several names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whodrives.data.errors import LayoutError

# XLSX files have titles and empty rows above their header now and then.
_HEADER_WITHIN = 20
_YES, _NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0")


@dataclass(frozen=True)
class Table:
    """A table being read.

    Parameters
    ----------
    path : the file. present : our names of the columns that it has. rows : (line in the file, values in the order of
        the columns asked for, empty where the column or cell is missing); iterate once.
    """

    path: Path
    present: frozenset[str]
    rows: Iterator[tuple[int, tuple[str, ...]]]


def yes_no(text: str) -> bool | None:
    """``Yes``, ``true``, ``1`` -> True; ``No``, ``false``, ``0`` -> False; anything else says nothing: None."""
    word = text.strip().lower().rstrip(".")
    return True if word in _YES else False if word in _NO else None


def read_table(
    path: str | Path,
    columns: Mapping[str, Sequence[str]],
    required: Sequence[str] = (),
    error: type[LayoutError] = LayoutError,
    exact: Sequence[str] = (),
) -> Table:
    """Open a CSV (comma, semicolon or tab; UTF-8) or, by its ending, XLSX file.

    Parameters
    ----------
    path : the file. columns : our name -> names that the column may have; case and white space do not matter.
    required : our names of columns that must be there. error : what to raise. exact : our names of columns whose cells
        keep the white space at their ends, such as paths.

    Raises
    ------
    error
        The file cannot be read, a required column is missing, or, while iterating, the text is malformed.
    """
    path = Path(path)
    lines = _xlsx_lines(path, error) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv_lines(path, error)
    needed = set(required)
    nearest: set[str] = set()
    for tried, (_, header) in enumerate(lines):
        places = _places(header, columns)
        if places.keys() >= needed and places:
            cells = [(places.get(name, -1), name in exact) for name in columns]
            return Table(path, frozenset(places), _rows(lines, cells))
        if len(places) >= len(nearest):
            nearest = set(places)
        if tried >= _HEADER_WITHIN or path.suffix.lower() not in (".xlsx", ".xlsm"):
            break
    lost = next((name for name in required if name not in nearest), next(iter(columns)))
    accepted = " or ".join(repr(name) for name in columns[lost])
    raise error(f"{path}: lacks the column {accepted}; add it or rename the column that holds it")


def _places(header: Sequence[str], columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    found = {_plain(name): place for place, name in reversed(list(enumerate(header)))}
    out = {}
    for ours, names in columns.items():
        for name in names:
            if _plain(name) in found:
                out[ours] = found[_plain(name)]
                break
    return out


def _plain(name: str) -> str:
    return " ".join(name.split()).lower()


def _rows(
    lines: Iterable[tuple[int, list[str]]], places: list[tuple[int, bool]]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    widest = max(place for place, _ in places)
    for line, cells in lines:
        if not any(cells):
            continue
        if len(cells) <= widest:
            cells = cells + [""] * (widest + 1 - len(cells))
        yield (
            line,
            tuple(["" if place < 0 else cells[place] if exact else cells[place].strip() for place, exact in places]),
        )


def _csv_lines(path: Path, error: type[LayoutError]) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(stream, delimiter=delimiter)
            for cells in reader:
                yield reader.line_num, cells
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}); check the path") from problem
    except (UnicodeDecodeError, csv.Error) as problem:
        raise error(f"{path}: is no CSV file in UTF-8 ({problem}); save it as CSV UTF-8") from problem


def _xlsx_lines(path: Path, error: type[LayoutError]) -> Iterator[tuple[int, list[str]]]:
    try:
        import openpyxl
    except ImportError:
        raise error(
            f"{path}: reading XLSX needs openpyxl; pip install 'whodrives[nvfair]', or save the sheet as CSV"
        ) from None
    try:
        book: Any = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem}); check the path") from problem
    except Exception as problem:  # zip, XML and key errors: openpyxl promises none in particular
        raise error(f"{path}: is no XLSX workbook ({problem}); copy it again or save it as CSV") from problem
    try:
        for line, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1):
            yield line, [_cell(value) for value in cells]
    finally:
        book.close()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # identities such as 1019 are numbers to a spreadsheet
    return str(value)
