"""The videos that an evaluation is asked to look at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whodrives.avatars.simulation import SETTINGS
from whodrives.data.layouts import list_dataset
from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_layout import HEADER
from whodrives.errors import InputError
from whodrives.evaluation.labels import wanted
from whodrives.evaluation.readers import FileReader, Reader, StoreReader
from whodrives.video.contract import PreprocessingContract


@dataclass(frozen=True, eq=False)
class Chosen:
    """reader : of the videos. kind : of data, for headings: ``simulated``, ``nvfair`` ... split : empty: all.

    description : one line for reports.
    """

    reader: Reader
    kind: str
    split: str
    description: str


def choose_videos(
    data: Path,
    *,
    contract: PreprocessingContract,
    length: int,
    windows: int = 1,
    split: str | None = None,
    generators: Sequence[str] = (),
    include_originals: bool = False,
    folder_fps: float | None = None,
    layout: str = "auto",
    **options: Any,
) -> Chosen:
    """Videos of a data set or a frame store.

    Parameters
    ----------
    contract, length, windows : as for `readers.FileReader`. split : None: ``test`` where the data have it, else all.
    generators : only these; empty: all. include_originals : keep footage that no generator touched.
    layout, options : as for `data.layouts.list_dataset`.

    Raises
    ------
    LayoutError, StoreError
        The data cannot be read. InputError : no video is left, a generator has none, with what there would be; or an
        option that such data have no use for.
    """
    store = FrameStore.open(data) if (data / HEADER).is_file() else None
    given = [name for name, value in options.items() if value is not None] + ["layout"] * (layout != "auto")
    if store is not None:
        if given:
            raise InputError(
                f"--{given[0]}: {data} is a frame store, which has its labels inside; leave the option out"
            )
        records: Sequence[Record] = list(store.records)
        kind = "frame store"
    else:
        listing = list_dataset(data, layout, **options)
        if listing.layout == "manifest":
            for name in ("frames", "metadata"):
                if name in given:
                    raise InputError(f"--{name}: {data} has a manifest, which names every file; leave the option out")
        records, kind = listing.records, "simulated" if (data / SETTINGS).is_file() else listing.layout
    splits = {record.split for record in records}
    if split is None:
        split = "test" if "test" in splits else ""
    of_split = [record for record in records if not split or record.split == split]
    there = {record.generator for record in of_split}
    unknown = [name for name in generators if name not in there]
    if of_split and unknown:
        raise InputError(
            f"{data}: no video is left of the generator {unknown[0]!r}; there are "
            f"{', '.join(sorted(there))}{' in the split ' + split if split else ''}"
        )
    fits = wanted([record.generator for record in records], generators, include_originals)
    numbers = [n for n, record in enumerate(records) if fits[n] and (not split or record.split == split)]
    if not numbers:
        names = ", ".join(sorted({record.generator for record in records}))
        raise InputError(
            f"{data}: no video is left of {len(records)}; it has the splits {', '.join(sorted(splits)) or 'none'} and "
            f"the generators {names}"
        )
    reader: Reader
    if store is not None:
        reader = StoreReader(store, numbers, contract, length, windows)
    else:
        reader = FileReader([records[number] for number in numbers], contract, length, windows, folder_fps)
    people = {record.driver for record in reader.records}
    description = f"{data.name}: {len(numbers)} videos of {len(people)} drivers" + (f", split {split}" if split else "")
    return Chosen(reader, kind, split, description)


def read_attributes(path: Path) -> dict[str, dict[str, str]]:
    """Attribute -> driver -> subgroup, from a CSV with a column ``driver`` and others; empty cells do not count.

    Raises
    ------
    InputError
        The file cannot be read, or has no column ``driver`` or no other one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); give columns driver,ATTRIBUTE,...") from error
    names = [name for name in (rows[0] if rows else {}) if name and name != "driver"]
    if not rows or "driver" not in rows[0] or not names:
        raise InputError(f"{path}: needs a column driver and at least one attribute")
    return {name: {row["driver"]: row[name] for row in rows if row.get(name)} for name in names}
