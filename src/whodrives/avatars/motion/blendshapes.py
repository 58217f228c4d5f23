"""Motion from MediaPipe's FaceLandmarker blend shapes, stored as JSON or CSV in the layouts described here (ours)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.arkit import ARKIT, ARKIT_INDEX, channels_from_arkit
from whodrives.avatars.conditioning import Conditioning, for_source, head_angles
from whodrives.avatars.motion.csvfile import read_csv, read_json
from whodrives.avatars.motion.errors import (
    EmptyTableError,
    MissingColumnsError,
    TimeStampError,
    UnreadableTableError,
    WrongUnitsError,
)
from whodrives.avatars.motion.livelink import all_zero, check_weights
from whodrives.avatars.motion.raw import RawMotion, check_confidence, check_units, to_track
from whodrives.avatars.tracks import CHANNELS, INDEX, POSE_CHANNELS, MotionTrack

# FaceLandmarker knows all of ARKit's shapes but the tongue, and adds one called _neutral, which means nothing here.
SHAPES = tuple(name for name in ARKIT if name != "tongueOut")
TIMES = {"time_s": 1.0, "timestamp_s": 1.0, "timestamp_ms": 1e-3, "timestamp_us": 1e-6}
# Its transformation matrix maps a standard head in cm, x right, y up, z towards the camera, eyes here in that head.
EYES_CM = (0.0, 2.6, 3.5)
INTER_OCULAR_CM = 6.2
_FLIP = np.diag([1.0, -1.0, -1.0])
_HINT = "store FaceLandmarker's categories under MediaPipe's own names"
STEPS = for_source("mediapipe")


def blendshapes_raw(
    path: str | Path, driver: str | None = None, recording: str | None = None, licence: str = "not stated"
) -> RawMotion:
    """`read_blendshapes` before the uniform rate and the conditioning."""
    path = Path(path)
    read = _from_json if path.suffix.lower() == ".json" else _from_csv
    time, weights, pose, confidence, true_pose, moves = read(path)
    check_confidence(path, confidence)
    seen = np.isfinite(weights).all(axis=1)
    # What exporters write when they saw no face; a real one never has all shapes at exactly 0.
    weights[seen & all_zero(weights)] = np.nan
    seen &= np.isfinite(weights).all(axis=1)
    if not seen.any():
        raise EmptyTableError(path, "no frame holds a face (blend shapes are missing everywhere)")
    check_weights(path, weights[seen])
    values = channels_from_arkit(np.clip(weights, 0.0, 1.0)).astype(np.float64)
    if true_pose:
        columns = [INDEX[name] for name in POSE_CHANNELS]
        values[:, columns] = pose
        check_units(path, np.where(np.isin(np.arange(len(CHANNELS)), columns), values, 0.0))
    return RawMotion(
        driver or path.stem, recording or path.stem, time, values, confidence, true_pose, str(path), licence, moves
    )


def read_blendshapes(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    conditioning: Conditioning | None = STEPS,
    fps: float | None = None,
    licence: str = "not stated",
) -> MotionTrack:
    """Read MediaPipe FaceLandmarker output.

    Parameters
    ----------
    path : JSON or CSV, told apart by the ending.
        JSON: a list of frames, or an object with such a list under ``frames``. A frame has one of ``time_s``,
        ``timestamp_s``, ``timestamp_ms``, ``timestamp_us``; ``blendshapes``, an object of name -> score or a list of
        objects with ``categoryName`` (or ``category_name``) and ``score``, empty, null or all 0 where no face was seen;
        optionally ``matrix``, the 4 x 4 facial transformation matrix, as rows or as 16 numbers by rows or by columns;
        optionally ``confidence``. CSV: one of the same time columns, a column for each blend shape, optionally
        ``pitch``, ``yaw``, ``roll`` (radians), ``tx``, ``ty``, ``tz`` (inter-ocular distances, midpoint of the eyes)
        with our axes, and ``confidence``.
    driver, recording : names; None takes the file's own without ending.
    conditioning : the steps; None gives raw channels. fps : rate of the result, None keeps the file's.
    licence : written into the track.

    Returns
    -------
    `MotionTrack`; with matrices or pitch, yaw and roll it has a true head pose (a face without one is a gap),
    else head pose is 0.

    Raises
    ------
    UnreadableTableError, MissingColumnsError, EmptyTableError, WrongUnitsError, TimeStampError
        All TableError; the message names the file.
    """
    return to_track(blendshapes_raw(path, driver, recording, licence), conditioning, fps)


# Time, weights, head pose, confidence; whether there is a head pose, and translation in it.
_Parts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], bool, bool]


def pose_of_matrices(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our head pose (N, 6) [pitch, yaw, roll, tx, ty, tz] of facial transformation matrices (N, 4, 4).

    The rotation is the nearest one to the upper left 3 x 3 (which may hold a scale); translation is that of the
    midpoint of the eyes in inter-ocular distances. Rows of NaN stay NaN.
    """
    out = np.full((len(matrices), 6), np.nan)
    known = np.isfinite(matrices).all(axis=(1, 2))
    if not known.any():
        return out
    linear = matrices[known, :3, :3]
    u, s, vt = np.linalg.svd(linear)
    turned = u @ vt
    out[known, :3] = head_angles(_FLIP @ turned @ _FLIP)
    scale = s.mean(axis=1)[:, None]
    eyes = matrices[known, :3, 3] + scale * (turned @ np.array(EYES_CM))
    out[known, 3:] = eyes @ _FLIP / INTER_OCULAR_CM
    return out


