"""Motion fields of one face on a 64 x 64 grid: what each channel does where (ours; landmarks to smooth fields)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.actionunits import LID_CLOSURE, OPENING, UNITS, ActionUnit
from whodrives.avatars.faces import Face
from whodrives.avatars.tracks import CHANNELS, INDEX

Floats = NDArray[np.float64]

GRID = 64
FIELDS = 6  # dx, dy, upper-lip edge, lower-lip edge, lid edge, eye window
# Width over which an edge layer fades in, in inter-ocular distances: about one pixel of a 128-pixel portrait.
EDGE = 0.04
# Radius of the eyeball and depth of the head in inter-ocular distances (12 mm, and about 80 mm from axis to face).
EYEBALL = 0.19
HEAD_DEPTH, NOSE_DEPTH = 1.15, 0.30
RIDGE = 1e-3
FAR = 8.0


@dataclass(frozen=True)
class FaceFrame:
    """Landmarks in -1..1 image axes with the face's own axes. `unit` is the inter-ocular distance in those axes."""

    points: Floats  # (478, 2)
    eyes: Floats  # (2,) midpoint of the eyes
    unit: float
    tilt: float  # radians, clockwise in the image
    pivot: tuple[float, float]

    @classmethod
    def of(cls, face: Face) -> FaceFrame:
        """Frame of a face from its eye corners and oval."""
        points = face.landmarks[:, :2].astype(np.float64) / face.size * 2.0 - 1.0
        left = points[list(fp.EYE_LEFT_CORNERS)].mean(axis=0)
        right = points[list(fp.EYE_RIGHT_CORNERS)].mean(axis=0)
        across = right - left
        unit = max(float(np.hypot(*across)), 1e-6)
        tilt = float(np.arctan2(across[1], across[0]))
        eyes = (left + right) / 2
        down = np.array([-np.sin(tilt), np.cos(tilt)])
        # The head turns on the top of the neck: level with the chin, on the midline of the face.
        drop = float((points[fp.CHIN] - eyes) @ down)
        pivot = eyes + down * drop
        return cls(points, eyes, unit, tilt, (float(pivot[0]), float(pivot[1])))

    def local(self, xy: Floats) -> Floats:
        """Image axes (..., 2) to face axes: right and down from between the eyes, in inter-ocular distances."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return (xy - self.eyes) @ np.array([[c, -s], [s, c]]) / self.unit

    def landmarks(self, indices: Sequence[int]) -> Floats:
        """Chosen landmarks in face axes (K, 2)."""
        return self.local(self.points[list(indices)])

    def to_image(self, vectors: Floats) -> Floats:
        """Displacements (..., 2) in face axes to image axes."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return vectors @ np.array([[c, s], [-s, c]]) * self.unit


def grid_points() -> Floats:
    """Centres of the grid cells in -1..1 image axes, (G, G, 2) [x, y]."""
    centres = (np.arange(GRID) + 0.5) / GRID * 2.0 - 1.0
    x, y = np.meshgrid(centres, centres)
    return np.stack([x, y], axis=-1)


def smoothstep(x: Floats) -> Floats:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _unit_field(frame: FaceFrame, unit: ActionUnit, where: Floats) -> Floats:
    """Displacement (..., 2) at `where`, both in face axes: Gaussian kernels through the hand-made displacements."""
    move: dict[int, tuple[float, float]] = {}
    for index, (out, down) in unit.moves.items():
        partner = fp.MIRROR.get(index, index)
        move[index] = (-out if partner != index else 0.0, down)
        move[partner] = (out if partner != index else 0.0, down)
    for index in unit.still:
        move.setdefault(index, (0.0, 0.0))
        move.setdefault(fp.MIRROR.get(index, index), (0.0, 0.0))
    centres = frame.landmarks(list(move))
    target = np.array(list(move.values()))
    gram = _kernel(centres, centres, unit.reach)
    # The ridge keeps weights small where landmarks nearly coincide: smoothness before exactness.
    weights = np.linalg.solve(gram + 30 * RIDGE * np.eye(len(gram)), target)
    return _kernel(where.reshape(-1, 2), centres, unit.reach).reshape(*where.shape[:-1], -1) @ weights


def _kernel(a: Floats, b: Floats, reach: float) -> Floats:
    squared = (a[:, None, 0] - b[None, :, 0]) ** 2 + (a[:, None, 1] - b[None, :, 1]) ** 2
    return np.exp(-0.5 * squared / reach**2)


class _Curve:
    """A lip or lid line y(x) in face axes, with the share u = -1..1 of the way between its ends."""

    def __init__(self, points: Floats) -> None:
        self.points = points[np.argsort(points[:, 0])]
        self.middle = float((self.points[0, 0] + self.points[-1, 0]) / 2)
        self.half = max(float(self.points[-1, 0] - self.points[0, 0]) / 2, 1e-3)

    def y(self, x: Floats) -> Floats:
        return np.interp(x, self.points[:, 0], self.points[:, 1])

    def u(self, x: Floats) -> Floats:
        return (x - self.middle) / self.half


