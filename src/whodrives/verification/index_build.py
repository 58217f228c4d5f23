"""Template indexes out of a gallery, out of embedded videos, and out of an index with some names left out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.embedding import ModelInfo, require_same_weights
from whodrives.verification.embedding_files import EmbeddedFile, open_embeddings
from whodrives.verification.errors import GalleryError, UnknownDriverError, WeightsMismatchError
from whodrives.verification.gallery import Gallery
from whodrives.verification.gallery_rows import normalise_name
from whodrives.verification.index_labels import NO_LABELS, LabelTable
from whodrives.verification.index_write import IndexWriter, describe
from whodrives.verification.template_index import TemplateIndex, require_same_contract
from whodrives.video.contract import PreprocessingContract

_PIECE = 4096


@dataclass(frozen=True)
class BuildReport:
    """templates : rows written. skipped : videos without a usable window. unlabelled : names a label table lacks."""

    templates: int
    skipped: int = 0
    unlabelled: int = 0


def index_gallery(
    gallery: Gallery,
    out: str | PathLike[str],
    model: ModelInfo,
    contract: PreprocessingContract,
    labels: LabelTable = NO_LABELS,
    overwrite: bool = False,
) -> BuildReport:
    """Write an index of everybody in a gallery.

    Raises
    ------
    GalleryError
        Nobody is enrolled.
    WeightsMismatchError
        Somebody has no template of these weights: left out, "nobody" could be a lie.
    TemplateIndexError
        As `IndexWriter`.
    """
    unlabelled = 0
    with gallery.stored(model.digest, contract.digest()) as stored:
        if stored.missing:
            raise WeightsMismatchError(
                f"{gallery.path}: {stored.missing} enrolled drivers have no template of weights {model} with this "
                "preprocessing; enrol them again (see `whodrives gallery status`)"
            )
        if not stored.origins:
            raise GalleryError(f"{gallery.path}: nobody is enrolled; enroll a driver first")
        pieces = iter(stored.templates)
        names, templates = next(pieces)
        info = describe(
            len(stored.origins),
            templates.shape[1],
            model.digest,
            contract.digest(),
            " ".join(part for part in (model.name, model.version) if part),
            contract.to_dict(),
            "gallery",
            str(gallery.path.absolute()),
        )
        with IndexWriter(Path(out), info, overwrite) as writer:
            while True:
                origins = np.array([stored.origins[name] for name in names], np.uint64)
                writer.append(names, templates, [labels.of(name) for name in names], origins)
                unlabelled += sum(name not in labels.labels for name in names)
                piece = next(pieces, None)
                if piece is None:
                    break
                names, templates = piece
    return BuildReport(info.count, unlabelled=unlabelled if labels.labels else 0)


def index_embeddings(
    paths: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    labels: LabelTable = NO_LABELS,
    overwrite: bool = False,
) -> BuildReport:
    """Write an index of videos embedded by `whodrives embed`: a template for each name, from all its usable windows.

    A video's name is that of the label table, else its path. Memory holds the names and a piece of the vectors; sums
    lie in a file beside `out`, for the owner only, until the end.

    Raises
    ------
    InputError
        A file is no file of fingerprints, no video has a usable window, or a name's windows cancel out.
    WeightsMismatchError, ContractMismatchError
        The files are of different weights or preprocessing.
    TemplateIndexError
        As `IndexWriter`.
    """
    files = [open_embeddings(Path(path)) for path in paths]
    if not files:
        raise InputError("no file of fingerprints given; make one with `whodrives embed`")
    for file in files[1:]:
        require_same_weights(files[0].weights, file.weights, str(file.path))
        require_same_contract(files[0].contract, None, file.contract, None, str(file.path))
    numbers, seen = _number_names(files, labels)
    if not numbers:
        raise InputError(f"{files[0].path}: no video has a usable window; give longer videos that move")
    folder = Path(out).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{out}: there is no folder {folder}; make it first")
    info = describe(len(numbers), files[0].dim, files[0].weights, files[0].contract)
    with IndexWriter(Path(out), info, overwrite) as writer, tempfile.TemporaryFile(dir=folder) as scratch:
        scratch.truncate(4 * info.count * info.dim)
        sums = np.memmap(scratch, np.float32, "r+", shape=(info.count, info.dim))
        try:
            _add_up(files, labels, numbers, sums)
            _write_means(writer, list(numbers), labels, sums)
        finally:
            sums[:] = 0  # biometric data, which stays on no disk
            sums.flush()
            del sums
    unlabelled = sum(name not in labels.labels for name in numbers) if labels.labels else 0
    return BuildReport(info.count, sum(not usable for usable in seen.values()), unlabelled)


def remove_from_index(path: str | PathLike[str], names: Collection[str]) -> int:
    """Write an index again without some names, and overwrite the old file; returns how many templates are left.

    Everything that held something of the removed drivers is computed again. Programs that have the old file open get a
    StaleIndexError from their next search.

    Raises
    ------
    UnknownDriverError
        A name is not in the index; nothing is changed.
    TemplateIndexError
        As `IndexWriter`.
    """
    index = TemplateIndex.open(path)
    wanted = {normalise_name(name) for name in names} | set(names)
    found = {name for name in index.names() if name in wanted}
    for name in names:
        if not {name, normalise_name(name)} & found:
            raise UnknownDriverError(f"{name!r} is not in the template index {path}")
    old = index.info
    info = describe(
        old.count - len(found), old.dim, old.weights, old.contract, old.model, old.settings, old.source, old.gallery
    )
    with IndexWriter(Path(path), info, overwrite=True) as writer:
        # Somebody may have replaced it before the writer took hold of it.
        index.require_live()
        for start in range(0, old.count, _PIECE):
            rows = np.arange(start, min(start + _PIECE, old.count))
            kept = [(row, name) for row in rows if (name := index.name(int(row))) not in found]
            if kept:
                chosen = np.array([row for row, _ in kept])
                part_names = [name for _, name in kept]
                writer.append(
                    part_names,
                    index.templates(chosen),
                    [index.label(int(row)) for row in chosen],
                    index.origins[chosen],
                )
    return info.count


def _name_of(path: str, labels: LabelTable) -> str:
    return labels.names.get(path, path)


def _number_names(files: Sequence[EmbeddedFile], labels: LabelTable) -> tuple[dict[str, int], dict[str, bool]]:
    """Name -> row for all names with a usable window, and path -> whether it has one."""
    numbers: dict[str, int] = {}
    seen: dict[str, bool] = {}
    for file in files:
        for part in file.rows():
            for path, usable in zip(part.paths, part.usable.tolist(), strict=True):
                seen[path] = seen.get(path, False) or usable
                if usable:
                    numbers.setdefault(sys.intern(_name_of(path, labels)), len(numbers))
    return numbers, seen


def _add_up(
    files: Sequence[EmbeddedFile], labels: LabelTable, numbers: dict[str, int], sums: NDArray[np.float32]
) -> None:
    for file in files:
        for part in file.rows():
            vectors = part.vectors[part.usable]
            if not np.isfinite(vectors).all():
                raise InputError(f"{file.path}: holds numbers that are not finite; embed the videos again")
            rows = np.array(
                [numbers[_name_of(path, labels)] for path, usable in zip(part.paths, part.usable) if usable], np.int64
            )
            if len(rows):
                np.add.at(sums, rows, vectors)


def _write_means(writer: IndexWriter, names: list[str], labels: LabelTable, sums: NDArray[np.float32]) -> None:
    for start in range(0, len(names), _PIECE):
        part = names[start : start + _PIECE]
        total = sums[start : start + _PIECE].astype(np.float64)
        norms = np.linalg.norm(total, axis=1)
        if not (norms > 1e-6).all():
            bad = part[int((~(norms > 1e-6)).argmax())]
            raise InputError(f"{bad!r}: the windows' vectors cancel out; embed the video again")
        writer.append(part, total / norms[:, None], [labels.of(name) for name in part])
