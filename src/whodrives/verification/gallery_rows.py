"""Gallery rows: drivers and samples as they lie in the database."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.embedding import Embedding, ModelInfo, WindowInfo, require_same_weights, unit_mean
from whodrives.verification.errors import DuplicateSampleError, EnrolmentError
from whodrives.video.contract import PreprocessingContract

MAX_NAME = 200
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class SampleInfo:
    """One enrolled video: `source` is its file name without folders, `frames` and `usable_windows` are counts."""

    source: str
    added: str
    frames: int
    n_windows: int
    usable_windows: int
    content: str


@dataclass(frozen=True)
class DriverInfo:
    """One enrolled driver. `weights` is the digest that the template belongs to; times are UTC, ISO 8601."""

    name: str
    created: str
    model: str
    weights: str
    contract: str
    samples: tuple[SampleInfo, ...]

    @property
    def usable_windows(self) -> int:
        """Windows in the template."""
        return sum(sample.usable_windows for sample in self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "samples": [asdict(sample) for sample in self.samples]}


def normalise_name(name: str) -> str:
    """NFC without surrounding blanks. Raises InputError for an empty, overlong or unprintable name."""
    clean = unicodedata.normalize("NFC", name).strip()
    if not clean:
        raise InputError("the driver's name is empty; give at least one visible character")
    if len(clean) > MAX_NAME:
        raise InputError(f"the driver's name has {len(clean)} characters; give at most {MAX_NAME}")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in clean):
        raise InputError(f"the driver's name {clean!r} holds control characters; leave them out")
    return clean


def now() -> str:
    """UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class SampleRow:
    """One enrolled video as stored: `vectors` float32 (W, D); `windows` W lists, see `window_row`."""

    content: str
    source: str
    added: str
    frames: int
    windows: list[list[Any]]
    vectors: NDArray[np.float32]


def sample_of(video: Embedding, added: str) -> SampleRow:
    """The row of a one-video embedding; the folders of its path are left out."""
    info = video.videos[0]
    windows = [window_row(window) for window in video.windows]
    return SampleRow(info.content, display_name(info.path), added, info.n_frames, windows, video.vectors)


def window_row(window: WindowInfo) -> list[Any]:
    """start, seconds, length, valid, energy, gated, problem; the last is None for a usable window."""
    return [window.start, window.seconds, window.length, window.valid, window.energy, window.gated, window.problem]


def insert_driver(
    db: sqlite3.Connection, name: str, model: ModelInfo, contract: PreprocessingContract, created: str
) -> int:
    """A driver row without samples yet; returns its id."""
    cursor = db.execute(
        "INSERT INTO driver (name, created, model_name, model_version, weights, contract, contract_digest, template) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, x'')",
        (name, created, model.name, model.version, model.digest, contract_json(contract), contract.digest()),
    )
    return int(cursor.lastrowid or 0)


def insert_sample(db: sqlite3.Connection, driver: int, sample: SampleRow) -> None:
    """One video of a driver. Raises DuplicateSampleError when its content is stored already, in this template or under
    another name."""
    query = (
        "SELECT 1 FROM sample JOIN driver ON driver.id = sample.driver_id "
        "WHERE content = ? AND name <> (SELECT name FROM driver WHERE id = ?)"
    )
    try:
        if db.execute(query, (sample.content, driver)).fetchone() is not None:
            raise sqlite3.IntegrityError("content under another name")
        db.execute(
            "INSERT INTO sample (driver_id, content, source, added, frames, windows, vectors) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                driver,
                sample.content,
                sample.source,
                sample.added,
                sample.frames,
                json.dumps(sample.windows),
                np.ascontiguousarray(sample.vectors, _FLOAT).tobytes(),
            ),
        )
    except sqlite3.IntegrityError as error:
        raise DuplicateSampleError(
            f"{sample.source}: the same video is enrolled already; give a different recording, or remove the driver "
            "who holds it"
        ) from error


def sample_rows(db: sqlite3.Connection, driver: int) -> list[SampleRow]:
    """The stored videos of a driver, oldest first."""
    out = []
    for row in db.execute("SELECT * FROM sample WHERE driver_id = ? ORDER BY id", (driver,)):
        windows = json.loads(row["windows"])
        vectors = read_floats(row["vectors"]).reshape(len(windows), -1)
        out.append(SampleRow(row["content"], row["source"], row["added"], row["frames"], windows, vectors))
    return out


def refresh_template(db: sqlite3.Connection, driver: int, name: str) -> None:
    """Compute the template of a driver again, from all usable windows of all samples."""
    vectors = []
    for sample in sample_rows(db, driver):
        usable = np.array([window[-1] is None for window in sample.windows], dtype=bool)
        vectors.append(sample.vectors[usable])
    template = unit_mean(np.concatenate(vectors)) if vectors else None
    if template is None:
        raise EnrolmentError(f"{name!r} cannot be enrolled: the windows' vectors cancel out; check the weights")
    db.execute("UPDATE driver SET template = ? WHERE id = ?", (template.astype(_FLOAT).tobytes(), driver))


def display_name(path: str) -> str:
    """The file name without folders, with bytes that are no text replaced."""
    return Path(path).name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def driver_rows(db: sqlite3.Connection, name: str) -> list[sqlite3.Row]:
    """The templates of a (normalised) name, one for each weight file and contract, latest first."""
    return db.execute("SELECT * FROM driver WHERE name = ? ORDER BY id DESC", (name,)).fetchall()


def find_driver(db: sqlite3.Connection, name: str, weights: str, contract: PreprocessingContract) -> sqlite3.Row | None:
    """The template of a (normalised) name for these weights and this contract, or None."""
    for row in driver_rows(db, name):
        if row["weights"] == weights and row["contract_digest"] == contract.digest():
            return row
    return None


def require_comparable(embedding: Embedding, row: sqlite3.Row) -> None:
    """Raise WeightsMismatchError or ContractMismatchError unless the stored template fits the embedding."""
    what = f"the template of {row['name']!r}"
    require_same_weights(embedding.model.digest, row["weights"], what)
    embedding.contract.require_same(read_contract_json(row["contract"]), what)


def describe_driver(db: sqlite3.Connection, driver: int) -> DriverInfo:
    """One driver without vectors."""
    row = db.execute("SELECT * FROM driver WHERE id = ?", (driver,)).fetchone()
    samples = []
    # Without the vectors, which are most of a gallery.
    query = "SELECT source, added, frames, windows, content FROM sample WHERE driver_id = ? ORDER BY id"
    for sample in db.execute(query, (driver,)):
        windows = json.loads(sample["windows"])
        samples.append(
            SampleInfo(
                source=sample["source"],
                added=sample["added"],
                frames=sample["frames"],
                n_windows=len(windows),
                usable_windows=sum(window[-1] is None for window in windows),
                content=sample["content"],
            )
        )
    model = " ".join(part for part in (row["model_name"], row["model_version"]) if part)
    return DriverInfo(row["name"], row["created"], model, row["weights"], row["contract_digest"], tuple(samples))


def read_floats(blob: bytes) -> NDArray[np.float32]:
    """A stored vector, native byte order."""
    return np.frombuffer(blob, _FLOAT).astype(np.float32)


def read_contract_json(text: str) -> PreprocessingContract:
    """A stored contract."""
    return PreprocessingContract.from_dict(json.loads(text))


def contract_json(contract: PreprocessingContract) -> str:
    """A contract as canonical JSON."""
    return json.dumps(contract.to_dict(), sort_keys=True)
