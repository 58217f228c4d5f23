"""Motion fields of one face on a 64 x 64 grid: what each channel does where (ours; landmarks to smooth fields)."""

from __future__ import annotations

import numpy as np

from whodrives.avatars import facepoints as fp
from whodrives.avatars.tracks import CHANNELS, INDEX, SIDE_CHANNELS
from whodrives.avatars.warp.frame import Curve, FaceFrame, Floats, smoothstep, unit_field
from whodrives.avatars.warp.units import JAW_SHIFT, MOUTH_SHIFT, OPENING, UNITS

GRID = 64
# Radius of the eyeball and depth of the head in inter-ocular distances (12 mm, and about 80 mm from axis to face).
EYEBALL = 0.19
HEAD_DEPTH, NOSE_DEPTH = 1.15, 0.30


def grid_points() -> Floats:
    """Centres of the grid cells in -1..1 image axes, (G, G, 2) [x, y]."""
    centres = (np.arange(GRID) + 0.5) / GRID * 2.0 - 1.0
    x, y = np.meshgrid(centres, centres)
    return np.stack([x, y], axis=-1)


def expression_basis(frame: FaceFrame) -> Floats:
    """Where to LOOK (source minus place, -1..1 image axes) for one unit of each channel, (33, 2, G, G) [dx, dy]."""
    where = frame.local(grid_points())
    basis = np.zeros((len(CHANNELS), 2, GRID, GRID))

    def put(name: str, moved: Floats) -> None:
        basis[INDEX[name]] = -np.moveaxis(frame.to_image(moved), -1, 0)

    for name, unit in UNITS.items():
        put(name, unit_field(frame, unit, where))
    for name in OPENING:
        put(name, _opening(frame, name, where))
    lids = frame.lids()
    for name, axis in (("gaze_x", 0), ("gaze_y", 1)):
        moved = np.zeros_like(where)
        moved[..., axis] = EYEBALL * _eye_window(lids, where[..., 0], where[..., 1])
        put(name, moved)
    side = frame.side(where)
    for name in SIDE_CHANNELS:
        if name.endswith("_lr"):
            basis[INDEX[name]] = basis[INDEX[name.removesuffix("_lr")]] * side
        else:
            put(name, np.stack([sideways(frame, name, where), np.zeros_like(side)], axis=-1))
    return basis


def sideways(frame: FaceFrame, name: str, where: Floats) -> Floats:
    """Skin displacement to the right (...,) at places (..., 2) in face axes, for one unit of jaw_x or mouth_x."""
    lips = frame.lips()
    x, below = where[..., 0] - lips.middle, where[..., 1] - lips.y(where[..., 0])
    if name == "mouth_x":
        across = np.maximum(np.abs(x) - 0.6 * lips.half, 0.0) / 0.35
        along = np.maximum(np.abs(below) - 0.12, 0.0) / 0.17
        return MOUTH_SHIFT * np.exp(-0.5 * (across**2 + along**2))
    reach = _lip_to_chin(frame, lips)
    # The lower lip goes most of the way with the chin, the upper lip hardly, the throat less and less.
    depth = smoothstep((below + 0.15) / (0.6 * reach)) * (1.0 - smoothstep((below - reach) / 0.75))
    return JAW_SHIFT * depth * np.exp(-0.5 * (x / 0.62) ** 2)


def _lip_to_chin(frame: FaceFrame, lips: Curve) -> float:
    return max(float(frame.landmarks([fp.CHIN])[0, 1] - lips.points[:, 1].mean()), 0.2)


