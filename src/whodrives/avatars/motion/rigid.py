"""Head pose from face landmarks, and the landmarks with the head's motion taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.conditioning import head_angles

Floats = NDArray[np.float64]

# Points that no expression moves much, in mirror pairs: eye corners, temples, side of the forehead; and the midline of
# forehead and nose bridge.
PAIRS = ((33, 263), (133, 362), (127, 356), (234, 454), (21, 251), (54, 284), (67, 297), (109, 338))
MIDLINE = (10, 168, 6, 197, 195)
RIGID = tuple(index for pair in PAIRS for index in pair) + MIDLINE
# Sides of the head are the least exact: half weight.
_WEIGHTS = np.array([1.0] * 4 + [0.5] * 12 + [1.0] * 5)
_WEIGHTS /= _WEIGHTS.sum()
# Distance from camera to head in inter-ocular distances (75 cm): what a change of size means in depth.
CAMERA = 12.0
ROUNDS = 5


@dataclass(frozen=True)
class Rigid:
    """Head motion of N frames.

    Parameters
    ----------
    angles : (N, 3) pitch, yaw, roll in radians, signs as `tracks.MotionTrack`; 0 faces the camera.
    eyes : (N, 3) midpoint of the eyes: x and y in inter-ocular distances of the recording from the picture's corner,
        and z = 12 inter-ocular distances times (usual size / size).
    points : (N, 478, 3) landmarks without the head's motion: origin between the eyes, x right, y down, z away, in
        inter-ocular distances.
    """

    angles: Floats
    eyes: Floats
    points: Floats


def fit_similarity(shape: Floats, targets: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Least-squares scale (N,), rotation (N, 3, 3) and shift (N, 3) with target = scale * rotation @ shape + shift.

    shape (K, 3), targets (N, K, 3), weights (K,) summing to 1. Umeyama's closed form.
    """
    centre, middles = weights @ shape, np.einsum("k,nkc->nc", weights, targets)
    a, b = shape - centre, targets - middles[:, None]
    u, s, vt = np.linalg.svd(np.einsum("k,nkc,kd->ncd", weights, b, a))
    flip = np.ones_like(s)
    flip[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * flip[:, None, :]) @ vt
    scale = (s * flip).sum(axis=1) / float(weights @ (a * a).sum(axis=1))
    return scale, rotation, middles - scale[:, None] * (rotation @ centre)


def separate(landmarks: Floats) -> Rigid:
    """Split landmarks (N, 478, 3) in pixels, all finite, into head motion and face.

    The recording's own mean shape of the rigid points is the reference (iterated weighted Procrustes in 3-D), set
    upright and frontal: mirror pairs lie along x, forehead over chin along y.
    """
    spread = landmarks[:: max(1, len(landmarks) // 500)]
    rigid = spread[:, RIGID]
    shape = rigid[0]
    for _ in range(ROUNDS):
        scale, rotation, shift = fit_similarity(shape, rigid, _WEIGHTS)
        aligned = ((rigid - shift[:, None]) @ rotation) / scale[:, None, None]
        shape = np.median(aligned, axis=0)
    scale, rotation, shift = fit_similarity(shape, rigid, _WEIGHTS)
    face = np.median(((spread - shift[:, None]) @ rotation) / scale[:, None, None], axis=0)
    axes, origin, unit = _upright(face)
    shape = (shape - origin) @ axes / unit
    scale, rotation, shift = fit_similarity(shape, landmarks[:, RIGID], _WEIGHTS)
    points = ((landmarks - shift[:, None]) @ rotation) / scale[:, None, None]
    usual = float(np.median(scale))
    # The reference's origin is the midpoint of the eyes, so `shift` is where that lies.
    eyes = np.column_stack([shift[:, :2] / usual, CAMERA * usual / scale])
    return Rigid(head_angles(rotation), eyes, points)


def _upright(face: Floats) -> tuple[Floats, Floats, float]:
    """Axes (3, 3, in columns), origin and unit of a mean face (478, 3)."""
    left, right = np.array(PAIRS).T
    x = (face[right] - face[left]).mean(axis=0)
    x /= np.linalg.norm(x)
    down = face[fp.CHIN] - face[10]
    down -= (down @ x) * x
    down /= np.linalg.norm(down)
    axes = np.column_stack([x, down, np.cross(x, down)])
    centres = [face[list(eye)].mean(axis=0) for eye in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS)]
    return axes, (centres[0] + centres[1]) / 2, float(np.linalg.norm(centres[1] - centres[0]))
