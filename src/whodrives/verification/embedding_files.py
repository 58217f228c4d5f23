"""Files that `whodrives embed` writes, read a piece at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError

PIECE = 8192
_COLUMNS = ("embeddings", "paths", "usable")


@dataclass(frozen=True, eq=False)
class EmbeddedRows:
    """Windows of a file: vectors float32 (n, D), paths, and which of them count."""

    vectors: NDArray[np.float32]
    paths: list[str]
    usable: NDArray[np.bool_]


@dataclass(frozen=True)
class EmbeddedFile:
    """A file of fingerprints. weights, contract : digests. dim : D."""

    path: Path
    weights: str
    contract: str
    dim: int

    def rows(self) -> Iterator[EmbeddedRows]:
        """All windows, at most `PIECE` at a time. Raises InputError for a damaged file."""
        try:
            if self.path.suffix.lower() == ".npz":
                yield from _npz_rows(self.path)
            else:
                yield from _parquet_rows(self.path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise _bad(self.path, error) from error


def open_embeddings(path: Path) -> EmbeddedFile:
    """Look into a file of `whodrives embed`. Raises InputError when it is none."""
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as file:
                shape = file["embeddings"].shape
                return EmbeddedFile(path, str(file["weights"]), str(file["contract"]), int(shape[1]))
        from pyarrow import parquet

        with parquet.ParquetFile(path) as table:
            schema = table.schema_arrow
            origin = schema.metadata or {}
            dim = int(schema.field("embeddings").type.list_size)
            return EmbeddedFile(path, origin[b"weights"].decode(), origin[b"contract"].decode(), dim)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, zipfile.BadZipFile) as error:
        raise _bad(path, error) from error


def _npz_rows(path: Path) -> Iterator[EmbeddedRows]:
    # A zip of arrays cannot be read in pieces; Parquet is for what does not fit into memory.
    with np.load(path, allow_pickle=False) as file:
        vectors, paths, usable = (file[name] for name in _COLUMNS)
    for start in range(0, len(vectors), PIECE):
        part = slice(start, start + PIECE)
        yield EmbeddedRows(vectors[part], paths[part].tolist(), usable[part])


def _parquet_rows(path: Path) -> Iterator[EmbeddedRows]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(PIECE, columns=list(_COLUMNS)):
            flat = batch.column("embeddings").flatten().to_numpy(zero_copy_only=False)
            vectors = np.asarray(flat, np.float32).reshape(batch.num_rows, -1)
            usable = batch.column("usable").to_numpy(zero_copy_only=False)
            yield EmbeddedRows(vectors, batch.column("paths").to_pylist(), np.asarray(usable, bool))


def _bad(path: Path, error: Exception) -> InputError:
    reason: Any = f"no {error}" if isinstance(error, KeyError) else error
    return InputError(f"{path}: is no file of fingerprints ({reason}); make it with `whodrives embed`")
