"""From what the metrics return to the parts of a report."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError
from whodrives.evaluation.detection import TarAtFar, det_curve, finite_scores
from whodrives.evaluation.identification import FnirAtFpir
from whodrives.evaluation.intervals import Interval
from whodrives.evaluation.report.parts import (
    CURVE_POINTS,
    TABLE_RATES,
    Bounds,
    Curves,
    DetPoints,
    Estimate,
    Fnir,
    Histograms,
    NotMeasurable,
    PairCounts,
    RocPoints,
    Subgroup,
    Tar,
)
from whodrives.evaluation.subgroups import SubgroupResult

BINS = 40


def _spread(x: NDArray[np.float64], y: NDArray[np.float64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most CURVE_POINTS indices evenly along the drawn curve; both ends and the indices `kept` are among them."""
    if len(x) <= CURVE_POINTS:
        return np.arange(len(x))
    along = np.concatenate(([0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))))
    picks = np.searchsorted(along, np.linspace(0, along[-1], CURVE_POINTS - len(kept)))
    picks[0], picks[-1] = 0, len(x) - 1
    return np.union1d(picks, kept)


def measured_curves(genuine: ArrayLike, impostor: ArrayLike) -> Curves:
    """DET and ROC points, thinned evenly along each drawn curve; what is kept is unchanged.

    The points at TABLE_RATES are kept, so that a report's tables agree with `measured_tar` to the last digit.

    genuine, impostor : finite scores, any shape. Raises InputError for empty or non-finite scores.
    """
    det = det_curve(genuine, impostor)
    # FAR falls along the curve: the first point within a rate has the fewest false rejects.
    kept = np.array([int(np.argmax(det.far <= rate + 1e-12)) for rate in TABLE_RATES])
    probits, rates = _spread(det.far_probit, det.frr_probit, kept), _spread(det.far, det.frr, kept)
    return Curves(
        DetPoints(tuple(det.far[probits].tolist()), tuple(det.frr[probits].tolist())),
        RocPoints(tuple(det.far[rates].tolist()), tuple((1 - det.frr[rates]).tolist())),
    )


def score_histograms(genuine: ArrayLike, impostor: ArrayLike, bins: int = BINS) -> Histograms:
    """Counts in `bins` bins of one width, before which one wide bin may stand that holds the lowest 1%.

    Cosines crowd near 1 with a thin tail far below; over the whole range the crowd would be a single bar. Raises
    InputError for empty or non-finite scores.
    """
    positive, negative = finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor")
    pooled = np.concatenate((positive, negative))
    low, high, start = pooled.min(), pooled.max(), np.quantile(pooled, 0.01)
    edges = np.histogram_bin_edges(pooled, bins)
    if high > start and start - low > 3 * (high - start) / bins:
        edges = np.concatenate(([low], np.linspace(start, high, bins)))
    if not np.all(np.diff(edges) > 0):
        raise InputError("the scores lie too close together for a histogram; leave it out")
    counts = [tuple(np.histogram(part, edges)[0].tolist()) for part in (positive, negative)]
    return Histograms(tuple(edges.tolist()), *counts)


def _needs(rate: float, trials: str) -> NotMeasurable:
    return NotMeasurable(f"needs {math.ceil(1 / rate - 1e-9):,} {trials}")


def tar_entry(measured: TarAtFar, ci95: Bounds | None = None) -> Tar | NotMeasurable:
    """TAR at a FAR, or how many impostor trials it would take. ci95 : its interval, taken to hold the value."""
    if measured.tar is None or measured.threshold is None:
        return _needs(measured.target_far, "impostor trials")
    return Tar(measured.tar, measured.threshold, around(measured.tar, ci95))


def fnir_entry(measured: FnirAtFpir) -> Fnir | NotMeasurable:
    """FNIR at an FPIR, or how many probes of strangers it would take."""
    if measured.rates is None:
        return _needs(measured.target_fpir, "probes of strangers")
    return Fnir(measured.rates.fnir, measured.rates.threshold)


def subgroup_entry(attribute: str, measured: SubgroupResult, metric: str = "AUC") -> Subgroup:
    """One attribute's subgroups, their labels as text."""
    return Subgroup(
        attribute=attribute,
        values={str(name): value for name, value in measured.values.items()},
        gap=measured.gap if len(measured.values) > 1 else None,
        metric=metric,
        trials={str(name): PairCounts(*counts) for name, counts in measured.trials.items()},
        skipped=tuple(str(name) for name in measured.skipped),
    )


def around(value: float, ci95: Bounds | None) -> Bounds | None:
    """An interval widened to hold `value`, where it rests on a part of the trials."""
    return None if ci95 is None else (min(ci95[0], value), max(ci95[1], value))


def estimate(interval: Interval) -> Estimate:
    """An interval as an estimate."""
    return Estimate(interval.value, (interval.low, interval.high))
