"""Thresholds measured on verification trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whodrives.errors import InputError
from whodrives.evaluation.metrics import threshold_at_far


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with what it does on the trials that it was measured on.

    threshold : smallest accepted score. far, frr : shares of impostor trials accepted and of genuine trials refused,
    0..1. n_genuine, n_impostor : numbers of trials; with n impostor trials no rate under 1 / n can be measured.
    """

    threshold: float
    target_far: float
    far: float
    frr: float
    n_genuine: int
    n_impostor: int


def threshold_from_trials(genuine: ArrayLike, impostor: ArrayLike, far: float) -> OperatingPoint:
    """The threshold that accepts at most a share `far` of the impostor trials.

    Parameters
    ----------
    genuine, impostor : (n,) finite scores, higher = more alike. far : 0 < far < 1.

    Raises
    ------
    InputError
        Empty or non-finite scores, `far` out of range, or fewer than 1 / far impostor trials.
    """
    own = np.asarray(genuine, dtype=np.float64).ravel()
    others = np.asarray(impostor, dtype=np.float64).ravel()
    if not (len(own) and len(others) and np.isfinite(own).all() and np.isfinite(others).all()):
        raise InputError(
            f"calibration needs finite scores on both sides, got {len(own)} genuine and {len(others)} impostor trials"
        )
    if not 0.0 < far < 1.0:
        raise InputError(f"false-accept rate is {far}; give a number between 0 and 1")
    if len(others) * far < 1.0 - 1e-9:
        raise InputError(
            f"{len(others)} impostor trials cannot show a false-accept rate of {far:g}; "
            f"give at least {int(np.ceil(1 / far - 1e-9))}, or a higher rate"
        )
    threshold = float(threshold_at_far(others, far))
    return OperatingPoint(
        threshold=threshold,
        target_far=far,
        far=float((others >= threshold).mean()),
        frr=float((own < threshold).mean()),
        n_genuine=len(own),
        n_impostor=len(others),
    )
