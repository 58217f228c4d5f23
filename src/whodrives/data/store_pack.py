"""Packing videos into a frame store: once, in parallel, and on from where a killed run stopped."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from whodrives.data.errors import LayoutError
from whodrives.data.frame_folder import frame_files
from whodrives.data.listing import some
from whodrives.data.lock import locked
from whodrives.data.record import Record
from whodrives.data.store_codec import load_codec
from whodrives.data.store_decode import Decoded, DecodeSettings, Job
from whodrives.data.store_errors import StoreDamageError, StoreError
from whodrives.data.store_layout import (
    FAILED,
    FAILED_SCHEMA,
    HEADER,
    INDEX,
    LABELS,
    SCHEMA,
    SHARDS,
    Header,
    labels_of,
    read_table,
    storable,
    stored_name,
    write_file,
    write_table,
)
from whodrives.data.store_place import refuse_foreign, refuse_sources, work_folder
from whodrives.data.store_shards import ShardWriter, finished_shards
from whodrives.data.store_workers import WORKER_DIED, decode_all
from whodrives.errors import InputError
from whodrives.video.contract import MAX_FPS, PreprocessingContract

SHARD_BYTES = 256 * 2**20
CHUNK_FRAMES = 16


@dataclass(frozen=True)
class PackProgress:
    """After each video: `done` of `total` to decode, `failed` of them so far; `reason` if this one failed."""

    done: int
    total: int
    failed: int
    path: Path
    reason: str = ""


@dataclass(frozen=True)
class PackResult:
    """What a run did. packed, kept : videos decoded now, and stored before. failed : (path, reason) of every video
    that is not in the store now. videos, frames, bytes : all that the store holds, bytes with what nothing refers to.
    others : videos of earlier runs that are not among the records: kept with `keep_others`, else no longer listed.
    """

    packed: int
    kept: int
    failed: tuple[tuple[str, str], ...]
    videos: int
    frames: int
    bytes: int
    others: int = 0


def pack(
    records: Sequence[Record],
    out: str | Path,
    *,
    contract: PreprocessingContract,
    codec: str = "delta",
    workers: int = 1,
    root: str | Path | None = None,
    folder_fps: float | None = None,
    retry_failed: bool = False,
    keep_others: bool = False,
    shard_bytes: int = SHARD_BYTES,
    chunk_frames: int = CHUNK_FRAMES,
    progress: Callable[[PackProgress], None] | None = None,
) -> PackResult:
    """Decode videos into the frame store `out`; what it holds already is kept, and only its labels are renewed.

    Parameters
    ----------
    records : labelled videos, files or folders of PNG frames, each path once. Afterwards the store lists these and no
        others, so that a video that was moved to another split, renamed or withdrawn does not stay beside itself.
    out : a local folder of its own: new, empty, or a store.
    contract : how frames are made; its fps is a choice (None: every source frame).
    codec : ``delta`` (about a quarter of the bytes) or ``raw`` (some ten times faster to read); both lossless.
    workers : processes. The store is the same for any number of them.
    root : paths are stored relative to it. folder_fps : frames per second of folders of frames, None: not known.
    retry_failed : try files again that could not be decoded and have not changed since.
    keep_others : also keep what earlier runs listed, with the labels it had last.
    shard_bytes : size of a shard at most. chunk_frames : frames that are compressed together.

    A video is known by its path, size and modification time (a folder: path, number of PNG files and modification
    time of the folder). A video that cannot be decoded is listed with its reason in ``failed.parquet``.

    Raises
    ------
    InputError
        A path twice, a number out of range, `out` is `root` or holds one of the videos, or a name stands in the store
        already for another file, of another `root`.
    StoreError
        `out` cannot be written, was made under other settings, or is no store and not empty.
    BusyError
        Another process is packing into it.
    """
    out, root = Path(out), None if root is None else Path(root)
    _check(workers, folder_fps, shard_bytes, chunk_frames)
    load_codec(codec)
    wanted, roots = _by_name(records, root)
    header = Header(contract, codec, chunk_frames, folder_fps)
    refuse_sources(out, root, records)
    try:
        out.mkdir(parents=True, exist_ok=True)
        refuse_foreign(out)
        with locked(out) as alone:
            (out / SHARDS).mkdir(exist_ok=True)
            _agree(out, header)
            with work_folder(out, alone) as work:
                run = _Run(out, header, wanted, roots, retry_failed, keep_others)
                return run.pack(work, workers, shard_bytes, progress)
    except OSError as error:
        raise StoreError(
            f"{error.filename or out}: cannot be written ({error.strerror}); free space or choose another folder, and "
            "pack again: it goes on where it stopped"
        ) from error


def _check(workers: int, folder_fps: float | None, shard_bytes: int, chunk_frames: int) -> None:
    for name, value, most in (
        ("workers", workers, 4096),
        ("shard_bytes", shard_bytes, 2**40),
        ("chunk_frames", chunk_frames, 4096),
    ):
        if not 1 <= value <= most:
            raise InputError(f"{name} is {value}; give a whole number from 1 to {most}")
    if folder_fps is not None and not (math.isfinite(folder_fps) and 0 < folder_fps <= MAX_FPS):
        raise InputError(f"folder_fps is {folder_fps}; give frames per second up to {MAX_FPS:g}, or None")


def _by_name(records: Sequence[Record], root: Path | None) -> tuple[dict[str, Record], dict[str, str]]:
    """Records, and digests of the folders that names are relative to, by stored name."""
    wanted: dict[str, Record] = {}
    roots: dict[str, str] = {}
    for record in records:
        name, of = stored_name(record.path, root)
        if name in wanted:
            raise InputError(f"{record.path}: is named by two records; a video has one driver, so keep one of them")
        wanted[name], roots[name] = record, of
    return wanted, roots


def _agree(out: Path, header: Header) -> None:
    """Write the header of a new store; an existing one must say the same. Raises StoreError."""
    path = out / HEADER
    if not path.exists():
        if any((out / SHARDS).iterdir()):
            raise StoreError(f"{path}: is missing, but there are shards beside it; choose another folder")
        write_file(path, header.to_json().encode())
        return
    before = Header.from_json(path.read_bytes(), str(path))
    for name in ("contract", "codec", "chunk_frames", "folder_fps"):
        if getattr(before, name) != getattr(header, name):
            raise StoreError(
                f"{path}: was packed with {name} {getattr(before, name)}, not {getattr(header, name)}; choose another "
                "folder, or the same settings"
            )


def _stamp(path: Path) -> str:
    """Tells whether a file or a folder of frames has changed; empty when it cannot be read."""
    try:
        info = path.stat()
        if path.is_dir():
            return f"{len(frame_files(path))} frames, {info.st_mtime_ns}"
        return f"{info.st_size} bytes, {info.st_mtime_ns}"
    except (OSError, ValueError, LayoutError):
        return ""


def _listed(out: Path, shards: Sequence[pa.Table], needed: bool) -> dict[str, dict[str, Any]]:
    """What the store lists: name -> labels, stamp and root. Raises StoreError when that is `needed` and damaged."""
    columns = ["path", *LABELS, "stamp", "root"]
    path = out / INDEX
    if not path.exists():
        # The first run was killed: its labels stand beside the frames only.
        return {row["path"]: row for rows in shards for row in rows.select(columns).to_pylist()}
    try:
        table = read_table(path.read_bytes(), SCHEMA, str(path))
    except StoreError:
        if needed:
            raise StoreError(
                f"{path}: is damaged, so nobody knows which other videos to keep; pack all of them again together"
            ) from None
        return {}
    return {row["path"]: row for row in table.select(columns).to_pylist()}


def _lost(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    reason = f"{name}: was kept from an earlier run, but its shard is damaged or missing; pack it again"
    labels = {label: row[label] for label in LABELS}
    return {"path": name, **labels, "stamp": "", "kind": StoreDamageError.__name__, "reason": reason}


class _Run:
    """One run over the videos `wanted` (stored name -> record), whose names are relative to `roots`."""

    def __init__(
        self,
        out: Path,
        header: Header,
        wanted: dict[str, Record],
        roots: dict[str, str],
        retry_failed: bool,
        keep_others: bool,
    ) -> None:
        self.out, self.header, self.wanted, self.roots = out, header, wanted, roots
        self.stamps = {name: _stamp(record.path) for name, record in wanted.items()}
        self.first = 0
        tables: list[pa.Table] = []
        held: dict[str, str] = {}
        for number, rows in finished_shards(out):
            tables.append(rows)
            self.first = number + 1
            held.update(zip(rows["path"].to_pylist(), rows["stamp"].to_pylist()))
        before = _listed(out, tables, keep_others)
        self._refuse_strangers(before)
        # By name, with the labels they had last: what this run is not about.
        others = {name: row for name, row in before.items() if name not in wanted}
        self.others = {name: row for name, row in others.items() if name in held} if keep_others else {}
        self.n_others = len(self.others if keep_others else others)
        self.failed: dict[str, dict[str, Any]] = {}
        if (out / FAILED).exists():
            table = read_table((out / FAILED).read_bytes(), FAILED_SCHEMA, str(out / FAILED))
            self.failed = {row["path"]: row for row in table.to_pylist() if row["path"] in wanted}
        if keep_others:
            self.failed |= {name: _lost(name, row) for name, row in others.items() if name not in held}
        kept = {name for name, stamp in self.stamps.items() if stamp and stamp == held.get(name)}
        # That a file is gone is no reason to throw away what was decoded from it.
        kept |= {name for name, stamp in self.stamps.items() if not stamp and name in before and name in held}
        hopeless = {
            name
            for name, row in self.failed.items()
            if not (retry_failed or row["kind"] == WORKER_DIED)
            and row["stamp"]
            and row["stamp"] == self.stamps.get(name)
        }
        self.kept = len(kept)
        self.current = kept  # what the store holds as it is now; packed videos come to it
        self.failed = {name: row for name, row in self.failed.items() if name not in kept}
        self.missing = [name for name in wanted if name not in kept and name not in hopeless]

    def pack(
        self, work: Path, workers: int, shard_bytes: int, progress: Callable[[PackProgress], None] | None
    ) -> PackResult:
        head = self.header
        settings = DecodeSettings(head.contract, head.codec, head.chunk_frames, head.folder_fps, work)
        jobs = (Job(number, self.wanted[name].path) for number, name in enumerate(self.missing))
        writer = ShardWriter(self.out, self.first, shard_bytes)
        packed = failed = 0
        results = decode_all(jobs, settings, workers)
        try:
            for result in results:
                name = self.missing[result.number]
                record = self.wanted[name]
                if result.file is None:
                    if result.kind == StoreError.__name__:
                        raise StoreError(result.reason)
                    failed += 1
                    self._fail(name, record, result)
                else:
                    packed += 1
                    self.failed.pop(name, None)
                    full = writer.append(result.file, self._row(name, record, result))
                    self.current.add(name)
                    if full:
                        self._list_failed()
                if progress is not None:
                    progress(PackProgress(packed + failed, len(self.missing), failed, record.path, result.reason))
        finally:
            # Also after Ctrl-C: what is decoded is kept.
            results.close()
            writer.finish()
            self._list_failed()
            index = self._write_index()
        reasons = tuple((row["path"], row["reason"]) for _, row in sorted(self.failed.items()))
        counts = (index.videos or 0, index.frames or 0, index.stored_bytes or 0)
        return PackResult(packed, self.kept, reasons, *counts, self.n_others)

    def _refuse_strangers(self, before: Mapping[str, Mapping[str, Any]]) -> None:
        """A name of the store that now means a file of another folder, and not a copy of the same, is refused."""
        strangers = [
            name
            for name, row in before.items()
            if name in self.wanted and row["root"] not in (None, self.roots[name]) and row["stamp"] != self.stamps[name]
        ]
        if strangers:
            raise InputError(
                f"{self.out}: holds {some(strangers, 3)} already, from another folder and not of the same size and "
                "time; pack this data set into a store of its own, or both from one folder above them"
            )

    def _row(self, name: str, record: Record, result: Decoded) -> dict[str, Any]:
        columns = ("n_frames", "fps", "source_fps", "scene_cuts", "warnings", "chunk_bytes", "chunk_crc")
        found = {column: getattr(result, column) for column in columns}
        found["warnings"] = [storable(text) for text in result.warnings]
        origin = {"stamp": self.stamps[name], "root": self.roots[name]}
        return {"path": name, **labels_of(record), **origin, **found}

    def _labels(self, name: str) -> dict[str, Any]:
        return {**labels_of(self.wanted[name]), "root": self.roots[name]}

    def _fail(self, name: str, record: Record, result: Decoded) -> None:
        labels = labels_of(record)
        about = {"stamp": self.stamps[name], "kind": result.kind, "reason": storable(result.reason)}
        self.failed[name] = {"path": name, **labels, **about}

    def _list_failed(self) -> None:
        write_table(self.out / FAILED, (row for _, row in sorted(self.failed.items())), FAILED_SCHEMA)

    def _write_index(self) -> Header:
        """The rows of all shards in path order, each video's latest, with the labels of this run, or the last known."""
        tables = [rows for _, rows in finished_shards(self.out)]
        rows = pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()
        latest = {name: number for number, name in enumerate(rows["path"].to_pylist())}
        names = sorted(name for name in latest if name in self.current or name in self.others)
        rows = rows.take(pa.array([latest[name] for name in names], pa.int64()))
        labels = [self.others.get(name) or self._labels(name) for name in names]
        for label in (*LABELS, "root"):
            column = [row[label] for row in labels]
            place = SCHEMA.get_field_index(label)
            rows = rows.set_column(place, SCHEMA.field(label), pa.array(column, SCHEMA.field(label).type))
        write_table(self.out / INDEX, rows, SCHEMA)
        header = replace(
            self.header,
            videos=len(names),
            frames=sum(rows["n_frames"].to_pylist()),
            stored_bytes=sum(os.path.getsize(path) for path in (self.out / SHARDS).glob("*.bin")),
            failed=dict(sorted(Counter(row["kind"] for row in self.failed.values()).items())),
        )
        write_file(self.out / HEADER, header.to_json().encode())
        return header
