"""Where the 478 face-mesh landmarks lie on a head: lid and lip rims from the edge loops of the mesh, the others by
casting rays at the mean head. No detector takes part.

A landmark is three vertices and their weights, so that it follows the head through identities and expressions.
Sides: "left" is the left of the IMAGE, as in `facepoints`. Axes: origin between the eyes, unit = inter-ocular distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Share of the way along a lid, outer to inner corner, and along half a lip, corner to middle (typical spacing).
LID = np.array([0.0, 0.04, 0.13, 0.29, 0.47, 0.66, 0.85, 0.96, 1.0])
OUTER_LIP = np.array([0.0, 0.13, 0.28, 0.47, 0.74, 1.0])
INNER_LIP = np.array([0.0, 0.12, 0.3, 0.53, 0.77, 1.0])
# The face oval from the top of the forehead over the right of the image to the chin: x, and y as a share of the way
# from the eyes to the forehead top (negative) or to the chin. x is where a ray meets the side of the head.
OVAL_RIGHT = (
    (0.0, -1.0), (0.31, -1.0), (0.58, -0.96), (0.84, -0.85), (0.99, -0.67), (1.09, -0.44), (1.14, -0.2), (1.16, 0.05),
    (1.14, 0.18), (1.11, 0.31), (1.07, 0.45), (1.0, 0.585), (0.91, 0.7), (0.81, 0.79), (0.65, 0.865), (0.51, 0.915),
    (0.36, 0.96), (0.21, 0.99), (0.0, 1.0),
)  # fmt: skip
FOREHEAD_TOP = -0.79
# Brows, outer to inner end: |x| and y of the upper and lower edge.
BROW_X = (0.95, 0.84, 0.67, 0.46, 0.23)
BROW_UPPER_Y = (-0.22, -0.31, -0.37, -0.36, -0.31)
BROW_LOWER_Y = (-0.17, -0.24, -0.28, -0.27, -0.2)


@dataclass(frozen=True)
class Surface:
    """The mean head to cast rays at: vertices (V, 3) and triangles (F, 3)."""

    vertices: Floats
    triangles: Ints

    def hit(self, origin: Floats, direction: Floats) -> tuple[Ints, Floats] | None:
        """First triangle that a ray meets: its vertices (3,) and weights (3,), None when it misses."""
        a, b, c = (self.vertices[self.triangles[:, k]] for k in range(3))
        edge, side = b - a, c - a
        p = np.cross(np.broadcast_to(direction, side.shape), side)
        determinant = (edge * p).sum(1)
        safe = np.where(np.abs(determinant) < 1e-12, np.inf, determinant)
        offset = origin - a
        u = (offset * p).sum(1) / safe
        q = np.cross(offset, edge)
        v = (q @ direction) / safe
        t = (side * q).sum(1) / safe
        good = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6) & (t > 1e-6) & np.isfinite(safe)
        if not good.any():
            return None
        best = int(np.where(good, t, np.inf).argmin())
        return self.triangles[best], np.array([1 - u[best] - v[best], u[best], v[best]])

    def front(self, x: float, y: float) -> tuple[Ints, Floats]:
        """The point seen at (x, y) from the front; the nearest vertex where nothing is there."""
        found = self.hit(np.array([x, y, -10.0]), np.array([0.0, 0.0, 1.0]))
        return found if found is not None else self.nearest(np.array([x, y]))

    def nearest(self, place: Floats) -> tuple[Ints, Floats]:
        """The vertex nearest to (x, y) in the front view."""
        used = np.unique(self.triangles)
        best = used[((self.vertices[used, :2] - place) ** 2).sum(1).argmin()]
        return np.array([best, best, best]), np.array([1.0, 0.0, 0.0])

    def side(self, x: float, y: float, depth: float) -> tuple[Ints, Floats]:
        """The point at height y that lies |x| to the side of the front view, met from the side of the head."""
        limit = 1.25
        for angle in np.linspace(0.05, 1.45, 57):
            direction = np.array([np.sign(x) * np.sin(angle), 0.0, -np.cos(angle)])
            found = self.hit(np.array([0.0, y, depth]) + 4.0 * direction, -direction)
            if found is None:
                continue
            reach = abs(float(found[1] @ self.vertices[found[0], 0]))
            if reach >= abs(x) or reach > limit or angle > 1.4:
                return found
        return self.front(x, y)


def split_loop(points: Floats) -> tuple[Ints, Ints]:
    """The upper and lower half of a closed loop of points (N, 3), both from the image-left to the image-right corner.

    The loop is ordered by angle about its middle in the front view, which rims of lids and lips allow.
    """
    left, right = int(points[:, 0].argmin()), int(points[:, 0].argmax())
    ends = points[[left, right]]
    height = points[:, 1] - np.interp(points[:, 0], ends[:, 0], ends[:, 1])
    # Height over width stretches slit-like loops, so that the angle runs round them evenly.
    scale = np.ptp(points[:, 0]) / max(float(np.ptp(height)), 1e-9)
    angle = np.arctan2(scale * np.abs(height), points[:, 0] - ends[:, 0].mean())
    inside = np.setdiff1d(np.arange(len(points)), [left, right])
    halves = []
    for half in (inside[height[inside] < 0], inside[height[inside] >= 0]):
        halves.append(np.concatenate([[left], half[np.argsort(-angle[half], kind="stable")], [right]]))
    return halves[0], halves[1]


def along(points: Floats, ids: Ints, shares: Floats) -> list[tuple[Ints, Floats]]:
    """Places at the given shares (0..1 of the way in x) of a polyline of vertices `ids`."""
    x = np.maximum.accumulate(points[ids, 0])
    out = []
    for share in shares:
        want = x[0] + share * (x[-1] - x[0])
        after = int(np.clip(np.searchsorted(x, want), 1, len(x) - 1))
        gap = x[after] - x[after - 1]
        weight = 0.0 if gap < 1e-9 else float(np.clip((want - x[after - 1]) / gap, 0, 1))
        if share in (0.0, 1.0):
            after, weight = (1, 0.0) if share == 0.0 else (len(x) - 1, 1.0)
        first, second = ids[after - 1], ids[after]
        out.append((np.array([first, second, second]), np.array([1 - weight, weight, 0.0])))
    return out


def find_landmarks(
    surface: Surface,
    lids: tuple[Ints, Ints],
    inner_lip: tuple[Ints, Ints],
    outer_lip: tuple[Ints, Ints],
    ears: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """All 478 landmarks.

    Parameters
    ----------
    surface : the mean head. lids : vertices of the lid rims, image-left eye first. inner_lip, outer_lip :
    upper and lower line where the lips meet and where their red ends, each from the image-left to the right corner.
    ears : bool (V,), vertices that rays must not stop at.

    Returns
    -------
    int32 (478, 3) vertices and float32 (478, 3) weights. The irises (468..477) are left on the lids; the eyeballs are
    not part of this mesh.
    """
    v = surface.vertices
    skin = Surface(v, surface.triangles[~ears[surface.triangles].any(axis=1)])
    ids = np.zeros((fp.LANDMARKS, 3), np.int32)
    weights = np.zeros((fp.LANDMARKS, 3), np.float32)

    def put(index: int, place: tuple[Ints, Floats]) -> None:
        ids[index], weights[index] = place

    mouth = v[np.concatenate(inner_lip), :2].mean(axis=0)
    chin, tip, base, ala = _profile(skin, mouth[1])
    reach = {-1: FOREHEAD_TOP, 1: chin}
    oval = []
    for number, (x, share) in enumerate((*OVAL_RIGHT, *[(-x, y) for x, y in OVAL_RIGHT[-2:0:-1]])):
        y = abs(share) * reach[1 if share > 0 else -1]
        place = skin.side(x, y, 0.9) if 5 <= number <= 12 or 24 <= number <= 31 else skin.front(x, min(y, chin - 0.03))
        put(fp.OVAL[number], place)
        oval.append((x, y))
    _fill(put, skin, np.array(oval), set(_named()))
    for side, rim, upper, lower in (
        (-1, lids[0], fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER), (1, lids[1], fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER),
    ):  # fmt: skip
        halves = split_loop(v[rim])
        for indices, half in zip((upper, lower), halves, strict=True):
            order = rim[half]
            places = along(v, order, LID if side < 0 else 1 - LID)
            for index, place in zip(indices, places, strict=True):
                put(index, place)
        for index in fp.IRIS_LEFT if side < 0 else fp.IRIS_RIGHT:
            put(index, skin.front(side * 0.5, 0.0))
    for line, order, half in (
        (fp.LIP_OUTER_UPPER, outer_lip[0], OUTER_LIP), (fp.LIP_OUTER_LOWER, outer_lip[1], OUTER_LIP),
        (fp.LIP_INNER_UPPER, inner_lip[0], INNER_LIP), (fp.LIP_INNER_LOWER, inner_lip[1], INNER_LIP),
    ):  # fmt: skip
        shares = np.concatenate([half / 2, 1 - half[-2::-1] / 2])
        for index, place in zip(line, along(v, order, shares), strict=True):
            put(index, place)
    for side, above, below in ((-1, fp.BROW_LEFT_UPPER, fp.BROW_LEFT_LOWER),
                               (1, fp.BROW_RIGHT_UPPER, fp.BROW_RIGHT_LOWER)):  # fmt: skip
        for k, x in enumerate(BROW_X):
            put(above[k], skin.front(side * x, BROW_UPPER_Y[k]))
            put(below[k], skin.front(side * x, BROW_LOWER_Y[k]))
    middle = dict(
        zip(
            fp.NOSE_RIDGE,
            (-0.05, 0.18 * tip, 0.37 * tip, 0.53 * tip, 0.69 * tip, 0.86 * tip, tip, base - 0.05),
            strict=True,
        )
    )
    lip_bottom = float(v[outer_lip[1], 1].max())
    middle |= {fp.FOREHEAD: 0.75 * FOREHEAD_TOP, fp.GLABELLA: -0.3, fp.NOSE_BRIDGE: 0.18 * tip}
    middle |= {fp.BELOW_LIP: lip_bottom + 0.08, fp.CHIN_BOSS: lip_bottom + 0.62 * (chin - lip_bottom)}
    for index, y in middle.items():
        put(index, skin.front(0.0, y))
    for side, wing, cheek, bone, fold in (
        (-1, fp.ALA_LEFT, fp.CHEEK_LEFT, fp.CHEEKBONE_LEFT, fp.FOLD_LEFT),
        (1, fp.ALA_RIGHT, fp.CHEEK_RIGHT, fp.CHEEKBONE_RIGHT, fp.FOLD_RIGHT),
    ):
        put(wing, skin.front(side * (ala[0] + 0.03), ala[1]))
        put(cheek, skin.front(side * 0.76, 0.48 * mouth[1]))
        put(bone, skin.front(side * 0.83, 0.3))
        put(fold, skin.front(side * 0.62, 0.6 * mouth[1]))
    return ids, weights


def _profile(skin: Surface, mouth: float) -> tuple[float, float, float, tuple[float, float]]:
    """Chin bottom, nose tip, nose base (y on the midline) and the wing of the nose (x, y)."""
    y = np.linspace(0.15, 2.6, 491)
    depth = np.array([_depth(skin, 0.0, value) for value in y])
    nose = y < mouth - 0.15
    tip = float(y[nose][np.nanargmin(depth[nose])])
    between = (y > tip + 0.06) & (y < mouth - 0.08)
    base = float(y[between][np.nanargmax(depth[between])])
    # Below the chin boss the profile turns back under the jaw: that is where the depth starts to fall off fastest.
    below = np.flatnonzero(y > mouth + 0.3)
    step = np.diff(depth[below])
    sharp = np.flatnonzero(~(step < 0.012))
    chin = float(y[below[sharp[0]]]) if len(sharp) else 1.85
    height = tip + 0.1 * (base - tip)
    x = np.linspace(0.12, 0.5, 77)
    across = np.array([_depth(skin, value, height) for value in x])
    edge = np.diff(across)
    wing = float(x[int(np.nanargmax(edge))])
    return chin, tip, base, (wing, height)


def _depth(skin: Surface, x: float, y: float) -> float:
    found = skin.hit(np.array([x, y, -10.0]), np.array([0.0, 0.0, 1.0]))
    return float("nan") if found is None else float(found[1] @ skin.vertices[found[0], 2])


def _named() -> list[int]:
    named = [*fp.MIRROR, *fp.IRIS_LEFT, *fp.IRIS_RIGHT, *fp.NOSE_RIDGE, fp.FOREHEAD, fp.GLABELLA, fp.BELOW_LIP]
    return [*named, fp.CHIN_BOSS]


def _fill(put: object, skin: Surface, oval: Floats, named: set[int]) -> None:
    """Spread the indices that have no name over the inside of the oval, in a sunflower."""
    assert callable(put)
    middle = np.array([0.0, (oval[:, 1].min() + oval[:, 1].max()) / 2])
    angles = np.arctan2(oval[:, 1] - middle[1], oval[:, 0] - middle[0])
    order = np.argsort(angles)
    radius = np.linalg.norm(oval - middle, axis=1)
    for index in range(fp.LANDMARKS):
        if index in named:
            continue
        angle = float(np.mod(index * np.pi * (3 - np.sqrt(5)) + np.pi, 2 * np.pi) - np.pi)
        reach = np.interp(angle, angles[order], radius[order], period=2 * np.pi)
        step = 0.92 * np.sqrt((index + 0.5) / fp.LANDMARKS) * reach
        put(index, skin.front(float(middle[0] + step * np.cos(angle)), float(middle[1] + step * np.sin(angle))))
