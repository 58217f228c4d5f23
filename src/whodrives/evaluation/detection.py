"""Verification beyond AUC: ROC and DET points, TAR at a FAR where the trials can show it, detection cost.

A trial is accepted when its score is at or above the threshold; a higher score means more alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from whodrives.errors import InputError
from whodrives.evaluation.metrics import Scores, error_rates, threshold_at_far


def finite_scores(values: ArrayLike, name: str) -> Scores:
    """Any shape -> (n,) float64. Raises InputError when there is none, or one is NaN or infinite.

    Infinite scores are refused because +inf is the threshold that accepts nothing.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        raise InputError(f"no {name} scores; give at least one")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise InputError(f"{bad} of {array.size} {name} scores are NaN or infinite; leave such trials out")
    return array


@dataclass(frozen=True)
class RocCurve:
    """threshold (K,) ascending, the last +inf; far, tar (K,) in 0..1, falling from (1, 1) to (0, 0)."""

    threshold: Scores
    far: Scores
    tar: Scores


@dataclass(frozen=True)
class DetCurve:
    """threshold (K,) ascending, the last +inf; far, frr (K,) in 0..1; far_probit, frr_probit (K,) for the axes.

    The probit of 0 and 1 is infinite, so for the axes alone a rate stays half a trial away from both: at least 0.5 / n
    and at most 1 - 0.5 / n, with n the number of trials of its kind.
    """

    threshold: Scores
    far: Scores
    frr: Scores
    far_probit: Scores
    frr_probit: Scores


def probit(rate: ArrayLike, trials: int) -> NDArray[np.float64]:
    """Place of a rate (0..1) on a DET axis in standard deviations; finite, see DetCurve.

    Source: Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997. Raises
    InputError when trials is under 1 or a rate lies outside 0..1.
    """
    rates = np.asarray(rate, dtype=np.float64)
    if trials < 1:
        raise InputError(f"{trials} trials; a rate needs at least one")
    if not ((rates >= 0) & (rates <= 1)).all():
        raise InputError("rates must lie in 0..1; give shares, not percentages")
    half = 0.5 / trials
    return np.asarray(norm.ppf(np.clip(rates, half, 1 - half)), dtype=np.float64)


