"""Writing a template index: rows come in pieces, memory stays bounded, and the file appears whole or not at all."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.coarse import Bounds, coarse_rows
from whodrives.verification.errors import TemplateIndexError
from whodrives.verification.gallery_rows import now
from whodrives.verification.index_file import MAGIC, IndexInfo, held_for_replacing, offsets, sections, write_preamble
from whodrives.verification.index_labels import Label, LabelNumbers

_LABELS = struct.Struct("<IHQ")
# Rows turned into bytes at a time: 8 MB in double precision.
_PIECE = 4096


def describe(
    count: int,
    dim: int,
    weights: str,
    contract: str,
    model: str = "",
    settings: dict[str, Any] | None = None,
    source: str = "embeddings",
    gallery: str | None = None,
) -> IndexInfo:
    """An index that is to be written; labels and bounds are filled in at the end. Fields as `IndexInfo`."""
    return IndexInfo(
        count, dim, weights, contract, model, settings, (), (), source, gallery, now(), name_bytes=0, bounds=Bounds()
    )


def row_check(template: bytes, name: bytes, group: int, scope: int, origin: int) -> int:
    """The checksum of a row."""
    return zlib.crc32(_LABELS.pack(group, scope, origin), zlib.crc32(name, zlib.crc32(template)))


class IndexWriter:
    """Writes `info.count` rows to a file beside `path`, which takes its place when the block ends without an error.

    An index that was there is overwritten with zeros.

    Raises
    ------
    TemplateIndexError
        A file is there and `overwrite` is not set or it is no index; it cannot be written; another process writes it.
    """

    def __init__(self, path: Path, info: IndexInfo, overwrite: bool = False) -> None:
        self.path, self.info = path, info
        self._overwrite = overwrite
        self._numbers = LabelNumbers()
        self._places, _ = offsets(sections(info.count, info.dim, 0))
        self._done, self._name_bytes = 0, 0
        self._sum = np.zeros(info.dim)

    def __enter__(self) -> IndexWriter:
        self._held = ExitStack()
        # For as long as it takes: a removal that runs meanwhile would be undone.
        self._held.enter_context(held_for_replacing(self.path))
        try:
            self._refuse()
            # mkstemp makes files that only the owner may read: templates are biometric data.
            handle, temporary = tempfile.mkstemp(dir=self.path.absolute().parent, prefix=f".{self.path.name}.")
        except BaseException as error:
            self._held.close()
            if not isinstance(error, OSError):
                raise
            raise TemplateIndexError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._temporary = Path(temporary)
        self._file: BinaryIO = os.fdopen(handle, "w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            try:
                if kind is None:
                    self._finish()
            except OSError as problem:
                raise TemplateIndexError(f"{self.path}: cannot be written ({problem.strerror})") from problem
            finally:
                self._file.close()
                self._temporary.unlink(missing_ok=True)

    def append(
        self,
        names: Sequence[str],
        templates: NDArray[np.floating[Any]],
        labels: Sequence[Label] | None = None,
        origins: NDArray[np.uint64] | None = None,
    ) -> None:
        """Add rows: names, each once in the whole index; templates (n, D), unit rows, kept in half precision.

        Raises
        ------
        InputError
            A template is not finite, or not of length 1, or the rows are more than announced.
        """
        count = len(names)
        rows = np.ascontiguousarray(templates, dtype="<f2")
        if rows.shape != (count, self.info.dim) or self._done + count > self.info.count:
            raise InputError(
                f"{count} names with templates of shape {rows.shape} do not fit an index of {self.info.count} rows of "
                f"{self.info.dim}, {self._done} of them written"
            )
        wide = rows.astype(np.float64)
        bad = ~(np.abs(np.linalg.norm(wide, axis=1) - 1) < 2e-3)
        if bad.any():
            raise InputError(f"the template of {names[int(bad.argmax())]!r} is not of length 1; embed the video again")
        self._sum += wide.sum(axis=0)
        groups, scopes = self._numbers.add(labels or [Label()] * count)
        origins = np.zeros(count, np.uint64) if origins is None else origins
        texts = [name.encode("utf-8", "surrogateescape") for name in names]
        ends = self._name_bytes + np.cumsum([len(text) for text in texts], dtype=np.uint64)
        checks = [
            row_check(row.tobytes(), text, int(group), int(scope), int(origin))
            for row, text, group, scope, origin in zip(rows, texts, groups, scopes, origins, strict=True)
        ]
        columns = {"templates": rows, "groups": groups, "scopes": scopes, "origins": origins}
        for section, values in {**columns, "checks": np.array(checks, np.uint32), "name_ends": ends}.items():
            self._put(section, self._done, values)
        self._file.seek(self._places["names"] + self._name_bytes)
        self._file.write(b"".join(texts))
        self._name_bytes += sum(map(len, texts))
        self._done += count

    def _put(self, section: str, row: int, values: NDArray[Any]) -> None:
        kind = sections(0, 0, 0)[section][0]
        array = np.ascontiguousarray(values, dtype=kind)
        width = kind.itemsize * (self.info.dim if section in ("templates", "codes") else 1)
        self._file.seek(self._places[section] + row * width)
        self._file.write(array.tobytes())

    def _finish(self) -> None:
        info = self.info
        if self._done != info.count:
            raise InputError(f"{self._done} rows were written to an index of {info.count}")
        size = float(np.linalg.norm(self._sum))
        # Without templates, or where they cancel out, there is no direction that they share.
        centre = (self._sum / size if size > 1e-3 * info.count else np.zeros(info.dim)).astype(np.float32)
        bounds = Bounds()
        for start in range(0, info.count, _PIECE):
            stop = min(start + _PIECE, info.count)
            self._file.seek(self._places["templates"] + 2 * info.dim * start)
            raw = self._file.read(2 * info.dim * (stop - start))
            rows = coarse_rows(np.frombuffer(raw, "<f2").reshape(-1, info.dim), centre)
            bounds = bounds.join(rows.bounds)
            for section, values in (("codes", rows.codes), ("scales", rows.scales), ("along", rows.along)):
                self._put(section, start, values)
        self._put("centre", 0, centre)
        ready = replace(
            info,
            groups=self._numbers.groups,
            scopes=self._numbers.scopes,
            name_bytes=self._name_bytes,
            bounds=bounds,
        )
        write_preamble(self._file, ready)
        self._file.flush()
        os.fsync(self._file.fileno())
        # Asked again: building takes a while.
        self._refuse()
        os.replace(self._temporary, self.path)

    def _refuse(self) -> None:
        if not self.path.exists():
            return
        if not self._overwrite:
            raise TemplateIndexError(f"{self.path}: exists already; choose another path, or overwrite it (--overwrite)")
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise TemplateIndexError(f"{self.path}: is no template index, so it stays; give another path")
