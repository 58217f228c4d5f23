"""From scores to natural-log likelihood ratios (LLR), and how good LLRs are: Cllr and minCllr, in bits.

LLR > 0 speaks for the same driver, LLR < 0 against. Source of Cllr and of the prior-weighted logistic calibration:
Brümmer and du Preez, Application-independent evaluation of speaker detection, Computer Speech & Language 20 (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from whodrives.errors import InputError
from whodrives.evaluation.detection import finite_scores
from whodrives.evaluation.metrics import Scores

RIDGE = 1e-4
STEPS = 200


def _no_nan(values: ArrayLike, name: str) -> Scores:
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise InputError(f"{int(np.isnan(array).sum())} of {array.size} {name} are NaN; leave such trials out")
    return array


@dataclass(frozen=True)
class LogisticLlr:
    """llr = scale * score + offset, between the scores that it was fitted on.

    scale : >= 0; 0 when genuine trials score no higher than impostors on average, then every LLR is 0. low, high : the
    smallest and largest score of the fit. Beyond them the LLR stays at its end value: no evidence was seen there, and
    it is finite for any score. prior, ridge : of the fit. n_genuine, n_impostor : trials.
    """

    scale: float
    offset: float
    low: float
    high: float
    prior: float
    ridge: float
    n_genuine: int
    n_impostor: int

    def llr(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores of any shape -> natural LLRs of that shape, never falling. Raises InputError for NaN."""
        inside = np.clip(_no_nan(scores, "scores"), self.low, self.high)
        return np.asarray(self.scale * inside + self.offset, dtype=np.float64)


def fit_logistic_llr(genuine: ArrayLike, impostor: ArrayLike, prior: float = 0.5, ridge: float = RIDGE) -> LogisticLlr:
    """Logistic calibration by its unique minimum.

    Minimises, with z the score standardised over the two kinds in equal parts and t = logit(prior),
    prior * mean log(1 + exp(-(a z + b + t))) over genuine + (1 - prior) * mean log(1 + exp(a z + b + t)) over impostor
    + 2 prior (1 - prior) ridge * a^2, over a >= 0 and b. Each kind is weighted by the prior and not by its number of
    trials. The ridge, which shrinks with the loss at uneven priors, makes the problem strictly convex, hence finite
    under perfect separation; the LLRs do not change when all scores are shifted or stretched.

    Parameters
    ----------
    genuine, impostor : finite scores, higher = more alike. prior : probability of a genuine trial, between 0 and 1,
    around which the LLRs shall be best. ridge : above 0.

    Raises
    ------
    InputError
        Empty or non-finite scores, a prior or ridge out of range, or scores so small that the scale overflows.
    """
    positive, negative = finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor")
    if not 0.0 < prior < 1.0:
        raise InputError(f"prior {prior} must lie between 0 and 1; 0.5 suits most uses")
    if not 0.0 < ridge < math.inf:
        raise InputError(f"ridge {ridge} must be finite and above 0; without it separated scores have no solution")
    both = np.concatenate((positive, negative))
    low, high = float(both.min()), float(both.max())
    # Within -1..1 no square overflows or vanishes.
    largest = max(-low, high) or 1.0
    both = both / largest
    share = np.concatenate((np.full(positive.size, 0.5 / positive.size), np.full(negative.size, 0.5 / negative.size)))
    centre = float(share @ both)
    spread = math.sqrt(float(share @ (both - centre) ** 2))
    slope, intercept = 0.0, 0.0
    # At a = 0 the best b is 0 and the slope of the loss has the sign of mean impostor - mean genuine: by convexity
    # that alone decides whether the bound a >= 0 holds the solution. Spread within rounding is no spread.
    if spread > 1e-12 and both[: positive.size].mean() > both[positive.size :].mean():
        is_genuine = np.arange(both.size) < positive.size
        weight, sign = np.where(is_genuine, 2 * prior, 2 * (1 - prior)) * share, np.where(is_genuine, 1.0, -1.0)
        shift, penalty = math.log(prior) - math.log1p(-prior), 4 * prior * (1 - prior) * ridge
        slope, intercept = _newton((both - centre) / spread, sign, weight, shift, penalty)
    scale = slope / spread / largest if slope else 0.0
    if not math.isfinite(scale):
        raise InputError(f"scores of at most {largest:.2g} are too small to calibrate; scale them up")
    offset = intercept - slope / spread * centre if slope else 0.0
    return LogisticLlr(scale, offset, low, high, prior, ridge, positive.size, negative.size)


