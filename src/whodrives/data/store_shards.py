"""Writing shards: videos are appended until one is full; a shard counts once its rows lie beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from whodrives.data.store_errors import StoreError
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
        # A video counts once its row stands here: whatever interrupts a run, bytes behind the last row are cut off.
        self.rows: list[dict[str, Any]] = []
        self._stream: FileIO | None = None

    @property
    def size(self) -> int:
        """Bytes of the current shard that rows speak of."""
        return self.rows[-1]["offset"] + sum(self.rows[-1]["chunk_bytes"]) if self.rows else 0

    def _partial(self) -> Path:
        path = self.root / shard_name(self.number)
        return path.with_name(f".{path.name}.part")

    def append(self, file: Path, row: Mapping[str, Any]) -> bool:
        """Move the bytes of `file` into a shard, with the row of the video; True when a shard was finished first.

        Raises
        ------
        StoreError
            `file` is not as long as its chunks: something else has written to it.
        """
        size, told = file.stat().st_size, sum(row["chunk_bytes"])
        if size != told:
            raise StoreError(f"{file}: has {size} bytes, its chunks {told}; free space and pack again")
        full = bool(self.rows) and self.size + size > self.limit
        if full:
            self.finish()
        if self._stream is None:
            # Unbuffered: what a full disk refuses must not be written later on.
            self._stream = FileIO(self._partial(), "w")
        offset = self.size
        self._stream.seek(offset)
        with file.open("rb") as source:
            while piece := source.read(2**20):
                rest = memoryview(piece)
                while rest:
                    rest = rest[self._stream.write(rest) or 0 :]
        self.rows.append({**row, "shard": self.number, "offset": offset})
        file.unlink()
        return full

    def finish(self) -> None:
        """Complete the current shard, if any: bytes on the disk first, then its rows."""
        if self._stream is None:
            return
        self._stream.truncate(self.size)
        os.fsync(self._stream.fileno())
        self._stream.close()
        if self.rows:
            self._partial().replace(self.root / shard_name(self.number))
            write_table(_rows_path(self.root, self.number), self.rows, SCHEMA)
            self.number += 1
        else:
            self._partial().unlink()
        self._stream, self.rows = None, []
