"""AVAPrintDB as a layout: the videos, with the metadata list where there is one, and notes on what was found."""

from __future__ import annotations

from pathlib import Path

from whodrives.data.avaprintdb import METADATA, METADATA_FILE, PARTS, VIDEOS, find_root, list_videos
from whodrives.data.avaprintdb_lists import read_metadata
from whodrives.data.errors import Complain, LayoutError
from whodrives.data.listing import Options, Read, joint_split, some
from whodrives.data.record import Record
from whodrives.data.splits import identity_notes, put_into_splits, read_splits

LOOKS_FOR = f"{VIDEOS}/DEV|TEST/<GEN> (or the same below database/)"


def found(root: Path) -> bool:
    """Whether a folder is AVAPrintDB's root or the one above it."""
    return any((root / below / VIDEOS).is_dir() for below in ("", "database"))


def read(root: Path, options: Options, complain: Complain) -> Read:
    """Records of the database; `options.splits` divides DEV into train and val by identities.

    Files that contradict ``data/metadata/avaprintdb_metadata.csv`` (or `options.metadata`) are complained about.
    """
    base = find_root(root)
    records = list(list_videos(base, complain))
    notes: list[str] = []
    path = options.metadata or base / METADATA / METADATA_FILE
    if options.metadata is not None or path.is_file():
        _compare(path, records, notes, complain)
    else:
        notes.append(f"no {METADATA_FILE}: splits come from the folders alone")
    if options.splits is None:
        if any(record.split == "train" for record in records):
            notes.append("all of DEV counts as train; a list of splits can set identities aside for validation")
        return Read(records, notes)
    splits = read_splits(options.splits)
    for record in records:
        part = PARTS.get(joint_split(splits.of, record.driver, record.target))
        here = PARTS.get(record.split)
        if part and here and part != here:
            complain(LayoutError(f"{record.path}: lies in {here}, {splits.path} says {part}; correct it"))
    notes += identity_notes(splits, {record.driver for record in records} | {record.target for record in records})
    return Read(put_into_splits(records, splits.of), notes)


def _compare(path: Path, records: list[Record], notes: list[str], complain: Complain) -> None:
    listed = read_metadata(path)
    names = {record.path.name for record in records}
    for record in records:
        part = listed.get(record.path.name)
        here = PARTS.get(record.split)
        if part and here and part != here:
            complain(LayoutError(f"{record.path}: lies in {here}, {path.name} says {part}; move it"))
    absent, extra = listed.keys() - names, names - listed.keys()
    if absent:
        notes.append(f"{len(absent)} of {len(listed)} videos in {path.name} are not here: {some(absent, 3)}")
    if extra:
        notes.append(f"{len(extra)} videos here are not in {path.name}: {some(extra, 3)}")