def _newton(z: Scores, sign: Scores, weight: Scores, shift: float, penalty: float) -> tuple[float, float]:
    """Damped Newton steps on (a, b) from (0, 0) for the loss of `fit_logistic_llr`, with penalty / 2 * a^2."""
    design = np.stack((z, np.ones_like(z)), axis=1)
    ridge = np.array([penalty, 0.0])

    def loss(at: NDArray[Any]) -> float:
        return float(weight @ np.logaddexp(0.0, -sign * (design @ at + shift)) + 0.5 * ridge @ at**2)

    at = np.zeros(2)
    value = loss(at)
    for _ in range(STEPS):
        logit = design @ at + shift
        gradient = design.T @ (-sign * weight * expit(-sign * logit)) + ridge * at
        curvature = (design * (weight * expit(logit) * expit(-logit))[:, None]).T @ design + np.diag(ridge)
        step = -np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        decrement = float(-gradient @ step)
        if decrement < 1e-20:
            break
        size = 1.0
        while size > 1e-10 and loss(at + size * step) > value - 1e-4 * size * decrement:
            size /= 2
        # Under the rounding of the loss no step can be seen to help; a full one is taken only if it does no harm.
        if size <= 1e-10:
            at = at + step if loss(at + step) <= value else at
            break
        at = at + size * step
        value = loss(at)
    # At the optimum a is not negative (see the caller); rounding may leave -0 or less.
    return max(float(at[0]), 0.0), float(at[1])


def cllr(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """Cost of natural LLRs in bits: 0 = certain and right, 1 = as useful as LLR 0 throughout, unbounded above.

    Infinite LLRs are allowed; a wrong one costs infinitely. Raises InputError when a side is empty or holds NaN.
    """
    positive, negative = _no_nan(genuine, "genuine LLRs"), _no_nan(impostor, "impostor LLRs")
    if not positive.size or not negative.size:
        raise InputError("Cllr needs at least one genuine and one impostor LLR")
    cost = np.logaddexp(0.0, -positive).mean() + np.logaddexp(0.0, negative).mean()
    return float(cost / (2 * math.log(2)))


def _pool(genuine: list[int], impostor: list[int]) -> list[tuple[int, int, int]]:
    """Pool adjacent violators: counts per ascending score -> blocks (genuine, impostor, scores) of rising share.

    Compared as whole numbers, so that ties and monotone maps of the scores change nothing.
    """
    blocks: list[tuple[int, int, int]] = []
    for g, i in zip(genuine, impostor):
        block = (g, i, 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    return blocks


def _counts(genuine: ArrayLike, impostor: ArrayLike) -> tuple[Scores, list[int], list[int]]:
    positive, negative = finite_scores(genuine, "genuine"), finite_scores(impostor, "impostor")
    values, code = np.unique(np.concatenate((positive, negative)), return_inverse=True)
    code = code.ravel()
    counts = (np.bincount(part, minlength=values.size).tolist() for part in np.split(code, [positive.size]))
    return values, *counts


def min_cllr(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """Cllr after the best non-decreasing map of the scores, by isotonic regression: 0..1 bits.

    It measures how well scores separate and not how well they are calibrated; Cllr - minCllr is the calibration loss.
    The map is chosen on these very trials and may be infinite at the ends, where it costs nothing. Raises InputError
    as `finite_scores`.
    """
    _, own, other = _counts(genuine, impostor)
    n, m = sum(own), sum(other)
    cost = 0.0
    for g, i, _ in _pool(own, other):
        # LLR of a block = log(g / n) - log(i / m); a kind that is absent from a block costs nothing there.
        cost += g / n * math.log1p(i / m * n / g) if g else 0.0
        cost += i / m * math.log1p(g / n * m / i) if i else 0.0
    # Rounding may leave a hair above 1.
    return min(cost / (2 * math.log(2)), 1.0)


@dataclass(frozen=True)
class IsotonicLlr:
    """A rising staircase. score (K,) ascending, level (K,) natural LLRs, never falling, finite.

    Between two scores the LLR is that of the lower one; below the first it is the first's.
    """

    score: Scores
    level: Scores

    def llr(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores of any shape -> natural LLRs of that shape. Raises InputError for NaN."""
        at = np.searchsorted(self.score, _no_nan(scores, "scores"), side="right") - 1
        return np.asarray(self.level[np.maximum(at, 0)], dtype=np.float64)


def fit_isotonic_llr(genuine: ArrayLike, impostor: ArrayLike) -> IsotonicLlr:
    """The staircase behind `min_cllr`, kept finite: one genuine and one impostor trial more at each end.

    The four pseudo-trials lie below and above all scores. With n genuine trials above m impostors the levels are
    log((m + 2) / ((m + 1) (n + 2))) and log((n + 1) (m + 2) / (n + 2)). Raises InputError as `finite_scores`.
    """
    values, own, other = _counts(genuine, impostor)
    blocks = _pool([1, *own, 1], [1, *other, 1])
    odds = math.log((sum(own) + 2) / (sum(other) + 2))
    levels = [math.log(g / i) - odds for g, i, _ in blocks]
    level = np.repeat(levels, [size for _, _, size in blocks])
    return IsotonicLlr(values, level[1:-1])
