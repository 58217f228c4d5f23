"""Trials that somebody else chose: lists of pairs, as AVAPrintDB publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.data.record import Record
from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.pooling import TrialScores
from whodrives.evaluation.ties import row_products

# The name under which trials of a list stand beside the protocols.
LISTED = "listed"


@dataclass(frozen=True, eq=False)
class ListedPairs:
    """P pairs. first, second : int64 (P,) numbers of their videos. genuine : bool (P,), as the list says.

    missing : listed pairs that are left out, since one of their videos is not there; report it beside every figure.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    genuine: NDArray[np.bool_]
    missing: int = 0

    def among(self, numbers: NDArray[np.int64]) -> ListedPairs:
        """The pairs of which both videos are among `numbers`, (N,) distinct, renumbered to places in it; the others
        are counted as missing."""
        place = np.full(
            int(max(numbers.max(initial=-1), self.first.max(initial=-1), self.second.max(initial=-1))) + 1, -1
        )
        place[numbers] = np.arange(len(numbers))
        first, second = place[self.first], place[self.second]
        keep = (first >= 0) & (second >= 0)
        return ListedPairs(first[keep], second[keep], self.genuine[keep], self.missing + int((~keep).sum()))


def number_pairs(trials: Iterable[tuple[Record, Record, bool]], records: Sequence[Record]) -> ListedPairs:
    """The numbers in `records` of pairs of records, as from `data.avaprintdb_pairs.resolve_pairs`.

    Videos are told apart by path. Raises InputError when two records have one.
    """
    number = {str(record.path): place for place, record in enumerate(records)}
    if len(number) < len(records):
        raise InputError(f"{len(records)} videos have only {len(number)} paths; list each video once")
    rows, missing = [], 0
    for one, other, genuine in trials:
        pair = number.get(str(one.path), -1), number.get(str(other.path), -1)
        if min(pair) < 0:
            missing += 1
        else:
            rows.append((*pair, genuine))
    table = np.array(rows, np.int64).reshape(-1, 3)
    return ListedPairs(table[:, 0], table[:, 1], table[:, 2].astype(np.bool_), missing)


def listed_scores(
    embeddings: ArrayLike, first: ArrayLike, second: ArrayLike, chunk: int = 1 << 16
) -> NDArray[np.float32]:
    """Scores (P,) of pairs given by the numbers (P,) of their videos: the mean cosine over all pairs of a window of one
    and a window of the other, as AVAPrintDB scores.

    Parameters
    ----------
    embeddings : (N, D), each the mean of a video's unit window embeddings: their product is that mean of cosines, and
        the cosine itself where each video has one window.
    first, second : integers (P,), 0..N-1. chunk : pairs scored at once, bounds memory.

    Raises
    ------
    InputError
        Lists of two lengths, a number that no video has, or embeddings longer than 1.
    """
    rows, one, two = np.asarray(embeddings, np.float32), np.asarray(first, np.int64), np.asarray(second, np.int64)
    if rows.ndim != 2 or not np.isfinite(rows).all() or (np.linalg.norm(rows, axis=1) > 1 + 1e-4).any():
        raise InputError(f"embeddings of shape {rows.shape} must be (videos, dimensions), finite, of norm 1 or less")
    if one.shape != two.shape or one.ndim != 1:
        raise InputError(f"pairs of shapes {one.shape} and {two.shape}: give two lists of equal length")
    # A negative number would silently count from the end.
    for places in (one, two):
        if places.size and (places.min() < 0 or places.max() >= len(rows)):
            raise InputError(f"pairs name the videos {places.min()}..{places.max()}; there are 0..{len(rows) - 1}")
    out = np.empty(len(one), np.float32)
    for start in range(0, len(one), chunk):
        part = slice(start, start + chunk)
        out[part] = row_products(rows[one[part]], rows[two[part]])
    return out


def listed_trials(embeddings: ArrayLike, labels: VideoLabels, pairs: ListedPairs) -> TrialScores:
    """Scored trials of a list, for one pooled ROC: genuine is what the list says, not what the labels say.

    Raises
    ------
    InputError
        No pair at all, or arrays that do not fit.
    """
    if not len(pairs.first):
        raise InputError("the list has no pair of these videos")
    score = listed_scores(embeddings, pairs.first, pairs.second)
    if len(pairs.genuine) != len(score) or len(np.asarray(embeddings)) != len(labels):
        raise InputError(
            f"{len(np.asarray(embeddings))} embeddings for {len(labels)} labelled videos, {len(score)} pairs for "
            f"{len(pairs.genuine)} labels of pairs; they must be as many"
        )
    drivers, faces = labels.driver_code.astype(np.int32), labels.target_code.astype(np.int32)
    return TrialScores(
        score=score,
        genuine=np.asarray(pairs.genuine, np.bool_),
        first=drivers[pairs.first],
        second=drivers[pairs.second],
        first_face=faces[pairs.first],
        second_face=faces[pairs.second],
        target=np.full(len(score), -1, np.int32),
        drivers=labels.drivers,
        targets=labels.targets,
        per_target=False,
    )
