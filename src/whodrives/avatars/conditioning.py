"""Motion conditioning: take the tracker's fingerprint out of a track before it is rendered.

ONE raw frame of tracker output tells people apart (resting offsets, lighting, lens), and so does the band above 6 Hz
(tracker noise). Neither is behaviour, so both go: gaps, low-pass, neutral removal, scale, channels left out.
Every step is a field of `Conditioning`. Source: ours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, GAZE_CHANNELS, INDEX, POSE_CHANNELS
from whodrives.errors import InputError

AU = slice(0, len(AU_CHANNELS))
EXPRESSION = slice(0, len(AU_CHANNELS) + len(GAZE_CHANNELS))
POSE = slice(EXPRESSION.stop, len(CHANNELS))
# Pose axes that tables without a true head pose do not carry well enough to show.
WEAK_POSE = tuple(name for name in POSE_CHANNELS if name not in ("yaw", "roll"))


@dataclass(frozen=True)
class Conditioning:
    """The steps, in the order they are applied.

    Parameters
    ----------
    min_confidence : frames with a tracking confidence below it are gaps.
    max_gap_seconds : gaps up to this long are interpolated and count as valid, longer ones are marked invalid.
    expression_cutoff_hz, pose_cutoff_hz : zero-phase Butterworth low-pass (order `filter_order`, run forth and back) of
        action units and gaze, and of head pose; None leaves that group unfiltered.
    remove_neutral : subtract, per recording, the `au_percentile`-th percentile of each action unit and the median of
        gaze and pose, measured on valid frames.
    yaw_scale : factor on yaw (yaw from eye landmarks is overscaled).
    true_head_pose : the table holds a real head pose (OpenFace's own): keep pitch and translation, filtered and
        centred like roll and yaw, and leave yaw unscaled. Otherwise pitch and translation become 0 (not rendered).
    """

    min_confidence: float = 0.8
    max_gap_seconds: float = 0.2
    expression_cutoff_hz: float | None = 6.0
    pose_cutoff_hz: float | None = 3.0
    filter_order: int = 4
    remove_neutral: bool = True
    au_percentile: float = 10.0
    yaw_scale: float = 0.6
    true_head_pose: bool = False

    def __post_init__(self) -> None:
        for name in ("expression_cutoff_hz", "pose_cutoff_hz"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"conditioning: {name} must be positive or None, got {value}")
        if not 0 <= self.au_percentile <= 100:
            raise InputError(f"conditioning: au_percentile must lie in 0..100, got {self.au_percentile}")
        if not 0 <= self.min_confidence <= 1:
            raise InputError(f"conditioning: min_confidence must lie in 0..1, got {self.min_confidence}")
        if self.max_gap_seconds < 0 or self.filter_order < 1:
            raise InputError("conditioning: max_gap_seconds must be >= 0 and filter_order >= 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the metadata of what was made from the tracks."""
        return asdict(self)


DEFAULT = Conditioning()


def condition(
    values: NDArray[np.floating[Any]],
    confidence: NDArray[np.floating[Any]] | None,
    fps: float,
    options: Conditioning = DEFAULT,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Condition one recording.

    Parameters
    ----------
    values : (N, 25) raw channels in the order of `CHANNELS`; a frame with any non-finite value is a gap.
    confidence : (N,) in 0..1, or None when every frame is trusted.

    Returns
    -------
    values float32 (N, 25), all finite, and valid bool (N,).

    Raises
    ------
    InputError
        No frame is usable.
    """
    valid_now = np.isfinite(values).all(axis=1)
    if confidence is not None:
        valid_now &= np.asarray(confidence) >= options.min_confidence  # a NaN confidence is a gap as well
    if not valid_now.any():
        raise InputError(f"none of the {len(values)} frames has confidence >= {options.min_confidence} and all values")
    out, valid = bridge_gaps(np.asarray(values, dtype=np.float64), valid_now, round(options.max_gap_seconds * fps))
    out = low_pass(out, fps, options)
    if options.remove_neutral:
        out = subtract_neutral(out, valid if valid.any() else valid_now, options)
    if not options.true_head_pose:
        out[:, INDEX["yaw"]] *= options.yaw_scale
        out[:, [INDEX[name] for name in WEAK_POSE]] = 0.0
    return out.astype(np.float32), valid


def bridge_gaps(
    values: NDArray[np.float64], good: NDArray[np.bool_], max_gap: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Interpolate over frames that are not `good` (N,), and say which frames are valid afterwards.

    Every gap is bridged linearly, so that the filter sees no jump, but only gaps of at most `max_gap` frames between
    two good frames become valid. Gaps at either end hold the nearest good frame and stay invalid.
    """
    if good.all():
        return values.copy(), good.copy()
    frames = np.arange(len(good))
    known = np.flatnonzero(good)
    out = values.copy()
    missing = np.flatnonzero(~good)
    after = np.searchsorted(known, missing)
    left = known[np.maximum(after - 1, 0)]
    right = known[np.minimum(after, len(known) - 1)]
    share = np.clip((missing - left) / np.maximum(right - left, 1), 0.0, 1.0)[:, None]
    out[missing] = values[left] * (1 - share) + values[right] * share
    inside = (after > 0) & (after < len(known))
    valid = good.copy()
    valid[frames[missing[inside & (right - left - 1 <= max_gap)]]] = True
    return out, valid


def low_pass(values: NDArray[np.float64], fps: float, options: Conditioning) -> NDArray[np.float64]:
    """Zero-phase low-pass of (N, 25): action units and gaze at one cut-off, head pose at another."""
    out = values.copy()
    for part, cutoff in ((EXPRESSION, options.expression_cutoff_hz), (POSE, options.pose_cutoff_hz)):
        # At or above the Nyquist rate there is nothing left to remove.
        if cutoff is None or cutoff >= fps / 2:
            continue
        sos = butter(options.filter_order, cutoff, fs=fps, output="sos")
        pad = min(3 * (2 * len(sos) + 1), len(values) - 1)
        out[:, part] = sosfiltfilt(sos, values[:, part], axis=0, padlen=pad)
    return out


def subtract_neutral(
    values: NDArray[np.float64], valid: NDArray[np.bool_], options: Conditioning = DEFAULT
) -> NDArray[np.float64]:
    """(N, 25) minus the recording's neutral: a low percentile of each action unit, the median of gaze and pose."""
    seen = values[valid]
    neutral = np.median(seen, axis=0)
    neutral[AU] = np.percentile(seen[:, AU], options.au_percentile, axis=0)
    return values - neutral
