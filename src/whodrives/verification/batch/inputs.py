"""Which files to embed: a manifest, folders or single files; and the share of one shard."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from whodrives.data.manifest import ALIASES, ManifestError
from whodrives.data.record import VIDEO_SUFFIXES
from whodrives.data.store_layout import storable
from whodrives.data.tree import videos_by_folder
from whodrives.errors import InputError
from whodrives.verification.batch.group import Item
from whodrives.verification.batch.rows import FILE_COLUMNS, PATH, WINDOW_COLUMNS

_SHARD = re.compile(r"(\d+)/(\d+)")
_SLICE = 4096


@dataclass(frozen=True)
class Shard:
    """Share `number` (from 1 on) of `count`: files whose names hash to it, whatever else is in a manifest."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``. Raises InputError."""
        found = _SHARD.fullmatch(text.strip())
        number, count = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= count <= 100_000:
            raise InputError(f"shard {text!r} must be i/n with i from 1 to n, such as 1/4 ... 4/4")
        return cls(number, count)

    @property
    def tag(self) -> str:
        """Part of file names."""
        return f"{self.number}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Whether the file of this name is in the share."""
        if self.count == 1:
            return True
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1


@dataclass(frozen=True)
class Inputs:
    """Files in order. root : names are relative to it. names : of all files. labels : further columns, a row a file.

    odd : names that are no valid UTF-8 as the system has them; Parquet holds them escaped.
    """

    root: str
    names: pa.ChunkedArray
    labels: pa.Table
    odd: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def file(self, name: str) -> str:
        """What to open."""
        return os.path.join(self.root, self.odd.get(name, name))

    def items(self) -> Iterator[Item]:
        """One after the other, numbered."""
        for start in range(0, len(self), _SLICE):
            for number, name in enumerate(self.names.slice(start, _SLICE).to_pylist(), start):
                yield Item(number, name, self.file(name))

    def labels_of(self, number: int) -> dict[str, pa.Scalar]:
        """The labels of one file."""
        return {name: self.labels[name][number] for name in self.labels.column_names}

    def without(self, names: pa.ChunkedArray) -> Inputs:
        """Those whose names are not among these."""
        if not len(names):
            return self
        left = pc.invert(pc.is_in(self.names, value_set=names))
        return Inputs(self.root, self.names.filter(left), self.labels.filter(left), self.odd)


def read_paths(paths: Sequence[str], root: str | None = None, shard: Shard = Shard()) -> Inputs:
    """Video files, and all videos below folders.

    Parameters
    ----------
    root : names are relative to it; default: the folder, where one alone is given, else the working folder.

    Raises
    ------
    InputError
        Nothing given, no video there, or a file named twice.
    LayoutError
        A folder cannot be listed.
    """
    if root is None:
        root = paths[0] if len(paths) == 1 and os.path.isdir(paths[0]) else ""
    odd: dict[str, str] = {}
    names = pa.chunked_array(_named(_found(paths), root, odd, shard), pa.string())
    _refuse_twice(names, "the call")
    if not len(names) and shard.count == 1:
        raise InputError(f"{', '.join(paths[:3]) or 'the call'}: no video there; give files, folders or a manifest")
    return Inputs(root, names, pa.table({"": names}).select([]), odd)


