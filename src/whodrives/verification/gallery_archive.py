"""Gallery archives: a whole gallery as one JSON file, and back. Nothing in it can run."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import WhodrivesError
from whodrives.verification.embedding import PROBLEMS, ModelInfo
from whodrives.verification.errors import AlreadyEnrolledError, ArchiveError, EnrolmentError, GalleryError
from whodrives.verification.gallery_rows import (
    SampleRow,
    driver_rows,
    find_driver,
    insert_driver,
    insert_sample,
    normalise_name,
    refresh_template,
    sample_rows,
)
from whodrives.video.contract import PreprocessingContract

FORMAT = "whodrives-gallery"
ARCHIVE_VERSION = 1


@dataclass(frozen=True)
class ArchivedDriver:
    """One driver of an archive."""

    name: str
    created: str
    model: ModelInfo
    contract: PreprocessingContract
    samples: tuple[SampleRow, ...]


def dump_drivers(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """All drivers as plain values, by name; vectors as base64 of little-endian float32."""
    out = []
    for row in db.execute("SELECT * FROM driver ORDER BY name, id").fetchall():
        samples = [
            {
                "content": sample.content,
                "source": sample.source,
                "added": sample.added,
                "frames": sample.frames,
                "windows": sample.windows,
                "vectors": base64.b64encode(sample.vectors.astype("<f4").tobytes()).decode(),
            }
            for sample in sample_rows(db, row["id"])
        ]
        out.append(
            {
                "name": row["name"],
                "created": row["created"],
                "model": {
                    "name": row["model_name"],
                    "version": row["model_version"],
                    "digest": row["weights"],
                },
                "contract": json.loads(row["contract"]),
                "samples": samples,
            }
        )
    return out


def write_archive(path: Path, drivers: Sequence[dict[str, Any]], overwrite: bool) -> None:
    """Write the archive in one step, so that no half of it is ever seen; mode 0600."""
    if path.exists() and not overwrite:
        raise GalleryError(f"{path}: exists already; choose another path, or overwrite it (--overwrite)")
    archive = {"format": FORMAT, "schema_version": ARCHIVE_VERSION, "drivers": list(drivers)}
    temporary = None
    try:
        # mkstemp makes files that only the owner may read, as templates are biometric data.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(archive, file, ensure_ascii=False, indent=1)
            file.write("\n")
        os.replace(temporary, path)
    except BaseException as error:
        # An interruption, too, must not leave biometric data behind.
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise GalleryError(f"{path}: cannot be written ({error.strerror}); choose another path") from error


def read_archive(path: Path) -> list[ArchivedDriver]:
    """Read and check an archive. Raises ArchiveError, naming the driver whose data is damaged."""
    try:
        archive = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read ({error.strerror}); give an exported gallery") from error
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path}: is no gallery archive; give a file made by `whodrives gallery export`") from error
    if not isinstance(archive, dict) or archive.get("format") != FORMAT:
        raise ArchiveError(f"{path}: is no gallery archive; give a file made by `whodrives gallery export`")
    if archive.get("schema_version") != ARCHIVE_VERSION:
        raise ArchiveError(
            f"{path}: archive version {archive.get('schema_version')!r}, this whodrives knows {ARCHIVE_VERSION}; "
            "export it again with this version, or upgrade"
        )
    entries = archive.get("drivers")
    if not isinstance(entries, list):
        raise ArchiveError(f"{path}: holds no list of drivers; export the gallery again")
    drivers = []
    for number, entry in enumerate(entries):
        try:
            drivers.append(_driver(entry))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, WhodrivesError) as error:
            problem = f"no {error}" if isinstance(error, KeyError) else error
            raise ArchiveError(
                f"{path}: driver {number + 1} is damaged ({problem}); export the gallery again"
            ) from error
    return drivers


def insert_drivers(db: sqlite3.Connection, drivers: Sequence[ArchivedDriver], replace: bool) -> bool:
    """Insert all drivers; returns whether somebody was replaced. Errors as `Gallery.import_`."""
    replaced = False
    for name in dict.fromkeys(driver.name for driver in drivers):
        for row in driver_rows(db, name):
            if not replace:
                raise AlreadyEnrolledError(
                    f"{name!r} is enrolled already; remove the driver first, or replace (--replace)"
                )
            db.execute("DELETE FROM driver WHERE id = ?", (row["id"],))
            replaced = True
    for driver in drivers:
        if find_driver(db, driver.name, driver.model.digest, driver.contract) is not None:
            raise ArchiveError(f"{driver.name!r} stands twice in the archive; export the gallery again")
        number = insert_driver(db, driver.name, driver.model, driver.contract, driver.created)
        for sample in driver.samples:
            insert_sample(db, number, sample)
        try:
            refresh_template(db, number, driver.name)
        except EnrolmentError as error:
            raise ArchiveError(str(error)) from error
    return replaced


def _driver(entry: dict[str, Any]) -> ArchivedDriver:
    model = entry["model"]
    samples = tuple(_sample(sample) for sample in entry["samples"])
    if not any(window[-1] is None for sample in samples for window in sample.windows):
        raise ValueError("no usable window")
    if len({sample.vectors.shape[1] for sample in samples}) != 1:
        raise ValueError("vectors of different lengths")
    return ArchivedDriver(
        name=normalise_name(_text(entry["name"])),
        created=_text(entry["created"]),
        model=ModelInfo(_text(model["name"]), _text(model["version"]), _text(model["digest"])),
        contract=PreprocessingContract.from_dict(entry["contract"]),
        samples=samples,
    )


def _sample(entry: dict[str, Any]) -> SampleRow:
    windows = [_window(window) for window in entry["windows"]]
    try:
        flat = np.frombuffer(base64.b64decode(entry["vectors"], validate=True), "<f4")
    except binascii.Error as error:
        raise ValueError("vectors are not base64") from error
    if not windows or len(flat) == 0 or len(flat) % len(windows):
        raise ValueError(f"{len(flat)} numbers do not form {len(windows)} vectors")
    vectors: NDArray[np.float32] = flat.reshape(len(windows), -1).astype(np.float32)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.isfinite(vectors).all() and (np.abs(norms - 1.0) < 1e-3).all()):
        raise ValueError("vectors are not of length 1")
    return SampleRow(
        content=_text(entry["content"]),
        source=_text(entry["source"]),
        added=_text(entry["added"]),
        frames=_count(entry["frames"]),
        windows=windows,
        vectors=vectors,
    )


def _window(values: Any) -> list[Any]:
    start, seconds, length, valid, energy, gated, problem = values
    for count in (start, length, valid):
        _count(count)
    for number in (seconds, energy):
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"{number!r} is no number")
    if not isinstance(gated, bool) or problem not in (None, *PROBLEMS):
        raise ValueError(f"window marks {gated!r}, {problem!r} are unknown")
    return list(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    value.encode("utf-8")  # a lone surrogate could not be stored
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{value!r} is no count")
    return value
