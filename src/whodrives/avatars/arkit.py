"""The 52 face coefficients of ARKit, and the way between them and our motion channels.

Names and meaning: Apple's documentation of `ARFaceAnchor.BlendShapeLocation`; "Left" is the person's own left. Which
action unit each one shows: FACS. All amounts are ours.

===========================  =============================================  ========================================
channel                      from ARKit (1.0 = full)                        to ARKit, at intensity 5
===========================  =============================================  ========================================
AU01                         5 browInnerUp                                  browInnerUp 1
AU02 AU04 AU05 AU06          5 browOuterUp, browDown, eyeWide, cheekSquint  the same, both sides 1
AU07 AU09 AU10 AU12          5 eyeSquint, noseSneer, mouthUpperUp, -Smile   the same, both sides 1
AU14 AU15 AU20               5 mouthDimple, mouthFrown, mouthStretch        the same, both sides 1
AU17                         5 (ShrugLower + 0.5 ShrugUpper)                mouthShrugLower 0.8, mouthShrugUpper 0.4
AU23                         5 (Press + 0.5 RollLower + 0.5 RollUpper       mouthPress 0.6, mouthRollLower 0.4,
                             + 0.5 Pucker + 0.3 Funnel)                     mouthRollUpper 0.4
AU25                         5 (1.5 LowerDown + (jawOpen - mouthClose, not  mouthLowerDown 0.6, jawOpen 0.1
                             under 0) + 0.3 Funnel)
AU26                         5 (jawOpen - 0.1 AU25 / 5) / 0.6               jawOpen 0.6
AU45                         2.5 eyeBlink (2.5 = closed)                    eyeBlink 2, so 1 at intensity 2.5
AU.._lr                      half of left minus right, same factors         +left, -right, same factors
gaze_x gaze_y                0.5 rad and 0.4 rad at 1.0, mean of the eyes   eyeLookIn/Out, eyeLookDown/Up
jaw_x mouth_x                jawLeft - jawRight, mouthLeft - mouthRight     the same
pitch yaw roll tx ty tz      0: head pose comes from elsewhere              not shown
===========================  =============================================  ========================================

Paired coefficients enter as the mean of both sides. Full jawOpen is a mouth torn open (AU27), hence the 0.6. Puckers
and funnels have no channel of their own; what they share with the lip tightener is the narrow mouth. jawForward,
cheekPuff and tongueOut are dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX
from whodrives.errors import InputError

ARKIT = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight",
    "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
ARKIT_INDEX = {name: number for number, name in enumerate(ARKIT)}

CLOSED = 2.5  # AU45 of a closed eye
GAZE_X, GAZE_Y = 0.5, 0.4  # radians at a full eyeLook coefficient
JAW = 0.6  # jawOpen of AU26 at intensity 5

# Action units with one partner: (channel, coefficient without its side, coefficient at intensity 5).
_PAIRED = (
    ("AU02", "browOuterUp", 1.0), ("AU04", "browDown", 1.0), ("AU05", "eyeWide", 1.0), ("AU06", "cheekSquint", 1.0),
    ("AU07", "eyeSquint", 1.0), ("AU09", "noseSneer", 1.0), ("AU10", "mouthUpperUp", 1.0), ("AU12", "mouthSmile", 1.0),
    ("AU14", "mouthDimple", 1.0), ("AU15", "mouthFrown", 1.0), ("AU20", "mouthStretch", 1.0),
    ("AU45", "eyeBlink", 5.0 / CLOSED),
)  # fmt: skip
# The others, at intensity 5.
_COMBINED = {
    "AU01": {"browInnerUp": 1.0},
    "AU17": {"mouthShrugLower": 0.8, "mouthShrugUpper": 0.4},
    "AU23": {"mouthPressLeft": 0.6, "mouthPressRight": 0.6, "mouthRollLower": 0.4, "mouthRollUpper": 0.4},
    "AU25": {"mouthLowerDownLeft": 0.6, "mouthLowerDownRight": 0.6, "jawOpen": 0.1},
    "AU26": {"jawOpen": JAW},
}
# Channels with a sign: what does +1 and what does -1.
_SIGNED = {
    "gaze_x": (("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight"), 1.0 / GAZE_X),
    "gaze_y": (("eyeLookDownLeft", "eyeLookDownRight"), ("eyeLookUpLeft", "eyeLookUpRight"), 1.0 / GAZE_Y),
    "jaw_x": (("jawLeft",), ("jawRight",), 1.0),
    "mouth_x": (("mouthLeft",), ("mouthRight",), 1.0),
}


def _matrix() -> NDArray[np.float32]:
    out = np.zeros((len(CHANNELS), len(ARKIT)), np.float32)
    for channel, shape, full in _PAIRED:
        left, right = ARKIT_INDEX[shape + "Left"], ARKIT_INDEX[shape + "Right"]
        out[INDEX[channel], [left, right]] = full / 5.0
        if f"{channel}_lr" in INDEX:
            out[INDEX[f"{channel}_lr"], [left, right]] = full / 5.0, -full / 5.0
    for channel, shapes in _COMBINED.items():
        for shape, full in shapes.items():
            out[INDEX[channel], ARKIT_INDEX[shape]] = full / 5.0
    for channel, (plus, minus, slope) in _SIGNED.items():
        out[INDEX[channel], [ARKIT_INDEX[s] for s in plus]] = slope
        out[INDEX[channel], [ARKIT_INDEX[s] for s in minus]] = -slope
    out.flags.writeable = False
    return out


# float32 (33, 52): coefficients for one unit of each channel, before clipping to 0..1. Channels with a sign raise one
# coefficient and lower its opposite, so that clipping leaves the right one.
CHANNEL_TO_ARKIT = _matrix()


def channels_from_arkit(weights: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Motion channels of a sequence of ARKit coefficients.

    Parameters
    ----------
    weights : (N, 52) in the order of `ARKIT`, 0..1 (a little outside is clipped). Rows of NaN (no face) stay NaN in
        every channel but head pose.

    Returns
    -------
    float32 (N, 33) in the order and units of `tracks.CHANNELS`: action units 0..5, sides as half differences, gaze in
    radians, jaw_x and mouth_x -1..1; head pose 0.

    Raises
    ------
    InputError
        The shape is wrong, or values are so far outside 0..1 that they must be in another unit.
    """
    raw = np.asarray(weights, dtype=np.float64)
    if raw.ndim != 2 or raw.shape[1] != len(ARKIT):
        raise InputError(f"ARKit coefficients must be (N, {len(ARKIT)}), got {raw.shape}")
    seen = raw[np.isfinite(raw)]
    if len(seen) and (seen.min() < -1.0 or seen.max() > 2.0):
        raise InputError(
            f"ARKit coefficients must lie in 0..1, got {seen.min():.3g}..{seen.max():.3g}; divide percentages by 100"
        )
    w = dict(zip(ARKIT, np.clip(raw, 0.0, 1.0).T, strict=True))
    out = np.zeros((len(raw), len(CHANNELS)))

    def both(shape: str) -> NDArray[np.float64]:
        return (w[shape + "Left"] + w[shape + "Right"]) / 2

    for channel, shape, full in _PAIRED:
        out[:, INDEX[channel]] = both(shape) * 5.0 / full
        if f"{channel}_lr" in INDEX:
            out[:, INDEX[f"{channel}_lr"]] = (w[shape + "Left"] - w[shape + "Right"]) / 2 * 5.0 / full
    roll = (w["mouthRollLower"] + w["mouthRollUpper"]) / 2
    parted = 1.5 * both("mouthLowerDown") + np.maximum(w["jawOpen"] - w["mouthClose"], 0.0) + 0.3 * w["mouthFunnel"]
    parted = np.minimum(parted, 1.0)
    out[:, INDEX["AU01"]] = 5.0 * w["browInnerUp"]
    out[:, INDEX["AU17"]] = 5.0 * (w["mouthShrugLower"] + 0.5 * w["mouthShrugUpper"])
    out[:, INDEX["AU23"]] = 5.0 * (both("mouthPress") + roll + 0.5 * w["mouthPucker"] + 0.3 * w["mouthFunnel"])
    out[:, INDEX["AU25"]] = 5.0 * parted
    out[:, INDEX["AU26"]] = 5.0 * (w["jawOpen"] - 0.1 * parted) / JAW
    for channel, (plus, minus, slope) in _SIGNED.items():
        out[:, INDEX[channel]] = sum(w[p] - w[m] for p, m in zip(plus, minus, strict=True)) / len(plus) / slope
    out[:, : len(AU_CHANNELS)] = np.clip(out[:, : len(AU_CHANNELS)], 0.0, 5.0)
    return out.astype(np.float32)


