"""The key points of a face: which landmarks each one averages, how deep it lies, and the axes they are given in (ours).

Face axes: origin midway between the eyes, x right and y down in the (untilted) image, z away from the camera, unit =
inter-ocular distance. "_l" and "_r" are the left and right half of the IMAGE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.errors import InputError

Floats = NDArray[np.float64]

# Key points of the left half and their depth; the right half mirrors them. Depths of an average adult head, measured
# from the plane of the eyes: a nose tip stands about 28 mm proud of it, the outline at the ears lies 40 mm behind.
PAIRED: dict[str, tuple[tuple[int, ...], float]] = {
    "brow_inner": ((107, 55), -0.10),
    "brow_mid": ((105, 52), -0.08),
    "brow_outer": ((70, 46), 0.16),
    "lid_up": ((160, 159, 158), -0.04),
    "lid_low": ((144, 145, 153), -0.02),
    "eye_outer": ((33,), 0.18),
    "eye_inner": ((133,), 0.02),
    "iris": (fp.IRIS_LEFT, -0.02),
    "cheekbone": ((fp.CHEEKBONE_LEFT,), 0.08),
    "cheek": ((fp.FOLD_LEFT,), 0.00),
    "wing": ((fp.ALA_LEFT,), -0.18),
    "corner": ((61, 78), -0.12),
    "lip_up_side": ((39, 81), -0.25),
    "lip_low_side": ((181, 178), -0.23),
    "chin_side": ((150, 149), 0.05),
    "jaw": ((172, 58), 0.45),
    "ear": ((234, 93), 0.62),
    "temple": ((162, 21), 0.42),
}
MIDLINE: dict[str, tuple[tuple[int, ...], float]] = {
    "forehead": ((fp.FOREHEAD,), -0.12),
    "glabella": ((fp.GLABELLA,), -0.15),
    "bridge": ((fp.NOSE_BRIDGE,), -0.20),
    "nose": ((fp.NOSE_TIP, 4), -0.46),
    "nose_base": ((fp.NOSE_BASE,), -0.28),
    "lip_up": ((0, 37, 267), -0.29),
    "lip_up_in": ((13, 82, 312), -0.27),
    "lip_low_in": ((14, 87, 317), -0.26),
    "lip_low": ((17, 84, 314), -0.26),
    "chin_boss": ((fp.CHIN_BOSS,), -0.25),
    "chin": ((fp.CHIN,), -0.15),
}
SKIN = tuple(f"{name}_{side}" for name in PAIRED for side in "lr") + tuple(MIDLINE) + ("crown",)
# Corners and edge middles of the picture; none at the top, where hair must be free to follow the head.
ANCHORS = ("edge_ml", "edge_mr", "edge_bl", "edge_bm", "edge_br")
KEYS = SKIN + ANCHORS
KEY = {name: number for number, name in enumerate(KEYS)}
CROWN_DEPTH = 0.55
# Closed lips touch; their key points may not, or an opening mouth would have to stretch nothing into a gap.
LEAST_LIP_GAP = 0.05


@dataclass(frozen=True)
class FaceAxes:
    """Where a face lies in its picture, in -1..1 image axes.

    Parameters
    ----------
    origin : (x, y) midway between the eyes. unit : inter-ocular distance. tilt : radians, clockwise in the image.
    """

    origin: tuple[float, float]
    unit: float
    tilt: float

    @classmethod
    def of(cls, face: Face) -> FaceAxes:
        """Axes from the corners of both eyes."""
        points = face.landmarks[:, :2].astype(np.float64) / face.size * 2.0 - 1.0
        left, right = (points[list(pair)].mean(axis=0) for pair in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS))
        middle, across = (left + right) / 2, right - left
        return cls(
            (float(middle[0]), float(middle[1])),
            max(float(np.hypot(*across)), 1e-6),
            float(np.arctan2(across[1], across[0])),
        )

    @property
    def to_image_matrix(self) -> Floats:
        """(2, 2) M: a face vector v is the image vector v @ M."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return np.array([[c, s], [-s, c]]) * self.unit

    def from_image(self, xy: Floats) -> Floats:
        """Places (..., 2) in -1..1 image axes, in face axes."""
        return (xy - np.array(self.origin)) @ np.linalg.inv(self.to_image_matrix)

    def to_image(self, xy: Floats) -> Floats:
        """Places (..., 2) in face axes, in -1..1 image axes."""
        return xy @ self.to_image_matrix + np.array(self.origin)


def _mirrored(indices: tuple[int, ...]) -> list[int]:
    iris = dict(zip(fp.IRIS_LEFT, fp.IRIS_RIGHT))
    return [iris[i] if i in iris else fp.MIRROR[i] for i in indices]


def rest_points(face: Face) -> Floats:
    """Key points of a still face, float64 (len(KEYS), 3) in face axes; anchors lie at depth 0.

    Raises
    ------
    InputError
        The landmarks describe no upright face of a usable size.
    """
    axes = FaceAxes.of(face)
    if axes.unit * 128 / 2 < 8:
        raise InputError(f"face {face.name}: eyes are {axes.unit * face.size / 2:.0f} px apart; use a closer crop")
    marks = axes.from_image(face.landmarks[:, :2].astype(np.float64) / face.size * 2.0 - 1.0)
    places: dict[str, Floats] = {}
    for name, (indices, depth) in PAIRED.items():
        for side, chosen in (("l", list(indices)), ("r", _mirrored(indices))):
            places[f"{name}_{side}"] = np.array([*marks[chosen].mean(axis=0), depth])
    for name, (indices, depth) in MIDLINE.items():
        places[name] = np.array([*marks[list(indices)].mean(axis=0), depth])
    height = marks[fp.CHIN, 1] - marks[fp.OVAL[0], 1]
    if abs(axes.tilt) > 0.6 or height < 1.0 or np.ptp(marks[list(fp.OVAL), 0]) < 1.0:
        raise InputError(f"face {face.name}: landmarks describe no upright face; detect them on the upright picture")
    lack = max(LEAST_LIP_GAP - float(places["lip_low_in"][1] - places["lip_up_in"][1]), 0.0) / 2
    places["lip_up_in"][1] -= lack
    places["lip_low_in"][1] += lack
    # The skull stands about a fifth of the face above the end of the forehead.
    crown = marks[fp.OVAL[0]] + [0.0, -0.2 * height]
    places["crown"] = np.array([*crown, CROWN_DEPTH])
    edges = axes.from_image(np.array([[-1, 0], [1, 0], [-1, 1], [0, 1], [1, 1]], dtype=np.float64))
    for name, edge in zip(ANCHORS, edges, strict=True):
        places[name] = np.array([*edge, 0.0])
    return np.stack([places[name] for name in KEYS])
