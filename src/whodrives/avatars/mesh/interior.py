"""What shows through the openings of a photo's skin: eyeballs with the white behind them, mouth and teeth (ours).

Face axes as in `layout` with depth; in three dimensions (x, y) at depth z appears at (x, y) * D / (z + D), D = distance
of the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.mesh.camera import DISTANCE
from whodrives.avatars.mesh.layout import Slit
from whodrives.avatars.mesh.relief import Relief

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Radius of the eyeball (12.4 mm) and thickness of the lids over it.
BALL, LID = 0.2, 0.018
# Polar angles of the ball's vertices, and up to where its picture is taken straight from the front.
POLAR = np.linspace(0.0, 1.9, 9)
STRAIGHT = 1.25
ROUND = 16


@dataclass(frozen=True)
class Part:
    """One piece: `points` (V, 3), `seen` (V, 2) places of the still it is painted from, `triangles` (F, 3), `jaw` (V,)
    share of the lower jaw's motion, `eye` -1, 0 or 1, `patch` number of its picture (1.. as in `paint`)."""

    points: Floats
    seen: Floats
    triangles: Ints
    jaw: Floats
    eye: int
    patch: int


def to_space(places: Floats, depth: Floats) -> Floats:
    """Points (N, 3) seen at places (N, 2) at depth (N,)."""
    return np.concatenate([places * ((depth + DISTANCE) / DISTANCE)[:, None], depth[:, None]], axis=1)


def to_plane(points: Floats) -> Floats:
    """Places (N, 2) at which points (N, 3) are seen."""
    return points[:, :2] * (DISTANCE / (points[:, 2:] + DISTANCE))


def eye_centre(eye: Slit, relief: Relief) -> Floats:
    """Centre (3,) of the eyeball behind an eye: its front touches the lids from behind."""
    x, half = eye.centre[0], eye.half_width
    inner = np.abs(eye.x - x) < 0.5 * half
    rims = np.concatenate([np.stack([eye.x, eye.upper], 1)[inner], np.stack([eye.x, eye.lower], 1)[inner]])
    y = float(eye.middle[inner].mean())
    off = ((rims - [x, y]) ** 2).sum(axis=1)
    # Narrow eyes would push the ball far forward; a usual opening is assumed at least.
    depth = relief.at(rims) + LID + np.sqrt(BALL**2 - np.clip(off, 0.004, 0.9 * BALL**2))
    z = float(depth.mean())
    return np.append(to_space(np.array([[x, y]]), np.array([z]))[0, :2], z)


def ball_front(points: Floats, centre: Floats, radius: Floats | float) -> Floats:
    """Depth (N,) of the front of a ball (or of N with one centre) at points (N, >= 2); beyond its outline that of a
    cone going back."""
    far = np.linalg.norm(points[:, :2] - centre[:2], axis=1)
    edge = 0.85 * radius
    inside = centre[2] - np.sqrt(np.clip(radius**2 - np.minimum(far, edge) ** 2, 0, None))
    slope = edge / np.sqrt(radius**2 - edge**2)
    return np.asarray(inside + slope * np.clip(far - edge, 0, None))


def eyeball(centre: Floats, number: int) -> Part:
    """The ball as rings about the line of sight."""
    angle = 2 * np.pi * np.arange(ROUND) / ROUND
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = np.concatenate([[0.0], np.repeat(POLAR[1:], ROUND)])
    flat = np.concatenate([[[0.0, 0.0]], np.tile(around, (len(POLAR) - 1, 1))])
    points = centre + BALL * np.concatenate([flat * np.sin(rings)[:, None], -np.cos(rings)[:, None]], axis=1)
    # Past STRAIGHT the picture goes on outwards, into the painted white.
    reach = np.where(rings < STRAIGHT, np.sin(rings), np.sin(STRAIGHT) + 0.6 * (rings - STRAIGHT))
    front = centre + BALL * np.concatenate(
        [flat * reach[:, None], -np.cos(np.minimum(rings, STRAIGHT))[:, None]], axis=1
    )
    k = np.arange(ROUND)
    n = (k + 1) % ROUND
    faces = [np.stack([np.zeros_like(k), 1 + n, 1 + k], axis=1)]
    for ring in range(len(POLAR) - 2):
        a = 1 + ring * ROUND
        faces += [np.stack([a + k, a + n, a + k + ROUND], 1), np.stack([a + n, a + n + ROUND, a + k + ROUND], 1)]
    return Part(points, to_plane(front), np.concatenate(faces), np.zeros(len(points)), number, 1 + number)


def eye_white(eye: Slit, centre: Floats, relief: Relief, number: int) -> Part:
    """The white at the corners, where the ball does not reach: a sheet that stays when the ball turns."""
    places, triangles = _grid(7, 5)
    width, height = eye.half_width + 0.06, 0.2
    # Set back less than the ball's flank, so that the ball hides it but for the corners.
    places = places * [width, height] + to_plane(centre[None])[0]
    depth = np.maximum(centre[2] - 0.45 * BALL, relief.at(places) + 0.05)
    return Part(to_space(places, depth), places, triangles, np.zeros(len(places)), -1, 3 + number)


def mouth_parts(mouth: Slit, relief: Relief) -> list[Part]:
    """Cavity, upper and lower teeth behind the lips."""
    x, y = mouth.centre
    half = mouth.half_width
    front = float(relief.at(np.array([[x, y]]))[0])

    def behind(places: Floats, depth: Floats, room: float) -> Floats:
        return np.maximum(depth, relief.at(places) + room)

    places, triangles = _grid(9, 8)
    down = (places[:, 1] + 1) / 2
    places = np.stack([x + places[:, 0] * (half + 0.14), y - 0.3 + 0.75 * down], axis=1)
    depth = behind(places, front + 0.42 + 0.4 * (places[:, 0] - x) ** 2, 0.16)
    jaw = np.clip((down - 0.35) / 0.3, 0, 1)
    parts = [Part(to_space(places, depth), places, triangles, jaw, -1, 5)]
    columns, standing = 11, np.zeros(11)
    for patch, top, bottom, back, jaw_share in ((6, -0.17, 0.035, 0.09, 0.0), (7, 0.005, 0.2, 0.05, 1.0)):
        places, triangles = _grid(columns, 4)
        down = (places[:, 1] + 1) / 2
        across = places[:, 0] * min(0.31, 0.75 * half)
        # The biting edges follow an arch: the outer teeth are shorter.
        rise = 0.3 * across**2
        lift = (down if patch == 6 else 1 - down) * rise * (-1 if patch == 6 else 1)
        places = np.stack([x + across, mouth.line(x + across) + top + (bottom - top) * down + lift], axis=1)
        depth = behind(places, front + back + 1.0 * across**2, 0.05).reshape(-1, columns)
        # Teeth stand upright, and the lower ones behind the upper ones.
        standing = np.maximum(depth.max(axis=0), standing + back if jaw_share else -np.inf)
        depth = np.tile(standing, len(depth))
        parts.append(Part(to_space(places, depth), places, triangles, np.full(len(places), jaw_share), -1, patch))
    return parts


def _grid(columns: int, rows: int) -> tuple[Floats, Ints]:
    """Places (N, 2) in -1..1 and triangles that face the camera."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    a, b, c, d = corner, corner + 1, corner + columns, corner + columns + 1
    triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
    return np.stack([x.ravel(), y.ravel()], axis=1), triangles.astype(np.int64)
