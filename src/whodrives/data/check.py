"""Is a data set fit for use? Counts, identities across splits, unreadable, short and duplicate files."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from whodrives.data.check_file import DEPTHS, FileCheck, look_at
from whodrives.data.duplicates import find_duplicates
from whodrives.data.listing import Listing, some
from whodrives.data.pool import over_all
from whodrives.data.record import Record
from whodrives.errors import InputError

# Frames of the network's window: shorter videos are padded or abstained from.
WINDOW = 64
NO_SPLIT = "(none)"


@dataclass(frozen=True)
class Tally:
    """Counts of some of the records; generators : name -> videos."""

    videos: int
    self: int
    cross: int
    drivers: int
    targets: int
    identities: int
    recordings: int
    generators: Mapping[str, int]


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used: path, type of the error, and what is wrong in words."""

    path: str
    error: str
    message: str


@dataclass(frozen=True)
class Overlap:
    """Identities, as drivers or targets, that two splits share: then figures on one are not for unseen people."""

    splits: tuple[str, str]
    identities: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Parameters
    ----------
    layout, root, notes : as in the listing. depth : how far files were looked into, of `DEPTHS`.
    total : all records. splits, generators : the same by split and by generator. bytes : of all files.
    layout_problems : files and tables against the layout, and paths in several records.
    bad_files : missing, unreadable, damaged or under 2 frames.
    duplicates : groups of paths of equal content; None when files were not opened. overlaps : between splits.
    short : videos of 2 to 63 frames. fps, resolutions, licences, research_use, publication_use : histograms.
    """

    layout: str
    root: str
    depth: str
    notes: tuple[str, ...]
    total: Tally
    splits: Mapping[str, Tally]
    generators: Mapping[str, Tally]
    bytes: int
    layout_problems: tuple[str, ...]
    bad_files: tuple[BadFile, ...]
    duplicates: tuple[tuple[str, ...], ...] | None
    overlaps: tuple[Overlap, ...]
    short: int
    fps: Mapping[str, int]
    resolutions: Mapping[str, int]
    licences: Mapping[str, int]
    research_use: Mapping[str, int]
    publication_use: Mapping[str, int]

    @property
    def problems(self) -> int:
        """How many things are wrong; 0: fit for use."""
        return len(self.layout_problems) + len(self.bad_files) + len(self.duplicates or ()) + len(self.overlaps)

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON, with `ok` and `problems` in front."""
        return {"ok": self.problems == 0, "problems": self.problems, **asdict(self)}


def tally(records: Sequence[Record]) -> Tally:
    """Count records."""
    own = sum(record.is_self for record in records)
    drivers, targets = {record.driver for record in records}, {record.target for record in records}
    return Tally(
        len(records),
        own,
        len(records) - own,
        len(drivers),
        len(targets),
        len(drivers | targets),
        len({(record.driver, record.recording) for record in records}),
        dict(sorted(Counter(record.generator for record in records).items())),
    )


def find_repeated(records: Sequence[Record]) -> list[list[Record]]:
    """Records that share a path, however it is written, in groups of two or more."""
    of: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of[os.path.normpath(record.path)].append(record)
    return [group for group in of.values() if len(group) > 1]


def find_overlaps(records: Sequence[Record]) -> tuple[Overlap, ...]:
    """Pairs of splits that share an identity; records without a split do not count."""
    of: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.split:
            of[record.split] |= {record.driver, record.target}
    pairs = ((pair, of[pair[0]] & of[pair[1]]) for pair in combinations(sorted(of), 2))
    return tuple(Overlap(pair, tuple(sorted(both))) for pair, both in pairs if both)


def check(
    listing: Listing,
    depth: str = "headers",
    workers: int = 1,
    advance: Callable[[int], object] = lambda count: None,
) -> Report:
    """Validate a data set.

    Parameters
    ----------
    listing : from `list_dataset`, best not strict. depth : see `look_at`; duplicates are looked for unless ``sizes``.
    workers : processes. advance : told how many more files were looked at.

    Raises
    ------
    InputError
        Another depth, or fewer than 1 worker. Bad files are reported, never raised.
    """
    if depth not in DEPTHS:
        raise InputError(f"depth {depth!r}: must be one of {', '.join(DEPTHS)}")
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    records = listing.records
    items = [(str(record.path), record.is_frames) for record in records]
    found = over_all(partial(_look, depth=depth), items, workers, advance)
    repeated = find_repeated(records)
    duplicates = None
    if depth != "sizes":
        sizes = {os.path.normpath(path): seen.size for (path, frames), seen in zip(items, found) if not frames}
        duplicates = tuple(find_duplicates(sizes, workers))
    fine = [seen for seen in found if not seen.error]
    root = Path(os.path.abspath(listing.root))
    return Report(
        layout=listing.layout,
        root=str(root),
        depth=depth,
        notes=listing.notes,
        total=tally(records),
        splits=_by(records, lambda record: record.split or NO_SPLIT),
        generators=_by(records, lambda record: record.generator),
        bytes=sum(seen.size for seen in found),
        layout_problems=(*listing.problems, *map(_repetition, repeated)),
        bad_files=tuple(BadFile(path, seen.error, seen.message) for (path, _), seen in zip(items, found) if seen.error),
        duplicates=duplicates,
        overlaps=find_overlaps(records),
        short=sum(seen.frames is not None and 2 <= seen.frames < WINDOW for seen in fine),
        fps=_histogram(f"{seen.fps:.3f}".rstrip("0").rstrip(".") for seen in fine if seen.fps is not None),
        resolutions=_histogram(f"{seen.width}x{seen.height}" for seen in fine if seen.width),
        licences=_histogram(record.licence or "not stated" for record in records),
        research_use=_histogram(_answer(record.research_use) for record in records),
        publication_use=_histogram(_answer(record.publication_use) for record in records),
    )


def _look(item: tuple[str, bool], depth: str) -> FileCheck:
    path, is_frames = item
    return look_at(path, depth, is_frames)


def _repetition(group: Sequence[Record]) -> str:
    drivers = some({record.driver for record in group})
    return f"{group[0].path}: stands in {len(group)} records (driver {drivers}); keep one of them"


def _by(records: Sequence[Record], key: Callable[[Record], str]) -> dict[str, Tally]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return {name: tally(group) for name, group in sorted(groups.items())}


def _histogram(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _answer(value: bool | None) -> str:
    return "not stated" if value is None else "yes" if value else "no"
