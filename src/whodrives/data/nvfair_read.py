"""NVFAIR as a layout: the tree, or the split lists, with all that lies beside them, and notes on what was found."""

from __future__ import annotations

import os
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError
from whodrives.data.listing import Options, Read, some
from whodrives.data.manifest import NAME as MANIFEST
from whodrives.data.manifest import read_manifest
from whodrives.data.nvfair import ORIGINALS, SUFFIX, generator_of, list_videos
from whodrives.data.nvfair_lists import has_lists, read_lists
from whodrives.data.nvfair_table import CSV_NAME, XLSX_NAME, PerFile, read_per_file
from whodrives.data.record import ORIGINAL, Record
from whodrives.data.splits import Splits, give_splits, identity_notes, read_sources, read_splits

SPLITS_FILE, SOURCES_FILE = "train_val_test_splits.txt", "subject_sources.txt"
SOURCES = ("NVIDIA-VC-subset", "RAVDESS", "CREMA-D")
LISTED, PUBLISHED = (111, 15, 35), (112, 14, 35)
LOOKS_FOR = (
    f"<source>/<generator>{SUFFIX}/<target>, {', '.join(SOURCES)} with {ORIGINALS}/<identity>, or train_files.csv and "
    "its like"
)
# That one of them lies beside the folders tells NVFAIR where sources have other names.
_BESIDE = (SPLITS_FILE, SOURCES_FILE, CSV_NAME, XLSX_NAME)


def found(root: Path) -> bool:
    """Whether a folder looks like NVFAIR's root: ``<source>/<generator folder>/<target>`` are folders.

    ``<name>/originals/<name>`` alone could be a person's own recordings: then the source must be one of NVFAIR's, or
    one of its lists lie in `root`.
    """
    if has_lists(root):
        return True
    listed = any((root / name).is_file() for name in _BESIDE)
    for source in os.scandir(root):
        if source.is_dir() and not source.name.startswith("."):
            known = listed or source.name in SOURCES
            with os.scandir(source.path) as below:
                kinds = [(generator_of(entry.name), entry.path) for entry in below if entry.is_dir()]
            if any(kind and (known or kind != ORIGINAL) and _has_folder(path) for kind, path in kinds):
                return True
    return False


def _has_folder(path: str) -> bool:
    with os.scandir(path) as entries:
        return any(entry.is_dir() for entry in entries)


def read(root: Path, options: Options, complain: Complain) -> Read:
    """Records of NVFAIR's tree, or of its split lists where they lie in `root`; see `Options` for what may be added.

    Splits come from `options.splits`, else from ``train_val_test_splits.txt`` in `root`; terms of single files from
    `options.metadata`, else from ``per_file_information_NVFAIR_v2.csv`` in `root`.
    """
    if has_lists(root):
        records = read_lists(root, options.frames, complain)
        notes = ["read from the split lists; new_path names the files"]
        if options.splits is not None:
            records = give_splits(records, options.splits, notes)
        return Read(records, notes)
    if options.frames is not None:
        raise LayoutError(f"{root}: frame folders are named by split lists, and none lies here; leave the option out")
    if (root / MANIFEST).is_file():
        records = read_manifest(root, complain)
        notes = [f"read from {MANIFEST}"]
        if options.splits is not None:
            records = give_splits(records, options.splits, notes)
        return Read(records, notes)
    splits, notes = _splits(root, options)
    table = _table(root, options, notes)
    odd: list[str] = []
    records = list(list_videos(root, splits.of if splits else None, table, complain, odd))
    if odd:
        notes.append(f"{len(odd)} names begin with another target than their folder, which counts: {some(odd, 2)}")
    _tell(root, records, splits, table, notes, complain)
    return Read(records, notes)


def _splits(root: Path, options: Options) -> tuple[Splits | None, list[str]]:
    beside = root / SPLITS_FILE
    if options.splits is None and not beside.is_file():
        return None, [f"no {SPLITS_FILE} here and none given: every split is empty"]
    splits = read_splits(options.splits or beside)
    return splits, [explain_counts(splits)]


def explain_counts(splits: Splits) -> str:
    """One sentence on how many identities a list has, against what is released and what the papers state."""
    counts = tuple(splits.counts().values())
    said = " / ".join(map(str, counts))
    released, papers = (" / ".join(map(str, numbers)) for numbers in (LISTED, PUBLISHED))
    start = f"{splits.path.name}: {said} identities in train / val / test"
    if counts == LISTED:
        return f"{start}, as in the released list; papers state {papers}: one identity counted differently, same sum"
    if counts == PUBLISHED:
        return f"{start}, as papers state; the released list has {released}: compare the lists before comparing figures"
    return f"{start}: neither the released list's {released} nor the papers' {papers}; figures will not compare"


def _table(root: Path, options: Options, notes: list[str]) -> PerFile | None:
    if options.metadata is not None:
        return read_per_file(options.metadata)
    if (root / CSV_NAME).is_file():
        return read_per_file(root / CSV_NAME)
    # A workbook of 650,000 rows takes a minute: read when asked for, never on the way.
    if (root / XLSX_NAME).is_file():
        notes.append(f"{XLSX_NAME} lies here but was not read, so terms are unknown: give it as the metadata table")
    else:
        notes.append("no table about single files: licence and permitted use are unknown")
    return None


def _tell(
    root: Path,
    records: list[Record],
    splits: Splits | None,
    table: PerFile | None,
    notes: list[str],
    complain: Complain,
) -> None:
    identities = {record.driver for record in records} | {record.target for record in records}
    if splits is not None:
        notes += identity_notes(splits, identities)
        apart = sum(not record.split for record in records)
        if apart:
            notes.append(f"{apart} videos are in no split: driver and target are not both in one")
    if (root / SOURCES_FILE).is_file():
        _check_sources(root / SOURCES_FILE, records, identities, notes, complain)
    if table is None:
        return
    named = 0
    for record in records:
        terms = table.terms(_place(record), record.path.stem)
        named += bool(terms.licence or terms.kind or terms.research is not None or terms.publication is not None)
        if terms.kind and record.generator != ORIGINAL and terms.kind.startswith("self") != record.is_self:
            said = f"the name says {_kind(record)}, {table.path.name} {terms.kind!r}"
            complain(LayoutError(f"{record.path}: {said}; ask which is right"))
    notes += table.notes(named, len(records))


def _place(record: Record) -> str:
    return "/".join(record.path.parts[-4:-1])


def _kind(record: Record) -> str:
    return "self-reenactment" if record.is_self else "cross-reenactment"


def _check_sources(
    path: Path, records: list[Record], identities: set[str], notes: list[str], complain: Complain
) -> None:
    sources = read_sources(path, SOURCES)
    without = identities - sources.keys()
    if without:
        notes.append(f"{len(without)} identities have no source in {path.name}: {some(without)}")
    for target, source in sorted({(record.target, record.source) for record in records}):
        if sources.get(target, source) != source:
            complain(LayoutError(f"{path}: says {target} is from {sources[target]}, but its folder lies in {source}"))
