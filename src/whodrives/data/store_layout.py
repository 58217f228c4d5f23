"""What lies where in a packed frame store: the header, the shards, the rows of the index.

- ``store.json``: the header: contract, codec, frame rate choice, counts.
- ``index.parquet``: one row a video (`SCHEMA`), in path order.
- ``failed.parquet``: one row a video that could not be decoded, with the reason.
- ``shards/00000.bin``: chunks of frames, one after the other.
- ``shards/00000.parquet``: the rows of this shard; it exists once the shard is complete.
- ``.whodrives-work-<process>-<random>/``: while packing, decoded videos on their way into a shard.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from whodrives.data.record import Record
from whodrives.data.store_errors import StoreError
from whodrives.errors import WhodrivesError
from whodrives.video.contract import PreprocessingContract

HEADER, INDEX, FAILED, SHARDS = "store.json", "index.parquet", "failed.parquet", "shards"
FORMAT, VERSION = "whodrives-frame-store", 1
# Every field of a record but its path; those that are no text are yes, no or (null) not stated.
TEXT = {item.name: item.type == "str" for item in fields(Record) if item.name != "path"}
LABELS = tuple(TEXT)

_LABEL_FIELDS = [(name, pa.string() if text else pa.bool_()) for name, text in TEXT.items()]
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        *_LABEL_FIELDS,
        ("stamp", pa.string()),  # tells whether the file is still the one that was decoded
        ("root", pa.string()),  # which folder the path is relative to, see `stored_name`
        ("n_frames", pa.int64()),
        ("fps", pa.float64()),  # null: a folder of frames whose rate nobody stated
        ("source_fps", pa.float64()),
        ("scene_cuts", pa.list_(pa.int32())),
        ("warnings", pa.list_(pa.string())),
        ("shard", pa.int32()),
        ("offset", pa.int64()),  # of the first chunk; the others follow without gaps
        ("chunk_bytes", pa.list_(pa.uint32())),
        ("chunk_crc", pa.list_(pa.uint32())),  # CRC-32 of the bytes as stored
    ]
)
FAILED_SCHEMA = pa.schema(
    [("path", pa.string()), *_LABEL_FIELDS, ("stamp", pa.string()), ("kind", pa.string()), ("reason", pa.string())]
)


@dataclass(frozen=True)
class Header:
    """``store.json``.

    contract : how the frames were made. codec, chunk_frames : how they are stored. folder_fps : frames per second of
    folders of PNG frames, None when not stated. frame_rate : ``native`` or ``contract``, what `contract.fps` says in a
    word. videos, frames, stored_bytes : counts, None until a pack run has ended. failed : kind of error -> videos.
    """

    contract: PreprocessingContract
    codec: str
    chunk_frames: int
    folder_fps: float | None = None
    videos: int | None = None
    frames: int | None = None
    stored_bytes: int | None = None
    failed: Mapping[str, int] = field(default_factory=dict)

    @property
    def frame_rate(self) -> str:
        """``native``: every source frame; ``contract``: resampled to contract.fps."""
        return "native" if self.contract.fps is None else "contract"

    def to_json(self) -> str:
        """The text of ``store.json``."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"contract": self.contract.to_dict(), "failed": dict(self.failed)}
        head = {"format": FORMAT, "version": VERSION, "frame_rate": self.frame_rate}
        return json.dumps({**head, "contract_digest": self.contract.digest(), **values}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Header:
        """Inverse of `to_json`. Raises StoreError naming `where`."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values["format"] != FORMAT:
                raise KeyError("format")
            if values["version"] != VERSION:
                raise StoreError(
                    f"{where}: is a frame store of version {values['version']}, this whodrives reads {VERSION}; use "
                    "the whodrives that wrote it, or pack the videos again"
                )
            chosen = {item.name: values[item.name] for item in fields(cls)}
            return cls(**{**chosen, "contract": PreprocessingContract.from_dict(values["contract"])})
        except (ValueError, KeyError, TypeError, AttributeError, WhodrivesError) as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(
                f"{where}: is not the header of a frame store ({error!r}); give a folder made by pack"
            ) from None


def shard_name(number: int) -> str:
    """``shards/00007.bin``, relative to the store."""
    return f"{SHARDS}/{number:05d}.bin"


def stored_name(path: Path, root: Path | None) -> tuple[str, str]:
    """The name of a video in the store: relative to `root` if it lies there, with /, as text that Parquet can hold.

    Beside it a digest of the folder that the name is relative to, empty for an absolute one: the same name under
    another folder is another video. A digest, because stores are handed on and their makers' paths concern nobody.
    """
    base: Path | None = None if path.is_absolute() else Path()
    if root is not None and path.is_relative_to(root):
        path, base = path.relative_to(root), root
    return storable(path.as_posix()), "" if base is None else _folder_digest(os.path.realpath(base))


@lru_cache(maxsize=16)
def _folder_digest(real: str) -> str:
    return hashlib.blake2b(os.fsencode(real), digest_size=8).hexdigest()


def storable(text: str) -> str:
    """Text that Parquet can hold: names that are no valid UTF-8 are legal on Linux, and labels come from names."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def labels_of(record: Record) -> dict[str, Any]:
    """The label columns of a record, text that Parquet can hold."""
    return {name: storable(getattr(record, name)) if text else getattr(record, name) for name, text in TEXT.items()}


def partial_file(path: Path) -> Path:
    """Where `write_file` writes until the file is whole."""
    return path.with_name(f".{path.name}.part")


def write_file(path: Path, data: bytes) -> None:
    """Write aside, flush to the disk and move into place: under its own name a file is always a whole one."""
    partial = partial_file(path)
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def write_table(path: Path, rows: Iterable[Mapping[str, Any]] | pa.Table, schema: pa.Schema) -> None:
    """Rows as Parquet, written like `write_file`."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_file(path, sink.getvalue())


def read_table(data: bytes | pa.Buffer, schema: pa.Schema, where: str) -> pa.Table:
    """Inverse of `write_table`; a label or root that the writer did not know is null. StoreError names `where`."""
    try:
        table = pq.read_table(pa.BufferReader(data))
        for name in set(schema.names) & {*LABELS, "root"} - set(table.column_names):
            table = table.append_column(schema.field(name), pa.nulls(len(table), schema.field(name).type))
        return table.select(schema.names).cast(schema)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"{where}: is damaged ({error}); pack the videos again, finished shards are kept") from None
