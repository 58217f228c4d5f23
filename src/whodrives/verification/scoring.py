"""The windows of a probe and what their scores are worth together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.evaluation.repeated import Worth
from whodrives.verification.aggregation import independent_spans, independent_windows, trimmed_mean
from whodrives.verification.embedding import Embedding, WindowInfo

# Frames between the first ones of two videos, more than any has.
_APART = 2**48


@dataclass(frozen=True)
class WindowScore:
    """One probe window and its raw cosine with the template; `usable` windows make up the score of the video."""

    video: int
    start: int
    seconds: float
    valid: int
    energy: float
    gated: bool
    usable: bool
    problem: str | None
    score: float | None


@dataclass(frozen=True)
class ScoredVideo:
    """Which square `crop` (x, y, side, side) of the upright frames of a video was scored: with several faces, whose."""

    path: str
    crop: tuple[int, int, int, int]


def scored_videos(probe: Embedding) -> tuple[ScoredVideo, ...]:
    """What of each video was scored."""
    return tuple(ScoredVideo(video.path, video.crop) for video in probe.videos)


def video_score(probe: Embedding, scores: NDArray[np.float32]) -> float | None:
    """Trimmed mean over the usable windows; over all windows when none is usable; None without windows."""
    if len(scores) == 0:
        return None
    return trimmed_mean(scores[probe.usable] if probe.usable.any() else scores)


def worth_of(probe: Embedding) -> float:
    """Independent windows that the mean of the usable ones is worth: overlapping ones repeat evidence."""
    worth, last = Worth(probe.model.clip_length), 0.0
    for window in probe.windows:
        if window.usable:
            # Windows of two videos share no frame.
            last = worth.add(window.video * _APART + window.start, window.valid)
    return last


def likelihood_ratio(probe: Embedding, score: float | None) -> float | None:
    """Natural log-likelihood ratio of a video's score, positive for the claimed driver; None without calibration, a
    score or a usable window. Of a cohort's best score it says how strong the match is, not how rare."""
    worth = worth_of(probe)
    if probe.model.calibration is None or score is None or not worth:
        return None
    return float(probe.model.calibration.llr(score, worth))


def window_scores(probe: Embedding, scores: NDArray[np.float32]) -> tuple[WindowScore, ...]:
    """The windows of `probe` with their scores (W,); an empty `scores` leaves them None."""
    values: list[float | None] = [float(value) for value in scores] or [None] * len(probe.windows)
    return tuple(_window_score(window, value) for window, value in zip(probe.windows, values, strict=True))


def _window_score(window: WindowInfo, score: float | None) -> WindowScore:
    return WindowScore(
        video=window.video,
        start=window.start,
        seconds=window.seconds,
        valid=window.valid,
        energy=window.energy,
        gated=window.gated,
        usable=window.usable,
        problem=window.problem,
        score=score,
    )


def evidence(probe: Embedding) -> int:
    """Windows' worth of evidence: thresholds were measured on whole windows, so four half ones count as two."""
    spans = [(w.video, w.start, w.valid) for w in probe.windows if w.usable]
    if not spans:
        return 0
    whole = sum(valid for _, _, valid in independent_spans(spans)) // probe.model.clip_length
    return max(1, min(independent_windows(spans), whole))
