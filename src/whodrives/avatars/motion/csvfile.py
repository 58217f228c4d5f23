"""Tracker tables in CSV: text of any usual encoding in, named columns of numbers out, every defect named."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.motion.errors import EmptyTableError, MissingColumnsError, UnreadableTableError

MAX_BYTES = 2_000_000_000
# How spreadsheets and C libraries write "no number".
_NOT_A_NUMBER = {"", "na", "n/a", "null", "none", "-", "nan(ind)", "-nan(ind)", "-nan", "1.#ind", "-1.#ind", "1.#qnan"}


@dataclass(frozen=True)
class CsvTable:
    """A CSV file: `columns` are its stripped header names, `rows` its cells as text, one list a row."""

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, names: Iterable[str], hint: str) -> None:
        """Raise `MissingColumnsError` unless all columns `names` are there; `hint` says where they come from."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            listed = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            raise MissingColumnsError(self.path, f"lacks the columns {listed}; {hint}")

    def text(self, name: str) -> list[str]:
        """Cells of one column, stripped; cells that a short row lacks are empty."""
        at = self.columns.index(name)
        return [row[at].strip() if at < len(row) else "" for row in self.rows]

    def numbers(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Columns as float64 (N, len(names)); empty cells, infinities and NaN of any spelling
        become NaN.

        Raises
        ------
        MissingColumnsError
            A cell holds something else; the message names line, column and cell.
        """
        out = np.empty((len(self.rows), len(names)))
        for k, name in enumerate(names):
            cells = self.text(name)
            try:
                out[:, k] = np.array(cells, dtype=object).astype(np.float64)
            except ValueError:
                out[:, k] = [self._number(cell, line, name) for line, cell in enumerate(cells, start=2)]
        out[~np.isfinite(out)] = np.nan
        return out

    def _number(self, cell: str, line: int, name: str) -> float:
        if cell.lower() in _NOT_A_NUMBER:
            return np.nan
        try:
            return float(cell)
        except ValueError:
            comma = "; decimal commas: write points" if "," in cell else ""
            raise MissingColumnsError(
                self.path, f"line {line}, column {name}: {cell[:40]!r} is no number{comma}"
            ) from None


def read_text(path: Path) -> str:
    """The text of a file: UTF-8 with or without BOM, or UTF-16 with one.

    Raises
    ------
    UnreadableTableError, EmptyTableError
    """
    if not path.is_file():
        raise UnreadableTableError(path, "no such file")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableTableError(path, f"is {size / 1e9:.1f} GB; split it by recording")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableTableError(path, f"cannot be read ({error.strerror}); check its permissions") from error
    if not data.strip():
        raise EmptyTableError(path, "is empty; export it again")
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableTableError(path, "is no UTF-8 text; save it as plain CSV (or JSON) in UTF-8") from error
    if "\0" in text:
        raise UnreadableTableError(path, "holds zero bytes: not text, or UTF-16 without its mark; save it in UTF-8")
    return text


def read_header(path: Path) -> str:
    """The first line of a text file that is not blank; empty when there is none, or it is no text."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 20)
    except OSError:
        return ""
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    # The piece may end within a character.
    text = start[: len(start) & ~1].decode("utf-16", "ignore") if wide else start.decode("utf-8-sig", "ignore")
    return next((line for line in text.splitlines() if line.strip()), "")


def check_separator(path: Path, header: str) -> None:
    """Raise `UnreadableTableError` when a header line is separated by something else than commas."""
    if "," not in header and (";" in header or "\t" in header):
        other = "semicolons" if ";" in header else "tabs"
        raise UnreadableTableError(path, f"is separated by {other}; export it with commas and decimal points")


def read_csv(path: str | Path) -> CsvTable:
    """Read a comma-separated file with one header line.

    Raises
    ------
    UnreadableTableError
        No such file, no text, other separators, or decimal commas.
    EmptyTableError
        No row under the header.
    MissingColumnsError
        A column name stands there twice.
    """
    path = Path(path)
    lines = read_text(path).splitlines()
    check_separator(path, next((line for line in lines if line.strip()), ""))
    try:
        rows = csv.reader(lines, strict=True, skipinitialspace=True)
        table = [row for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UnreadableTableError(path, f"is no well-formed CSV ({error}); export it again") from error
    if not table:
        raise EmptyTableError(path, "is empty; export it again")
    columns = tuple(name.strip() for name in table[0])
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise MissingColumnsError(path, f"has the column {twice[0]} twice; keep one")
    if len(table) == 1:
        raise EmptyTableError(path, "holds a header but no frames")
    for number, row in enumerate(table[1:], start=2):
        # One empty cell more is a trailing comma.
        if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
            raise UnreadableTableError(
                path, f"line {number} has {len(row)} cells for {len(columns)} columns; decimal commas? write points"
            )
    return CsvTable(path, columns, table[1:])


def read_json(path: str | Path) -> Any:
    """The value of a JSON file.

    Raises
    ------
    UnreadableTableError, EmptyTableError
    """
    path = Path(path)
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableTableError(path, f"cannot be read as JSON ({error}); write it again") from error
