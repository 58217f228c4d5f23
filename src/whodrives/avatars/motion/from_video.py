"""Motion from a video of one talking face (extra `landmarks`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.conditioning import Conditioning, for_source
from whodrives.avatars.facepoints import LANDMARKS
from whodrives.avatars.landmarks import NoFaceError, face_mesh_detector, landmarks_of
from whodrives.avatars.motion.measures import landmarks_to_values
from whodrives.avatars.motion.raw import RawMotion, to_track
from whodrives.avatars.tracks import MotionTrack
from whodrives.video.decoder import LIBAV_ERRORS
from whodrives.video.errors import CorruptVideoError
from whodrives.video.luma import frame_orientation
from whodrives.video.source import VideoSource
from whodrives.video.timeline import Timeline

STEPS = for_source("video")
# FaceMesh works on 192 x 192 of the face: larger frames cost time and give nothing.
MAX_SIDE = 1280


def video_pictures(path: str | Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Time in seconds and upright RGB picture uint8 (H, W, 3), at most 1280 a side, of every frame of a video.

    Times are strictly increasing, as `video.timeline` sets them; frames with a time stamp out of order are left out.

    Raises
    ------
    VideoError
        The file cannot be decoded; the message names it.
    """
    count = 0
    with VideoSource(path) as source:
        timeline = Timeline(source.nominal_fps)
        for decoded in source:
            placed = timeline.place(decoded.time, decoded.after_damage)
            if placed is None:
                continue
            frame = decoded.frame
            shrink = min(1.0, MAX_SIDE / max(frame.width, frame.height))
            try:
                picture = frame.to_ndarray(
                    format="rgb24", width=round(frame.width * shrink), height=round(frame.height * shrink)
                )
            except LIBAV_ERRORS:
                problem = "holds pictures in a pixel format that cannot be read"
                raise CorruptVideoError(source.path, problem, "Re-export it as 8-bit yuv420p") from None
            turn = frame_orientation(frame)
            if turn is not None and turn.degrees:
                planes = [turn.apply(picture[..., channel]) for channel in range(3)]
                picture = np.stack(planes, axis=-1).astype(np.uint8)
            count += 1
            yield placed.time, np.ascontiguousarray(picture)
        source.require_motion(count)


def video_landmarks(path: str | Path) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Times (N,) in seconds and landmarks (N, 478, 3) in pixels of every frame of a video, NaN without a face.

    The face found first is followed; give clips that show one person.

    Raises
    ------
    VideoError, LandmarkerMissingError
    """
    times: list[float] = []
    rows: list[NDArray[np.float32]] = []
    nothing = np.full((LANDMARKS, 3), np.nan, dtype=np.float32)
    with face_mesh_detector(video=True) as mesh:
        for time, picture in video_pictures(path):
            faces = landmarks_of(mesh, picture)
            times.append(time)
            rows.append(faces[0] if faces else nothing)
    return np.array(times), np.stack(rows)


def video_raw(
    path: str | Path, driver: str | None = None, recording: str | None = None, licence: str = "not stated"
) -> RawMotion:
    """`read_video` before the uniform rate and the conditioning."""
    path = Path(path)
    times, landmarks = video_landmarks(path)
    seen = np.asarray(np.isfinite(landmarks).all(axis=(1, 2)))
    if seen.sum() < 2:
        raise NoFaceError(path, f"{int(seen.sum())} of {len(seen)} frames show a face; give a clip with one in view")
    values = landmarks_to_values(landmarks, seen)
    confidence = np.where(seen, 1.0, 0.0)
    return RawMotion(driver or path.stem, recording or path.stem, times, values, confidence, True, str(path), licence)


def read_video(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    conditioning: Conditioning | None = STEPS,
    fps: float | None = None,
    licence: str = "not stated",
) -> MotionTrack:
    """Track the face of a video.

    Parameters
    ----------
    path : video of one person, face in view, at the frame times that it states (variable rates are fine).
    driver, recording : names; None takes the file's own without ending.
    conditioning : the steps; None gives raw channels. fps : rate of the result, None keeps the video's.
    licence : written into the track.

    Returns
    -------
    `MotionTrack` by `measures.landmarks_to_values`, with a true head pose. Frames without a face are gaps.

    Raises
    ------
    NoFaceError
        Fewer than 2 frames show a face.
    LandmarkerMissingError
        The extra `landmarks` is not installed.
    VideoError
        The file cannot be decoded.
    """
    return to_track(video_raw(path, driver, recording, licence), conditioning, fps)