def roc_curve(genuine: ArrayLike, impostor: ArrayLike) -> RocCurve:
    """One point per distinct score and one that accepts nothing. Raises InputError as `finite_scores`."""
    threshold, far, frr = error_rates(finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor"))
    return RocCurve(threshold, far, 1 - frr)


def det_curve(genuine: ArrayLike, impostor: ArrayLike) -> DetCurve:
    """The points of `roc_curve` as two error rates, with their places on probit axes. Errors as `finite_scores`."""
    positive, negative = finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor")
    threshold, far, frr = error_rates(positive, negative)
    return DetCurve(threshold, far, frr, probit(far, negative.size), probit(frr, positive.size))


@dataclass(frozen=True)
class TarAtFar:
    """target_far : the rate asked for. tar, far, threshold : what was measured, None when not measurable.

    smallest_far : the smallest rate that these trials can show, 1 / n_impostor. n_genuine, n_impostor : trials.
    """

    target_far: float
    tar: float | None
    far: float | None
    threshold: float | None
    smallest_far: float
    n_genuine: int
    n_impostor: int

    @property
    def measurable(self) -> bool:
        """Whether there are enough impostor trials for target_far."""
        return self.tar is not None

    def __str__(self) -> str:
        if self.tar is None:
            return f"not measurable (smallest FAR {self.smallest_far:.2g})"
        return f"{self.tar:.3f}"


def can_show(rate: float, trials: int) -> bool:
    """Whether `trials` trials can show an error rate: at least one expected error. Raises InputError outside 0..1."""
    if not 0.0 < rate < 1.0:
        raise InputError(f"error rate {rate} must lie between 0 and 1; for example 0.01")
    # The slack forgives the rounding of products such as 0.07 * 100.
    return trials * rate >= 1.0 - 1e-9


def measured_tar(genuine: ArrayLike, impostor: ArrayLike, far: float) -> TarAtFar:
    """Share of genuine trials accepted where at most a share `far` (between 0 and 1) of the impostors is.

    With fewer than 1 / far impostor trials the result says so (tar None) in place of a number that only the single
    highest impostor has made. Raises InputError as `finite_scores`, and when far is out of range.
    """
    positive, negative = finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor")
    counts = 1 / negative.size, positive.size, negative.size
    if not can_show(far, negative.size):
        return TarAtFar(far, None, None, None, *counts)
    threshold = threshold_at_far(negative, far)
    tar, reached = float((positive >= threshold).mean()), float((negative >= threshold).mean())
    return TarAtFar(far, tar, reached, threshold, *counts)


@dataclass(frozen=True)
class CostModel:
    """What errors cost. prior : probability of a genuine trial, between 0 and 1. miss, false_accept : costs above 0.

    Raises InputError when a number is out of range.
    """

    name: str
    prior: float
    miss: float = 1.0
    false_accept: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.prior < 1.0:
            raise InputError(f"cost model {self.name!r}: prior {self.prior} must lie between 0 and 1")
        if not (0.0 < self.miss < math.inf and 0.0 < self.false_accept < math.inf):
            raise InputError(f"cost model {self.name!r}: both costs must be finite and above 0")

    @property
    def weights(self) -> tuple[float, float]:
        """Factors of FRR and FAR, scaled so that the better of accepting and refusing everything costs 1."""
        miss, false_accept = self.prior * self.miss, (1 - self.prior) * self.false_accept
        least = min(miss, false_accept)
        return miss / least, false_accept / least

    @property
    def llr_threshold(self) -> float:
        """Natural-log likelihood ratio from which accepting is the cheaper decision."""
        return math.log((1 - self.prior) * self.false_accept) - math.log(self.prior * self.miss)


# sre08 and sre10: the core conditions of NIST's speaker recognition evaluation plans of 2008 and 2010; sre19av: the
# audio-visual part of 2019.
COST_MODELS = {
    model.name: model
    for model in (
        CostModel("balanced", 0.5),
        CostModel("sre08", 0.01, miss=10.0),
        CostModel("sre10", 0.001),
        CostModel("sre19av", 0.05),
    )
}


def cost_model(name: str) -> CostModel:
    """A cost model by name. Raises InputError that lists the names."""
    if name not in COST_MODELS:
        raise InputError(f"no cost model {name!r}; choose one of {', '.join(COST_MODELS)}, or make a CostModel")
    return COST_MODELS[name]


@dataclass(frozen=True)
class DetectionCost:
    """cost : normalised, 0 = no errors, 1 = no better than without scores. threshold : +inf refuses everything.

    far, frr : 0..1, the two error rates there. model : name of the cost model.
    """

    cost: float
    threshold: float
    far: float
    frr: float
    model: str


def detection_cost(
    genuine: ArrayLike, impostor: ArrayLike, model: CostModel, threshold: float | None = None
) -> DetectionCost:
    """Actual DCF at a threshold; without one, at the model's `llr_threshold`: then the scores must be natural LLRs.

    May exceed 1: a bad threshold is worse than none. Raises InputError as `finite_scores`, or for a NaN threshold.
    """
    positive, negative = finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor")
    at = model.llr_threshold if threshold is None else float(threshold)
    if math.isnan(at):
        raise InputError("the threshold is NaN; give a score, or +inf to refuse everything")
    far, frr = float((negative >= at).mean()), float((positive < at).mean())
    miss, false_accept = model.weights
    return DetectionCost(miss * frr + false_accept * far, at, far, frr, model.name)


def min_detection_cost(genuine: ArrayLike, impostor: ArrayLike, model: CostModel) -> DetectionCost:
    """minDCF: the smallest actual DCF over all thresholds, 0..1, with the lowest threshold that reaches it.

    Chosen on the trials that it is measured on, so it is a bound and no promise. Raises InputError as `finite_scores`.
    """
    threshold, far, frr = error_rates(finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor"))
    miss, false_accept = model.weights
    cost = miss * frr + false_accept * far
    at = int(np.argmin(cost))
    return DetectionCost(float(cost[at]), float(threshold[at]), float(far[at]), float(frr[at]), model.name)
