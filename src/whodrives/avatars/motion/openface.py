"""Motion from the CSV files of OpenFace 2 (`FeatureExtraction`), one face a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.conditioning import Conditioning, for_source, rotations
from whodrives.avatars.motion.csvfile import CsvTable, read_csv
from whodrives.avatars.motion.errors import (
    EmptyTableError,
    MissingColumnsError,
    SeveralFacesError,
    WrongUnitsError,
)
from whodrives.avatars.motion.raw import RawMotion, check_confidence, check_units, to_track
from whodrives.avatars.motion.tables import COLUMN_OF
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, GAZE_CHANNELS, INDEX, MotionTrack

# Distance between the eyes of OpenFace's average face, and from the point it tracks (mid face) up to the eyes, in mm.
INTER_OCULAR_MM = 62.0
ORIGIN_TO_EYES_MM = (0.0, -30.0, 0.0)
# Lid points of the 28 that OpenFace fits to each eye, and the eyes in its 68 face points.
_EYE_POINTS = (tuple(range(8, 20)), tuple(range(36, 48)))
_FACE_POINTS = (tuple(range(36, 42)), tuple(range(42, 48)))
# No camera that sees a whole face is nearer; centimetres and metres give less.
NEAREST_MM = 150.0
_HINT = "run OpenFace's FeatureExtraction with -pose -aus -gaze"
STEPS = for_source("openface")


def openface_raw(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    face_id: int | None = None,
    licence: str = "not stated",
) -> RawMotion:
    """`read_openface` before the uniform rate and the conditioning."""
    path = Path(path)
    table = read_csv(path)
    pose = ["pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"]
    aus = [COLUMN_OF[name] for name in AU_CHANNELS]
    gaze = [COLUMN_OF[name] for name in GAZE_CHANNELS]
    table.require(["timestamp", "confidence", *gaze, *pose, *aus], _HINT)
    rows = _rows_of(table, face_id)
    numbers = table.numbers(["timestamp", "confidence", *gaze, *pose, *aus])[rows]
    time, confidence = numbers[:, 0], numbers[:, 1].copy()
    if "success" in table.columns:
        confidence[table.numbers(["success"])[rows, 0] == 0] = 0.0
    check_confidence(path, confidence)
    values = np.zeros((len(numbers), len(CHANNELS)))
    gaze_at = [INDEX[name] for name in GAZE_CHANNELS]
    values[:, gaze_at] = numbers[:, 2:4]
    values[:, [INDEX[name] for name in ("pitch", "yaw", "roll")]] = numbers[:, 7:10]
    values[:, : len(AU_CHANNELS)] = numbers[:, 10:]
    trusted = confidence >= 0.5
    if not trusted.any():
        raise EmptyTableError(path, "OpenFace found no face in any frame (success 0 or confidence under 0.5)")
    check_units(path, values[trusted])
    values[:, gaze_at] = eye_in_head(numbers[:, 2:4], numbers[:, 7:10])
    eyes, unit = _eyes_mm(table, rows, trusted)
    if eyes is None:
        turned = rotations(*values[:, [INDEX[name] for name in ("pitch", "yaw", "roll")]].T) @ ORIGIN_TO_EYES_MM
        eyes = numbers[:, 4:7] + turned
    depths = numbers[trusted & np.isfinite(numbers[:, 6]), 6]
    far = float(np.median(depths)) if len(depths) else np.nan
    if far <= NEAREST_MM or far > 50_000.0:  # not a number: every frame is a gap, which is said later
        raise WrongUnitsError(
            path, f"pose_Tz must be the distance to the camera in mm, its median is {far:g}; give OpenFace's own values"
        )
    values[:, [INDEX[name] for name in ("tx", "ty", "tz")]] = eyes / unit
    return RawMotion(
        driver or path.stem, recording or path.stem, time, values, np.nan_to_num(confidence), True, str(path), licence
    )


def read_openface(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    face_id: int | None = None,
    conditioning: Conditioning | None = STEPS,
    fps: float | None = None,
    licence: str = "not stated",
) -> MotionTrack:
    """Read one OpenFace 2 CSV file.

    Parameters
    ----------
    path : CSV with the columns (spaces around names are fine) ``timestamp`` (s), ``confidence`` (0..1),
        ``gaze_angle_x/y`` (rad, against the camera), ``pose_Tx/Ty/Tz`` (mm), ``pose_Rx/Ry/Rz`` (rad), ``AU01_r`` ..
        ``AU45_r`` (0..5);
        ``success``, ``face_id`` and 3-D eye points (``eye_lmk_X_0`` .. or ``X_36`` ..) are used when there. All other
        columns are ignored. Frames without success are gaps.
    driver, recording : names; None takes the file's own without ending.
    face_id : which face, where the file holds several.
    conditioning : the steps; None gives raw channels. fps : rate of the result, None keeps the file's.
    licence : written into the track.

    Returns
    -------
    `MotionTrack` with a true head pose: head angles as they are; gaze turned into the head (`eye_in_head`); translation
    that of the midpoint of the eyes in inter-ocular distances, both from the 3-D eye points, or else 62 mm and a point
    30 mm above the one tracked.

    Raises
    ------
    UnreadableTableError, MissingColumnsError, EmptyTableError, WrongUnitsError, TimeStampError, SeveralFacesError
        All TableError; the message names the file.
    """
    return to_track(openface_raw(path, driver, recording, face_id, licence), conditioning, fps)


def eye_in_head(gaze: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaze in the head of OpenFace's gaze against the camera, which holds the head's own turn.

    Parameters
    ----------
    gaze : (N, 2) ``gaze_angle_x``, ``gaze_angle_y`` = atan2(g_x, -g_z), atan2(g_y, -g_z), radians.
    pose : (N, 3) pitch, yaw, roll, radians, rotation Rx Ry Rz.

    Returns
    -------
    (N, 2) the same two angles of the direction seen from the head; NaN where any of the input is.
    """
    direction = np.stack([np.tan(gaze[:, 0]), np.tan(gaze[:, 1]), -np.ones(len(gaze))], axis=1)
    inside = np.einsum("nij,ni->nj", rotations(*pose.T), direction)
    return np.stack([np.arctan2(inside[:, 0], -inside[:, 2]), np.arctan2(inside[:, 1], -inside[:, 2])], axis=1)


