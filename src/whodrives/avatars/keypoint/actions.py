"""What each motion channel does to the key points, and how the head turns them (ours, in FACS terms).

The table is in millimetres at full strength, as anatomists give it: intensity 5 of an action unit, one radian of gaze,
1 of jaw_x and mouth_x. An inter-ocular distance is 62 mm.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from whodrives.avatars.keypoint.points import KEY, KEYS, PAIRED, SKIN, Floats
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX, SIDE_CHANNELS

INTER_OCULAR_MM = 62.0
FULL = 5.0

Moves = dict[str, tuple[float, float, float]]

# (out, down, back) of each key point: away from the midline, towards the chin, away from the camera. On midline points
# `out` is the pull towards the side that acts: it cancels when both sides do.
UNITS: dict[str, Moves] = {
    "AU01": {"brow_inner": (-0.6, -7.0, 0.3), "brow_mid": (0, -2.6, 0), "glabella": (0, -2.6, 0),
             "forehead": (0, -2.0, 0)},
    "AU02": {"brow_outer": (0.5, -5.2, 0.5), "brow_mid": (0.3, -6.2, 0.5), "brow_inner": (0, -0.8, 0),
             "temple": (0, -0.6, 0), "forehead": (0.2, -0.8, 0)},
    "AU04": {"brow_inner": (-3.2, 5.0, 0), "brow_mid": (-1.8, 3.2, 0), "brow_outer": (-0.3, 0.8, 0),
             "glabella": (-0.4, 3.2, 0), "bridge": (0, 1.0, 0), "lid_up": (0, 0.8, 0), "forehead": (0, 0.8, 0)},
    "AU05": {"lid_up": (0, -2.6, 0.3), "brow_mid": (0, -0.4, 0)},
    "AU06": {"cheekbone": (0.6, -6.0, -1.0), "cheek": (0.8, -5.0, -1.0), "lid_low": (0, -2.2, 0),
             "eye_outer": (-0.6, -0.5, 0), "brow_outer": (0, 0.9, 0), "temple": (0, 0.4, 0)},
    "AU07": {"lid_low": (0, -2.2, 0), "lid_up": (0, 1.5, 0), "eye_outer": (-0.3, 0, 0), "cheekbone": (0, -0.5, 0)},
    "AU09": {"wing": (1.2, -5.2, 0.4), "nose": (0, -1.4, 0), "bridge": (0, -1.0, 0), "brow_inner": (-1.8, 3.0, 0),
             "glabella": (0, 1.8, 0), "lip_up": (0, -3.0, 0), "lip_up_side": (0, -3.4, 0), "nose_base": (0, -2.0, 0),
             "cheek": (0.3, -2.0, 0), "cheekbone": (0, -1.5, 0)},
    "AU10": {"lip_up": (0.4, -6.2, 0.4), "lip_up_in": (0.2, -4.6, 0.4), "lip_up_side": (0.8, -7.0, 0.5),
             "lip_low_in": (0, -1.4, 0), "wing": (1.0, -2.2, 0), "nose_base": (0, -0.8, 0), "cheek": (1.0, -2.6, -0.5),
             "corner": (0.3, -0.8, 0)},
    "AU12": {"corner": (8.5, -8.5, 3.0), "lip_up_side": (4.4, -2.8, 1.8), "lip_low_side": (4.2, -2.2, 1.8),
             "cheek": (3.6, -5.4, -1.2), "cheekbone": (0.4, -2.0, -0.5), "lip_up": (1.4, 0.9, 0.8),
             "lip_up_in": (1.4, 0.7, 0.8), "lip_low_in": (1.2, 0.7, 0.8), "lip_low": (1.2, 0.5, 0.8),
             "jaw": (0.8, -0.6, 0), "wing": (0.8, -0.4, 0), "lid_low": (0, -0.4, 0)},
    "AU14": {"corner": (6.2, -0.6, 3.0), "lip_up_side": (2.6, 0.7, 1.0), "lip_low_side": (2.6, -0.8, 1.0),
             "cheek": (1.6, -0.8, 0.5), "lip_up": (0.8, 0.8, 0.3), "lip_low": (0.8, -1.0, 0.3),
             "lip_up_in": (0.8, 0, 0.3), "lip_low_in": (0.8, 0, 0.3)},
    "AU15": {"corner": (0.8, 8.0, 1.0), "lip_up_side": (0.3, 2.6, 0.3), "lip_low_side": (0.4, 3.8, 0.3),
             "chin_side": (0, 1.2, 0), "cheek": (0, 1.2, 0), "lip_low_in": (0, 0.4, 0), "lip_up_in": (0, 0.4, 0)},
    "AU17": {"chin_boss": (0, -6.0, -0.8), "lip_low": (0, -5.2, -1.2), "lip_low_in": (0, -3.4, -1.0),
             "lip_up_in": (0, -3.2, -0.6), "lip_up": (0, -2.4, -0.4), "lip_low_side": (0, -3.6, -0.6),
             "lip_up_side": (0, -1.8, 0), "corner": (0, 1.2, 0), "chin": (0, -2.2, 0), "chin_side": (0, -0.8, 0)},
    "AU20": {"corner": (9.0, 2.2, 3.0), "lip_up_side": (4.8, 1.0, 1.5), "lip_low_side": (4.8, 1.6, 1.5),
             "jaw": (1.6, 0.6, 0), "chin_side": (1.6, 0.6, 0), "cheek": (2.0, 0.6, 0)},
    "AU23": {"corner": (-4.6, 0, -1.0), "lip_up_side": (-2.6, 1.6, -0.5), "lip_low_side": (-2.6, -1.6, -0.5),
             "lip_up": (0, 2.2, 0), "lip_low": (0, -2.6, 0), "cheek": (-0.8, 0, 0)},
    "AU25": {"lip_up_in": (0, -4.4, 0), "lip_up": (0, -3.8, 0), "lip_up_side": (0, -2.6, 0),
             "lip_low_in": (0, 8.6, 0.5), "lip_low": (0, 8.2, 0.5), "lip_low_side": (0, 5.8, 0.3),
             "chin_boss": (0, 3.4, 0), "chin": (0, 2.2, 0), "chin_side": (0, 1.2, 0), "corner": (-0.6, 0.8, 0)},
    "AU26": {"lip_low_in": (0, 15.0, 2.0), "lip_low": (0, 15.6, 2.4), "lip_low_side": (-0.4, 12.0, 2.2),
             "chin_boss": (0, 18.0, 3.2), "chin": (0, 19.0, 3.8), "chin_side": (0, 13.0, 3.0), "jaw": (0, 4.0, 1.0),
             "corner": (-1.2, 4.6, 0.8), "cheek": (-0.6, 3.0, 0.4), "lip_up_in": (0, 0.4, 0), "lip_up": (0, 0.6, 0)},
    # The lids themselves are driven by `_close_lids`.
    "AU45": {"brow_mid": (0, 0.6, 0), "cheekbone": (0, -0.3, 0)},
}  # fmt: skip

# (right, down, back) in millimetres for 1 of the channel, the same on both sides. The lids go with the gaze.
SHIFTS: dict[str, Moves] = {
    "gaze_x": {"iris": (12.0, 0, 0)},
    "gaze_y": {"iris": (0, 12.0, 0), "lid_up": (0, 4.5, 0), "lid_low": (0, 1.5, 0)},
    "jaw_x": {"chin": (10.0, 0, 0), "chin_boss": (9.0, 0, 0), "chin_side": (7.0, 0, 0), "jaw": (2.0, 0, 0),
              "lip_low": (5.0, 0, 0), "lip_low_in": (4.0, 0, 0), "lip_low_side": (4.4, 0, 0), "corner": (1.6, 0, 0)},
    "mouth_x": {"corner": (8.0, 0, 0), "lip_up": (8.0, 0, 0), "lip_up_in": (8.0, 0, 0), "lip_low_in": (8.0, 0, 0),
                "lip_low": (8.0, 0, 0), "lip_up_side": (8.0, 0, 0), "lip_low_side": (8.0, 0, 0), "cheek": (2.6, 0, 0),
                "wing": (0.8, 0, 0), "nose_base": (1.0, 0, 0), "chin_boss": (3.0, 0, 0), "chin": (1.2, 0, 0)},
}  # fmt: skip

CLOSED_AT = 2.5  # AU45 at which a lid is closed: blinks of common trackers peak at 2 to 3
# The skin of the lid, and the iris to keep its distance, follow the closing edge this far; the rest of the closure is
# painted (see `occlusion`).
LID_FOLLOWS, IRIS_FOLLOWS = 0.2, 0.1
# Lids and lips do not pass through each other: the least share of the resting gap that the key points keep.
LID_GAP, LIP_GAP = 0.4, 0.5
# The iris goes about this far before the eye would leave its opening; beyond it the head turns.
GAZE_LIMIT = 0.11
# A still shows little beyond this many radians: larger turns saturate instead of tearing the picture.
YAW_LIMIT, PITCH_LIMIT = 0.60, 0.50
# Neck joint behind the face, in inter-ocular distances (80 mm); its height is that of the chin.
PIVOT_DEPTH = 1.3
# Camera distance in inter-ocular distances (75 cm): what tz means for the size of the face.
CAMERA = 12.0


@lru_cache(maxsize=1)
def channel_table() -> Floats:
    """Displacement (33, len(KEYS), 3) of every key point for one unit of each channel, in inter-ocular distances.

    Rows of head pose are zero; `AU.._lr` rows move the right half of the image with the unit and the left half against
    it. Lid closure is not in the table (`drive` adds it).
    """
    table = np.zeros((len(CHANNELS), len(KEYS), 3))
    for channel, moves in UNITS.items():
        for name, move in moves.items():
            out, down, back = np.array(move) / (FULL * INTER_OCULAR_MM)
            if name in PAIRED:
                sides = [(KEY[f"{name}_l"], -1.0, (-out, down, back)), (KEY[f"{name}_r"], 1.0, (out, down, back))]
            else:
                # One half of a midline point's motion belongs to each side, so that one side alone pulls it over.
                half = np.array([down, back]) / 2
                sides = [(KEY[name], -1.0, (-out / 2, *half)), (KEY[name], 1.0, (out / 2, *half))]
            for key, side, step in sides:
                table[INDEX[channel], key] += step
                if f"{channel}_lr" in SIDE_CHANNELS:
                    table[INDEX[f"{channel}_lr"], key] += side * np.array(step)
    for channel, moves in SHIFTS.items():
        for name, move in moves.items():
            for key in [KEY[f"{name}_l"], KEY[f"{name}_r"]] if name in PAIRED else [KEY[name]]:
                table[INDEX[channel], key] += np.array(move) / INTER_OCULAR_MM
    return table


def lid_closure(controls: Tensor) -> Tensor:
    """How far each eye is closed, 0..1: controls (..., 33) to (..., 2), image-left eye first."""
    both, more = controls[..., INDEX["AU45"]], controls[..., INDEX["AU45_lr"]]
    return torch.stack([both - more, both + more], dim=-1).div(CLOSED_AT).clamp(0.0, 1.0)


def drive(controls: Tensor, rest: Tensor, table: Tensor, tilt: Tensor) -> Tensor:
    """Key points under expression, gaze and head pose.

    Parameters
    ----------
    controls : float (n, 33). rest : (n, K, 3) of `rest_points`. table : (33, K, 3) of `channel_table`.
    tilt : (n,) of the still face; translations are along the axes of the image.

    Returns
    -------
    (n, K, 2) in face axes.
    """
    # Trackers leave small negatives, which are harmless; larger ones mean nothing.
    units = torch.cat([controls[:, : len(AU_CHANNELS)].clamp(min=-0.5), controls[:, len(AU_CHANNELS) :]], dim=1)
    moved = torch.einsum("nc,ckd->nkd", units, table)
    for side in "lr":
        iris = KEY[f"iris_{side}"]
        moved[:, iris, :2] = GAZE_LIMIT * torch.tanh(moved[:, iris, :2] / GAZE_LIMIT)
    points = rest + moved
    closure = lid_closure(controls)
    for number, side in enumerate("lr"):
        up, low = KEY[f"lid_up_{side}"], KEY[f"lid_low_{side}"]
        opening = rest[:, low, 1] - rest[:, up, 1]
        points[:, up, 1] += LID_FOLLOWS * closure[:, number] * opening
        points[:, KEY[f"iris_{side}"], 1] += IRIS_FOLLOWS * closure[:, number] * opening
        _keep_apart(points, up, low, LID_GAP * opening)
    up, low = KEY["lip_up_in"], KEY["lip_low_in"]
    _keep_apart(points, up, low, LIP_GAP * (rest[:, low, 1] - rest[:, up, 1]))
    return _pose(points, rest, controls, tilt)


def _keep_apart(points: Tensor, upper: int, lower: int, least: Tensor) -> None:
    """Push an upper and a lower key point apart, half each, until they are `least` (n,) from each other."""
    lack = (least - (points[:, lower, 1] - points[:, upper, 1])).clamp(min=0.0) / 2
    points[:, upper, 1] -= lack
    points[:, lower, 1] += lack


def _soft_limit(angle: Tensor, limit: float) -> Tensor:
    """Nearly the angle itself up to half the limit (under 1.5% off), never beyond the limit."""
    return angle / (1.0 + (angle / limit) ** 4) ** 0.25


def _pose(points: Tensor, rest: Tensor, controls: Tensor, tilt: Tensor) -> Tensor:
    """Turn, shift and project (n, K, 3) -> (n, K, 2); the anchors stay.

    Camera axes x right, y down, z away: roll turns clockwise in the image, positive yaw brings the nose to the image's
    left, positive pitch brings it down, negative tz (nearer) enlarges.
    """
    pitch, yaw, roll, tx, ty, tz = (controls[:, INDEX[n], None] for n in ("pitch", "yaw", "roll", "tx", "ty", "tz"))
    pitch, yaw = _soft_limit(pitch, PITCH_LIMIT), _soft_limit(yaw, YAW_LIMIT)
    height = rest[:, KEY["chin"], 1, None]
    x, y, z = points[..., 0], points[..., 1] - height, points[..., 2] - PIVOT_DEPTH
    y, z = y * pitch.cos() - z * pitch.sin(), y * pitch.sin() + z * pitch.cos()
    x = x * yaw.cos() + z * yaw.sin()
    size = 1.0 / (1.0 + tz.clamp(min=-0.8 * CAMERA) / CAMERA)
    x, y = size * (x * roll.cos() - y * roll.sin()), size * (x * roll.sin() + y * roll.cos())
    c, s = tilt.cos()[:, None], tilt.sin()[:, None]
    placed = torch.stack([x + c * tx + s * ty, y + height - s * tx + c * ty], dim=-1)
    return torch.cat([placed[:, : len(SKIN)], rest[:, len(SKIN) :, :2]], dim=1)
