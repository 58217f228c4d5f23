"""Where the vertices of a photo's face mesh go, in the picture plane, and how they are joined (ours).

Face axes: origin between the eyes, x right and y down along the face, unit = inter-ocular distance. The lids and the
lips are slits: their rims are doubled, and while triangles are formed they are pressed shut, so that every face gets
clean rims however wide its eyes and mouth stand open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial import Delaunay, cKDTree

from whodrives.avatars import facepoints as fp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Points along each rim, corners included. Distances of rings about eyes and mouth from the rims.
EYE_POINTS, MOUTH_POINTS = 17, 25
EYE_RINGS, LIP_RINGS = (0.04, 0.09, 0.15), (0.06, 0.13)
# Spacing of points inside and outside the face.
FINE, COARSE = 0.125, 0.34
# Lips that are no farther apart than this are closed.
CLOSED_LIPS = 0.05
# Rings about the face oval, as multiples of its radius.
AROUND = (1.07, 1.16, 1.28, 1.43)
# The mesh goes this far beyond the picture, as a share of its side: crops may look there.
BEYOND = 0.07
NAMED = (
    fp.BROW_LEFT_UPPER, fp.BROW_LEFT_LOWER, fp.BROW_RIGHT_UPPER, fp.BROW_RIGHT_LOWER, fp.NOSE_RIDGE,
    fp.LIP_OUTER_UPPER, fp.LIP_OUTER_LOWER, fp.OVAL,
    (fp.FOREHEAD, fp.GLABELLA, fp.ALA_LEFT, fp.ALA_RIGHT, fp.CHEEK_LEFT, fp.CHEEK_RIGHT, fp.CHEEKBONE_LEFT,
     fp.CHEEKBONE_RIGHT, fp.FOLD_LEFT, fp.FOLD_RIGHT, fp.CHIN_BOSS, fp.BELOW_LIP),
)  # fmt: skip


@dataclass(frozen=True)
class FaceAxes:
    """From pixels of a picture of side `size` to face axes and back; `tilt` is clockwise, in radians."""

    x: float
    y: float
    unit: float
    tilt: float
    size: int

    @classmethod
    def of(cls, landmarks: NDArray[np.floating], size: int) -> FaceAxes:
        """Axes from the corners of the eyes."""
        left, right = (landmarks[list(c), :2].mean(axis=0) for c in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS))
        dx, dy = (float(v) for v in right - left)
        x, y = ((left + right) / 2).tolist()
        return cls(x, y, max(float(np.hypot(dx, dy)), 1.0), float(np.arctan2(dy, dx)), size)

    def turn(self) -> Floats:
        """Matrix (2, 2): face directions (..., 2) @ it are picture directions."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return np.array([[c, s], [-s, c]])

    def to_face(self, pixels: NDArray[np.floating]) -> Floats:
        """Pixels (..., 2) to face axes."""
        return np.asarray((pixels - [self.x, self.y]) / self.unit @ self.turn().T, dtype=np.float64)

    def to_pixels(self, places: Floats) -> Floats:
        """Face axes (..., 2) to pixels."""
        return places @ self.turn() * self.unit + [self.x, self.y]


