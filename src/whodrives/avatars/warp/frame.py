"""The axes of one face, its lip and lid lines, and skin motion interpolated between landmarks (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.avatars.warp.units import ActionUnit

Floats = NDArray[np.float64]

RIDGE = 0.03
# Half the width over which the two sides of a face change into each other, in inter-ocular distances.
SEAM = 0.22


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

    def lips(self) -> Curve:
        """The line where the lips meet."""
        return Curve((self.landmarks(fp.LIP_INNER_UPPER) + self.landmarks(fp.LIP_INNER_LOWER)) / 2)

    def lids(self) -> list[tuple[Curve, Curve]]:
        """Upper and lower lid line of the left and of the right eye (sides of the image)."""
        eyes = ((fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER), (fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER))
        return [(Curve(self.landmarks(upper)), Curve(self.landmarks(lower))) for upper, lower in eyes]

    def side(self, where: Floats) -> Floats:
        """-1 on the left and 1 on the right half of the image, at places (..., 2) in face axes; smooth at the midline.

        The right half shows the driver's left side. The midline runs from between the eyes to the middle of the mouth.
        """
        lips = self.lips()
        low = max(float(lips.points[:, 1].mean()), 1e-3)
        middle = lips.middle * np.clip(where[..., 1] / low, 0.0, 1.0)
        return 2.0 * smoothstep((where[..., 0] - middle) / (2.0 * SEAM) + 0.5) - 1.0


class Curve:
    """A lip or lid line y(x) in face axes, with the share u = -1..1 of the way between its ends."""

    def __init__(self, points: Floats) -> None:
        self.points = points[np.argsort(points[:, 0])]
        self.middle = float((self.points[0, 0] + self.points[-1, 0]) / 2)
        self.half = max(float(self.points[-1, 0] - self.points[0, 0]) / 2, 1e-3)

    def y(self, x: Floats) -> Floats:
        return np.interp(x, self.points[:, 0], self.points[:, 1])

    def u(self, x: Floats) -> Floats:
        return (x - self.middle) / self.half


def smoothstep(x: Floats) -> Floats:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def unit_field(frame: FaceFrame, unit: ActionUnit, where: Floats) -> Floats:
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
    weights = np.linalg.solve(gram + RIDGE * np.eye(len(gram)), target)
    return _kernel(where.reshape(-1, 2), centres, unit.reach).reshape(*where.shape[:-1], -1) @ weights


def _kernel(a: Floats, b: Floats, reach: float) -> Floats:
    squared = (a[:, None, 0] - b[None, :, 0]) ** 2 + (a[:, None, 1] - b[None, :, 1]) ** 2
    return np.exp(-0.5 * squared / reach**2)
