"""Plain folders of original footage: ``<driver>/<clip>.mp4`` or ``<driver>/<recording>/.../<clip>.mp4``.

Everybody shows their own face, so driver and target are the folder's name. Clips in one sub-folder are one recording:
what was filmed in one go shares light, clothes and camera, and must not count as evidence for the person. Clips right
in the driver's folder are recordings of their own. Folders named train, val and test on top are splits.
"""

from __future__ import annotations

import os
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError
from whodrives.data.listing import Options, Read
from whodrives.data.record import ORIGINAL, VIDEO_SUFFIXES, Record
from whodrives.data.splits import identity_notes, put_into_splits, read_splits, split_name
from whodrives.data.tree import folder_prefix, videos_by_folder

ENDINGS = (*VIDEO_SUFFIXES, *(suffix.upper() for suffix in VIDEO_SUFFIXES))
LOOKS_FOR = "<driver>/<clip>.mp4 or <driver>/<recording>/<clip>.mp4 (also below train, val, test)"


def found(root: Path) -> bool:
    """Whether any video lies in a folder below `root`."""
    return any(parts for parts, _ in videos_by_folder(root, ENDINGS))


def read(root: Path, options: Options, complain: Complain) -> Read:
    """Originals, one driver a folder; `options.splits` says who is in which split."""
    folders = list(videos_by_folder(root, ENDINGS))
    # One folder called "test" may be a person's nickname; all folders named like splits are splits.
    by_split = bool(folders) and all(parts and split_name(parts[0]) for parts, _ in folders)
    source = Path(os.path.abspath(root)).name
    records: list[Record] = []
    notes = ["the top folders are splits, drivers' folders lie below"] if by_split else []
    for parts, names in folders:
        below = parts[1:] if by_split else parts
        if not below:
            for name in names:
                where = folder_prefix(root, parts) + name
                complain(LayoutError(f"{where}: lies in no driver's folder; move it into one"))
            continue
        prefix, driver, recording = folder_prefix(root, parts), below[0], "/".join(below)
        split = split_name(parts[0]) if by_split else ""
        for name in names:
            take = recording if len(below) > 1 else f"{recording}/{os.path.splitext(name)[0]}"
            records.append(
                Record(prefix + name, driver, driver, ORIGINAL, source, take, split, True)  # type: ignore[arg-type]
            )
    if options.splits is not None:
        splits = read_splits(options.splits)
        records = put_into_splits(records, splits.of)
        notes += identity_notes(splits, {record.driver for record in records})
    return Read(records, notes)
