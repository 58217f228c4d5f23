"""Motion from the CSV files of Apple ARKit recordings made with the Live Link Face app."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.arkit import ARKIT, channels_from_arkit
from whodrives.avatars.conditioning import Conditioning, for_source
from whodrives.avatars.motion.csvfile import CsvTable, read_csv
from whodrives.avatars.motion.errors import EmptyTableError, TimeStampError, WrongUnitsError
from whodrives.avatars.motion.raw import RawMotion, to_track
from whodrives.avatars.tracks import INDEX, MotionTrack

HEAD = ("HeadPitch", "HeadYaw", "HeadRoll")
# ARKit turns about x right, y up, z towards the camera; ours are x right, y down, z away.
HEAD_SIGNS = (1.0, -1.0, -1.0)
# Timecode counts these nominal frames a second.
RATES = (24, 25, 30, 48, 50, 60)
_TIMECODE = re.compile(r"^(\d{1,2}):(\d{1,2}):(\d{1,2})([:;.])(\d{1,3}(?:\.\d+)?)$")
_DAY = 86400.0
_HINT = "give the file that Live Link Face writes for a take, with Timecode and 52 ARKit columns"
STEPS = for_source("livelink")


def livelink_raw(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    timecode_fps: float | None = None,
    head_signs: tuple[float, float, float] = HEAD_SIGNS,
    licence: str = "not stated",
) -> RawMotion:
    """`read_livelink` before the uniform rate and the conditioning."""
    path = Path(path)
    table = read_csv(path)
    by_name = {name.lower(): name for name in table.columns}
    shapes = [by_name.get(name.lower(), name[0].upper() + name[1:]) for name in ARKIT]
    table.require([by_name.get("timecode", "Timecode"), *shapes], _HINT)
    time = seconds_of_timecode(path, table.text(by_name["timecode"]), timecode_fps)
    weights = table.numbers(shapes)
    seen = np.isfinite(weights).all(axis=1) & ~_nothing_tracked(table, by_name, weights)
    if not seen.any():
        raise EmptyTableError(path, "no frame holds a face (all blend shapes are empty or 0); record again")
    check_weights(path, weights[seen])
    values = channels_from_arkit(np.clip(weights, 0.0, 1.0)).astype(np.float64)
    head = [by_name.get(name.lower(), name) for name in HEAD]
    true_pose = set(head) <= set(table.columns)
    if true_pose:
        angles = table.numbers(head)
        known = angles[seen & np.isfinite(angles).all(axis=1)]
        if len(known) and np.abs(np.percentile(known, [0.5, 99.5], axis=0)).max() > np.pi / 2:
            raise WrongUnitsError(path, "head angles must be in radians, these look like degrees; times pi / 180")
        values[:, [INDEX[name] for name in ("pitch", "yaw", "roll")]] = angles * head_signs
    return RawMotion(
        driver or path.stem,
        recording or path.stem,
        time,
        values,
        seen.astype(np.float64),
        true_pose,
        str(path),
        licence,
    )


def read_livelink(
    path: str | Path,
    driver: str | None = None,
    recording: str | None = None,
    timecode_fps: float | None = None,
    head_signs: tuple[float, float, float] = HEAD_SIGNS,
    conditioning: Conditioning | None = STEPS,
    fps: float | None = None,
    licence: str = "not stated",
) -> MotionTrack:
    """Read one Live Link Face CSV file.

    Parameters
    ----------
    path : CSV with ``Timecode`` (``HH:MM:SS:FF.fff``), ``BlendShapeCount``, the 52 ARKit coefficients in 0..1 (any
        capitals), and where there ``HeadYaw``, ``HeadPitch``, ``HeadRoll`` in radians. Rows with BlendShapeCount 0,
        with an empty cell or with nothing but zeros are gaps. Eye angles are ignored: the eyeLook coefficients say
        the same.
    driver, recording : names; None takes the file's own without ending.
    timecode_fps : nominal frames a second that the timecode counts (29.97 and 59.94 mean the NTSC clock); None reads
        it off the largest frame number, for which a second must end within the file.
    head_signs : factors from the file's (pitch, yaw, roll) to ours; the default takes them as turns about ARKit's axes.
        The app's manual does not state its signs: check one recording by eye.
    conditioning : the steps; None gives raw channels. fps : rate of the result, None keeps the recording's.
    licence : written into the track.

    Returns
    -------
    `MotionTrack` with a true head pose where the head columns are there; translation 0 (the app writes none).

    Raises
    ------
    UnreadableTableError, MissingColumnsError, EmptyTableError, WrongUnitsError, TimeStampError
        All TableError; the message names the file.
    """
    return to_track(livelink_raw(path, driver, recording, timecode_fps, head_signs, licence), conditioning, fps)


def check_weights(path: Path, weights: NDArray[np.float64]) -> None:
    """Raise `WrongUnitsError` unless the bulk of the ARKit coefficients (N, 52) lies in 0..1."""
    low, high = np.percentile(weights, [0.5, 99.5], axis=0)
    if high.max() > 1.2 or low.min() < -0.2:
        raise WrongUnitsError(
            path, f"ARKit coefficients must lie in 0..1, these reach {low.min():.3g}..{high.max():.3g}; percent? / 100"
        )


def seconds_of_timecode(path: Path, codes: list[str], timecode_fps: float | None = None) -> NDArray[np.float64]:
    """Seconds (N,) since the first row's midnight of timecodes ``HH:MM:SS:FF.fff``.

    A ``;`` before the frames, or frame numbers 0 and 1 (0 to 3 at 60) missing at every minute crossed but the tenth,
    mark drop-frame counting. Running past midnight goes on into the next day.

    Raises
    ------
    TimeStampError
        A code cannot be read, or its frame number does not fit the rate.
    """
    fields = np.empty((len(codes), 4))
    semicolons = False
    for row, code in enumerate(codes):
        match = _TIMECODE.match(code)
        if match is None:
            raise TimeStampError(path, f"line {row + 2}: {code[:40]!r} is no timecode HH:MM:SS:FF.fff")
        hour, minute, second, mark, frame = match.groups()
        if int(minute) > 59 or int(second) > 59 or int(hour) > 23:
            raise TimeStampError(path, f"line {row + 2}: {code[:40]!r} is no time of day")
        fields[row] = int(hour), int(minute), int(second), float(frame)
        semicolons |= mark == ";"
    top = float(fields[:, 3].max())
    if timecode_fps is None:
        timecode_fps = _counted_rate(path, fields, top)
    nominal = int(np.ceil(timecode_fps - 1e-6))
    if top >= nominal:
        raise TimeStampError(
            path, f"frame number {top:g} does not fit {timecode_fps:g} frames a second; set timecode_fps"
        )
    minutes = fields[:, 0] * 60 + fields[:, 1]
    whole_seconds = minutes * 60 + fields[:, 2]
    wrapped = np.concatenate([[0.0], np.cumsum(np.diff(whole_seconds) < -_DAY / 2)])
    if semicolons or _drops_frames(minutes, fields, nominal):
        skip = 2 * round(nominal / 30)
        count = whole_seconds * nominal + fields[:, 3] - skip * (minutes - minutes // 10)
        # Midnight must not show: a day of drop-frame code counts this many frames.
        day = _DAY * nominal - skip * (1440 - 144)
        return (count + wrapped * day) * 1001 / (1000 * nominal)
    clock = timecode_fps / nominal  # 29.97 counted as 30 without drops: timecode runs slow against the wall
    return (whole_seconds + wrapped * _DAY + fields[:, 3] / nominal) / clock


def _counted_rate(path: Path, fields: NDArray[np.float64], top: float) -> float:
    """Nominal frames a second that timecodes count, told by the largest number, if a second ends within the file.

    Raises TimeStampError when none does: then the largest number says nothing.
    """
    if not (np.diff(fields[:, 2]) != 0).any():
        raise TimeStampError(path, "does not reach a second's end, so its rate cannot be told; give timecode_fps")
    return next((rate for rate in RATES if top < rate), 120)


def _drops_frames(minutes: NDArray[np.float64], fields: NDArray[np.float64], nominal: int) -> bool:
    """Whether the file shows drop-frame counting: every minute crossed starts at frame 2 (or 4), not 0."""
    if nominal not in (30, 60):
        return False
    skip = 2 * (nominal // 30)
    crossed = np.flatnonzero(np.diff(minutes) == 1) + 1
    crossed = crossed[minutes[crossed] % 10 != 0]
    if not len(crossed):
        return False
    first, last = fields[crossed, 3], fields[crossed - 1, 3]
    unbroken = (fields[crossed, 2] == 0) & (np.floor(last) == nominal - 1)
    return bool(unbroken.any() and (np.floor(first[unbroken]) == skip).all())


def all_zero(weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of coefficients (N, 52) hold nothing but zeros: no face has that."""
    return np.asarray(np.all(np.nan_to_num(weights, nan=1.0) == 0.0, axis=1), dtype=bool)


def _nothing_tracked(table: CsvTable, by_name: dict[str, str], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    nothing = all_zero(weights)
    if "blendshapecount" in by_name:
        nothing = nothing | (table.numbers([by_name["blendshapecount"]])[:, 0] == 0)
    return np.asarray(nothing, dtype=bool)
