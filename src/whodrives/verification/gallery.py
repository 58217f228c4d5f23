"""Galleries: the store of enrolled drivers and their templates."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.decision import Decision, Identification, identify_against, verify_against
from whodrives.verification.embedding import Embedding, ModelInfo, unusable_reason
from whodrives.verification.errors import (
    AlreadyEnrolledError,
    DuplicateSampleError,
    EnrolmentError,
    GalleryError,
    UnknownDriverError,
)
from whodrives.verification.gallery_archive import dump_drivers, insert_drivers, read_archive, write_archive
from whodrives.verification.gallery_rows import (
    DriverInfo,
    describe_driver,
    driver_rows,
    find_driver,
    insert_driver,
    insert_sample,
    normalise_name,
    now,
    read_floats,
    refresh_template,
    require_comparable,
    sample_of,
)
from whodrives.verification.gallery_store import GalleryStore
from whodrives.verification.gallery_templates import StoredTemplates, stored_templates
from whodrives.video.contract import PreprocessingContract


@dataclass(frozen=True)
class Enrolment:
    """What `Gallery.enroll` did; `warnings` name the videos that were left out and why."""

    driver: DriverInfo
    added: int
    replaced: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class WeightGroup:
    """Templates of one weight file: digests of weights and contract, the weights' name, how many there are."""

    weights: str
    contract: str
    model: str
    templates: int