def expression_basis(frame: FaceFrame) -> tuple[Floats, Floats]:
    """Basis (25, 6, G, G) and rest state (6, G, G) of the fields described in `rig.WarpRig`."""
    where = frame.local(grid_points())
    x, y = where[..., 0], where[..., 1]
    basis = np.zeros((len(CHANNELS), FIELDS, GRID, GRID))
    rest = np.zeros((FIELDS, GRID, GRID))

    upper, lower = frame.landmarks(fp.LIP_INNER_UPPER), frame.landmarks(fp.LIP_INNER_LOWER)
    lip = _Curve((upper + lower) / 2)
    lip_line = lip.y(x)
    lens = np.clip(1.0 - lip.u(x) ** 2, 0.0, None)
    outside = FAR * np.clip(np.abs(lip.u(x)) - 0.9, 0.0, None)
    rest[2] = (y - lip_line) / EDGE - outside
    rest[3] = (lip_line - y) / EDGE - outside

    lids = []
    for upper_index, lower_index in ((fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER), (fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER)):
        lids.append((_Curve(frame.landmarks(upper_index)), _Curve(frame.landmarks(lower_index))))
    left = x < 0
    lid_top = np.where(left, lids[0][0].y(x), lids[1][0].y(x))
    lid_bottom = np.where(left, lids[0][1].y(x), lids[1][1].y(x))
    eye_u = np.where(left, lids[0][0].u(x), lids[1][0].u(x))
    rest[4] = (lid_top - y) / EDGE - 0.5
    # The lid layer shows only around the eyes; its edge line would otherwise run on over the temples.
    high = smoothstep((y - lid_top + 0.14) / 0.08) * smoothstep((lid_bottom + 0.14 - y) / 0.08)
    rest[5] = high * smoothstep((1.25 - np.abs(eye_u)) / 0.25)
    # One edge width more than the gap, so that a closed lid covers the lower lashes too.
    basis[INDEX["AU45"], 4] = LID_CLOSURE * (np.maximum(lid_bottom - lid_top, 0.0) / EDGE + 1.0)

    lip_places = np.stack([x, lip_line], axis=-1)
    lid_places = np.stack([x, lid_top], axis=-1)
    for name, unit in UNITS.items():
        channel = INDEX[name]
        basis[channel, :2] = -np.moveaxis(frame.to_image(_unit_field(frame, unit, where)), -1, 0)
        # Edges ride on the skin, so that a raised lip or lid takes its edge along.
        at_lip = _unit_field(frame, unit, lip_places)[..., 1] / EDGE
        basis[channel, 2] -= at_lip
        basis[channel, 3] += at_lip
        basis[channel, 4] += _unit_field(frame, unit, lid_places)[..., 1] / EDGE
    for name in OPENING:
        moved, edges = _opening(frame, name, x, y, lip, lip_line, lens)
        basis[INDEX[name], :2] = -np.moveaxis(frame.to_image(moved), -1, 0)
        basis[INDEX[name], 2:4] = edges
    for name, axis in (("gaze_x", 0), ("gaze_y", 1)):
        moved = np.zeros_like(where)
        moved[..., axis] = EYEBALL * _eye_window(lids, x, y)
        basis[INDEX[name], :2] = -np.moveaxis(frame.to_image(moved), -1, 0)
    return basis, rest


def _opening(
    frame: FaceFrame, name: str, x: Floats, y: Floats, lip: _Curve, lip_line: Floats, lens: Floats
) -> tuple[Floats, Floats]:
    """Skin displacement (G, G, 2) and change of both lip edges (2, G, G) for one unit of AU25 or AU26."""
    up, down, chin_share = OPENING[name]
    chin = float(frame.landmarks([fp.CHIN])[0, 1])
    below = y - lip_line
    reach = max(chin - float(lip.points[:, 1].mean()), 0.2)
    # Towards the chin the motion widens from the lens of the lips to the whole jaw, and goes on under the chin.
    depth = smoothstep(below / (0.7 * reach))
    jaw = chin_share * np.exp(-0.5 * ((x - lip.middle) / 0.62) ** 2)
    downwards = (1.0 - depth) * lens + depth * jaw
    downwards *= 1.0 - smoothstep((below - reach) / 0.75)
    upwards = lens * np.exp(-0.5 * (np.minimum(below, 0.0) / 0.16) ** 2)
    vertical = np.where(below < 0, -up * upwards, down * downwards)
    edges = np.stack([up * lens, down * lens]) / EDGE
    return np.stack([np.zeros_like(vertical), vertical], axis=-1), edges


def _eye_window(lids: list[tuple[_Curve, _Curve]], x: Floats, y: Floats) -> Floats:
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