def _rows_of(table: CsvTable, face_id: int | None) -> NDArray[np.int64]:
    """Row numbers of the wanted face; a file without face ids holds one face."""
    if "face_id" not in table.columns:
        return np.arange(len(table))
    ids = table.numbers(["face_id"])[:, 0]
    faces, counts = np.unique(ids[np.isfinite(ids)], return_counts=True)
    if face_id is None:
        if len(faces) > 1:
            listed = ", ".join(f"{face:g} ({count} rows)" for face, count in zip(faces, counts, strict=True))
            raise SeveralFacesError(
                table.path,
                f"holds several faces, face_id {listed}; choose one with face_id= (read_motion or read_openface)",
            )
        return np.arange(len(table))
    rows = np.flatnonzero(ids == face_id)
    if not len(rows):
        listed = ", ".join(f"{face:g}" for face in faces) or "none"
        raise SeveralFacesError(table.path, f"has no face_id {face_id}; there are: {listed}")
    return rows


def _eyes_mm(
    table: CsvTable, rows: NDArray[np.int64], trusted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64] | None, float]:
    """Midpoint of the eyes (N, 3) and the median distance between them, both in mm, where the file has 3-D points."""
    for pattern, eyes in (("eye_lmk_{axis}_{k}", _EYE_POINTS), ("{axis}_{k}", _FACE_POINTS)):
        names = [[[pattern.format(axis=axis, k=k) for k in eye] for axis in "XYZ"] for eye in eyes]
        flat = [name for eye in names for axis in eye for name in axis]
        if not set(flat) <= set(table.columns):
            continue
        points = table.numbers(flat)[rows].reshape(len(rows), 2, 3, -1).mean(axis=-1)
        apart = np.linalg.norm(points[trusted, 0] - points[trusted, 1], axis=-1)
        unit = float(np.median(apart[np.isfinite(apart)])) if np.isfinite(apart).any() else 0.0
        if not 30.0 < unit < 120.0:
            raise MissingColumnsError(
                table.path, f"3-D eye points lie {unit:.3g} mm apart, which no eyes do; drop the columns {flat[0]} .."
            )
        return points.mean(axis=1), unit
    return None, INTER_OCULAR_MM
