"""The packed frame store: random windows of consecutive frames out of many decoded videos."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.data.record import Record
from whodrives.data.store_codec import load_codec
from whodrives.data.store_errors import StoreDamageError, StoreError
from whodrives.data.store_files import ShortFileError, StoreFiles, open_files
from whodrives.data.store_index import StoreIndex
from whodrives.data.store_layout import HEADER, INDEX, SCHEMA, Header, read_table, shard_name
from whodrives.errors import InputError
from whodrives.video.contract import PreprocessingContract

CHECKS = ("first", "always", "never")
# Missing, cut short, other bytes. What else a system or a network refuses may work the next time.
_DAMAGE = (FileNotFoundError, ShortFileError, ValueError)


@dataclass(frozen=True, eq=False)
class StoredClip:
    """`frames` uint8 (T, 1, S, S) from frame `start` of a video; the first `valid` are real, the rest repeats."""

    frames: NDArray[np.uint8]
    start: int
    valid: int


@dataclass(frozen=True)
class Damage:
    """A video that cannot be read back: its number and path, the damaged file, what is wrong with it."""

    video: int
    path: str
    shard: str
    problem: str


class FrameStore:
    """A store opened for reading. Copies of it may be used in other threads and processes, forked or spawned.

    Attributes
    ----------
    header : the contract, the codec and counts. damaged : damage met so far in this process, by video number.
    """

    def __init__(self, place: str, check: str, options: Mapping[str, Any]) -> None:
        if check not in CHECKS:
            raise InputError(f"check {check!r} is not known; choose one of {', '.join(CHECKS)}")
        self.place, self.check, self.options = place, check, dict(options)
        self.damaged: dict[int, Damage] = {}
        self._files = open_files(place, self.options)
        self._process = os.getpid()
        self.header = Header.from_json(_read(self._files, HEADER), self._files.name(HEADER))
        table = read_table(_read(self._files, INDEX), SCHEMA, self._files.name(INDEX))
        self.index = StoreIndex.from_table(table)
        self._codec = load_codec(self.header.codec)
        self._checked = np.zeros(len(self.index.chunk_bytes), bool)

    @classmethod
    def open(cls, place: str | os.PathLike[str], *, check: str = "first", **options: Any) -> FrameStore:
        """Open a local folder, or a URL (``s3://``, ``https://`` ...) through fsspec.

        Parameters
        ----------
        place : the folder given to `pack`. check : checksums are compared at the ``first`` reading of a chunk in this
            process, ``always``, or ``never``. options : for fsspec (keys, tokens); unused for local folders.

        Raises
        ------
        StoreError
            No store there, an unfinished one, or one of another version.
        """
        return cls(os.fspath(place), check, options)

    def __reduce__(self) -> tuple[Callable[..., FrameStore], tuple[str, str, dict[str, Any]]]:
        # A spawned process opens its own files; the index is read again rather than sent.
        return FrameStore, (self.place, self.check, self.options)

    @property
    def contract(self) -> PreprocessingContract:
        """How the frames were made."""
        return self.header.contract

    @property
    def records(self) -> Sequence[Record]:
        """Labels by video number, made when asked for."""
        return self.index.records

    @property
    def n_frames(self) -> NDArray[np.int64]:
        """Frames of each video, (N,)."""
        return self.index.n_frames

    def __len__(self) -> int:
        """How many videos."""
        return len(self.index.n_frames)

    def select(self, **labels: Any) -> NDArray[np.int64]:
        """Numbers of the videos with all these labels: ``store.select(split="train", generator="warp")``."""
        return self.index.records.select(labels)

    def scene_cuts(self, video: int) -> tuple[int, ...]:
        """First frames of the second, third ... shot of a video."""
        number = self._number(video)
        cuts = self.index.cuts[self.index.cut_start[number] : self.index.cut_start[number + 1]]
        return tuple(int(cut) for cut in cuts)

    def window(self, video: int, start: int, length: int, out: NDArray[np.uint8] | None = None) -> StoredClip:
        """`length` frames from frame `start` on; behind the end of the video its last frame is repeated.

        out : uint8 (length, 1, S, S), contiguous, to write them into (a row of a batch); None: a new array.

        Raises
        ------
        InputError
            No such video, `start` outside of it, or `length` under 1.
        StoreDamageError
            The bytes are not there, or not those that were written; the damage is noted in `damaged`.
        StoreError
            They cannot be read now: too many open files, no permission, a network that does not answer.
        """
        number = self._number(video)
        count = int(self.index.n_frames[number])
        if not 0 <= start < count:
            raise InputError(f"video {number} has {count} frames; a window cannot start at {start}")
        if length < 1:
            raise InputError(f"window length is {length}; give at least 1 frame")
        side = self.contract.size
        frames = np.empty((length, side, side), np.uint8) if out is None else out.reshape(length, side, side)
        valid = min(length, count - start)
        try:
            self._fill(number, start, frames[:valid])
        except _DAMAGE as error:
            raise self._note(number, error) from error
        except OSError as error:
            raise self._unread(number, error) from error
        frames[valid:] = frames[valid - 1]
        return StoredClip(frames[:, None], start, valid)

    def whole(self, video: int) -> StoredClip:
        """All frames of a video. Errors as `window`."""
        return self.window(video, 0, int(self.index.n_frames[self._number(video)]))

    def verify(self, progress: Callable[[int, int], None] | None = None) -> tuple[Damage, ...]:
        """Read every byte and compare every checksum: all videos that are damaged. `progress(done, of all)`.

        Raises StoreError when a shard cannot be read now, which says nothing of its bytes.
        """
        found = []
        # In the order of the bytes: a disk reads them in one go.
        order = np.lexsort((self.index.offset, self.index.shard))
        for done, number in enumerate(order):
            first, last = self.index.chunk_start[number : number + 2]
            try:
                self._chunks(int(number), int(first), int(last), check=True)
            except _DAMAGE as error:
                self._note(int(number), error)
                found.append(self.damaged[int(number)])
            except OSError as error:
                raise self._unread(int(number), error) from error
            if progress is not None:
                progress(done + 1, len(self))
        return tuple(sorted(found, key=lambda damage: damage.video))

    def _number(self, video: int) -> int:
        if not 0 <= video < len(self):
            raise InputError(f"video {video}: the store holds {len(self)}, numbered from 0")
        return int(video)

    def _shard(self, number: int) -> str:
        return shard_name(int(self.index.shard[number]))

    def _own_files(self) -> StoreFiles:
        if self._process != os.getpid():  # a fork: connections and locks of the parent are of no use here
            self._files, self._process = open_files(self.place, self.options), os.getpid()
        return self._files

    def _fill(self, number: int, start: int, out: NDArray[np.uint8]) -> None:
        """Frames `start` ... of a video into `out` (K, S, S), all of them real."""
        index, size = self.index, self.header.chunk_frames
        count, base = int(index.n_frames[number]), int(index.chunk_start[number])
        first, last = start // size, (start + len(out) - 1) // size + 1
        checked = self.check == "never" or self._checked[base + first : base + last].all()
        if self._codec.plain and checked and self.check != "always":
            offset = int(index.offset[number]) + start * out.shape[1] * out.shape[2]
            self._own_files().read_into(self._shard(number), offset, out)
            return
        pieces = self._chunks(number, base + first, base + last, self.check == "always" or not checked)
        done = 0
        for chunk, piece in enumerate(pieces, first):
            begin = chunk * size
            skip = max(start - begin, 0)
            held = min(size, count - begin)
            take = min(held - skip, len(out) - done)
            self._codec.decode(piece, held, skip, out[done : done + take])
            done += take

    def _chunks(self, number: int, first: int, last: int, check: bool) -> list[memoryview]:
        """The bytes of chunks `first` .. `last` - 1 (numbers in the store) of a video, compared with checksums."""
        index = self.index
        lengths = index.chunk_bytes[first:last].tolist()
        before = int(index.chunk_bytes[index.chunk_start[number] : first].sum(dtype=np.int64))
        pieces = self._own_files().read(self._shard(number), int(index.offset[number]) + before, lengths)
        if check:
            for chunk, piece in enumerate(pieces, first):
                if zlib.crc32(piece) != index.chunk_crc[chunk]:
                    place = int(index.offset[number]) + before + sum(lengths[: chunk - first])
                    raise ValueError(f"{lengths[chunk - first]} bytes at {place} are not those that were written")
            self._checked[first:last] = True
        return pieces

    def _note(self, number: int, error: Exception) -> StoreDamageError:
        """Remember the damage of a video."""
        shard = self._files.name(self._shard(number))
        path = self.records[number].path.as_posix()
        problem = "is missing" if isinstance(error, FileNotFoundError) else str(error)
        self.damaged[number] = Damage(number, path, shard, problem)
        return StoreDamageError(number, path, shard, problem)

    def _unread(self, number: int, error: OSError) -> StoreError:
        shard, path = self._files.name(self._shard(number)), self.records[number].path.as_posix()
        problem = error.strerror or str(error) or type(error).__name__
        return StoreError(
            f"{shard}: cannot be read now ({problem}), for frames of {path}; try again, nothing says that it is damaged"
        )


def _read(files: StoreFiles, name: str) -> bytes:
    try:
        return files.read_all(name)
    except FileNotFoundError:
        fix = "pack has not ended: run it again" if name == INDEX else "give the folder made by `whodrives prepare`"
        raise StoreError(f"{files.name(name)}: no such file; {fix}") from None
    except OSError as error:
        raise StoreError(f"{files.name(name)}: cannot be read ({error.strerror or error})") from error
