"""Eyeballs, and lids that clear them and close over them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads import atlas
from whodrives.avatars.cgheads.cache import SKIN, SOCKET, HeadKit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Radius of the eyeball and of the iris in inter-ocular distances (24 mm and 11.7 mm across, 62 mm apart; the ball a
# little larger, as the lids of the mesh ask for).
BALL, IRIS = 0.215, 0.096
RINGS = (0.0, 0.2, 0.34, 0.47, 0.62, 0.85, 1.15, 1.5)  # polar angles of the vertices
AROUND = 16
CLEARANCE = 1.03
REACH = 0.07  # of the correction of a blink, from the rim of the lid


def eye_balls(kit: HeadKit, head: Floats) -> Floats:
    """Centres and radii (2, 4) that touch the lid rims of a head (V, 3) in head axes, image-left first."""
    out = np.zeros((2, 4))
    for side in range(2):
        rim = head[kit.lids[side].ravel()]
        x = (rim[:, 0].min() + rim[:, 0].max()) / 2
        upper, lower = head[kit.lids[side][:, 0]], head[kit.lids[side][:, 1]]
        y = float((upper[:, 1].min() + lower[:, 1].max()) / 2)
        inside = BALL**2 - (rim[:, 0] - x) ** 2 - (rim[:, 1] - y) ** 2
        z = rim[:, 2] + np.sqrt(np.clip(inside, 1e-4, None))
        out[side] = x, y, float(np.quantile(z, 0.6)), BALL
    return out


def build_eyes(balls: Floats) -> tuple[Floats, Ints, Floats, Ints]:
    """Front halves of the eyeballs: vertices, triangles, uv and which eye (0, 1) each vertex belongs to."""
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    polar = np.array(RINGS[1:])[:, None]
    direction = np.stack(
        [np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), -np.cos(polar) * np.ones(AROUND)], axis=-1
    ).reshape(-1, 3)
    direction = np.concatenate([[[0.0, 0.0, -1.0]], direction])
    # On the atlas the ball is a disc: distance from its middle is the polar angle.
    spread = np.repeat(np.array(RINGS[1:]) / RINGS[-1], AROUND)
    disc = np.stack([np.cos(np.tile(angle, len(RINGS) - 1)), np.sin(np.tile(angle, len(RINGS) - 1))], axis=1)
    uv = atlas.patch(atlas.EYE, np.concatenate([[[0.5, 0.5]], 0.5 + 0.5 * spread[:, None] * disc]))
    faces = [(0, 1 + k, 1 + (k + 1) % AROUND) for k in range(AROUND)]
    for ring in range(len(RINGS) - 2):
        a = 1 + ring * AROUND
        for k in range(AROUND):
            p, q = a + k, a + (k + 1) % AROUND
            faces += [(p, p + AROUND, q), (q, p + AROUND, q + AROUND)]
    one = np.array(faces)
    count = len(direction)
    vertices = np.concatenate([ball[:3] + ball[3] * direction for ball in balls])
    return (
        vertices,
        np.concatenate([one, one + count]),
        np.concatenate([uv, uv]),
        np.repeat([0, 1], count),
    )


def lid_skin(kit: HeadKit) -> list[Ints]:
    """Skin vertices about either eye that may touch the eyeball, image-left first."""
    out = []
    for x in (-0.5, 0.5):
        far = np.hypot(kit.mean[:, 0] - x, kit.mean[:, 1] - 0.02)
        out.append(np.flatnonzero((kit.part == SKIN) & (far < 0.34) & (kit.mean[:, 2] < 0.2)))
    return out


def clear(points: Floats, ball: Floats, margin: float = CLEARANCE) -> Floats:
    """Points pushed out of an eyeball, forwards along the line of sight, to `margin` times its radius."""
    offset = points - ball[:3]
    room = (margin * ball[3]) ** 2 - offset[:, 0] ** 2 - offset[:, 1] ** 2
    front = -np.sqrt(np.clip(room, 0, None))
    out = points.copy()
    out[:, 2] = np.where((room > 0) & (offset[:, 2] > front), ball[2] + front, points[:, 2])
    return out


def fit_blink(kit: HeadKit, head: Floats, balls: Floats, moves: Floats, side: int) -> Floats:
    """The displacement (V, 3) that shuts this head's lids: scaled to the opening of the eye, what is then left open or
    overlaps is taken up by the upper lid near its rim, and all of it is led round the eyeball."""
    upper, lower = kit.lids[side].T
    gap = head[lower, 1] - head[upper, 1]
    closing = moves[upper, 1] - moves[lower, 1]
    wide = gap > 0.5 * gap.max()
    out = moves * float(np.clip(gap[wide].sum() / max(float(closing[wide].sum()), 1e-6), 0.5, 1.8))
    left = gap - (out[upper, 1] - out[lower, 1]) + 0.004
    ids = lid_skin(kit)[side]
    near = np.flatnonzero((np.abs(head[:, 0] - balls[side, 0]) < 0.4) & (np.abs(head[:, 1] - balls[side, 1]) < 0.3))
    offset = head[near, None, :2] - head[None, upper, :2]
    far = np.sqrt((offset**2).sum(-1))
    weight = np.exp(-((far / 0.03) ** 2)) + 1e-12
    share = np.exp(-((far.min(axis=1) / REACH) ** 2)) * np.isin(kit.part[near], (SKIN, SOCKET))
    # The lower lid stays: skin below the middle of the opening belongs to it.
    middle = np.interp(head[near, 0], *_sorted(head[upper, 0], (head[upper, 1] + head[lower, 1]) / 2))
    share = share * (head[near, 1] < middle)
    out[near, 1] += share * (weight * left).sum(axis=1) / weight.sum(axis=1)
    out[ids] = clear(head[ids] + out[ids], balls[side]) - head[ids]
    return out


def _sorted(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(x)
    return x[order], y[order]
