"""The file of a template index: sections of numbers that are mapped into memory, and a footer that says what they are.

    0      magic, version, where the footer is, SHA-256 of the footer
    65536  sections, each on a multiple of 65536; little-endian
    end    footer: JSON

Every row has a checksum over template, name, labels and origin. Nothing in the file can run.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from whodrives.verification.coarse import Bounds
from whodrives.verification.errors import IndexDamageError, StaleIndexError, TemplateIndexError

MAGIC = b"whodrives-index\n"
VERSION = 1
# Pages are 4 KB to 64 KB, by machine.
ALIGN = 65536
_PREAMBLE = struct.Struct("<16sIQQ32s")


def sections(count: int, dim: int, name_bytes: int) -> dict[str, tuple[np.dtype[Any], int]]:
    """Section -> type and number of values, in the order of the file.

    templates, codes : rows of `dim`. scales, along : of the codes. groups, scopes : labels by number. origins : what in
    the gallery the row was made from. checks : CRC-32 of the row. name_ends : bytes of `names` up to the row's end.
    """
    return {
        "templates": (np.dtype("<f2"), count * dim),
        "codes": (np.dtype("i1"), count * dim),
        "scales": (np.dtype("<f4"), count),
        "along": (np.dtype("<f4"), count),
        "centre": (np.dtype("<f4"), dim),
        "groups": (np.dtype("<u4"), count),
        "scopes": (np.dtype("<u2"), count),
        "origins": (np.dtype("<u8"), count),
        "checks": (np.dtype("<u4"), count),
        "name_ends": (np.dtype("<u8"), count),
        "names": (np.dtype("u1"), name_bytes),
    }


def offsets(parts: dict[str, tuple[np.dtype[Any], int]]) -> tuple[dict[str, int], int]:
    """Section -> its first byte, and the byte where the footer begins."""
    at, places = ALIGN, {}
    for name, (kind, values) in parts.items():
        places[name] = at
        at += math.ceil(kind.itemsize * values / ALIGN) * ALIGN
    return places, at


@dataclass(frozen=True)
class IndexInfo:
    """What an index holds.

    weights, contract : digests of what made the templates; model : the weights' name; settings : the contract's fields,
    None where the source has only the digest. groups, scopes : the labels that the rows' numbers stand for; a row's
    scopes are one of these sets. source : ``gallery`` or ``embeddings``; gallery : path of the gallery, as given then.
    """

    count: int
    dim: int
    weights: str
    contract: str
    model: str
    settings: dict[str, Any] | None
    groups: tuple[str, ...]
    scopes: tuple[tuple[str, ...], ...]
    source: str
    gallery: str | None
    created: str
    name_bytes: int
    bounds: Bounds

    def to_json(self) -> bytes:
        """The footer."""
        values = {**vars(self), "bounds": vars(self.bounds)}
        return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_json(cls, text: bytes) -> IndexInfo:
        """Inverse of `to_json`; KeyError, TypeError or ValueError where something is missing or odd."""
        values = json.loads(text)
        values["groups"] = tuple(values["groups"])
        values["scopes"] = tuple(tuple(one) for one in values["scopes"])
        values["bounds"] = Bounds(**values["bounds"])
        return cls(**values)


def decode_name(text: bytes) -> str:
    """A stored name; bytes that are no text stay as they are in paths of the system."""
    return text.decode("utf-8", "surrogateescape")


def write_preamble(file: IO[bytes], info: IndexInfo) -> None:
    """Write the footer where it belongs, then the preamble, which makes the file an index."""
    _, end = offsets(sections(info.count, info.dim, info.name_bytes))
    footer = info.to_json()
    file.seek(end)
    file.write(footer)
    file.truncate()
    file.seek(0)
    file.write(_PREAMBLE.pack(MAGIC, VERSION, end, len(footer), hashlib.sha256(footer).digest()))


class IndexFile:
    """A mapped index. Damage that shows without reading everything is told at once, that of a row when it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Kept open: templates are read from it, as those of a search lie all over the file, and mapping them would
            # bring in whole neighbourhoods.
            self._file = path.open("rb")
            with ExitStack() as opened:
                file = opened.enter_context(self._file)
                size = os.fstat(file.fileno()).st_size
                head = file.read(_PREAMBLE.size)
                if len(head) < _PREAMBLE.size or not head.startswith(MAGIC):
                    raise TemplateIndexError(f"{path}: is no template index; make one with `whodrives index build`")
                _, version, end, length, digest = _PREAMBLE.unpack(head)
                if version != VERSION:
                    raise TemplateIndexError(
                        f"{path}: template index of version {version}, this whodrives knows {VERSION}; build it again"
                    )
                if size != end + length:
                    raise IndexDamageError(f"{path}: has {size} bytes instead of {end + length}; build it again")
                file.seek(end)
                footer = file.read(length)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                opened.pop_all()
        except OSError as error:
            raise TemplateIndexError(
                f"{path}: cannot be read ({error.strerror}); make it with `whodrives index build`"
            ) from error
        try:
            if hashlib.sha256(footer).digest() != digest:
                raise ValueError("checksum")
            self.info = IndexInfo.from_json(footer)
            self._parts = sections(self.info.count, self.info.dim, self.info.name_bytes)
            self._places, expected = offsets(self._parts)
            if expected != end:
                raise ValueError("sections")
        except (KeyError, TypeError, ValueError) as error:
            raise IndexDamageError(f"{path}: the footer is damaged ({error}); build it again") from error

    def section(self, name: str) -> NDArray[Any]:
        """All values of a section, mapped, read-only; templates and codes as rows."""
        kind, values = self._parts[name]
        flat = np.frombuffer(self._map, kind, values, self._places[name])
        return flat.reshape(self.info.count, self.info.dim) if name in ("templates", "codes") else flat

    def templates(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """float16 (n, dim), the templates of ascending rows."""
        width, first = 2 * self.info.dim, self._places["templates"]
        out = np.empty((len(rows), self.info.dim), "<f2")
        # A run of rows that follow each other is read at once.
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for run in np.split(np.arange(len(rows)), breaks) if len(rows) else []:
            raw = self._read(first + width * int(rows[run[0]]), width * len(run))
            out[run[0] : run[-1] + 1] = np.frombuffer(raw, "<f2").reshape(len(run), self.info.dim)
        return out

    def _read(self, start: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            raw = os.pread(self._file.fileno(), length, start)
        else:
            raw = self._map[start : start + length]
        if len(raw) != length:
            raise IndexDamageError(f"{self.path}: was cut off while it was open; build it again")
        return raw

    def value(self, name: str, row: int) -> int:
        """One number of a section with a number a row; read, as `templates`."""
        kind = self._parts[name][0]
        return int(np.frombuffer(self._read(self._places[name] + kind.itemsize * row, kind.itemsize), kind)[0])

    def name_bytes(self, row: int) -> bytes:
        """The UTF-8 of a row's name; damaged ends give something that the row's checksum does not fit."""
        start = self.value("name_ends", row - 1) if row else 0
        stop = min(self.value("name_ends", row), self.info.name_bytes)
        return self._read(self._places["names"] + start, stop - start) if start < stop else b""

    def names(self) -> Iterator[str]:
        """All names, in the order of the rows."""
        start = 0
        for stop in self.section("name_ends"):
            yield decode_name(self._read(self._places["names"] + start, int(stop) - start))
            start = int(stop)

    def release_labels(self) -> None:
        """Let go of the labels, which only filters and checks read."""
        if hasattr(self._map, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
            start = self._places["groups"]
            self._map.madvise(mmap.MADV_DONTNEED, start, len(self._map) - start)

    def prefetch(self) -> None:
        """Ask the system to read ahead what every search reads."""
        if hasattr(self._map, "madvise") and hasattr(mmap, "MADV_WILLNEED"):
            self._map.madvise(mmap.MADV_WILLNEED, self._places["codes"], self._places["groups"] - self._places["codes"])

    def require_live(self) -> None:
        """Raise StaleIndexError when the file was replaced, and its bytes overwritten, since it was opened."""
        if self._map[: len(MAGIC)] != MAGIC:
            raise StaleIndexError(f"{self.path}: was replaced while it was open; open it again")


@contextmanager
def held_for_replacing(path: Path) -> Iterator[IO[bytes] | None]:
    """The file at `path`, held so that nobody else replaces it meanwhile; None when there is none.

    What it holds is overwritten at the end when, by then, another file lies at `path`: biometric data that a new index
    leaves out must not stay on the disk.

    Raises
    ------
    TemplateIndexError
        Another process is replacing it, or it cannot be written.
    """
    if not path.exists():
        yield None
        return
    try:
        with path.open("r+b") as old:
            _hold(old, path)
            yield old
            if not os.path.samestat(os.fstat(old.fileno()), path.stat()):
                _wipe(old)
    except OSError as error:
        raise TemplateIndexError(f"{path}: cannot be written ({error.strerror}); check its permissions") from error


def _hold(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no lock, and a file that is open cannot be replaced there
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise TemplateIndexError(f"{path}: another process is changing it; try again when it has ended") from error
    if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise TemplateIndexError(f"{path}: another process has just changed it; try again")


def _wipe(file: IO[bytes]) -> None:
    """Zeros over everything, first the preamble: whoever still has it mapped sees that it is gone."""
    size = os.fstat(file.fileno()).st_size
    zeros = bytes(1 << 20)
    file.seek(0)
    while file.tell() < size:
        file.write(zeros[: min(len(zeros), size - file.tell())])
        if file.tell() == len(zeros):
            file.flush()
    file.flush()
    os.fsync(file.fileno())
