"""Metrics of genuine and impostor scores. A higher score means more alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError

Scores = NDArray[np.float64]


def _scores(values: ArrayLike, name: str) -> Scores:
    """A flat copy in double precision; single precision stays, which halves the time of tens of millions."""
    given = np.asarray(values)
    kind: Any = np.float32 if given.dtype == np.float32 else np.float64
    array: Scores = given.astype(kind).ravel()
    if array.size == 0:
        raise InputError(f"no {name} scores: a metric needs at least one genuine and one impostor trial")
    if np.isnan(array).any():
        raise InputError(f"{int(np.isnan(array).sum())} of {array.size} {name} scores are NaN; leave such trials out")
    return array


def roc_auc(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """Probability that a genuine trial scores above an impostor trial, ties counting half; 0..1.

    Raises InputError when either side is empty or holds NaN.
    """
    positive, negative = _scores(genuine, "genuine"), _scores(impostor, "impostor")
    negative.sort()
    # Sorted queries walk through the table in order, which is several times faster than at random.
    positive.sort()
    wins = np.searchsorted(negative, positive, "left").sum() + np.searchsorted(negative, positive, "right").sum()
    return float(wins / 2 / (positive.size * negative.size))


def error_rates(genuine: ArrayLike, impostor: ArrayLike) -> tuple[Scores, Scores, Scores]:
    """Thresholds (ascending, then +inf), and FAR and FRR when everything at or above the threshold is accepted."""
    positive, negative = np.sort(_scores(genuine, "genuine")), np.sort(_scores(impostor, "impostor"))
    thresholds = np.append(np.unique(np.concatenate((positive, negative))), np.inf)
    accepted: NDArray[Any] = negative.size - np.searchsorted(negative, thresholds, side="left")
    missed: NDArray[Any] = np.searchsorted(positive, thresholds, side="left")
    return thresholds, accepted / negative.size, missed / positive.size


def eer(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """Equal error rate, 0..1: mean of FAR and FRR at the threshold where they differ least."""
    _, far, frr = error_rates(genuine, impostor)
    at = int(np.argmin(np.abs(far - frr)))
    return float((far[at] + frr[at]) / 2)


def threshold_at_far(impostor: ArrayLike, far: float) -> float:
    """Smallest threshold at which at most a share `far` of the impostors scores at or above it.

    Raises InputError when far lies outside 0..1, or when scores are missing or NaN.
    """
    if not 0.0 <= far <= 1.0:
        raise InputError(f"false-accept rate {far} must lie in 0..1")
    scores = np.sort(_scores(impostor, "impostor"))[::-1]
    allowed = int(np.floor(far * scores.size + 1e-9))
    if allowed >= scores.size:
        return float(scores[-1])
    return float(np.nextafter(scores[allowed], np.inf))


def tar_at_far(genuine: ArrayLike, impostor: ArrayLike, far: float) -> float:
    """Share of genuine trials accepted at `threshold_at_far`; 0..1."""
    return float((_scores(genuine, "genuine") >= threshold_at_far(impostor, far)).mean())
