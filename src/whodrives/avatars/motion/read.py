"""Any motion file or folder in, motion tracks out: the format is told by ending and header."""

from __future__ import annotations

import warnings
from pathlib import Path

from whodrives.avatars.conditioning import Conditioning, for_source
from whodrives.avatars.motion.blendshapes import SHAPES, TIMES, read_blendshapes
from whodrives.avatars.motion.csvfile import check_separator, read_header, read_json
from whodrives.avatars.motion.errors import EmptyTableError, UnknownFormatError, UnreadableTableError
from whodrives.avatars.motion.livelink import read_livelink
from whodrives.avatars.motion.openface import read_openface
from whodrives.avatars.motion.tables import load_table
from whodrives.avatars.tracks import MotionTrack
from whodrives.errors import InputError

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")
DATA_ENDINGS = (".csv", ".json")
_TAKE_MARKS = ("_cal", "_raw", "_neutral")
_LOOKED_FOR = (
    "a Parquet table (.parquet), OpenFace (.csv with confidence and AU01_r), Live Link Face (.csv with Timecode and "
    "JawOpen), MediaPipe blend shapes (.json, or .csv with jawOpen and time_s), or a video "
    f"({', '.join(VIDEO_ENDINGS)})"
)


def motion_format(path: str | Path) -> str:
    """``table``, ``openface``, ``livelink``, ``mediapipe`` or ``video``: what kind of motion file this is.

    Raises
    ------
    UnreadableTableError
        No such file.
    UnknownFormatError
        None of these; the message says what was looked for.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableTableError(path, "no such file or folder")
    ending = path.suffix.lower()
    if ending in (".parquet", ".pq"):
        return "table"
    if ending == ".json":
        return "mediapipe"
    if ending in VIDEO_ENDINGS:
        return "video"
    header = read_header(path) if ending in (".csv", ".txt") else ""
    names = tuple(name.strip() for name in header.split(",")) if header else ()
    if ending in (".csv", ".txt"):
        if not header:
            raise EmptyTableError(path, "is empty or no text; export it again")
        check_separator(path, header)
        small = {name.lower() for name in names}
        if "timecode" in small and "jawopen" in small:
            return "livelink"
        if "AU01_r" in names or {"face_id", "success", "gaze_angle_x", "pose_Rx"} & set(names):
            return "openface"
        if set(SHAPES) & set(names) and (set(TIMES) & set(names) or "timecode" not in small):
            return "mediapipe"
    begin = f"; its columns begin {', '.join(names[:5])[:120]}" if names else ""
    raise UnknownFormatError(path, f"is none of the motion files known{begin}. Looked for {_LOOKED_FOR}")


def read_motion(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    split: str | None = None,
    conditioning: Conditioning | str | None = "auto",
    fps: float | None = None,
    licence: str = "not stated",
    face_id: int | None = None,
) -> list[MotionTrack]:
    """Read motion of any kind.

    Parameters
    ----------
    path : one file (`motion_format` says which kinds), or a folder with one sub-folder a driver and that driver's
        recordings inside (CSV and JSON; where there are none, videos). Tables of other kinds are left out with a
        warning that names them, and so are all but one of the tables that Live Link Face writes for one take (the
        calibrated one is kept).
    driver, recording : names for a single file of a single recording; None takes the file's own without ending. In
        folders the sub-folder is the driver and ``<driver>-<file>`` the recording.
    split : of a Parquet table with a ``split.csv`` beside it.
    conditioning : the steps for all files; ``"auto"`` those of each format (`conditioning.for_source`), None none.
    fps : rate of the tracks, None keeps each recording's own.
    licence : written into every track.
    face_id : which face of OpenFace files that hold several.

    Returns
    -------
    Tracks sorted by driver and recording.

    Raises
    ------
    TableError
        Of the kinds named at the readers; always with the file's name.
    InputError
        Options that do not fit this kind of source.
    """
    path = Path(path)
    if path.is_dir():
        if driver or recording or split:
            raise InputError(f"{path}: a folder names its own drivers and recordings and has no split; leave them out")
        return _read_folder(path, conditioning, fps, licence, face_id)
    kind = motion_format(path)
    steps = for_source(kind) if conditioning == "auto" else conditioning
    assert not isinstance(steps, str)
    if kind == "table":
        if driver or recording:
            raise InputError(f"{path}: a Parquet table names its own drivers and recordings; leave them out")
        tracks = load_table(path, split, steps, licence)
        return tracks if fps is None else [track.resample(fps) for track in tracks]
    if split:
        raise InputError(f"{path}: only Parquet tables have a split; leave it out")
    if face_id is not None and kind != "openface":
        raise InputError(f"{path}: only OpenFace files number their faces; leave face_id out")
    return [_read_one(path, kind, driver, recording, steps, fps, licence, face_id)]


def _read_one(
    path: Path,
    kind: str,
    driver: str | None,
    recording: str | None,
    steps: Conditioning | None,
    fps: float | None,
    licence: str,
    face_id: int | None,
) -> MotionTrack:
    if kind == "openface":
        return read_openface(path, driver, recording, face_id, conditioning=steps, fps=fps, licence=licence)
    if kind == "livelink":
        return read_livelink(path, driver, recording, conditioning=steps, fps=fps, licence=licence)
    if kind == "mediapipe":
        return read_blendshapes(path, driver, recording, steps, fps, licence)
    from whodrives.avatars.motion.from_video import read_video

    return read_video(path, driver, recording, steps, fps, licence)


def _read_folder(
    folder: Path, conditioning: Conditioning | str | None, fps: float | None, licence: str, face_id: int | None
) -> list[MotionTrack]:
    tracks = []
    ignored: list[Path] = []
    for place in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        inside = sorted(entry for entry in place.iterdir() if entry.is_file() and not entry.name.startswith("."))
        files, others = _one_of_each_take(*_known([e for e in inside if e.suffix.lower() in DATA_ENDINGS]))
        ignored += others
        # Trackers leave marked-up videos beside their tables: those are no recordings of their own.
        files = files or [(entry, "video") for entry in inside if entry.suffix.lower() in VIDEO_ENDINGS]
        for file, kind in files:
            steps = for_source(kind) if conditioning == "auto" else conditioning
            assert not isinstance(steps, str)
            face = face_id if kind == "openface" else None
            tracks.append(_read_one(file, kind, place.name, f"{place.name}-{file.stem}", steps, fps, licence, face))
    if ignored:
        listed = ", ".join(str(file.relative_to(folder)) for file in ignored[:6])
        more = f" and {len(ignored) - 6} more" if len(ignored) > 6 else ""
        warnings.warn(f"{folder}: left out {listed}{more}: no motion, or a take that is read already", stacklevel=3)
    if not tracks:
        raise UnknownFormatError(
            folder, f"holds no recordings; make one sub-folder a driver with files inside. Looked for {_LOOKED_FOR}"
        )
    return tracks


def _known(files: list[Path]) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Tables with their formats, and those that are no motion at all (logs, settings)."""
    known, others = [], []
    for file in files:
        try:
            kind = motion_format(file)
            if kind == "mediapipe" and file.suffix.lower() == ".json" and not _holds_frames(file):
                raise UnknownFormatError(file, "holds no blend shapes")
        except UnknownFormatError:
            others.append(file)
        else:
            known.append((file, kind))
    return known, others


def _holds_frames(file: Path) -> bool:
    frames = read_json(file)
    frames = frames.get("frames") if isinstance(frames, dict) else frames
    return isinstance(frames, list)


def _one_of_each_take(files: list[tuple[Path, str]], others: list[Path]) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Live Link Face writes a take as X.csv and, calibrated, X_cal.csv, with X_raw.csv and X_neutral.csv beside it."""
    takes: dict[str, tuple[Path, str]] = {}
    for file, kind in files:
        stem = file.stem
        mark = next((mark for mark in _TAKE_MARKS if kind == "livelink" and stem.endswith(mark)), "")
        name = stem.removesuffix(mark)
        held = takes.get(name)
        if mark == "_neutral":
            others.append(file)
        elif held is None or mark == "_cal" or (held[0].stem.endswith("_raw") and kind == "livelink"):
            if held is not None:
                others.append(held[0])
            takes[name] = (file, kind)
        else:
            others.append(file)
    return sorted(takes.values()), sorted(others)
