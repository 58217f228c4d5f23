"""Depth of a photographed head: landmark depth smoothed on the face, an assumed skull around it (ours).

Face axes as in `layout`, depth z away from the camera, 0 at the corners of the eyes, in inter-ocular distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from whodrives.avatars import facepoints as fp
from whodrives.avatars.mesh.layout import FaceAxes, Layout

Floats = NDArray[np.float64]

# Landmarks whose depth counts: those that mean something in drawn faces too.
MEASURED = tuple(
    sorted(
        {
            *fp.BROW_LEFT_UPPER, *fp.BROW_RIGHT_UPPER, *fp.NOSE_RIDGE, *fp.LIP_OUTER_UPPER, *fp.LIP_OUTER_LOWER,
            *fp.OVAL, *fp.EYE_LEFT_UPPER, *fp.EYE_LEFT_LOWER, *fp.EYE_RIGHT_UPPER, *fp.EYE_RIGHT_LOWER,
            fp.FOREHEAD, fp.GLABELLA, fp.ALA_LEFT, fp.ALA_RIGHT, fp.CHEEK_LEFT, fp.CHEEK_RIGHT, fp.CHEEKBONE_LEFT,
            fp.CHEEKBONE_RIGHT, fp.FOLD_LEFT, fp.FOLD_RIGHT, fp.CHIN_BOSS, fp.BELOW_LIP,
        }
    )
)  # fmt: skip
# A detector's depth that agrees less than this with an ordinary face is not used.
AGREEMENT = 0.5
SMOOTHING = 0.004
DEEPEST = 1.5


def ordinary(places: Floats) -> Floats:
    """Depth (N,) of an average face at places (N, 2): half an ellipsoid and a nose."""
    x, y = places[:, 0], places[:, 1]
    rho = (x / 1.35) ** 2 + ((y - 0.45) / 1.75) ** 2
    skull = 0.85 - 1.1 * np.sqrt(np.clip(1 - rho, 0, None))
    along = np.clip((y + 0.1) / 0.72, 0, 1)
    nose = 0.38 * along * np.exp(-((x / (0.1 + 0.1 * along)) ** 2)) * (1 / (1 + np.exp((y - 0.72) / 0.035)))
    return np.asarray(skull - nose)


@dataclass(frozen=True)
class Relief:
    """Depth of one face; call `at` with places in face axes."""

    correction: RBFInterpolator | None
    oval: Floats
    offset: float

    @classmethod
    def of(cls, landmarks: NDArray[np.floating], axes: FaceAxes, layout: Layout) -> Relief:
        """Fit to landmarks (478, 3) in pixels."""
        places = axes.to_face(landmarks[list(MEASURED), :2])
        corners = [*fp.EYE_LEFT_CORNERS, *fp.EYE_RIGHT_CORNERS]
        measured = (landmarks[list(MEASURED), 2] - landmarks[corners, 2].mean()) / axes.unit
        model = ordinary(places)
        good = np.ptp(measured) > 0.1 and np.corrcoef(measured, model)[0, 1] > AGREEMENT
        fit = None
        if good:
            fit = RBFInterpolator(
                places,
                np.clip(measured - model, -0.6, 0.6),
                kernel="thin_plate_spline",
                smoothing=SMOOTHING * len(places),
            )
        relief = cls(fit, layout.oval, 0.0)
        at_eyes = np.array([[slit.x[k], slit.middle[k]] for slit in layout.slits[:2] for k in (0, -1)])
        return cls(fit, layout.oval, float(relief.at(at_eyes).mean()))

    def at(self, places: Floats) -> Floats:
        """Depth (N,) at places (N, 2)."""
        beyond, inward = self.beyond(places)
        depth = ordinary(inward)
        if self.correction is not None:
            depth = depth + self.correction(inward)
        # Past the face the skull curves away.
        back = 1.4 * beyond + 1.2 * beyond**2
        return np.asarray(np.minimum(depth + back, np.maximum(depth, DEEPEST)) - self.offset)

    def beyond(self, places: Floats) -> tuple[Floats, Floats]:
        """How far places (N, 2) lie outside the face oval (N,), 0 inside; and the places drawn in to it."""
        centre = (self.oval.min(axis=0) + self.oval.max(axis=0)) / 2
        spread = self.oval - centre
        angle = np.arctan2(spread[:, 1], spread[:, 0])
        order = np.argsort(angle)
        radius = np.linalg.norm(spread, axis=1)[order]
        off = places - centre
        distance = np.linalg.norm(off, axis=1)
        limit = np.interp(np.arctan2(off[:, 1], off[:, 0]), angle[order], radius, period=2 * np.pi)
        # The rim of the face is steep and badly measured: hold its depth a little earlier.
        inward = centre + off * np.minimum(1.0, 0.97 * limit / np.maximum(distance, 1e-6))[:, None]
        return np.clip(distance - 0.97 * limit, 0, None), inward


def follow(places: Floats, relief: Relief, chin: float) -> Floats:
    """Share (N,) of the head's motion that skin, hair and surroundings at places (N, 2) take part in."""
    beyond, _ = relief.beyond(places)
    centre = (relief.oval.min(axis=0) + relief.oval.max(axis=0)) / 2
    off = places - centre
    down = off[:, 1] / np.maximum(np.linalg.norm(off, axis=1), 1e-6)
    # Hair reaches far up and ears a little sideways; below the chin the neck stays behind.
    start = np.interp(down, [-1, -0.3, 0.3, 0.75, 1], [0.75, 0.5, 0.35, 0.1, 0.05])
    width = np.interp(down, [-1, 0, 0.75, 1], [1.4, 1.1, 0.9, 0.9])
    share = np.clip((beyond - start) / width, 0, 1)
    neck = np.clip((places[:, 1] - chin - 0.05) / 1.0, 0, 1)
    share = np.maximum(share, neck)
    return np.asarray(1 - share * share * (3 - 2 * share))
