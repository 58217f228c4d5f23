"""The manifest beside a data set: one CSV row a video, NVFAIR's column names where it has them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from whodrives.data.record import ORIGINAL, Record
from whodrives.errors import InputError

NAME = "manifest.csv"
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


class ManifestError(InputError):
    """A manifest is missing, malformed, or names a file outside its folder."""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file aside and move it into place: under its own name it is always a whole one."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    partial.replace(path)


def write_manifest(root: str | Path, records: Sequence[Record]) -> Path:
    """Write ``manifest.csv`` into `root`, sorted by path; paths are stored relative to it. Returns its path."""
    root = Path(root)
    path = root / NAME
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
        )
        for record in sorted(records, key=lambda record: record.path.as_posix())
    )
    write_csv(path, COLUMNS, rows)
    return path


def read_manifest(root: str | Path) -> list[Record]:
    """Records of ``manifest.csv`` in `root`, in file order. Identities are strings, whatever they look like.

    Raises
    ------
    ManifestError
        No such file, a column is missing, a value is malformed, or a path leaves `root`.
    """
    root = Path(root)
    path = root / NAME
    try:
        stream = path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); `whodrives simulate` writes one") from error
    records = []
    with stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ManifestError(f"{path}: lacks the column {missing[0]!r}; columns must be {', '.join(COLUMNS)}")
        for row in reader:
            relative = Path(row["path"] or "")
            if relative.is_absolute() or ".." in relative.parts or not relative.parts:
                raise ManifestError(f"{path}: line {reader.line_num}: path {row['path']!r} must lie inside {root}")
            if row["is_self_reenactment"] not in ("True", "False"):
                raise ManifestError(f"{path}: line {reader.line_num}: is_self_reenactment must be True or False")
            records.append(
                Record(
                    root / relative,
                    row["driving_identity"],
                    row["target_identity"],
                    row["generator"],
                    row["dataset_source"],
                    row["recording"],
                    row["split"],
                    row["is_self_reenactment"] == "True",
                    row["license"],
                )
            )
    return records