def arkit_from_channels(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """ARKit coefficients that show these channels, e.g. to drive an ARKit head from OpenFace action units.

    Parameters
    ----------
    values : (N, 33) in the order and units of `tracks.CHANNELS`; head pose is ignored.

    Returns
    -------
    float32 (N, 52) in the order of `ARKIT`, clipped to 0..1.

    Raises
    ------
    InputError
        The shape is wrong.
    """
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != len(CHANNELS):
        raise InputError(f"motion channels must be (N, {len(CHANNELS)}), got {values.shape}")
    return np.clip(values @ CHANNEL_TO_ARKIT, 0.0, 1.0).astype(np.float32)


def channel_basis(displacements: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """What one unit of each channel does to the vertices of a head that has ARKit shapes.

    Parameters
    ----------
    displacements : (52, V, 3) of each full coefficient, in the order of `ARKIT`.

    Returns
    -------
    float32 (33, V, 3), linear: for channels with a sign the mean of what both directions do, since a linear basis
    cannot clip. Rows of gaze are those of the lids that follow the eyes; rows of head pose are 0.

    Raises
    ------
    InputError
        The shape is wrong.
    """
    displacements = np.asarray(displacements, dtype=np.float32)
    if displacements.ndim != 3 or displacements.shape[0] != len(ARKIT) or displacements.shape[2] != 3:
        raise InputError(f"ARKit displacements must be ({len(ARKIT)}, V, 3), got {displacements.shape}")
    matrix = CHANNEL_TO_ARKIT.copy()
    matrix[[INDEX[name] for name in _SIGNED]] *= 0.5
    return np.tensordot(matrix, displacements, axes=1).astype(np.float32)
