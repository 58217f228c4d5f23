"""What reading a data set gives, and the options that layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from whodrives.data.errors import Complain
from whodrives.data.record import Record


@dataclass(frozen=True)
class Options:
    """What a caller may add to a root.

    Parameters
    ----------
    splits : list of identities in each split: NVFAIR's text file, or a CSV (identity, split).
    metadata : the layout's table about single files (NVFAIR: CSV or XLSX; AVAPrintDB: its metadata CSV).
    frames : NVFAIR's split lists only: folder of PNG frames in place of videos.
    order : GAGAvatar-Benchmark only: ``auto``, ``target/driver`` or ``driver/target``.
    """

    splits: Path | None = None
    metadata: Path | None = None
    frames: Path | None = None
    order: str = "auto"


@dataclass(frozen=True)
class Listing:
    """A data set as its layout reads it.

    Parameters
    ----------
    layout : name of the layout. root : where. records : the labelled videos, in path order.
    notes : what people should know, as plain sentences. problems : what lies or is named against the layout, and
        tables that contradict the files; empty when the reader was strict.
    """

    layout: str
    root: Path
    records: list[Record]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """What a layout's reader gives: records in path order, and notes."""

    records: list[Record]
    notes: list[str]


Reader = Callable[[Path, Options, Complain], Read]


@dataclass(frozen=True)
class Layout:
    """One layout: how to tell it, in words and in code, and how to read it.

    Parameters
    ----------
    looks_for : what tells it, for error messages. found : root -> whether it is there. read : see `Read`.
    """

    looks_for: str
    found: Callable[[Path], bool]
    read: Reader


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def joint_split(splits: Mapping[str, str], driver: str, target: str) -> str:
    """The split of both identities; empty when they differ or one has none."""
    split = splits.get(driver, "")
    return split if split == splits.get(target, "") else ""
