"""One labelled video: the only thing that a data-set layout yields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from whodrives.errors import InputError

ORIGINAL = "original"
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ogv", ".3gp", ".mts", ".m2ts",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One video and its labels.

    Parameters
    ----------
    path : the video file, or a folder of PNG frames, see `is_frames`. Text is taken too and becomes a Path when it is
        first asked for: building one costs more than all the rest of a record.
    driver, target : driving identity (whose motion) and target identity (whose face). Never empty.
    generator : what rendered it; ``original`` for footage that no generator touched.
    source : corpus of the target.
    recording : source take of the driver; genuine pairs cross recordings.
    split : ``train``, ``val``, ``test`` or empty.
    is_self : self-reenactment. Where a driver and its own face have different names, equality of names cannot tell.
    licence : terms of this very file, empty when not stated.
    research_use, publication_use : whether this very file may be used for research at large, and shown in
        publications; None when not stated.

    Raises
    ------
    InputError
        No driver, target or generator, or an original whose driver is not its target.
    """

    path: Path
    driver: str
    target: str
    generator: str
    source: str
    recording: str
    split: str
    is_self: bool
    licence: str = ""
    research_use: bool | None = None
    publication_use: bool | None = None

    def __post_init__(self) -> None:
        if not (self.driver and self.target and self.generator):
            name = next(name for name in ("driver", "target", "generator") if not getattr(self, name))
            raise InputError(f"{self.path}: the {name} is empty; every labelled video needs one")
        if self.generator == ORIGINAL and not self.is_self:
            raise InputError(f"{self.path}: an original shows its own driver, so it must be marked as self")

    @property
    def is_frames(self) -> bool:
        """Whether `path` is a folder of frames: it does not end like a video file. Nothing is looked up on disk."""
        return not str(self.path).lower().endswith(VIDEO_SUFFIXES)


class _LazyPath:
    """`Record.path`: keeps what it was given, answers with a Path and remembers it."""

    def __get__(self, record: Record | None, owner: type[Record]) -> object:
        if record is None:
            return self
        value = record._path  # type: ignore[attr-defined]
        if type(value) is str:
            value = Path(value)
            object.__setattr__(record, "_path", value)
        return value

    def __set__(self, record: Record, value: str | Path) -> None:
        # Not through record.__dict__: asking for it would give every record a dictionary of its own.
        object.__setattr__(record, "_path", value)


# Set afterwards: inside the class body, dataclass would take it for a default value.
Record.path = _LazyPath()  # type: ignore[assignment]


def cleared_for(records: Iterable[Record], use: str) -> list[Record]:
    """The records whose own terms allow a use: ``research`` or ``publication``. What is not stated is not allowed.

    Raises
    ------
    InputError
        Another use, or not one record states it: then the per-file table was not read.
    """
    if use not in ("research", "publication"):
        raise InputError(f"use {use!r}: must be 'research' or 'publication'")
    records = list(records)
    stated = [record.research_use if use == "research" else record.publication_use for record in records]
    if records and all(answer is None for answer in stated):
        raise InputError(
            f"none of {len(records)} records says whether {use} use is allowed; give the data set's per-file table"
        )
    return [record for record, answer in zip(records, stated) if answer]
