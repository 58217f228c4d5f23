"""Errors of the motion readers: each names the file, says what is wrong and what to do about it."""

from __future__ import annotations

from pathlib import Path

from whodrives.errors import InputError


class TableError(InputError):
    """A motion file cannot be used; `path` is the file."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class UnreadableTableError(TableError):
    """Missing file, or not a readable file of its format."""


class UnknownFormatError(TableError):
    """No reader knows this file or folder."""


class MissingColumnsError(TableError):
    """A column is missing or does not hold what it should."""


class EmptyTableError(TableError):
    """No frame, or none that can be used."""


class WrongUnitsError(TableError):
    """Values are not in the documented units (degrees, percent, millimetres)."""


class TimeStampError(TableError):
    """Time stamps repeat, run backwards or cannot be read."""


class SeveralFacesError(TableError):
    """The file holds several faces; the message lists them."""


class SplitError(TableError):
    """The split file is missing or does not fit the table."""