@dataclass(frozen=True)
class Slit:
    """Two rims from the left to the right corner: `x` (K,), `upper` and `lower` (K,) their y; equal at the corners."""

    x: Floats
    upper: Floats
    lower: Floats

    @classmethod
    def through(cls, upper: Floats, lower: Floats, count: int, closed: float = 0.0) -> Slit:
        """Slit along two chains of points (M, 2), evenly sampled; pressed shut when nowhere wider than `closed`."""
        ends = (upper[[0, -1]] + lower[[0, -1]]) / 2
        if ends[0, 0] > ends[1, 0]:
            upper, lower, ends = upper[::-1], lower[::-1], ends[::-1]
        # Evenly in angle: rims turn fastest at the corners.
        even = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
        share = 0.5 * even + 0.5 * np.linspace(0, 1, count)
        x = ends[0, 0] + share * max(float(ends[1, 0] - ends[0, 0]), 1e-3)
        top, bottom = (_curve(points, ends, x) for points in (upper, lower))
        middle = (top + bottom) / 2
        half = np.clip((bottom - top) / 2, 0.0, None)
        if 2 * half.max() <= closed:
            half = np.zeros_like(half)
        half[[0, -1]] = 0.0
        return cls(x, middle - half, middle + half)

    @property
    def middle(self) -> Floats:
        """y halfway between the rims (K,)."""
        return (self.upper + self.lower) / 2

    @property
    def centre(self) -> Floats:
        """Middle of the slit (2,)."""
        return np.array([(self.x[0] + self.x[-1]) / 2, float(self.middle[len(self.x) // 2])])

    @property
    def half_width(self) -> float:
        """Half of the distance between the corners."""
        return float(self.x[-1] - self.x[0]) / 2

    def line(self, x: Floats) -> Floats:
        """y of the middle line at x; level beyond the corners."""
        return np.interp(x, self.x, self.middle)

    def half_gap(self, x: Floats) -> Floats:
        """Half of the opening at x; 0 beyond the corners."""
        return np.interp(x, self.x, (self.lower - self.upper) / 2, left=0.0, right=0.0)

    def pressed(self, points: Floats, reach: float) -> Floats:
        """Points (N, 2) moved so that the slit is shut; the move dies away over `reach` above and below."""
        off = points[:, 1] - self.line(points[:, 0])
        half = self.half_gap(points[:, 0])
        far = np.clip(np.abs(off) - half, 0, None)
        shift = np.minimum(half * np.exp(-far / reach), np.abs(off))
        return np.stack([points[:, 0], points[:, 1] - np.sign(off) * shift], axis=1)

    def polygon(self) -> Floats:
        """Outline of the opening (2 K - 2, 2)."""
        upper, lower = np.stack([self.x, self.upper], 1), np.stack([self.x, self.lower], 1)
        return np.concatenate([upper, lower[-2:0:-1]])


def _curve(points: Floats, ends: Floats, x: Floats) -> Floats:
    inner = points[1:-1]
    inner = inner[(inner[:, 0] > ends[0, 0] + 1e-3) & (inner[:, 0] < ends[1, 0] - 1e-3)]
    inner = inner[np.argsort(inner[:, 0])]
    inner = inner[np.append(True, np.diff(inner[:, 0]) > 1e-3)]
    chain = np.concatenate([ends[:1], inner, ends[1:]])
    return np.asarray(PchipInterpolator(chain[:, 0], chain[:, 1])(x))


@dataclass(frozen=True)
class Layout:
    """Skin in the picture plane: `places` (V, 2) in face axes, `triangles` int64 (F, 3); `side` int8 (V,), -1 for upper
    rims, 1 for lower rims, 0 elsewhere; `slits` left eye, right eye, mouth, and the vertices of their upper and lower
    rims, `chains`; `oval` (36, 2)."""

    places: Floats
    triangles: Ints
    side: NDArray[np.int8]
    slits: tuple[Slit, Slit, Slit]
    chains: tuple[tuple[Ints, Ints], ...]
    oval: Floats


def lay_out(landmarks: NDArray[np.floating], axes: FaceAxes) -> Layout:
    """Vertices and triangles of the skin of a face, landmarks (478, >= 2) in pixels."""
    points = axes.to_face(landmarks[:, :2])

    def take(indices: Sequence[int]) -> Floats:
        return points[list(indices)]

    eyes = [
        Slit.through(take(upper), take(lower), EYE_POINTS)
        for upper, lower in (
            (fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER),
            (fp.EYE_RIGHT_UPPER[::-1], fp.EYE_RIGHT_LOWER[::-1]),
        )
    ]
    mouth = Slit.through(take(fp.LIP_INNER_UPPER), take(fp.LIP_INNER_LOWER), MOUTH_POINTS, CLOSED_LIPS)
    slits = (eyes[0], eyes[1], mouth)
    oval = take(fp.OVAL)
    rims = [np.stack([slit.x, slit.middle], axis=1) for slit in slits]
    named = np.unique(np.concatenate([take(group) for group in NAMED]), axis=0)
    rings = [_eye_rings(eye, points) for eye in eyes] + [_lip_rings(mouth, points)]
    centre = (oval.min(axis=0) + oval.max(axis=0)) / 2
    around = np.concatenate([centre + (oval[:: 1 if s < 1.2 else 2] - centre) * s for s in AROUND])
    box = axes.to_face(
        axes.size * np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]]) * (1 + 2 * BEYOND) - axes.size * BEYOND
    )
    frame = np.concatenate(
        [np.linspace(a, b, 16, endpoint=False) for a, b in zip(box, np.roll(box, -1, 0), strict=True)]
    )
    inner = [_press(slits, part) for part in (named, *rings)]
    # Rims keep their neighbours at a distance, or they would not be edges of the triangulation.
    kept = np.concatenate(rims)
    groups = ((inner[0], 0.022), (np.concatenate(inner[1:]), 0.03), (frame, 0.1), (around, 0.1))
    fine, coarse = _lattice(oval, FINE), _lattice(box, COARSE)
    fine = _press(slits, fine[_inside(fine, centre + (oval - centre) * 0.99)])
    coarse = coarse[_inside(coarse, box)]
    for group, distance in (*groups, (fine, 0.62 * FINE), (coarse, 0.7 * COARSE)):
        group = group[_inside(group, box * 1.0001)]
        far = cKDTree(kept).query(group)[0] > distance
        kept = np.concatenate([kept, group[far]])
    triangles = np.asarray(Delaunay(kept).simplices, dtype=np.int64)
    return _open(kept, triangles, slits, oval)


def _press(slits: Sequence[Slit], points: Floats) -> Floats:
    for slit, reach in zip(slits, (0.2, 0.2, 0.4), strict=True):
        near = np.abs(points - slit.centre).max(axis=1) < 1.2 * slit.half_width + 0.3
        points = np.where(near[:, None], slit.pressed(points, reach), points)
    return points


def _unpress(slits: Sequence[Slit], points: Floats) -> Floats:
    """Inverse of `_press`, by fixed-point iteration (the shift is a contraction)."""
    out = points.copy()
    for _ in range(40):
        out += points - _press(slits, out)
    return out


def _open(kept: Floats, triangles: Ints, slits: tuple[Slit, Slit, Slit], oval: Floats) -> Layout:
    """Double the rims of the pressed triangulation and move everything back to where it belongs."""
    places = _unpress(slits, kept)
    side = np.zeros(len(kept), np.int8)
    middle = kept[triangles].mean(axis=1)
    extra: list[Floats] = []
    chains: list[tuple[Ints, Ints]] = []
    first = 0
    for slit in slits:
        inner = np.arange(first + 1, first + len(slit.x) - 1)
        first += len(slit.x)
        copy = np.arange(len(inner)) + len(kept) + sum(len(e) for e in extra)
        corners = inner[0] - 1, inner[-1] + 1
        chains += [(np.array([corners[0], *inner, corners[1]]), np.array([corners[0], *copy, corners[1]]))]
        places[inner[0] - 1], places[inner[-1] + 1] = [slit.x[0], slit.middle[0]], [slit.x[-1], slit.middle[-1]]
        places[inner], side[inner] = np.stack([slit.x, slit.upper], 1)[1:-1], -1
        extra.append(np.stack([slit.x, slit.lower], axis=1)[1:-1])
        below = middle[:, 1] > slit.line(middle[:, 0])
        swap = np.arange(len(kept) + sum(len(e) for e in extra))
        swap[inner] = copy
        triangles = np.where(below[:, None], swap[triangles], triangles)
    places = np.concatenate([places, *extra])
    side = np.concatenate([side, np.ones(len(places) - len(side), np.int8)])
    a, b, c = (places[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    triangles = np.where((area > 0)[:, None], triangles[:, [0, 2, 1]], triangles)[np.abs(area) > 1e-9]
    return Layout(places, triangles, side, slits, tuple(chains), oval)


def _eye_rings(eye: Slit, points: Floats) -> Floats:
    """Points about an eye, closer where the brow is low."""
    brows = points[[*fp.BROW_LEFT_LOWER, *fp.BROW_RIGHT_LOWER]]
    near = brows[np.abs(brows[:, 0] - eye.centre[0]) < eye.half_width]
    room = float((eye.upper.min() - near[:, 1]).min()) if len(near) else 0.2
    squeeze = float(np.clip(0.8 * room / EYE_RINGS[-1], 0.4, 1.0))
    out = []
    middle, half = eye.centre[0], eye.half_width
    for number, distance in enumerate(EYE_RINGS):
        chosen = slice(1, -1, 1 + number)
        x = middle + (eye.x - middle) * (1 + 0.12 * (number + 1))
        u = np.abs(eye.x - middle) / half
        reach = distance * (1 - 0.45 * u**2)
        out += [np.stack([x, eye.upper - squeeze * reach], 1)[chosen], np.stack([x, eye.lower + reach], 1)[chosen]]
        ends = np.array([[-1.0, 0.0], [1.0, 0.0]]) * (half + 0.9 * distance)
        out.append(ends + np.stack([np.full(2, middle), eye.middle[[0, -1]]], axis=1))
    return np.concatenate(out)


def _lip_rings(mouth: Slit, points: Floats) -> Floats:
    """Points halfway over the lips and in rings outside them."""
    out = []
    half = mouth.half_width
    for outer, rim, sign in ((fp.LIP_OUTER_UPPER, mouth.upper, -1.0), (fp.LIP_OUTER_LOWER, mouth.lower, 1.0)):
        edge = points[list(outer)]
        at_rim = np.stack([edge[:, 0], np.interp(edge[:, 0], mouth.x, rim)], axis=1)
        out.append(((edge + at_rim) / 2)[1:-1])
        for distance in LIP_RINGS:
            u = (edge[:, 0] - mouth.centre[0]) / half
            out.append(
                edge + np.stack([0.9 * distance * u, sign * distance * np.sqrt(np.clip(1 - 0.8 * u**2, 0, 1))], 1)
            )
    return np.concatenate(out)


def _lattice(outline: Floats, spacing: float) -> Floats:
    """Triangular lattice over the bounding box of an outline."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    rows = np.arange(low[1], high[1], spacing * np.sqrt(0.75))
    columns = np.arange(low[0], high[0], spacing)
    x, y = np.meshgrid(columns, rows)
    x = x + np.where(np.arange(len(rows)) % 2, spacing / 2, 0.0)[:, None]
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _inside(points: Floats, outline: Floats) -> NDArray[np.bool_]:
    """Even-odd test of points (N, 2) against a polygon (M, 2)."""
    a, b = outline, np.roll(outline, -1, axis=0)
    y = points[:, 1:]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    return np.asarray(((points[:, :1] < x) & crosses).sum(axis=1) % 2 == 1)
