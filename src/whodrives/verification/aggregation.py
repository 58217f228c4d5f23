"""Scores of windows to one score of a video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from whodrives.errors import InputError

TRIM = 0.1


def trimmed_mean(scores: ArrayLike, trim: float = TRIM) -> float:
    """Mean of the scores without the floor(trim * n) lowest and as many highest (ours).

    Parameters
    ----------
    scores : (n,) finite numbers, n >= 1. trim : share cut from each end, 0 <= trim < 0.5.

    One window counts as itself. Up to nine windows are a plain mean at the default: the thresholds in a weights card
    are measured on plain means of one and of four windows, so they hold there exactly; a long video with a few odd
    windows (an interruption, a bad shot) is not swayed by them.

    Raises
    ------
    InputError
        No scores, a score that is not finite, or `trim` out of range.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64).ravel())
    if len(values) == 0 or not np.isfinite(values).all():
        raise InputError(f"cannot aggregate {len(values)} scores; give at least one, all of them finite")
    if not 0.0 <= trim < 0.5:
        raise InputError(f"trim is {trim}; give a share from 0 up to, not including, 0.5")
    cut = int(trim * len(values))
    return float(values[cut : len(values) - cut].mean())


def independent_spans(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """A largest set of windows that share no frame with each other (greedy by their ends).

    Parameters
    ----------
    spans : (video index, first frame, number of frames) of each window.
    """
    chosen, video, end = [], -1, 0
    for index, start, length in sorted(spans, key=lambda span: (span[0], span[1] + span[2])):
        if index != video or start >= end:
            chosen.append((index, start, length))
            video, end = index, start + length
    return chosen


def independent_windows(spans: Sequence[tuple[int, int, int]]) -> int:
    """How many of the windows share no frame with each other; `spans` as for `independent_spans`.

    Overlapping windows repeat evidence. Thresholds for several windows assume evidence that does not repeat, so the
    threshold is chosen by this number, which errs on the strict side.
    """
    return len(independent_spans(spans))