@dataclass(frozen=True)
class GalleryStatus:
    """How far a gallery has moved to some weights.

    ready : names with a template of them. outdated : names that must be enrolled again first. groups : all templates
    by weight file, oldest first.
    """

    weights: str
    contract: str
    ready: tuple[str, ...]
    outdated: tuple[str, ...]
    groups: tuple[WeightGroup, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Gallery:
    """Enrolled drivers in one SQLite file; safe to share between threads and processes."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store

    @classmethod
    def open(cls, path: str | PathLike[str], create: bool = True, timeout: float = 10.0) -> Gallery:
        """Open a gallery file, and make it when it is not there and `create` is set.

        Parameters
        ----------
        path : the file; a new one is readable by its owner only. timeout : seconds to wait for other processes.

        Raises
        ------
        GalleryError
            No gallery there, not a gallery, made by a newer version, or not writable.
        """
        return cls(GalleryStore(Path(path), create, timeout))

    @property
    def path(self) -> Path:
        """The gallery file."""
        return self._store.path

    def enroll(
        self, name: str, embedding: Embedding | Sequence[Embedding], replace: bool = False, add: bool = False
    ) -> Enrolment:
        """Store a driver: the videos' windows, and one template from all usable windows.

        Parameters
        ----------
        name : 1 to 200 characters, stored NFC normalised without surrounding blanks. embedding : fingerprint(s) of
            videos of this driver. replace : forget everything stored under the name first. add : add the videos to it;
            where it only has templates of other weights, one of these begins beside them.

        Raises
        ------
        AlreadyEnrolledError
            The name is taken and neither `replace` nor `add` is set.
        DuplicateSampleError
            A video is given twice or is enrolled already, under this name or another.
        EnrolmentError
            No video has a usable window (too short, no motion, frame rate); the message has the numbers.
        PurgeError
            With `replace`: the new driver IS enrolled, but the bytes of the old one could not yet be overwritten.
        """
        name = normalise_name(name)
        if replace and add:
            raise InputError("replace and add exclude each other; choose one")
        joined = embedding if isinstance(embedding, Embedding) else Embedding.join(list(embedding))
        usable, left_out = require_usable(name, joined)
        _refuse_repeats(usable)
        with self._store.write() as db:
            rows = driver_rows(db, name)
            if rows and not (replace or add):
                raise _taken(name)
            row = find_driver(db, name, joined.model.digest, joined.contract)
            if replace:
                db.execute("DELETE FROM driver WHERE name = ?", (name,))
            moment = now()
            if row is not None and add:
                driver = int(row["id"])
            else:
                driver = insert_driver(db, name, joined.model, joined.contract, moment)
            for part in usable:
                insert_sample(db, driver, sample_of(part, moment))
            refresh_template(db, driver, name)
            info = describe_driver(db, driver)
        replaced = bool(rows) and replace
        if replaced:
            self._store.purge()
        return Enrolment(info, len(usable), replaced, (*left_out, *joined.warnings))

    def require_free(self, name: str) -> None:
        """Raise AlreadyEnrolledError when somebody of this name is enrolled."""
        name = normalise_name(name)
        with self._store.read() as db:
            if driver_rows(db, name):
                raise _taken(name)

    def verify(self, embedding: Embedding, claimed: str, far: float | None = None) -> Decision:
        """Does `claimed` drive the video(s) of `embedding`? `far`: nominal false-accept rate, default of the weights.

        Raises
        ------
        UnknownDriverError
            Nobody of that name is enrolled.
        WeightsMismatchError, ContractMismatchError
            The template belongs to other weights or to another preprocessing.
        InputError
            The weights have no threshold at `far`.
        """
        return verify_against(embedding, self.template_for(embedding, claimed), normalise_name(claimed), far)

    def template_for(self, embedding: Embedding, claimed: str) -> NDArray[np.float32]:
        """The template (D,) of an enrolled driver, once it is sure that it may be compared with `embedding`.

        Raises
        ------
        UnknownDriverError, WeightsMismatchError, ContractMismatchError
            As `verify`.
        """
        with self._store.read() as db:
            latest = self._require(db, normalise_name(claimed))
            row = find_driver(db, latest["name"], embedding.model.digest, embedding.contract)
        if row is None:
            require_comparable(embedding, latest)
            raise AssertionError("a template that may be compared was not found")  # pragma: no cover
        return read_floats(row["template"])

    def identify(self, embedding: Embedding, far: float | None = None, top: int = 5) -> Identification:
        """Who of the enrolled drives the video(s) of `embedding`, if anybody?

        Errors as `verify`; one driver without a template of these weights is enough for a WeightsMismatchError, because
        the answer "nobody" would pass over that driver.

        Raises
        ------
        GalleryError
            Nobody is enrolled.
        """
        with self._store.read() as db:
            rows = db.execute("SELECT * FROM driver ORDER BY name, id DESC").fetchall()
        if not rows:
            raise GalleryError(f"{self.path}: nobody is enrolled; enroll a driver first")
        fitting = {row["name"]: row for row in rows if _fits(row, embedding.model.digest, embedding.contract)}
        for row in rows:
            if row["name"] not in fitting:
                require_comparable(embedding, row)
        templates = np.stack([read_floats(row["template"]) for row in fitting.values()])
        return identify_against(embedding, [*fitting], templates, far, top)

    def status(self, model: ModelInfo, contract: PreprocessingContract) -> GalleryStatus:
        """Who can be verified with these weights, and who must be enrolled again first."""
        with self._store.read() as db:
            rows = db.execute("SELECT * FROM driver ORDER BY name, id").fetchall()
        ready = {row["name"] for row in rows if _fits(row, model.digest, contract)}
        names = dict.fromkeys(row["name"] for row in rows)
        groups: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            title = " ".join(part for part in (row["model_name"], row["model_version"]) if part)
            groups.setdefault((row["weights"], row["contract_digest"], title), []).append(row["name"])
        return GalleryStatus(
            weights=model.digest,
            contract=contract.digest(),
            ready=tuple(name for name in names if name in ready),
            outdated=tuple(name for name in names if name not in ready),
            groups=tuple(
                WeightGroup(weights, digest, title, len(members))
                for (weights, digest, title), members in groups.items()
            ),
        )

    def forget_weights(self, weights: str) -> int:
        """Delete every template of a weight file (its digest), as after everybody has a newer one; returns how many.

        Who has no other template is then no longer enrolled. Errors as `remove`; GalleryError when there is none.
        """
        with self._store.write() as db:
            count = db.execute("DELETE FROM driver WHERE weights = ?", (weights,)).rowcount
        if not count:
            raise GalleryError(f"{self.path}: holds no template of weights {weights}; see `whodrives gallery status`")
        self._store.purge()
        return int(count)

    def list(self) -> tuple[DriverInfo, ...]:
        """Every template, by name; a driver with templates of two weight files stands twice."""
        with self._store.read() as db:
            rows = db.execute("SELECT id FROM driver ORDER BY name, id").fetchall()
            return tuple(describe_driver(db, row["id"]) for row in rows)

    def show(self, name: str) -> DriverInfo:
        """One driver, with the latest template. Raises UnknownDriverError."""
        with self._store.read() as db:
            return describe_driver(db, self._require(db, normalise_name(name))["id"])

    def templates(self, name: str) -> tuple[DriverInfo, ...]:
        """One driver's templates, latest first, each for a weight file of its own. Raises UnknownDriverError."""
        with self._store.read() as db:
            self._require(db, normalise_name(name))
            return tuple(describe_driver(db, row["id"]) for row in driver_rows(db, normalise_name(name)))

    def template(self, name: str) -> NDArray[np.float32]:
        """The latest stored template (D,) of one driver, a unit vector. Raises UnknownDriverError."""
        with self._store.read() as db:
            return read_floats(self._require(db, normalise_name(name))["template"])

    @contextmanager
    def stored(self, weights: str, contract: str) -> Iterator[StoredTemplates]:
        """All templates of one weight file and contract (their digests), in one consistent state."""
        with self._store.read() as db:
            yield stored_templates(db, weights, contract)

    def remove(self, name: str) -> None:
        """Forget a driver: name, every template and samples are deleted and their bytes overwritten.

        Raises
        ------
        UnknownDriverError
            Nobody of that name is enrolled.
        PurgeError
            The driver is deleted, but another process reads the gallery, so old bytes could not be overwritten yet.
        """
        with self._store.write() as db:
            row = self._require(db, normalise_name(name))
            db.execute("DELETE FROM driver WHERE name = ?", (row["name"],))
        self._store.purge()

    def purge(self) -> None:
        """Overwrite the bytes of deleted drivers; needed only after a PurgeError."""
        self._store.purge()

    def export(self, path: str | PathLike[str], overwrite: bool = False) -> int:
        """Write the whole gallery to a JSON archive, readable by its owner only; returns the number of drivers.

        Raises
        ------
        GalleryError
            The file exists and `overwrite` is not set, or it cannot be written.
        """
        with self._store.read() as db:
            drivers = dump_drivers(db)
        write_archive(Path(path), drivers, overwrite)
        return len(drivers)

    def import_(self, path: str | PathLike[str], replace: bool = False) -> int:
        """Add every driver of an archive, all or none; returns their number. Templates are computed again.

        Raises
        ------
        ArchiveError
            The file is no archive of a known version, or something in it is damaged.
        AlreadyEnrolledError
            A name is taken and `replace` is not set.
        DuplicateSampleError
            A video is enrolled already under another name.
        PurgeError
            With `replace`: all drivers ARE imported, but replaced bytes could not yet be overwritten.
        """
        drivers = read_archive(Path(path))
        with self._store.write() as db:
            replaced = insert_drivers(db, drivers, replace)
        if replaced:
            self._store.purge()
        return len(drivers)

    def _require(self, db: sqlite3.Connection, name: str) -> sqlite3.Row:
        rows = driver_rows(db, name)
        if rows:
            return rows[0]
        # Names of other people stay out of the message: it may end up in a log.
        count = db.execute("SELECT count(DISTINCT name) AS n FROM driver").fetchone()["n"]
        raise UnknownDriverError(
            f"{name!r} is not enrolled in {self.path} ({count} {'drivers' if count != 1 else 'driver'}); "
            "see `whodrives gallery list`, or enroll the driver with `whodrives enroll`"
        )


def require_usable(name: str, embedding: Embedding) -> tuple[list[Embedding], list[str]]:
    """The videos that can be enrolled, and why the others cannot. Raises EnrolmentError when there are none."""
    usable, left_out = [], []
    for part in embedding.split():
        reason = unusable_reason(part)
        if reason is None:
            usable.append(part)
        else:
            left_out.append(f"{part.videos[0].path}: left out ({reason})")
    if not usable:
        raise EnrolmentError(f"{name!r} cannot be enrolled: {'; '.join(left_out)}. Give longer videos that move")
    return usable, left_out


def _fits(row: sqlite3.Row, weights: str, contract: PreprocessingContract) -> bool:
    return bool(row["weights"] == weights and row["contract_digest"] == contract.digest())


def _taken(name: str) -> AlreadyEnrolledError:
    return AlreadyEnrolledError(
        f"{name!r} is enrolled already; add the videos (--add) or replace the old ones (--replace)"
    )


def _refuse_repeats(parts: Sequence[Embedding]) -> None:
    seen: dict[str, str] = {}
    for part in parts:
        video = part.videos[0]
        if video.content in seen:
            raise DuplicateSampleError(
                f"{video.path}: shows the same video as {seen[video.content]}; give each recording once"
            )
        seen[video.content] = video.path
