"""Hair: the scalp itself swells to a cap, and long hair hangs behind the face as a curtain (ours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads import atlas
from whodrives.avatars.cgheads.look import Look

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Hairline of the mean head: height (y, up is negative) by the angle from the face, 0 = front, 180 = back.
ANGLES = np.deg2rad([0, 14, 28, 42, 54, 66, 76, 86, 98, 115, 140, 180])
HEIGHTS = np.array([-1.14, -1.13, -1.08, -0.95, -0.72, -0.38, -0.02, 0.22, 0.45, 0.85, 1.1, 1.2])
AXIS_DEPTH = 1.15  # of the vertical axis through the head
COLUMNS, ROWS = 22, 8


def coverage(place: Floats, look: Look, soft: float) -> Floats:
    """Share of hair 0..1 at places (..., 3) of the mean head; the edge is `soft` wide."""
    x, y, z = place[..., 0], place[..., 1], place[..., 2]
    angle = np.arctan2(np.abs(x), AXIS_DEPTH - z)
    edge = np.interp(angle, ANGLES, HEIGHTS + look.hairline * (ANGLES < 1.2))
    # Receding temples.
    edge = edge - look.recede * np.exp(-(((angle - 0.72) / 0.24) ** 2))
    rough = 0.015 * np.sin(23 * angle + look.seed % 7) + 0.01 * np.sin(41 * angle + look.seed % 11)
    t = np.clip((edge + rough - y) / soft + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def swell(mean: Floats, normals: Floats, look: Look, ears: NDArray[np.bool_]) -> Floats:
    """Displacement (V, 3) that gives the scalp its hair. `normals` point outwards; `ears` (V,) stay."""
    height = np.clip((-mean[:, 1] - 0.2) / 1.6, 0, 1)
    thick = look.sides + (look.top - look.sides) * height
    angle = np.arctan2(mean[:, 0], AXIS_DEPTH - mean[:, 2])
    wave = 0.12 * np.sin(3 * angle + look.seed % 5) + 0.1 * np.sin(5 * mean[:, 1] + 4 * angle + look.seed % 3)
    # One side of the parting lies fuller than the other.
    lean = 0.25 * np.tanh((mean[:, 0] - look.part) * np.sign(-look.part or 1.0) / 0.3) * height
    amount = thick * (1 + wave * (0.6 + look.curl) + lean) * coverage(mean, look, 0.3)
    amount[ears] = 0.0
    return normals * amount[:, None]


def curtain(look: Look, half_width: float, depth: tuple[float, float]) -> tuple[Floats, Ints, Floats] | None:
    """Hanging hair as a sheet round the back of the head.

    Parameters
    ----------
    half_width : of the head above the ears. depth : z of the ears and of the back of the head.

    Returns
    -------
    vertices (C, 3), triangles, uv, or None for hair that does not hang.
    """
    if look.length <= 0:
        return None
    t = np.linspace(0, 1, ROWS)[:, None]
    start = np.deg2rad(74 + 8 * look.curl)
    angle = np.linspace(start, 2 * np.pi - start, COLUMNS)[None]
    top, bottom = -0.95, look.length
    out = half_width * (0.93 + 0.32 * np.sin(np.pi * np.clip(0.12 + 0.75 * t, 0, 1))) + look.sides * np.minimum(
        4 * t, 1
    )
    wave = 1 + 0.03 * np.sin(9 * angle + 5 * t + look.seed % 9) * t * (0.5 + look.curl)
    # The front edge falls behind the cheeks and comes forward over the shoulders.
    x = out * wave * np.sin(angle)
    back = depth[1] - depth[0]
    z = depth[0] - 0.15 - np.cos(angle) * np.where(np.cos(angle) > 0, 0.75, back) * wave - 0.25 * t**2
    y = top + (bottom - top) * t + 0.06 * np.sin(5 * angle + look.seed % 4) * t
    # Drooping corners: the sheet is longer at the sides than behind.
    vertices = np.stack([x, np.broadcast_to(y, x.shape), np.broadcast_to(z, x.shape)], axis=-1).reshape(-1, 3)
    share = np.stack(np.broadcast_arrays((angle - start) / (2 * np.pi - 2 * start), t), axis=-1).reshape(-1, 2)
    faces = []
    for row in range(ROWS - 1):
        for column in range(COLUMNS - 1):
            a = row * COLUMNS + column
            faces += [(a, a + COLUMNS, a + 1), (a + 1, a + COLUMNS, a + COLUMNS + 1)]
    return vertices, np.array(faces), atlas.patch(atlas.HAIR, share)
