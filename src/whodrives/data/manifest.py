"""The manifest of a data set: one CSV row a video. Ours has NVFAIR's column names; other people's are understood."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError, refuse
from whodrives.data.record import ORIGINAL, Record
from whodrives.data.splits import split_name
from whodrives.data.tables import Table, read_table, yes_no

NAME = "manifest.csv"
# What `whodrives simulate` notes as it goes; it writes the manifest at its end.
LEDGER = "renders.jsonl"
COLUMNS = (
    "path",
    "target_identity",
    "driving_identity",
    "generator",
    "dataset_source",
    "is_self_reenactment",
    "real_or_synthetic",
    "license",
    "recording",
    "split",
)
# Ours first; what stands behind is what other tools call it.
ALIASES = {
    "path": ("path", "file", "filename", "file name", "video", "video_path", "new_path", "avatar_video_path"),
    "target": ("target_identity", "target", "target_id"),
    "driver": ("driving_identity", "driver", "driver_id", "driver_identity", "identity"),
    "generator": ("generator", "method"),
    "source": ("dataset_source", "source", "corpus", "dataset"),
    "is_self": ("is_self_reenactment", "is_self", "self"),
    "licence": ("license", "licence", "applicable license"),
    "recording": ("recording", "session", "take", "driving_clip"),
    "split": ("split", "set", "partition"),
    "research": ("research_use",),
    "publication": ("publication_use",),
}
UNKNOWN_GENERATOR = "unknown"


class ManifestError(LayoutError):
    """A manifest is missing, malformed, or names a file outside its folder."""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file aside and move it into place: under its own name it is always a whole one."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    partial.replace(path)


def check_finished(root: Path) -> None:
    """Raise ManifestError for a simulated data set whose rendering has not come to its end.

    File names alone would give every clip a recording of its own and no self-reenactments.
    """
    if (root / LEDGER).is_file() and not (root / NAME).is_file():
        raise ManifestError(
            f"{root}: is unfinished: {LEDGER} without {NAME}; run `whodrives simulate` again to its end"
        )


def write_manifest(root: str | Path, records: Sequence[Record]) -> Path:
    """Write ``manifest.csv`` into `root`, sorted by path; paths are stored relative to it. Returns its path.

    The columns research_use and publication_use are added when a record states one of them.
    """
    root = Path(root)
    path = root / NAME
    terms = any(r.research_use is not None or r.publication_use is not None for r in records)
    rows = (
        (
            record.path.relative_to(root).as_posix(),
            record.target,
            record.driver,
            record.generator,
            record.source,
            record.is_self,
            "real" if record.generator == ORIGINAL else "synthetic",
            record.licence,
            record.recording,
            record.split,
            *((_said(record.research_use), _said(record.publication_use)) if terms else ()),
        )
        for record in sorted(records, key=lambda record: record.path.as_posix())
    )
    write_csv(path, (*COLUMNS, "research_use", "publication_use") if terms else COLUMNS, rows)
    return path


def _said(answer: bool | None) -> str:
    return "" if answer is None else str(answer)


def read_manifest(root: str | Path, complain: Complain = refuse) -> list[Record]:
    """Records of a manifest, in file order. Identities are strings, whatever they look like. No file is looked for.

    Columns path and driving_identity (or driver, ...; see `ALIASES`) must be there. Without a column: the target is the
    driver; the generator ``original`` where driver and target are one, else ``unknown``; self means equal names; every
    file is a recording of its own; split, source and licence are empty.

    Parameters
    ----------
    root : folder with ``manifest.csv``, or any CSV file; paths in it are relative to its folder.
    complain : what is done with an error about a single row; such rows are left out.

    Raises
    ------
    ManifestError
        No such file, a column is missing, a value is malformed, a path leaves the folder, or stands in two rows.
    """
    path = manifest_file(root)
    if not path.is_file():
        raise ManifestError(f"{path}: cannot be read (no such file); `whodrives simulate` writes one")
    table = read_table(path, ALIASES, ("path", "driver"), ManifestError, exact=("path",))
    records: list[Record] = []
    folder = str(path.parent)
    shared: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, cells in table.rows:
        try:
            record = _record(folder, table, cells, shared)
            before = lines.setdefault(posixpath.normpath(cells[0]), line)
            if before != line:
                raise LayoutError(f"path {cells[0]!r} is named in line {before} already; keep one of the two rows")
        except LayoutError as error:
            complain(ManifestError(f"{path}: line {line}: {error}"))
        else:
            records.append(record)
    return records


def manifest_notes(root: str | Path) -> list[str]:
    """Sentences on columns that a manifest lacks and what that does."""
    table = read_table(manifest_file(root), ALIASES, ("path", "driver"), ManifestError)
    notes = []
    if "recording" not in table.present:
        notes.append("no column recording: every file counts as one of its own, so pairs may come from one take")
    if "target" not in table.present:
        notes.append("no column target_identity: every video counts as showing its own driver")
    return notes


def manifest_file(root: str | Path) -> Path:
    """``manifest.csv`` of a folder, or the file itself."""
    root = Path(root)
    return root if root.suffix.lower() in (".csv", ".xlsx") and not root.is_dir() else root / NAME


def _record(folder: str, table: Table, cells: tuple[str, ...], shared: dict[str, str]) -> Record:
    place = posixpath.normpath(cells[0]) if cells[0] else ""
    # Cells are new text in every row; the few names among them are kept once.
    target, driver, generator, source, is_self, licence, recording, split, research, publication = [
        shared.setdefault(text, text) for text in cells[1:]
    ]
    if not place.strip() or place == "." or ".." in cells[0].split("/") or os.path.isabs(place):
        raise LayoutError(f"path {cells[0]!r} must lie inside {folder}; put the manifest above all its videos")
    if not driver:
        raise LayoutError("driving_identity is empty; every labelled video needs one")
    target = target or driver
    own = driver == target
    if is_self or "is_self" in table.present:
        stated = yes_no(is_self) if is_self.lower() in ("true", "false", "1", "0") else None
        if stated is None:
            raise LayoutError(f"is_self_reenactment {is_self!r} must be True or False")
        own = stated
    generator = generator or (ORIGINAL if own else UNKNOWN_GENERATOR)
    if generator == ORIGINAL and not own:
        raise LayoutError(f"an original shows its own driver, but is said to show {target!r} driven by {driver!r}")
    named = split_name(split)
    if split and not named:
        raise LayoutError(f"split {split!r} must be train, val or test, or empty")
    return Record(
        f"{folder}/{place}",  # type: ignore[arg-type]  # text until somebody asks for the Path
        driver,
        target,
        generator,
        source,
        recording or f"{driver}/{os.path.splitext(place)[0]}",
        named,
        own,
        licence,
        yes_no(research),
        yes_no(publication),
    )
