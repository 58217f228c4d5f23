"""The texture atlas of the heads: where every vertex lies on it, and what lies under every texel.

The skin of MakeHuman's head is one flat island; it is turned upright and stretched about the nose so that the face,
not the scalp, gets most of the texels. Neck and shoulders hang from its lower edge; eyes, mouth and hair have patches
of their own along the bottom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIZE = 512
# Patches (left, top, right, bottom) in 0..1.
EYE = (0.005, 0.845, 0.155, 0.995)
MOUTH = (0.17, 0.845, 0.27, 0.995)
TEETH = (0.28, 0.845, 0.38, 0.995)
TONGUE = (0.39, 0.845, 0.45, 0.995)
HAIR = (0.47, 0.845, 0.995, 0.995)
SKIN_BOTTOM = 0.835
NECK_ROOM = 0.09
# Centre of the stretch in MakeHuman's uv (the nose), and its strength: texels shrink beyond this radius.
CENTRE = np.array([0.868, 0.5165])
STRETCH = 0.05


def face_uv(uv: Floats) -> Floats:
    """Atlas places of the skin of the head, float64 (N, 2), from MakeHuman uv (y down). Not yet scaled into 0..1."""
    offset = uv - CENTRE
    upright = np.stack([-offset[:, 1], offset[:, 0]], axis=1)
    radius = np.linalg.norm(upright, axis=1, keepdims=True)
    return upright * np.arcsinh(radius / STRETCH) / np.maximum(radius, 1e-9)


def fit(places: Floats) -> tuple[float, Floats]:
    """Scale and offset that put the skin of the head into the upper part of the atlas."""
    low, high = places.min(axis=0), places.max(axis=0)
    scale = min(0.99 / (high[0] - low[0]), (SKIN_BOTTOM - NECK_ROOM - 0.005) / (high[1] - low[1]))
    return float(scale), np.array([0.5 - scale * (low[0] + high[0]) / 2, 0.005 - scale * low[1]])


def patch(box: tuple[float, float, float, float], where: Floats) -> Floats:
    """Places inside a patch, from 0..1 coordinates (N, 2), half a texel inside its edge."""
    low, high = np.array(box[:2]) + 1.0 / SIZE, np.array(box[2:]) - 1.0 / SIZE
    return low + (high - low) * np.clip(where, 0.0, 1.0)


def paint_triangles(uv: Floats, triangles: Ints, values: Floats, size: int = SIZE) -> tuple[Floats, NDArray[np.bool_]]:
    """Interpolate vertex values over the texels that the triangles cover.

    Parameters
    ----------
    uv : (V, 2) in 0..1. triangles : (F, 3). values : (V, K).

    Returns
    -------
    float64 (size, size, K) and bool (size, size), which texels were covered. Texel centres lie at (i + 0.5) / size.
    """
    out = np.zeros((size, size, values.shape[1]))
    seen = np.zeros((size, size), dtype=bool)
    at = uv * size - 0.5
    for a, b, c in triangles:
        (ax, ay), (bx, by), (cx, cy) = at[a], at[b], at[c]
        turn = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(turn) < 1e-12:
            continue
        left, right = int(np.ceil(min(ax, bx, cx) - 1e-6)), int(np.floor(max(ax, bx, cx) + 1e-6))
        top, bottom = int(np.ceil(min(ay, by, cy) - 1e-6)), int(np.floor(max(ay, by, cy) + 1e-6))
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, size - 1), min(bottom, size - 1)
        if right < left or bottom < top:
            continue
        x, y = np.meshgrid(np.arange(left, right + 1), np.arange(top, bottom + 1))
        wb = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / turn
        wc = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / turn
        inside = (wb >= -1e-6) & (wc >= -1e-6) & (wb + wc <= 1 + 1e-6)
        if not inside.any():
            continue
        wb, wc = wb[inside][:, None], wc[inside][:, None]
        out[y[inside], x[inside]] = (1 - wb - wc) * values[a] + wb * values[b] + wc * values[c]
        seen[y[inside], x[inside]] = True
    return out, seen


def grow(values: Floats, seen: NDArray[np.bool_], steps: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Carry values outwards over the edge of what is covered, so that filtering never meets an empty texel."""
    values, seen = values.copy(), seen.copy()
    for _ in range(steps):
        total, count = np.zeros_like(values), np.zeros(seen.shape)
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            total += np.roll(np.where(seen[..., None], values, 0.0), step, axis)
            count += np.roll(seen, step, axis)
        new = ~seen & (count > 0)
        values[new] = total[new] / count[new][:, None]
        seen |= new
    return values, seen