def _opening(frame: FaceFrame, name: str, where: Floats) -> Floats:
    """Skin displacement (G, G, 2) for one unit of AU25 or AU26."""
    lip, x = frame.lips(), where[..., 0]
    up, down, chin_share = OPENING[name]
    below = where[..., 1] - lip.y(x)
    lens = np.clip(1.0 - lip.u(x) ** 2, 0.0, None)
    reach = _lip_to_chin(frame, lip)
    # Towards the chin the motion widens from the lens of the lips to the whole jaw, and goes on under the chin.
    depth = smoothstep(below / (0.7 * reach))
    jaw = chin_share * np.exp(-0.5 * ((x - lip.middle) / 0.62) ** 2)
    downwards = (1.0 - depth) * lens + depth * jaw
    downwards *= 1.0 - smoothstep((below - reach) / 0.75)
    upwards = lens * np.exp(-0.5 * (np.minimum(below, 0.0) / 0.16) ** 2)
    vertical = np.where(below < 0, -up * upwards, down * downwards)
    return np.stack([np.zeros_like(vertical), vertical], axis=-1)


def _eye_window(lids: list[tuple[Curve, Curve]], x: Floats, y: Floats) -> Floats:
    """1 in the middle of each eye, falling to 0 at its corners and just past its lids."""
    window = np.zeros_like(x)
    for top, bottom in lids:
        u = top.u(x)
        high, low = top.y(x), bottom.y(x)
        half = np.maximum((low - high) / 2, 0.03) + 0.03
        v = (y - (high + low) / 2) / half
        across = np.clip(1.0 - u**2, 0.0, None)
        window += across * np.clip(1.0 - v**2, 0.0, None) ** 0.5
    return window


def pose_maps(frame: FaceFrame) -> Floats:
    """(2, 4, G, G): for dx and for dy, head mask times [x - pivot, y - pivot, 1, depth], all in -1..1 axes.

    The masks are 1 on the head and fall to 0 at the borders of the picture, so that the background is pulled along
    smoothly instead of tearing. The upper border holds back up-and-down motion a little and sideways motion not at all:
    hair reaches it, and would bend.
    Depth is 0 at the outline of the head and largest on the nose.
    """
    grid = grid_points()
    oval = frame.points[list(fp.OVAL)]
    low, high = oval.min(axis=0), oval.max(axis=0)
    x, y = grid[..., 0], grid[..., 1]
    sides = smoothstep((x + 1.0) / max(0.85 * (low[0] + 1.0), 0.1))
    sides *= smoothstep((1.0 - x) / max(0.85 * (1.0 - high[0]), 0.1))
    # Towards the top a tilt goes far sideways: there the background gives way, or it would fold.
    sides += (1.0 - sides) * 0.5 * smoothstep((frame.pivot[1] - y) / (frame.pivot[1] - low[1]))
    sides *= smoothstep((1.0 - y) / max(0.95 * (1.0 - high[1]), 0.1))
    # Hair stands about a fifth of the face above the oval: keep it moving with the head.
    top = low[1] - 0.12 * (high[1] - low[1]) + 1.0
    masks = np.stack([sides, sides * (0.6 + 0.4 * smoothstep((y + 1.0) / max(top, 0.15)))])
    local = frame.local(grid)
    centre = frame.local((low + high) / 2)
    half = np.abs(frame.landmarks(fp.OVAL) - centre).max(axis=0)
    # Head outline a little outside the face oval; a power of 1 - r^2: smooth at the outline, so nothing folds.
    across, along = (local[..., 0] - centre[0]) / (1.25 * half[0]), (local[..., 1] - centre[1] + 0.1) / (1.35 * half[1])
    depth = HEAD_DEPTH * np.clip(1.0 - across**2 - along**2, 0.0, None) ** 1.25
    dx, dy = np.moveaxis(local - frame.landmarks([fp.NOSE_TIP])[0], -1, 0)
    depth = depth + NOSE_DEPTH * np.exp(-0.5 * ((dx / 0.2) ** 2 + (dy / np.where(dy < 0, 0.42, 0.16)) ** 2))
    maps = np.stack([x - frame.pivot[0], y - frame.pivot[1], np.ones_like(x), depth * frame.unit])
    return masks[:, None] * maps[None]
