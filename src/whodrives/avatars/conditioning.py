"""Motion conditioning: take the tracker's fingerprint out of a track before it is rendered.

ONE raw frame of tracker output tells people apart (resting offsets, lighting, lens), and so does the band above 6 Hz
(tracker noise). Neither is behaviour, so both go: gaps, low-pass, neutral removal, scale, channels left out.
Every step is a field of `Conditioning`; `for_source` gives the set that fits each kind of file. Source: ours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, GAZE_CHANNELS, INDEX, POSE_CHANNELS, SIDE_CHANNELS
from whodrives.errors import InputError

AU = slice(0, len(AU_CHANNELS))
EXPRESSION = slice(0, len(AU_CHANNELS) + len(GAZE_CHANNELS))
POSE = slice(EXPRESSION.stop, EXPRESSION.stop + len(POSE_CHANNELS))
TRANSLATION = slice(INDEX["tx"], INDEX["tz"] + 1)
SIDES = slice(POSE.stop, len(CHANNELS))
# Half differences between the sides, and the units that they belong to.
HALF_DIFFERENCES = [INDEX[name] for name in SIDE_CHANNELS if name.endswith("_lr")]
SIDED = [INDEX[name.removesuffix("_lr")] for name in SIDE_CHANNELS if name.endswith("_lr")]
# From the top of the neck, level with the chin, to the midpoint of the eyes, in inter-ocular distances.
NECK_TO_EYES = (0.0, -1.9, -1.0)
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
        action units, their sides and gaze, and of head pose; None leaves that group unfiltered.
    remove_neutral : subtract, per recording, the `au_percentile`-th percentile of each action unit and the median of
        gaze, pose and sides, measured on valid frames.
    yaw_scale : factor on yaw (yaw from eye landmarks is overscaled).
    true_head_pose : the table holds a real head pose (OpenFace's own): keep pitch and translation, filtered and
        centred like roll and yaw, and leave yaw unscaled. Otherwise pitch and translation become 0 (not rendered).
    about_neck : with a true head pose whose translation is that of the midpoint of the eyes: take off what turning
        about the neck alone does to the eyes (`NECK_TO_EYES`), since generators turn heads there.
    keep_translation : False zeroes tx, ty and tz, e.g. for cameras held by hand.
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
    about_neck: bool = False
    keep_translation: bool = True

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
# What each kind of source measures. Confidence of the others is 0 or 1.
SOURCES = {
    "table": DEFAULT,
    "openface": Conditioning(true_head_pose=True, about_neck=True),
    "livelink": Conditioning(true_head_pose=True),  # rotation alone: nothing to take off
    "mediapipe": Conditioning(true_head_pose=True, about_neck=True),
    "video": Conditioning(true_head_pose=True, about_neck=True),
}


def for_source(name: str) -> Conditioning:
    """The conditioning of a kind of source.

    Parameters
    ----------
    name : ``table`` (Parquet without a true head pose), ``openface``, ``livelink``, ``mediapipe`` or ``video``.

    Raises
    ------
    InputError
        No such source; the message lists those there are.
    """
    if name not in SOURCES:
        raise InputError(f"conditioning: unknown source {name!r}; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def condition(
    values: NDArray[np.floating[Any]],
    confidence: NDArray[np.floating[Any]] | None,
    fps: float,
    options: Conditioning = DEFAULT,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Condition one recording.

    Parameters
    ----------
    values : (N, 33) raw channels in the order of `CHANNELS`; a frame with any non-finite value is a gap.
    confidence : (N,) in 0..1, or None when every frame is trusted.

    Returns
    -------
    values float32 (N, 33), all finite, and valid bool (N,).

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
    out, valid = bridge_gaps(np.asarray(values, dtype=np.float64), valid_now, int(options.max_gap_seconds * fps + 1e-6))
    out = low_pass(out, fps, options)
    if options.remove_neutral:
        out = subtract_neutral(out, valid if valid.any() else valid_now, options)
    if not options.true_head_pose:
        out[:, INDEX["yaw"]] *= options.yaw_scale
        out[:, [INDEX[name] for name in WEAK_POSE]] = 0.0
    elif not options.keep_translation:
        out[:, TRANSLATION] = 0.0
    elif options.about_neck:
        turned = rotations(out[:, INDEX["pitch"]], out[:, INDEX["yaw"]], out[:, INDEX["roll"]]) @ NECK_TO_EYES
        out[:, TRANSLATION] -= turned - np.array(NECK_TO_EYES)
    return out.astype(np.float32), valid


def rotations(pitch: NDArray[np.float64], yaw: NDArray[np.float64], roll: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices (N, 3, 3) = Rx(pitch) Ry(yaw) Rz(roll), angles (N,) in radians, axes x right, y down, z away.

    This order is OpenFace's. Positive pitch brings the nose down, yaw to the left of the image, roll is clockwise.
    """
    (ca, sa), (cb, sb), (cc, sc) = ((np.cos(a), np.sin(a)) for a in (pitch, yaw, roll))
    rows = [
        [cb * cc, -cb * sc, sb],
        [ca * sc + sa * sb * cc, ca * cc - sa * sb * sc, -sa * cb],
        [sa * sc - ca * sb * cc, sa * cc + ca * sb * sc, ca * cb],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def head_angles(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) pitch, yaw, roll in radians of rotation matrices (N, 3, 3): the way back from `rotations`."""
    pitch = np.arctan2(-matrices[:, 1, 2], matrices[:, 2, 2])
    yaw = np.arcsin(np.clip(matrices[:, 0, 2], -1.0, 1.0))
    roll = np.arctan2(-matrices[:, 0, 1], matrices[:, 0, 0])
    return np.stack([pitch, yaw, roll], axis=1)


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
    """Zero-phase low-pass of (N, 33): action units and gaze at one cut-off, head pose at another."""
    out = values.copy()
    expression, pose = options.expression_cutoff_hz, options.pose_cutoff_hz
    for part, cutoff in ((EXPRESSION, expression), (SIDES, expression), (POSE, pose)):
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
    """(N, 33) minus the recording's neutral: a low percentile of each action unit, the median of the others.

    A unit with sides has a neutral on each side, or a smile that only one half makes would leave the resting face with
    the opposite one: left = unit + difference, right = unit - difference.
    """
    out = values - np.median(values[valid], axis=0)
    out[:, AU] = values[:, AU] - np.percentile(values[valid][:, AU], options.au_percentile, axis=0)
    sides = np.stack([values[:, SIDED] + values[:, HALF_DIFFERENCES], values[:, SIDED] - values[:, HALF_DIFFERENCES]])
    left, right = sides - np.percentile(sides[:, valid], options.au_percentile, axis=1)[:, None]
    out[:, SIDED], out[:, HALF_DIFFERENCES] = (left + right) / 2, (left - right) / 2
    return out
