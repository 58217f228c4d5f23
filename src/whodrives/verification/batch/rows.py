"""What becomes of one file: rows for Parquet, as bytes that go through pipes and into a journal unchanged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from whodrives.data.store_layout import storable
from whodrives.verification.embedding import Embedding

PATH = "paths"
WINDOW_COLUMNS = (PATH, "start_frames", "valid_frames", "usable", "problem", "energy", "embeddings")
FILE_FIELDS = [
    (PATH, pa.string()),
    ("bytes", pa.int64()),  # size of the file
    ("windows", pa.int64()),
    ("usable_windows", pa.int64()),
    ("n_frames", pa.int64()),
    ("fps", pa.float64()),
    ("source_fps", pa.float64()),
    ("repeated", pa.int64()),
    ("dropped", pa.int64()),
    ("scene_cuts", pa.list_(pa.int32())),
    ("crop", pa.list_(pa.int32())),
    ("content", pa.string()),  # sha256 of the pixels, see `VideoInfo`
    ("warnings", pa.list_(pa.string())),
]
FILE_COLUMNS = tuple(name for name, _ in FILE_FIELDS)
# Lengths of the two streams behind, and their CRC-32.
_HEAD = struct.Struct("<QQI")


@dataclass(frozen=True)
class Rows:
    """Some whole files. files : a row a file. windows : a row a window, in the order of files and windows."""

    files: pa.Table
    windows: pa.Table

    def with_labels(self, labels: Mapping[str, pa.Scalar]) -> Rows:
        """One file's rows with the same label in each, appended as columns."""
        return Rows(_labelled(self.files, labels), _labelled(self.windows, labels))

    def to_bytes(self) -> bytes:
        """Both tables with lengths and a checksum, so that a torn end is noticed."""
        parts = [_stream(self.files), _stream(self.windows)]
        crc = zlib.crc32(parts[1], zlib.crc32(parts[0]))
        return b"".join((_HEAD.pack(len(parts[0]), len(parts[1]), crc), *parts))


def _labelled(table: pa.Table, labels: Mapping[str, pa.Scalar]) -> pa.Table:
    for name, value in labels.items():
        table = table.append_column(name, pa.repeat(value, len(table)))
    return table


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_rows(data: bytes | memoryview | pa.Buffer) -> Iterator[tuple[Rows, int]]:
    """(rows, where their bytes end) of every whole record; ends before the first that is torn or damaged."""
    view, place = memoryview(data), 0
    while len(view) - place >= _HEAD.size:
        one, two, crc = _HEAD.unpack_from(view, place)
        start, middle, end = place + _HEAD.size, place + _HEAD.size + one, place + _HEAD.size + one + two
        if end > len(view) or zlib.crc32(view[start:end]) != crc:
            return
        files, windows = (pa.ipc.open_stream(part).read_all() for part in (view[start:middle], view[middle:end]))
        yield Rows(files, windows), end
        place = end


def rows_of(name: str, size: int, made: Embedding) -> Rows:
    """The rows of one video. name : as it is to stand in the tables. size : of the file, bytes."""
    (video,) = made.videos
    windows, width = made.windows, made.vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(made.vectors).ravel(), pa.float32())
    columns = (
        pa.array([name] * len(windows), pa.string()),
        pa.array([window.start for window in windows], pa.int64()),
        pa.array([window.valid for window in windows], pa.int64()),
        pa.array(made.usable, pa.bool_()),
        pa.array([window.problem for window in windows], pa.string()),
        pa.array([window.energy for window in windows], pa.float32()),
        pa.FixedSizeListArray.from_arrays(flat, width),
    )
    about: dict[str, Any] = {
        PATH: name,
        "bytes": size,
        "windows": len(windows),
        "usable_windows": int(made.usable.sum()),
        "warnings": [storable(text) for text in video.warnings],
    }
    about |= {column: getattr(video, column) for column in FILE_COLUMNS if column not in about}
    files = pa.Table.from_pylist([about], pa.schema(FILE_FIELDS))
    return Rows(files, pa.table(columns, names=list(WINDOW_COLUMNS)))
