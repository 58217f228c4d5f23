"""Writing shards: videos are appended until one is full; a shard counts once its rows lie beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from whodrives.data.store_layout import SCHEMA, SHARDS, read_table, shard_name, write_table


def _rows_path(root: Path, number: int) -> Path:
    return (root / shard_name(number)).with_suffix(".parquet")


def shard_bytes(rows: pa.Table) -> int:
    """How long the shard of these rows is."""
    lengths = (offset + sum(chunks) for offset, chunks in zip(_plain(rows, "offset"), _plain(rows, "chunk_bytes")))
    return max(lengths, default=0)


def _plain(rows: pa.Table, name: str) -> list[Any]:
    values: list[Any] = rows[name].to_pylist()
    return values


def finished_shards(root: Path) -> Iterator[tuple[int, pa.Table]]:
    """(number, rows) of every whole shard; what a killed run left half-written is deleted.

    A shard whose length is not what its rows say is deleted, too: its videos are to be packed again.
    """
    folder = root / SHARDS
    for left in folder.glob(".*.part"):
        left.unlink()
    for data in folder.glob("*.bin"):
        if not data.with_suffix(".parquet").exists():
            data.unlink()
    for path in sorted(folder.glob("*.parquet"), key=lambda path: int(path.stem)):
        number = int(path.stem)
        rows = read_table(path.read_bytes(), SCHEMA, str(path))
        data = root / shard_name(number)
        if data.exists() and data.stat().st_size == shard_bytes(rows):
            yield number, rows
        else:
            path.unlink()
            data.unlink(missing_ok=True)


class ShardWriter:
    """Appends encoded videos to shards of at most `limit` bytes; a video is never divided, one alone may be longer.

    Parameters
    ----------
    root : the store. first : number of the next shard.
    """

    def __init__(self, root: Path, first: int, limit: int) -> None:
        self.root, self.number, self.limit = root, first, limit
        self.rows: list[dict[str, Any]] = []
        self.size = 0
        self._stream: BinaryIO | None = None

    def _partial(self) -> Path:
        path = self.root / shard_name(self.number)
        return path.with_name(f".{path.name}.part")

    def append(self, file: Path, row: Mapping[str, Any]) -> bool:
        """Move the bytes of `file` into a shard, with the row of the video; True when a shard was finished first."""
        size = file.stat().st_size
        full = bool(self.rows) and self.size + size > self.limit
        if full:
            self.finish()
        if self._stream is None:
            self._stream = self._partial().open("wb")
        try:
            with file.open("rb") as source:
                shutil.copyfileobj(source, self._stream, 2**20)
        except BaseException:
            # Half a video would make the shard longer than its rows say, and with that useless.
            self._stream.seek(self.size)
            self._stream.truncate()
            raise
        file.unlink()
        self.rows.append({**row, "shard": self.number, "offset": self.size})
        self.size += size
        return full

    def finish(self) -> None:
        """Complete the current shard, if any: bytes on the disk first, then its rows."""
        if self._stream is None:
            return
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._partial().replace(self.root / shard_name(self.number))
        write_table(_rows_path(self.root, self.number), self.rows, SCHEMA)
        self._stream, self.rows, self.size = None, [], 0
        self.number += 1