def _from_csv(path: Path) -> _Parts:
    table = read_csv(path)
    unit = next((name for name in TIMES if name in table.columns), None)
    if unit is None:
        raise MissingColumnsError(path, f"lacks a time column; name it {' or '.join(TIMES)}")
    table.require(SHAPES, _HINT)
    time = table.numbers([unit])[:, 0] * TIMES[unit]
    weights = np.zeros((len(table), len(ARKIT)))
    weights[:, [ARKIT_INDEX[name] for name in SHAPES]] = table.numbers(SHAPES)
    pose = np.zeros((len(table), 6))
    true_pose = {"pitch", "yaw", "roll"} <= set(table.columns)
    shift = [name for name in ("tx", "ty", "tz") if name in table.columns]
    if shift and len(shift) < 3:
        raise MissingColumnsError(path, f"has {' and '.join(shift)} but not all of tx, ty, tz; give all three or none")
    if true_pose:
        for number, name in enumerate(POSE_CHANNELS):
            if name in table.columns:
                pose[:, number] = table.numbers([name])[:, 0]
    confidence = np.ones(len(table))
    if "confidence" in table.columns:
        confidence = np.nan_to_num(table.numbers(["confidence"])[:, 0])
    return time, weights, pose, confidence, true_pose, bool(shift)


def _from_json(path: Path) -> _Parts:
    frames = read_json(path)
    if isinstance(frames, dict):
        frames = frames.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UnreadableTableError(path, "must be a JSON list of frames {time_s, blendshapes, matrix}")
    if not frames:
        raise EmptyTableError(path, "holds no frames")
    time, confidence = np.empty(len(frames)), np.ones(len(frames))
    weights = np.full((len(frames), len(ARKIT)), np.nan)
    matrices = np.full((len(frames), 4, 4), np.nan)
    for row, frame in enumerate(frames):
        unit = next((name for name in TIMES if name in frame), None)
        if unit is None:
            raise TimeStampError(path, f"frame {row} has no {' or '.join(TIMES)}")
        time[row] = _number(path, row, unit, frame[unit]) * TIMES[unit]
        if "confidence" in frame:
            confidence[row] = np.nan_to_num(_number(path, row, "confidence", frame["confidence"]))
        scores = _scores(path, row, frame.get("blendshapes"))
        if scores:
            missing = [name for name in SHAPES if name not in scores]
            if missing:
                raise MissingColumnsError(path, f"frame {row} lacks the blend shape {missing[0]}; {_HINT}")
            weights[row] = [_number(path, row, name, scores.get(name, 0.0)) for name in ARKIT]
        if frame.get("matrix") is not None:
            matrices[row] = _matrix(path, row, frame["matrix"])
    true_pose = bool(np.isfinite(matrices).any())
    pose = pose_of_matrices(matrices) if true_pose else np.zeros((len(frames), 6))
    return time, weights, pose, confidence, true_pose, True


def _number(path: Path, row: int, name: str, value: Any) -> float:
    if value is None:
        return np.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MissingColumnsError(path, f"frame {row}: {name} must be a number, got {str(value)[:40]!r}")
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond any float
        return np.nan
    return number if np.isfinite(number) else np.nan


def _scores(path: Path, row: int, shapes: Any) -> dict[str, Any]:
    """Name -> score of one frame, empty when no face was seen."""
    if isinstance(shapes, dict):
        return shapes
    if not shapes:
        return {}
    try:
        return {shape.get("categoryName") or shape["category_name"]: shape["score"] for shape in shapes}
    except (TypeError, KeyError, AttributeError):
        raise MissingColumnsError(
            path, f"frame {row}: blendshapes must be name -> score or a list of {{categoryName, score}}"
        ) from None


def _matrix(path: Path, row: int, value: Any) -> NDArray[np.float64]:
    try:
        matrix = np.array(value, dtype=np.float64).reshape(4, 4)
    except (TypeError, ValueError, OverflowError):
        raise MissingColumnsError(path, f"frame {row}: matrix must hold 4 x 4 numbers") from None
    if not np.isfinite(matrix).all():
        return np.full((4, 4), np.nan)
    last = np.array([0.0, 0.0, 0.0, 1.0])
    # JavaScript hands the matrix out by columns, Python by rows; the row of zeros tells.
    if not np.allclose(matrix[3], last, atol=1e-6):
        matrix = matrix.T
    if not np.allclose(matrix[3], last, atol=1e-6) or abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise WrongUnitsError(path, f"frame {row}: matrix is no transformation (its last row must be 0 0 0 1)")
    return matrix
