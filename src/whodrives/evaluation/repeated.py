"""Likelihood ratios of several windows of one video: windows repeat part of each other's evidence.

Model: score of window w of trial i = mean of its kind + b_i + e_iw, with b_i (this person, face and template) the same
in all windows of the trial and e_iw new in each. Windows of a trial then correlate by rho = var b / (var b + var e),
and the log-likelihood ratio of n windows with mean score m is that of ONE window of score m, times

    n_eff = n / (1 + (n - 1) rho)

(exact for Gaussian b and e with equal variances in both kinds; 1 + (n - 1) rho is Kish's design effect, Survey
Sampling, 1965). It levels off at 1 / rho: watching longer shows better how alike two people are, and no more. What one
window is worth comes from logistic calibration, which does not need Gaussian scores.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError
from whodrives.evaluation.llr import LogisticLlr, fit_logistic_llr

Table = NDArray[np.float64]


@dataclass(frozen=True)
class RepeatedLlr:
    """one : calibration of a single window's score. correlation : rho, 0..1, of windows that share no frame."""

    one: LogisticLlr
    correlation: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.correlation <= 1.0:
            raise InputError(f"correlation {self.correlation} between windows must lie in 0..1")

    def effective(self, windows: ArrayLike) -> Table:
        """How many independent windows `windows` of one video are worth; fractions (a share of a window's frames) above
        0 count too. Raises InputError for 0 or less."""
        count = np.asarray(windows, np.float64)
        if not (count > 0).all():
            raise InputError("evidence needs more than 0 windows")
        # Under one window there is nothing to correlate with.
        return np.asarray(count / (1 + np.maximum(count - 1, 0) * self.correlation))

    def llr(self, mean_score: ArrayLike, windows: ArrayLike) -> Table:
        """Natural log-likelihood ratios, positive for the same driver.

        Parameters
        ----------
        mean_score : mean cosine of the windows, any shape. windows : how many, of that shape or one number; for windows
            that overlap, what they are `Worth`.
        """
        return np.asarray(self.one.llr(mean_score) * self.effective(windows))


class Worth:
    """How many windows without a common frame the mean of windows is worth that overlap, one window after another.

    Were e_iw the mean of noise of frames, two windows of `length` frames that share k of them would correlate by
    k / length, and the mean of n windows has the variance of n^2 / sum_ij (k_ij / length) windows that share none. That
    is less than the frames that they cover / length, since their mean counts the frames in the middle more often.
    Constant memory.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._starts: deque[int] = deque()
        self._count = 0
        self._shared = 0.0

    def add(self, start: int, valid: int | None = None) -> float:
        """The next window, its first frame no smaller than the last one's -> what all of them are worth, above 0.

        valid : its real frames, where the rest is padding; these it shares with no other. None: all.
        """
        while self._starts and self._starts[0] + self.length <= start:
            self._starts.popleft()
        common = sum(other + self.length - start for other in self._starts) / self.length
        self._starts.append(start)
        self._count += 1
        self._shared += self.length / (valid or self.length) + 2 * common
        return self._count**2 / self._shared


def read_calibration(card: Mapping[str, Any]) -> RepeatedLlr | None:
    """The calibration of a card, None when it has none. Raises TypeError, ValueError or InputError when it is wrong."""
    if not card.get("calibration"):
        return None
    fields = dict(card["calibration"])
    one = LogisticLlr(**fields.pop("one"))
    if not all(math.isfinite(number) for number in (one.scale, one.offset, one.low, one.high)):
        raise ValueError("a number of the calibration is not finite")
    return RepeatedLlr(one, **fields)


def variance_parts(scores: ArrayLike) -> tuple[float, float]:
    """Variances between and within trials of one kind, by analysis of variance (unbiased but for the cut at 0).

    Parameters
    ----------
    scores : (P, W), W windows of each of P trials, P >= 2, W >= 2.
    """
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise InputError(
            f"scores of shape {table.shape}: give 2 windows or more of each of 2 trials or more, all finite"
        )
    windows = table.shape[1]
    within = float(table.var(axis=1, ddof=1).mean())
    between = float(table.mean(axis=1).var(ddof=1)) - within / windows
    return max(between, 0.0), within


def fit_repeated_llr(genuine: ArrayLike, impostor: ArrayLike, prior: float = 0.5) -> RepeatedLlr:
    """Fit both parts.

    Parameters
    ----------
    genuine, impostor : (P, W) and (Q, W) cosines of W windows of each trial that share no frame. prior : as for
        `fit_logistic_llr`.

    Returns
    -------
    RepeatedLlr. Variances are the mean of both kinds, each counting alike; scores that never vary give rho = 1.
    """
    parts = np.array([variance_parts(genuine), variance_parts(impostor)]).mean(axis=0)
    total = float(parts.sum())
    one = fit_logistic_llr(np.ravel(genuine), np.ravel(impostor), prior)
    return RepeatedLlr(one, float(parts[0]) / total if total > 0 else 1.0)


def wald_bounds(far: float, frr: float) -> tuple[float, float]:
    """Log-likelihood ratios below and above which a sequential test decides (Wald, 1945).

    Parameters
    ----------
    far, frr : wanted rates of false accepts and false rejects, each in 0..1 with far + frr < 1.

    Returns
    -------
    (reject at or below, accept at or above): log(frr / (1 - far)) and log((1 - frr) / far). With true likelihood ratios
    P(impostor is ever accepted) <= far / (1 - frr), and P(genuine is ever rejected) <= frr / (1 - far), however often
    one looks.
    """
    if not (0 < far < 1 and 0 < frr < 1 and far + frr < 1):
        raise InputError(f"error rates {far} and {frr} must be above 0 and sum to less than 1")
    return math.log(frr / (1 - far)), math.log((1 - frr) / far)
