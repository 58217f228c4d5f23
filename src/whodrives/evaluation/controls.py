"""Controls: the same videos with what a driver can be told by taken away, one thing at a time.

A control says something only about a network that has learned something: beside every control stands the AUC on
training drivers; under `report.parts.MIN_TRAINING_AUC` the control reads "not trained".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError

Frames = NDArray[np.uint8]
Alteration = Callable[[Frames, int, np.random.Generator], Frames]


def static_frame(window: Frames, valid: int, rng: np.random.Generator) -> Frames:
    """Every frame is the middle one of the real frames: appearance alone."""
    return np.broadcast_to(window[valid // 2], window.shape).copy()


def shuffled(window: Frames, valid: int, rng: np.random.Generator) -> Frames:
    """The real frames in random order: how much changes, without how it goes on."""
    order = np.arange(len(window))
    order[:valid] = rng.permutation(valid)
    order[valid:] = order[valid - 1]
    return window[order]


def reversed_time(window: Frames, valid: int, rng: np.random.Generator) -> Frames:
    """The real frames backwards: the same poses and speeds, onset and offset exchanged."""
    order = np.maximum(valid - 1 - np.arange(len(window)), 0)
    return window[order]


ALTERATIONS: dict[str, Alteration] = {
    "static frame": static_frame,
    "shuffled": shuffled,
    "reversed": reversed_time,
}


def duration_vectors(seconds: ArrayLike) -> NDArray[np.float32]:
    """Lengths of videos as points on a half circle, so that protocols can compare them by cosine.

    Parameters
    ----------
    seconds : (N,) positive durations.

    Returns
    -------
    float32 (N, 2) unit rows; the cosine of two rows falls strictly with the difference of the logarithms.

    Raises
    ------
    InputError
        A duration that is not positive and finite.
    """
    values = np.asarray(seconds, np.float64)
    if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise InputError("durations must be positive, finite seconds, one a video")
    logs = np.log(values)
    angle = (logs - logs.min()) / max(float(np.ptp(logs)), 1e-9) * (np.pi / 2)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
