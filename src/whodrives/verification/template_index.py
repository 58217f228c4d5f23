"""A template index: fingerprints of very many drivers in one file, searched exactly without reading it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError
from whodrives.verification.coarse import CoarseRows, coarse_rows
from whodrives.verification.embedding import ModelInfo, require_same_weights
from whodrives.verification.errors import IndexDamageError
from whodrives.verification.index_file import IndexFile, IndexInfo, decode_name
from whodrives.verification.index_labels import Label, allowed_groups, allowed_scopes
from whodrives.verification.index_write import row_check
from whodrives.verification.top_k import Best, exact_top_k
from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import ContractMismatchError


@dataclass(frozen=True, eq=False)
class Hits:
    """The best templates for one query, best first; equal scores in the order of the index.

    rows : (k,) row numbers. scores : (k,) float64 dot products. names : (k,). compared : templates that took part.
    checked : how many of them were scored exactly.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    names: tuple[str, ...]
    compared: int
    checked: int


class TemplateIndex:
    """An open template index; threads may share it. Made by `index_build`, or `whodrives index build`."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file

    @classmethod
    def open(cls, path: str | PathLike[str]) -> TemplateIndex:
        """Open an index. Reads the footer only; the rest is mapped.

        Raises
        ------
        TemplateIndexError
            The file cannot be read, is no index, or of another version.
        IndexDamageError
            It was cut off or its footer changed.
        """
        return cls(IndexFile(Path(path)))

    def __len__(self) -> int:
        return self.info.count

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def info(self) -> IndexInfo:
        """What it holds."""
        return self._file.info

    @cached_property
    def origins(self) -> NDArray[np.uint64]:
        """(count,) what each row was made from, see `gallery_templates`."""
        return self._file.section("origins")

    @cached_property
    def _groups(self) -> NDArray[np.uint32]:
        return self._file.section("groups")

    @cached_property
    def _scopes(self) -> NDArray[np.uint16]:
        return self._file.section("scopes")

    @cached_property
    def _coarse(self) -> CoarseRows:
        parts: dict[str, Any] = {name: self._file.section(name) for name in ("codes", "scales", "along", "centre")}
        self._file.prefetch()
        return CoarseRows(**parts, bounds=self.info.bounds)

    def search(
        self,
        vectors: ArrayLike,
        k: int = 5,
        groups: Sequence[str] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> list[Hits]:
        """The k best templates for each query, the same as scanning all of them.

        Parameters
        ----------
        vectors : (Q, D) or (D,) finite numbers. k : at least 1. groups : only drivers of one of these groups. scopes :
            only drivers who allowed all of these purposes. Whoever does not fit is not looked at.

        Scores are dot products with the half-precision templates, summed in double precision.

        Raises
        ------
        InputError
            Vectors of another shape or not finite, or k under 1.
        IndexDamageError
            A row that the answer rests on has changed.
        StaleIndexError
            The file was replaced while it was open.
        """
        queries = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
        return self._search(queries, k, groups, scopes, None)

    def search_windows(
        self,
        windows: ArrayLike,
        trim: int,
        k: int = 5,
        groups: Sequence[str] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> Hits:
        """The k best templates for one probe of several windows (W, D); as `search`, with the mean of the windows'
        scores without the `trim` lowest and as many highest."""
        queries = np.atleast_2d(np.asarray(windows, dtype=np.float64))
        if not 0 <= 2 * trim < len(queries):
            raise InputError(f"{trim} of {len(queries)} windows cannot be left out at either end; give fewer")
        if trim == 0:
            # The mean of dot products is the dot product with the mean.
            return self._search(queries.mean(axis=0, keepdims=True), k, groups, scopes, None)[0]
        return self._search(queries, k, groups, scopes, trim)[0]

    def _search(
        self,
        queries: NDArray[np.float64],
        k: int,
        groups: Sequence[str] | None,
        scopes: Sequence[str] | None,
        trim: int | None,
    ) -> list[Hits]:
        if queries.ndim != 2 or queries.shape[1] != self.info.dim or not np.isfinite(queries).all():
            raise InputError(f"queries of shape {queries.shape}; give finite rows of {self.info.dim} numbers")
        if k < 1:
            raise InputError(f"k is {k}; give at least 1")
        if len(queries) == 0:
            return []
        keep = self.selected(groups, scopes)
        compared = self.info.count if keep is None else int(keep.sum())
        found = exact_top_k(self._coarse, self.templates, queries, min(k, max(compared, 1)), keep, trim)
        if not all(best.sound for best in found):
            self._file.require_live()
            raise self._damaged("what a search reads first has changed")
        hits = [self._hits(best, compared) for best in found]
        self._file.release_labels()
        # Last, so that nothing of a file that was overwritten meanwhile gets out.
        self._file.require_live()
        return hits

    def _hits(self, best: Best, compared: int) -> Hits:
        names = tuple(self.name(int(row)) for row in best.rows)
        return Hits(best.rows, best.scores, names, compared, best.checked)

    def selected(
        self, groups: Sequence[str] | None = None, scopes: Sequence[str] | None = None
    ) -> NDArray[np.bool_] | None:
        """(count,) the rows that fit; None for all."""
        keep = None
        if groups is not None:
            keep = self._marked(self._groups, allowed_groups(self.info.groups, groups))
        if scopes is not None:
            fitting = self._marked(self._scopes, allowed_scopes(self.info.scopes, scopes))
            keep = fitting if keep is None else keep & fitting
        return keep

    def count(self, groups: Sequence[str] | None = None, scopes: Sequence[str] | None = None) -> int:
        """How many templates a search with these filters compares."""
        keep = self.selected(groups, scopes)
        return self.info.count if keep is None else int(keep.sum())

    def _marked(self, numbers: NDArray[Any], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.info.count and int(numbers.max()) >= len(allowed):
            raise self._damaged("its labels have changed")
        return allowed[numbers] if len(numbers) else np.zeros(0, bool)

    def templates(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, D) templates of ascending rows, checked. Raises IndexDamageError or StaleIndexError."""
        stored = self._file.templates(rows)
        for row, template in zip(rows.tolist(), stored, strict=True):
            labels = (int(self._groups[row]), int(self._scopes[row]), self._file.value("origins", row))
            name = self._file.name_bytes(row)
            if row_check(template.tobytes(), name, *labels) != self._file.value("checks", row):
                self._file.require_live()
                raise self._damaged(f"template {row + 1} has changed")
        return stored.astype(np.float64)

    def require_live(self) -> None:
        """Raise StaleIndexError when the file was replaced since it was opened."""
        self._file.require_live()

    def name(self, row: int) -> str:
        """The name of a row."""
        return decode_name(self._file.name_bytes(row))

    def names(self) -> Iterator[str]:
        """All names, in the order of the rows."""
        return self._file.names()

    def label(self, row: int) -> Label:
        """Group and scopes of a row."""
        return Label(self.info.groups[self._groups[row]], self.info.scopes[self._scopes[row]])

    def require_comparable(self, model: ModelInfo, contract: PreprocessingContract) -> None:
        """Raise WeightsMismatchError or ContractMismatchError unless fingerprints of these may be searched here."""
        what = f"the template index {self.path}"
        require_same_weights(model.digest, self.info.weights, what)
        require_same_contract(contract.digest(), contract.to_dict(), self.info.contract, self.info.settings, what)

    def check(self) -> None:
        """Read everything and compare it with its checksums and bounds: 10 s per million templates.

        Raises
        ------
        IndexDamageError
            Something has changed.
        StaleIndexError
            The file was replaced meanwhile.
        """
        for start in range(0, self.info.count, 4096):
            part = slice(start, min(start + 4096, self.info.count))
            rows = np.arange(part.start, part.stop)
            again = coarse_rows(self.templates(rows).astype(np.float16), self._coarse.centre)
            same = (
                np.array_equal(again.codes, self._coarse.codes[part])
                and np.allclose(again.scales, self._coarse.scales[part], rtol=1e-6)
                and np.allclose(again.along, self._coarse.along[part], rtol=1e-6, atol=1e-7)
                and again.bounds.join(self.info.bounds) == self.info.bounds
            )
            if not same:
                self._file.require_live()
                raise self._damaged(f"the bytes of templates {part.start + 1} to {part.stop} have changed")
        self._file.require_live()

    def _damaged(self, problem: str) -> IndexDamageError:
        return IndexDamageError(f"{self.path}: {problem}; build it again, or restore it from a copy")


def require_same_contract(
    mine: str, my_fields: dict[str, Any] | None, theirs: str, their_fields: dict[str, Any] | None, what: str
) -> None:
    """Raise ContractMismatchError unless two digests are equal; with the fields that differ where both are known."""
    if mine == theirs:
        return
    if my_fields is not None and their_fields is not None:
        PreprocessingContract.from_dict(my_fields).require_same(PreprocessingContract.from_dict(their_fields), what)
    raise ContractMismatchError(
        f"preprocessing contract {mine} differs from that of {what} ({theirs}). Embed both sides again with one model"
    )