def _found(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if os.path.isdir(path):
            for parts, names in videos_by_folder(path, VIDEO_SUFFIXES):
                yield from (os.path.join(path, *parts, name) for name in names)
        else:
            yield path


def _named(files: Iterable[str], root: str, odd: dict[str, str], shard: Shard) -> Iterator[pa.Array]:
    """Names relative to `root`, those of the shard, as columns of bounded length."""
    held: list[str] = []
    for file in files:
        real = relative_name(file, root)
        name = storable(real)
        if not shard.holds(name):
            continue
        if name != real and odd.setdefault(name, real) != real:
            raise InputError(f"{name}: two files have this name once it is made text; rename one of them")
        held.append(name)
        if len(held) == _SLICE:
            yield pa.array(held, pa.string())
            held = []
    yield pa.array(held, pa.string())


def relative_name(file: str, root: str) -> str:
    """A path relative to the folder `root` if it lies there, with /, else absolute."""
    here = os.path.abspath(root) if root else os.getcwd()
    whole = os.path.normpath(os.path.join(os.getcwd(), file))
    inside = os.path.join(here, "")
    return (whole[len(inside) :] if whole.startswith(inside) else whole).replace(os.sep, "/")


def read_manifest(path: str | Path, root: str | None = None, shard: Shard = Shard()) -> Inputs:
    """A CSV (comma, semicolon or tab; UTF-8) or Parquet file with a column ``path``; other columns are carried along.

    Parameters
    ----------
    root : paths in it are relative to this folder; default: that of the manifest. shard : only rows of this share are
        kept in memory.

    Raises
    ------
    ManifestError
        The file cannot be read, has no such column, or one whose name we use ourselves; or a path is empty.
    InputError
        A file is named twice.
    """
    path = str(path)
    root = os.path.dirname(path) if root is None else root
    batches = _parquet_batches(path) if path.lower().endswith((".parquet", ".pq")) else _csv_batches(path)
    kept: list[pa.RecordBatch] = []
    schema: pa.Schema | None = None
    try:
        for batch in batches:
            batch = _renamed(batch, path)
            batch = batch.set_column(0, PATH, _clean(batch.column(PATH), path, root))
            schema = batch.schema
            if shard.count > 1:
                ours = [shard.holds(name) for name in batch.column(PATH).to_pylist()]
                batch = batch.filter(pa.array(ours, pa.bool_()))
            kept.append(batch)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise ManifestError(f"{path}: is no CSV file in UTF-8 and no Parquet ({reason}); save it again") from None
    if schema is None:
        raise ManifestError(f"{path}: is empty; it needs a column path and a row for each video")
    table = pa.Table.from_batches(kept, schema)
    _refuse_twice(table[PATH], path)
    return Inputs(root, table[PATH], table.drop_columns([PATH]))


def _csv_batches(path: str) -> Iterator[pa.RecordBatch]:
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        first = stream.readline()
    delimiter = max(",;\t", key=first.count)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    names = csv.open_csv(path, parse_options=parse).schema.names if first.strip() else []
    if not names:
        return
    # Text, whatever it looks like: identities such as 007 are no numbers.
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    yield from csv.open_csv(path, parse_options=parse, convert_options=convert)


def _parquet_batches(path: str) -> Iterator[pa.RecordBatch]:
    with parquet.ParquetFile(path) as file:
        if not file.metadata.num_rows:
            yield pa.RecordBatch.from_pylist([], file.schema_arrow)
        yield from file.iter_batches()


def _renamed(batch: pa.RecordBatch, path: str) -> pa.RecordBatch:
    """The column of paths first and under our name."""
    plain = {name.strip().lower(): name for name in reversed(batch.schema.names)}
    column = next((plain[name] for name in ALIASES["path"] if name in plain), None)
    if column is None:
        accepted = " or ".join(repr(name) for name in ALIASES["path"])
        raise ManifestError(f"{path}: lacks the column {accepted}; add it or rename the column that holds it")
    others = [name for name in batch.schema.names if name != column]
    taken = sorted(set(others) & {*WINDOW_COLUMNS, *FILE_COLUMNS}) or sorted({n for n in others if others.count(n) > 1})
    if taken:
        raise ManifestError(f"{path}: the column {taken[0]!r} has a name that is taken; rename it in the manifest")
    arrays = [batch.column(column).cast(pa.string()), *(_plain(batch.column(name)) for name in others)]
    return pa.RecordBatch.from_arrays(arrays, [PATH, *others])


def _plain(column: pa.Array) -> pa.Array:
    """Values in place of a dictionary, which pandas writes for categories: each file's rows stand by themselves."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _clean(column: pa.Array, path: str, root: str) -> pa.Array:
    """Names as `relative_name` gives them; raises ManifestError where one is empty."""
    here = os.path.join(os.path.abspath(root), "") if root else os.path.join(os.getcwd(), "")
    names: list[Any] = column.to_pylist()
    for number, name in enumerate(names):
        if name is None or not name.strip():
            raise ManifestError(f"{path}: a row has no path; fill it in or remove the row")
        clean = posixpath.normpath(name.replace(os.sep, "/"))
        names[number] = clean[len(here) :] if clean.startswith(here) else clean
    return pa.array(names, pa.string())


def _refuse_twice(names: pa.ChunkedArray, where: str) -> None:
    if pc.count_distinct(names).as_py() == len(names):
        return
    counts = pc.value_counts(names)
    twice = next(pair["values"] for pair in counts.to_pylist() if pair["counts"] > 1)
    raise InputError(f"{where}: names {twice} twice; keep one of the two rows")
