"""From face landmarks to motion channels by geometry alone: distances on the face, each read as one action unit.

Distances are in inter-ocular distances (62 mm) on the face with the head's motion taken out (`motion.rigid`), as
displacements from the recording's own rest. An intensity of 5 is the largest movement usual in people. Which distance
shows which action unit: FACS. Numbers are ours.

=====  =====================================================  =====================================================
unit   read from                                              one unit of intensity (5 in mm)
=====  =====================================================  =====================================================
AU01   inner brow end up (less 0.3 of the outer end's way)    0.0226 (7 mm)
AU02   outer brow end up (less 0.3 of the inner end's way)    0.0226 (7 mm)
AU04   inner brow end down, and towards the midline           0.018 down (5.6 mm), 0.014 in (4.3 mm); 0.7 to 0.3
AU05   lids further apart than usual                          0.010 (3 mm)
AU06   cheek up (less 0.2 of the lip corner's way up)         0.014 (4.3 mm)
AU07   lower lid up (less 0.3 of the lids' closing)           0.007 (2.2 mm)
AU09   wing of the nose up (less 0.25 of the lip corner's)    0.018 (5.6 mm)
AU10   upper lip nearer to the nose (less 0.1 of the same)    0.020 (6.2 mm)
AU12   lip corner up (more than 0.35 of the jaw's way down)   0.0274 up, which with as much outwards is 12 mm at 5
AU14   lip corner out more than up, lips closed               0.020 (6.2 mm)
AU15   lip corner down                                        0.026 (8 mm)
AU17   chin boss and lower lip up from the closed mouth       0.021 (6.5 mm)
AU20   lip corner out more than up, lips parted               0.030 (9.3 mm)
AU23   lip corner towards the midline                         0.032 (10 mm)
AU25   inner lips apart (less 0.8 of the jaw's way down)      0.050 (15.5 mm)
AU26   jaw: 0.7 of the chin's way down, 0.3 of the lips'      0.0645 (20 mm)
AU45   share of the usual gap between the lids that is shut   0.36 (closed, a tenth of the gap, is 2.5)
gaze   centre of the iris from the middle of the eye corners  eyeball radius 0.19 (12 mm): radians by arc sine
jaw_x  chin sideways                                          full scale 1 at 0.16 (10 mm)
mouth  mouth sideways (less 0.4 of the chin's way)            full scale 1 at 0.13 (8 mm)
=====  =====================================================  =====================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars import facepoints as fp
from whodrives.avatars.motion.rigid import separate
from whodrives.avatars.tracks import CHANNELS, INDEX, POSE_CHANNELS
from whodrives.errors import InputError

Floats = NDArray[np.float64]

EYEBALL = 0.19
CLOSED, CLOSED_GAP = 2.5, 0.1
# Jaw opening draws the lip corners down by this share of the chin's way (median over read sentences of ten speakers).
CORNER_DOWN = 0.35
# What goes with head rotation is taken off as far as the head turns: half of it at this standard deviation (6 degrees).
HEAD_PRIOR = 0.10

# Per side of the image, left then right: see `fp.MIRROR`.
_BROW_INNER = ((107, 55, 66, 65), (336, 285, 296, 295))
_BROW_OUTER = ((70, 46, 63, 53), (300, 276, 293, 283))
_LID_UP, _LID_LOW = ((160, 159, 158), (387, 386, 385)), ((144, 145, 153), (373, 374, 380))
_CORNERS = (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS)
_CHEEK = ((117, 118, 50, 101), (346, 347, 280, 330))
_WING = ((129, 64, 98), (358, 294, 327))
_LIP = ((37, 39), (267, 269))
_LIP_CORNER = ((61,), (291,))
_IRIS = ((468,), (473,))
_CHIN, _BOSS, _LOWER_LIP = (152, 148, 377), (199, 200), (17, 84, 314)
_MOUTH = (61, 291, 0, 17, 13, 14)


def landmarks_to_values(
    landmarks: NDArray[np.floating[Any]], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Raw motion channels of one recording's landmarks.

    Parameters
    ----------
    landmarks : (N, 478, 3) MediaPipe face mesh with iris, x right, y down, z away, all in pixels.
    valid : bool (N,), frames with a face; None takes the frames whose landmarks are all finite.

    Returns
    -------
    float64 (N, 33) in the order and units of `tracks.CHANNELS`, NaN in frames without a face. Action units 0..5 from
    the recording's own rest; head pose and gaze (eye in head) absolute; translation that of the midpoint of the eyes.

    Raises
    ------
    InputError
        Wrong shapes, or fewer than 2 frames with a face (there is no rest to measure from).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (fp.LANDMARKS, 3):
        raise InputError(f"landmarks must be (N, {fp.LANDMARKS}, 3), got {points.shape}")
    seen = np.isfinite(points).all(axis=(1, 2))
    if valid is not None:
        if valid.shape != seen.shape:
            raise InputError(f"valid must be ({len(points)},) like the frames, got {valid.shape}")
        seen &= valid
    if seen.sum() < 2:
        raise InputError(f"landmarks: {int(seen.sum())} of {len(points)} frames hold a face; at least 2 are needed")
    out = np.full((len(points), len(CHANNELS)), np.nan)
    out[seen] = _channels(points[seen])
    return out


def _channels(landmarks: Floats) -> Floats:
    head = separate(landmarks)
    way = without_head(distances(head.points), head.angles)
    sides, middle = _action_units(way)
    out = np.zeros((len(landmarks), len(CHANNELS)))
    for name, value in middle.items():
        out[:, INDEX[name]] = value
    for name, value in sides.items():
        value = value.clip(0.0, 5.0)
        out[:, INDEX[name]] = value.mean(axis=1)
        if f"{name}_lr" in INDEX:
            # The person's left is the right half of the image.
            out[:, INDEX[f"{name}_lr"]] = (value[:, 1] - value[:, 0]) / 2
    out[:, [INDEX["gaze_x"], INDEX["gaze_y"]]] = _gaze(way)
    pose = np.concatenate([head.angles, head.eyes - np.median(head.eyes, axis=0)], axis=1)
    out[:, [INDEX[name] for name in POSE_CHANNELS]] = pose
    return out


def distances(face: Floats) -> dict[str, Floats]:
    """What is measured on faces (N, 478, 3) without head motion: (N, 2) by side of the image, or (N,)."""

    def y(indices: tuple[int, ...]) -> Floats:
        return face[:, list(indices), 1].mean(axis=1)

    def x(indices: tuple[int, ...]) -> Floats:
        return face[:, list(indices), 0].mean(axis=1)

    def both(rise: list[Floats]) -> Floats:
        return np.stack(rise, axis=1)

    base = [y(corners) for corners in _CORNERS]
    centre = [x(corners) for corners in _CORNERS]
    return {
        "inner": both([base[s] - y(_BROW_INNER[s]) for s in (0, 1)]),
        "outer": both([base[s] - y(_BROW_OUTER[s]) for s in (0, 1)]),
        "brow_out": both([(-1, 1)[s] * x(_BROW_INNER[s]) for s in (0, 1)]),
        "lids": both([y(_LID_LOW[s]) - y(_LID_UP[s]) for s in (0, 1)]),
        "lower_lid": both([base[s] - y(_LID_LOW[s]) for s in (0, 1)]),
        "cheek": both([base[s] - y(_CHEEK[s]) for s in (0, 1)]),
        "wing": both([-y(_WING[s]) for s in (0, 1)]),
        "lip": both([y((fp.NOSE_BASE,)) - y(_LIP[s]) for s in (0, 1)]),
        "corner_up": both([-y(_LIP_CORNER[s]) for s in (0, 1)]),
        "corner_out": both([(-1, 1)[s] * x(_LIP_CORNER[s]) for s in (0, 1)]),
        "iris_x": both([x(_IRIS[s]) - centre[s] for s in (0, 1)]),
        "iris_y": both([y(_IRIS[s]) - base[s] for s in (0, 1)]),
        "gap": y((14, 87, 317)) - y((13, 82, 312)),
        "chin": y(_CHIN),
        "boss": -(y(_BOSS) + y(_LOWER_LIP)) / 2,
        "chin_x": x((*_CHIN, 176, 400)),
        "mouth_x": x(_MOUTH),
    }


def without_head(measured: dict[str, Floats], angles: Floats) -> dict[str, Floats]:
    """Take off what goes with head rotation (N, 3) in radians: residual errors of the landmarks' depth.

    A ridge regression on pitch, yaw and the square of yaw about their medians (roll turns the picture alone and does
    no harm). Its prior stands against small rotations, where behaviour goes along with the head more than errors do.
    """
    turn = angles[:, :2] - np.median(angles[:, :2], axis=0)
    terms = np.concatenate([turn, turn[:, 1:] ** 2 / HEAD_PRIOR], axis=1)
    centred = terms - terms.mean(axis=0)
    gram = centred.T @ centred + len(terms) * HEAD_PRIOR**2 * np.eye(terms.shape[1])
    out = {}
    for name, value in measured.items():
        slope = np.linalg.solve(gram, centred.T @ (value - value.mean(axis=0)))
        out[name] = value - terms @ slope
    return out


def _action_units(way: dict[str, Floats]) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Intensities by side (N, 2), and of what has no side (N,)."""

    def rise(name: str, percentile: float = 50.0) -> Floats:
        return way[name] - np.percentile(way[name], percentile, axis=0)

    up = np.maximum
    gap = rise("gap", 15.0)
    # The jaw shows in both; the gap is the steadier of the two, and a jaw drop alone opens it as far.
    jaw = 0.7 * rise("chin", 15.0) + 0.3 * gap
    opened = up(jaw, 0.0)
    inner, outer = rise("inner"), rise("outer")
    corner_up = rise("corner_up") + CORNER_DOWN * (opened - np.median(opened))[:, None]
    corner_out = rise("corner_out")
    smile = up(corner_up, 0.0)
    usual = np.percentile(way["lids"], 70.0, axis=0)
    usual = up(usual, 0.02)
    shut = (usual - way["lids"]) / usual
    sideways = up(corner_out - smile, 0.0)
    parted = np.clip(gap / 0.08, 0.0, 1.0)[:, None]
    # The chin can rise above rest only from a closed mouth.
    closed = way["gap"] <= np.percentile(way["gap"], 25.0)
    sides = {
        "AU01": (inner - 0.3 * outer) / 0.91 / 0.0226,
        "AU02": (outer - 0.3 * inner) / 0.91 / 0.0226,
        "AU04": 0.7 * up(-inner, 0.0) / 0.018 + 0.3 * up(-rise("brow_out"), 0.0) / 0.014,
        "AU05": (way["lids"] - usual) / 0.010,
        "AU06": (rise("cheek") - 0.2 * smile) / 0.014,
        "AU07": (rise("lower_lid") - 0.3 * usual * up(shut, 0.0)) / 0.007,
        "AU09": (rise("wing") - 0.25 * smile) / 0.018,
        "AU10": (rise("lip") - 0.1 * smile) / 0.020,
        "AU12": corner_up / 0.0274,
        "AU14": sideways * (1.0 - parted) / 0.020,
        "AU15": -corner_up / 0.026,
        "AU20": sideways * parted / 0.030,
        "AU23": -corner_out / 0.032,
        "AU45": CLOSED * np.minimum(shut / (1.0 - CLOSED_GAP), 1.0),
    }
    shifted = way["chin_x"] - np.median(way["chin_x"])
    mouth = way["mouth_x"] - np.median(way["mouth_x"])
    middle = {
        "AU17": ((way["boss"] - np.median(way["boss"][closed])) / 0.021).clip(0.0, 5.0),
        "AU25": ((gap - 0.8 * opened) / 0.050).clip(0.0, 5.0),
        "AU26": (jaw / 0.0645).clip(0.0, 5.0),
        "jaw_x": (shifted / 0.16).clip(-1.0, 1.0),
        "mouth_x": ((mouth - 0.4 * shifted) / 0.13).clip(-1.0, 1.0),
    }
    return sides, middle


def _gaze(way: dict[str, Floats]) -> Floats:
    """(N, 2) gaze in radians, carried over frames in which the lids hide the iris."""
    usual = np.maximum(np.percentile(way["lids"], 70.0, axis=0), 0.02)
    seen = (way["lids"] / usual).mean(axis=1) > 0.45
    gaze = np.stack([way[name].mean(axis=1) for name in ("iris_x", "iris_y")], axis=1)
    gaze = np.arcsin(np.clip(gaze / EYEBALL, -0.9, 0.9))
    if seen.any() and not seen.all():
        frames = np.arange(len(gaze))
        for axis in (0, 1):
            gaze[:, axis] = np.interp(frames, frames[seen], gaze[seen, axis])
    return gaze
