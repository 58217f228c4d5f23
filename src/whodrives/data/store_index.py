"""The index of a store in memory: flat arrays, so that hundreds of thousands of videos cost megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from whodrives.data.record import Record
from whodrives.data.store_layout import LABELS, TEXT
from whodrives.errors import InputError

COLUMNS = ("path", *LABELS)


class StoredRecords(Sequence[Record]):
    """The records of a store, made when asked for; paths are as they were packed."""

    def __init__(self, table: pa.Table) -> None:
        # Labels repeat: as dictionaries they take a byte or two a row.
        coded = {name: table[name].combine_chunks().dictionary_encode() for name in LABELS if TEXT[name]}
        self._columns = [coded.get(name, table[name].combine_chunks()) for name in COLUMNS]

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, number: int) -> Record: ...
    @overload
    def __getitem__(self, number: slice) -> list[Record]: ...
    def __getitem__(self, number: int | slice) -> Record | list[Record]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"video {number} of {len(self)}")
        number = range(len(self))[number]
        path, *labels = (column[number].as_py() for column in self._columns)
        return Record(Path(path), **dict(zip(LABELS, labels, strict=True)))

    def __iter__(self) -> Iterator[Record]:
        # Row by row Arrow is slow; a block at a time it is not, and memory stays small.
        for start in range(0, len(self), 10_000):
            block = [column.slice(start, 10_000).to_pylist() for column in self._columns]
            # Path as text and labels by position: several times faster. LABELS has the order of the fields.
            yield from map(Record, *block)

    def select(self, labels: dict[str, Any]) -> NDArray[np.int64]:
        """Numbers of the videos with these labels, ascending. Raises InputError on an unknown label."""
        chosen = np.ones(len(self), bool)
        for name, value in labels.items():
            if name not in LABELS:
                raise InputError(f"label {name!r} is not known; choose from {', '.join(LABELS)}")
            column = self._columns[COLUMNS.index(name)]
            if not TEXT[name]:
                chosen &= column.to_numpy(zero_copy_only=False) == value
                continue
            words = column.dictionary.to_pylist()
            code = words.index(value) if value in words else -1
            chosen &= column.indices.to_numpy() == code
        return np.flatnonzero(chosen)


@dataclass(frozen=True, eq=False)
class StoreIndex:
    """One entry a video (N), one a chunk (C), one a scene cut.

    n_frames, shard, offset (N,) int64; fps (N,) float64, NaN where not known. chunk_start (N + 1,) int64: the chunks of
    video n are chunk_start[n] .. chunk_start[n + 1] - 1. chunk_bytes, chunk_crc (C,) uint32. cut_start, cuts likewise.
    """

    records: StoredRecords
    n_frames: NDArray[np.int64]
    fps: NDArray[np.float64]
    shard: NDArray[np.int64]
    offset: NDArray[np.int64]
    chunk_start: NDArray[np.int64]
    chunk_bytes: NDArray[np.uint32]
    chunk_crc: NDArray[np.uint32]
    cut_start: NDArray[np.int64]
    cuts: NDArray[np.int32]

    @classmethod
    def from_table(cls, table: pa.Table) -> StoreIndex:
        """From the rows of ``index.parquet``."""
        chunk_start, chunk_bytes = _lists(table, "chunk_bytes")
        cut_start, cuts = _lists(table, "scene_cuts")
        whole = {name: table[name].to_numpy().astype(np.int64) for name in ("n_frames", "shard", "offset")}
        return cls(
            records=StoredRecords(table),
            fps=table["fps"].to_numpy().astype(np.float64),
            chunk_start=chunk_start,
            chunk_bytes=chunk_bytes,
            chunk_crc=_lists(table, "chunk_crc")[1],
            cut_start=cut_start,
            cuts=cuts,
            **whole,
        )


def _lists(table: pa.Table, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """A column of lists as (starts (N + 1,), all values)."""
    lists = table[name].combine_chunks()
    lengths = np.asarray(lists.value_lengths().to_numpy(zero_copy_only=False), np.int64)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), lists.flatten().to_numpy(zero_copy_only=False)
