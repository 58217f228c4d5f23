"""What lies over the warped still: lids that close and the opening between the lips (ours).

Each is a small patch in the face's own axes, finer than the motion grid: edges are signed distances that grow linearly
with the channels, and a layer shows where they are positive. Patches have one shape for all faces, so rigs batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whodrives.avatars.tracks import CHANNELS, INDEX, SIDE_CHANNELS
from whodrives.avatars.warp.fields import sideways
from whodrives.avatars.warp.frame import Curve, FaceFrame, Floats, smoothstep, unit_field
from whodrives.avatars.warp.units import LID_CLOSURE, OPENING, UNITS

# Width over which an edge layer fades in, in inter-ocular distances: about one pixel of a 128-pixel portrait.
EDGE = 0.04
FAR = 8.0
LID_SHAPE, LIP_SHAPE = (28, 72), (40, 36)


@dataclass(frozen=True)
class Patch:
    """Two fields over a box in face axes.

    Parameters
    ----------
    to_patch : (2, 3) from (x, y, 1) in -1..1 image axes to -1..1 axes of the patch.
    bounds : (2, 2) [low, high] corners of the patch in -1..1 image axes.
    basis : (R, 2, H, W) change of both fields for one unit of each row; rest : (2, H, W).
    """

    to_patch: Floats
    bounds: Floats
    basis: Floats
    rest: Floats


def _patch(frame: FaceFrame, low: Floats, high: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """Places (H, W, 2) in face axes, `to_patch` and `bounds` of the box between two corners in face axes."""
    centre, half = (low + high) / 2, (high - low) / 2
    across, along = ((np.arange(n) + 0.5) / n * 2.0 - 1.0 for n in (shape[1], shape[0]))
    x, y = np.meshgrid(across, along)
    places = np.stack([x, y], axis=-1) * half + centre
    origin = frame.local(np.zeros(2))
    steps = np.stack([frame.local(np.eye(2)[k]) - origin for k in (0, 1)], axis=1)
    to_patch = np.concatenate([steps, (origin - centre)[:, None]], axis=1) / half[:, None]
    corners = np.array([[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], [high[0], high[1]]])
    image = frame.to_image(corners) + frame.eyes
    return places, to_patch, np.stack([image.min(axis=0), image.max(axis=0)])


def lid_patch(frame: FaceFrame) -> Patch:
    """Fields [edge of the upper lid, where the lid may show]; rows: the channels, then the left and the right eye.

    The edge is positive where a lid covers the eye. The second field is all in the last two rows: how far the layer has
    faded in is a coefficient of each eye.
    """
    lids = frame.lids()
    # Wide enough for the window to end inside: what lies beyond the patch looks like its border.
    ends = [top.middle + sign * 1.4 * top.half for top, _ in lids for sign in (-1, 1)]
    low = np.array([min(ends), min(top.points[:, 1].min() for top, _ in lids) - 0.16])
    high = np.array([max(ends), max(bottom.points[:, 1].max() for _, bottom in lids) + 0.16])
    places, to_patch, bounds = _patch(frame, low, high, LID_SHAPE)
    x, y = places[..., 0], places[..., 1]
    left = x < 0

    def of_eye(part: int, value: str) -> Floats:
        both = [getattr(curves[part], value)(x) for curves in lids]
        return np.where(left, both[0], both[1])

    top, bottom, u = of_eye(0, "y"), of_eye(1, "y"), of_eye(0, "u")
    rest = np.stack([(top - y) / EDGE - 0.5, np.zeros_like(x)])
    basis = np.zeros((len(CHANNELS) + 2, 2, *LID_SHAPE))
    # The lid layer shows only around the eyes; its edge line would otherwise run on over the temples.
    window = smoothstep((y - top + 0.14) / 0.08) * smoothstep((bottom + 0.14 - y) / 0.08)
    window *= smoothstep((1.25 - np.abs(u)) / 0.25)
    basis[-2, 1], basis[-1, 1] = window * left, window * ~left
    # Edges ride on the skin, so that a raised brow or lid takes its edge along.
    at_lid = np.stack([x, top], axis=-1)
    for name, unit in UNITS.items():
        basis[INDEX[name], 0] = unit_field(frame, unit, at_lid)[..., 1] / EDGE
    # One edge width more than the gap, so that a closed lid covers the lower lashes too.
    basis[INDEX["AU45"], 0] += LID_CLOSURE * (np.maximum(bottom - top, 0.0) / EDGE + 1.0)
    _add_sides(basis[:, :1], frame, at_lid)
    return Patch(to_patch, bounds, basis, rest)


def lip_patch(frame: FaceFrame) -> Patch:
    """Fields [edge of the upper lip, edge of the lower lip], both positive in the open mouth; rows: the channels."""
    lip: Curve = frame.lips()
    middle = float(lip.points[:, 1].mean())
    low = np.array([lip.middle - 1.15 * lip.half, middle - 0.4])
    high = np.array([lip.middle + 1.15 * lip.half, middle + 0.8])
    places, to_patch, bounds = _patch(frame, low, high, LIP_SHAPE)
    x, y = places[..., 0], places[..., 1]
    line, u = lip.y(x), lip.u(x)
    lens = np.clip(1.0 - u**2, 0.0, None)
    outside = FAR * np.clip(np.abs(u) - 0.9, 0.0, None)
    rest = np.stack([(y - line) / EDGE - outside, (line - y) / EDGE - outside])
    basis = np.zeros((len(CHANNELS), 2, *LIP_SHAPE))
    at_lip = np.stack([x, line], axis=-1)
    for name, unit in UNITS.items():
        ridden = unit_field(frame, unit, at_lip)[..., 1] / EDGE
        basis[INDEX[name]] = np.stack([-ridden, ridden])
    for name, (up, down, _) in OPENING.items():
        basis[INDEX[name]] = np.stack([up * lens, down * lens]) / EDGE
    _add_sides(basis, frame, at_lip)
    return Patch(to_patch, bounds, basis, rest)


def lip_shift(frame: FaceFrame) -> Floats:
    """How far sideways one unit of each channel takes the opening of the mouth, (33,) in face axes."""
    lip = frame.lips()
    middle = np.array([lip.middle, float(lip.y(np.array(lip.middle)))])
    shift = np.zeros(len(CHANNELS))
    for name in ("jaw_x", "mouth_x"):
        shift[INDEX[name]] = float(sideways(frame, name, middle))
    return shift


def _add_sides(basis: Floats, frame: FaceFrame, where: Floats) -> None:
    """Rows of ``AU.._lr`` from those of their action units, in place; `where` (H, W, 2) is what the edges ride on."""
    side = frame.side(where)
    for name in SIDE_CHANNELS:
        if name.endswith("_lr"):
            basis[INDEX[name]] = basis[INDEX[name.removesuffix("_lr")]] * side
