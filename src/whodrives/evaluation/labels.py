"""What protocols need to know about videos, as arrays."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.data.record import ORIGINAL, Record
from whodrives.errors import InputError

Names = NDArray[np.str_]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VideoLabels:
    """Labels of N videos, every field (N,).

    driver, target, recording, generator : as in `data.record.Record`. source : corpus of the target. content : sentence
    or emotion, empty where not known. is_self : self-reenactment. is_original : footage that no generator touched.
    """

    driver: Names
    target: Names
    recording: Names
    generator: Names
    source: Names
    content: Names
    is_self: NDArray[np.bool_]
    is_original: NDArray[np.bool_]

    @classmethod
    def from_records(cls, records: Sequence[Record], content: Mapping[str, str] | None = None) -> VideoLabels:
        """Labels of records. content : ``driver/recording`` or recording -> label, for `ProtocolOptions.content`; the
        first form wins, since two drivers' recordings may have one name."""
        content = content or {}
        return cls(
            driver=_names(record.driver for record in records),
            target=_names(record.target for record in records),
            recording=_names(record.recording for record in records),
            generator=_names(record.generator for record in records),
            source=_names(record.source for record in records),
            content=_names(_content_of(record, content) for record in records),
            is_self=np.array([record.is_self for record in records], np.bool_),
            is_original=np.array([record.generator == ORIGINAL for record in records], np.bool_),
        )

    def __len__(self) -> int:
        return len(self.driver)

    def select(self, keep: NDArray[Any]) -> VideoLabels:
        """The videos that a mask (N,) or numbers name."""
        return VideoLabels(*(getattr(self, field.name)[keep] for field in fields(self)))

    @cached_property
    def driver_code(self) -> Codes:
        """Drivers as numbers, in the order of `drivers`."""
        return np.unique(self.driver, return_inverse=True)[1]

    @property
    def drivers(self) -> Names:
        """Names of the drivers, sorted."""
        return np.unique(self.driver)

    @cached_property
    def target_code(self) -> Codes:
        """Targets as numbers, in the order of `targets`."""
        return np.unique(self.target, return_inverse=True)[1]

    @property
    def targets(self) -> Names:
        """Names of the targets, sorted."""
        return np.unique(self.target)

    @cached_property
    def take_code(self) -> Codes:
        """Recordings as numbers: data sets may give two drivers' recordings one name."""
        takes = np.unique(self.recording, return_inverse=True)[1]
        return self.driver_code * (takes.max(initial=0) + 1) + takes

    @cached_property
    def content_code(self) -> Codes:
        """Content as numbers; -1 where not known."""
        codes = np.unique(self.content, return_inverse=True)[1]
        return np.where(self.content == "", -1, codes)

    @cached_property
    def corpus_code(self) -> Codes:
        """Corpus that each video's DRIVER comes from, as numbers: that of its self-reenactments and originals, else of
        the videos that show it under others' motion; -1 where there are none.

        Raises InputError for a driver of two corpora: which of its impostors are of one source would be a guess.
        """
        names, codes = np.unique(self.source, return_inverse=True)
        own = np.full(len(self.drivers), -1, np.int64)
        known = self.is_self & (self.source != "")
        self._settle(own, self.driver_code[known], codes[known], names)
        # A selection may hold no video of a driver's own; its face still says where it comes from.
        place = np.searchsorted(self.drivers, self.target).clip(max=len(own) - 1)
        shown = (self.source != "") & (self.drivers[place] == self.target)
        shown[shown] = own[place[shown]] < 0
        self._settle(own, place[shown], codes[shown], names)
        return own[self.driver_code]

    def _settle(self, own: Codes, drivers: Codes, corpora: Codes, names: Names) -> None:
        own[drivers] = corpora
        if (own[drivers] != corpora).any():
            one = int(np.flatnonzero(own[drivers] != corpora)[0])
            raise InputError(
                f"driver {self.drivers[drivers[one]]} is shown in two corpora, {names[corpora[one]]} and "
                f"{names[own[drivers[one]]]}; correct the labels, or do not ask for negatives of the same source"
            )


def _names(values: Iterable[str]) -> Names:
    return np.array(list(values), dtype=np.str_)


def _content_of(record: Record, content: Mapping[str, str]) -> str:
    return content.get(f"{record.driver}/{record.recording}", content.get(record.recording, ""))


def wanted(
    generator: ArrayLike, generators: Collection[str] = (), include_originals: bool = False
) -> NDArray[np.bool_]:
    """Mask (N,) of videos by their generators (N,): only those of `generators` (empty: all), and originals if asked
    for, which then need not be named."""
    names = np.asarray(generator, np.str_)
    original = names == ORIGINAL
    named = np.isin(names, list(generators)) if generators else np.ones(len(names), np.bool_)
    return np.where(original, include_originals, named)


def read_content(path: str | Path) -> dict[str, str]:
    """Content labels for `VideoLabels.from_records`, from a CSV with columns ``recording`` and ``content``, and
    ``driver`` where recordings of several drivers have one name.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or gives one recording two labels.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); give columns recording,content") from error
    if not rows or not {"recording", "content"} <= set(rows[0]):
        raise InputError(f"{path}: needs the columns recording and content")
    out: dict[str, str] = {}
    for row in rows:
        key = f"{row['driver']}/{row['recording']}" if row.get("driver") else row["recording"]
        label = row["content"] or ""
        if out.setdefault(key, label) != label:
            raise InputError(
                f"{path}: {key} has the contents {out[key]!r} and {label!r}; give one, or add a column driver"
            )
    return out
