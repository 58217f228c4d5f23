"""One video to a file of encoded chunks, in constant memory. Runs in worker processes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.data.store_codec import load_codec
from whodrives.data.store_errors import StoreError
from whodrives.data.store_folder import FolderFrames
from whodrives.errors import WhodrivesError
from whodrives.video.contract import PreprocessingContract
from whodrives.video.frames import iter_frames


@dataclass(frozen=True)
class DecodeSettings:
    """How every video of a store is decoded and encoded. work : folder for the files."""

    contract: PreprocessingContract
    codec: str
    chunk_frames: int
    folder_fps: float | None
    work: Path


@dataclass(frozen=True)
class Job:
    """One video. number : of the job, in the order of the records. path : file or folder of PNG frames."""

    number: int
    path: Path


@dataclass(frozen=True)
class Decoded:
    """What became of a job: its chunks in `file`, or `kind` and `reason` of the failure.

    scene_cuts : first frames of the second, third ... shot. fps : None where not known.
    """

    number: int
    file: Path | None = None
    n_frames: int = 0
    fps: float | None = None
    source_fps: float | None = None
    scene_cuts: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    chunk_bytes: tuple[int, ...] = ()
    chunk_crc: tuple[int, ...] = ()
    kind: str = ""
    reason: str = ""


def decode_job(job: Job, settings: DecodeSettings) -> Decoded:
    """Decode and encode one video. What is wrong with it is told, never raised; kind StoreError means the disk."""
    file = settings.work / f"{job.number}.bin"
    try:
        return _decode(job, settings, file)
    except Exception as error:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        text = str(error) if isinstance(error, WhodrivesError) else f"{job.path}: {type(error).__name__}: {error}"
        return Decoded(job.number, kind=type(error).__name__, reason=text)


def _decode(job: Job, settings: DecodeSettings, file: Path) -> Decoded:
    if job.path.is_dir():
        folder = FolderFrames(job.path, settings.contract, settings.folder_fps)
        count, lengths, sums = _write(file, iter(folder), settings)
        return Decoded(job.number, file, count, folder.fps, folder.rate, tuple(folder.scene_cuts), (), lengths, sums)
    stream = iter_frames(job.path, settings.contract)
    count, lengths, sums = _write(file, (frame.image for frame in stream), settings)
    found = stream.report
    return Decoded(
        job.number, file, count, found.fps, found.source_fps, found.scene_cuts, found.warnings, lengths, sums
    )


def _write(
    file: Path, images: Iterator[NDArray[np.uint8]], settings: DecodeSettings
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Frames, and bytes and CRC-32 of each chunk. Raises StoreError when `file` cannot be written."""
    codec = load_codec(settings.codec)
    side = settings.contract.size
    chunk = np.empty((settings.chunk_frames, side, side), np.uint8)
    lengths: list[int] = []
    sums: list[int] = []
    count = 0
    with _disk(file):
        out = file.open("wb")

    def flush(held: int) -> None:
        data = codec.encode(chunk[:held])
        with _disk(file):
            out.write(data)
            out.flush()
        lengths.append(len(data))
        sums.append(zlib.crc32(data))

    try:
        for image in images:
            chunk[count % len(chunk)] = image
            count += 1
            if count % len(chunk) == 0:
                flush(len(chunk))
        if count % len(chunk):
            flush(count % len(chunk))
    finally:
        with _disk(file):
            out.close()
    return count, tuple(lengths), tuple(sums)


@contextmanager
def _disk(file: Path) -> Iterator[None]:
    """What the disk refuses says nothing of the video: a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error}); free space and pack again") from None
