"""Bytes of a store's files: from a local folder, or by range requests through fsspec."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from whodrives.data.store_errors import StoreError

# Open shards of a process; the usual limit of a system is 1024 files.
MAX_OPEN = 256
REMOTE_CACHE = 64 * 2**20


class ShortFileError(Exception):
    """A file ends before the bytes asked for; the message says where."""


class StoreFiles(Protocol):
    """Files below the root of a store. Usable from several threads and, each on its own, in several processes."""

    def name(self, relative: str) -> str:
        """Path or URL, for messages."""

    def read_all(self, relative: str) -> bytes:
        """A whole file. Raises OSError (FileNotFoundError where it is missing)."""

    def read(self, relative: str, offset: int, lengths: Sequence[int]) -> list[memoryview]:
        """Adjacent pieces from byte `offset` on. Raises OSError or ShortFileError."""

    def read_into(self, relative: str, offset: int, out: NDArray[np.uint8]) -> None:
        """Fill the contiguous array `out`. Raises OSError or ShortFileError."""


class LocalFiles:
    """A local folder.

    Reading at a position is as fast as a memory map (measured: docs/store.md), and a file that is cut short while it
    is in use gives an error instead of killing the process.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: OrderedDict[str, BinaryIO] = OrderedDict()
        self._lock = threading.Lock()

    def name(self, relative: str) -> str:
        """The path."""
        return str(self.root / relative)

    def read_all(self, relative: str) -> bytes:
        """A whole file."""
        return (self.root / relative).read_bytes()

    def _file(self, relative: str) -> BinaryIO:
        """An open file. Whoever holds it may go on reading after it has left the table."""
        with self._lock:
            if relative not in self._open:
                while len(self._open) >= MAX_OPEN:
                    self._open.popitem(last=False)
                self._open[relative] = (self.root / relative).open("rb", buffering=0)
            self._open.move_to_end(relative)
            return self._open[relative]

    def read_into(self, relative: str, offset: int, out: NDArray[np.uint8]) -> None:
        """Fill `out`."""
        file = self._file(relative)
        view = out.reshape(-1).data
        done = 0
        while done < len(view):
            got = os.preadv(file.fileno(), [view[done:]], offset + done)
            if got == 0:
                raise ShortFileError(f"ends after {offset + done} bytes, {offset + len(view)} are needed")
            done += got

    def read(self, relative: str, offset: int, lengths: Sequence[int]) -> list[memoryview]:
        """One read, then views of it."""
        data = np.empty(sum(lengths), np.uint8)
        self.read_into(relative, offset, data)
        return _pieces(data.data, lengths)


class RemoteFiles:
    """Any file system that fsspec knows, by range requests; what was read last is kept in memory.

    Parameters
    ----------
    url : of the store, as fsspec writes it. options : for the file system (keys, tokens). cache : bytes to keep.
    """

    def __init__(self, url: str, options: Mapping[str, Any], cache: int = REMOTE_CACHE) -> None:
        import fsspec  # type: ignore[import-untyped,unused-ignore]

        try:
            self.fs, self.root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{url}: cannot be opened ({error}); check the URL, or install what it needs") from None
        self.url, self.limit = url.rstrip("/"), cache
        self._kept: OrderedDict[tuple[str, int, int], memoryview] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def name(self, relative: str) -> str:
        """The URL."""
        return f"{self.url}/{relative}"

    def _path(self, relative: str) -> str:
        return f"{self.root.rstrip('/')}/{relative}"

    def read_all(self, relative: str) -> bytes:
        """A whole file."""
        data: bytes = self.fs.cat_file(self._path(relative))
        return data

    def _fetch(self, relative: str, offset: int, length: int) -> memoryview:
        data = self.fs.cat_file(self._path(relative), start=offset, end=offset + length)
        if len(data) != length:
            raise ShortFileError(f"gave {len(data)} bytes from {offset} on, {length} are needed")
        return memoryview(data)

    def read_into(self, relative: str, offset: int, out: NDArray[np.uint8]) -> None:
        """Fill `out`."""
        out.reshape(-1)[:] = np.frombuffer(self.read(relative, offset, [out.size])[0], np.uint8)

    def read(self, relative: str, offset: int, lengths: Sequence[int]) -> list[memoryview]:
        """Pieces out of memory where they are kept; the run from the first to the last missing one in one request."""
        starts = [offset + sum(lengths[:number]) for number in range(len(lengths))]
        keys = [(relative, start, length) for start, length in zip(starts, lengths)]
        with self._lock:
            found = [self._kept.get(key) for key in keys]
        absent = [number for number, piece in enumerate(found) if piece is None]
        if absent:
            first, last = absent[0], absent[-1]
            data = self._fetch(relative, starts[first], starts[last] + lengths[last] - starts[first])
            # Copies: a view would keep the whole answer in memory.
            found[first : last + 1] = [memoryview(bytes(p)) for p in _pieces(data, lengths[first : last + 1])]
        pieces = [piece for piece in found if piece is not None]
        self._keep(keys, pieces)
        return pieces

    def _keep(self, keys: list[tuple[str, int, int]], pieces: list[memoryview]) -> None:
        with self._lock:
            for key, piece in zip(keys, pieces, strict=True):
                if key not in self._kept:
                    self._kept[key] = piece
                    self._size += len(piece)
                self._kept.move_to_end(key)
            while self._size > self.limit:
                self._size -= len(self._kept.popitem(last=False)[1])


def _pieces(data: memoryview, lengths: Sequence[int]) -> list[memoryview]:
    out, start = [], 0
    for length in lengths:
        out.append(data[start : start + length])
        start += length
    return out


def open_files(place: str, options: Mapping[str, Any]) -> StoreFiles:
    """Files of a local path or ``file://`` URL directly, of any other URL through fsspec."""
    if place.startswith("file://"):
        place = place[len("file://") :]
    return RemoteFiles(place, options) if "://" in place else LocalFiles(Path(place))
