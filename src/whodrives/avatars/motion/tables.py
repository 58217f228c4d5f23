"""Motion tracks from a Parquet table with OpenFace column names, one row per frame."""

from __future__ import annotations

import csv
import itertools
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from whodrives.avatars.conditioning import AU, DEFAULT, WEAK_POSE, Conditioning, condition
from whodrives.avatars.motion.errors import (
    EmptyTableError,
    MissingColumnsError,
    SplitError,
    TableError,
    TimeStampError,
    UnreadableTableError,
    WrongUnitsError,
)
from whodrives.avatars.motion.raw import UNCONDITIONED, check_confidence, check_translation
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX, MotionTrack
from whodrives.errors import InputError

# Share of a frame by which time stamps may differ from frame numbers.
MOST_JITTER = 0.05
COLUMN_OF = {name: f"{name}_r" for name in AU_CHANNELS} | {
    "gaze_x": "gaze_angle_x",
    "gaze_y": "gaze_angle_y",
    "pitch": "pose_Rx",
    "yaw": "pose_Ry",
    "roll": "pose_Rz",
    "tx": "pose_Tx",
    "ty": "pose_Ty",
    "tz": "pose_Tz",
}
__all__ = [
    "COLUMN_OF",
    "EmptyTableError",
    "MissingColumnsError",
    "SplitError",
    "TableError",
    "UnreadableTableError",
    "WrongUnitsError",
    "load_table",
    "read_split",
]

KEYS = ("driver", "clip", "frame", "time_s", "confidence")
SPLITS = ("train", "val", "test")


def load_table(
    path: str | Path,
    split: str | None = None,
    conditioning: Conditioning | None = DEFAULT,
    licence: str = "not stated",
) -> list[MotionTrack]:
    """Read a motion table and condition every clip.

    Parameters
    ----------
    path : Parquet file with the columns ``driver``, ``clip``, ``frame`` (counting up by 1 within a clip; frames left
        out become gaps), ``time_s`` (seconds), ``confidence`` (0..1), ``AU01_r`` .. ``AU45_r`` (0..5),
        ``gaze_angle_x``, ``gaze_angle_y``, ``pose_Ry``, ``pose_Rz`` (radians); with ``conditioning.true_head_pose``
        also ``pose_Rx`` (radians) and ``pose_Tx``, ``pose_Ty``, ``pose_Tz`` (inter-ocular distances).
        Rows may come in any order.
    split : ``train``, ``val`` or ``test`` of the ``split.csv`` beside the table (columns ``driver``, ``split``);
        None reads everybody.
    conditioning : the steps (`whodrives.avatars.conditioning`); None gives raw channels, gaps bridged, for analysis.
    licence : written into every track.

    Returns
    -------
    One `MotionTrack` per clip at the table's own frame rate, sorted by driver and clip. Clips without a single usable
    frame are left out with a warning.

    Raises
    ------
    UnreadableTableError, MissingColumnsError, EmptyTableError, WrongUnitsError, TimeStampError, SplitError
    """
    path = Path(path)
    table = _read(path, _wanted_columns(conditioning), split)
    order = pc.sort_indices(table, sort_keys=[("driver", "ascending"), ("clip", "ascending"), ("frame", "ascending")])
    table = table.take(order)
    driver, clip = (table[name].to_numpy(zero_copy_only=False) for name in ("driver", "clip"))
    numbers = table["frame"].to_numpy()
    if not np.isfinite(numbers).all():
        raise MissingColumnsError(path, "column frame holds a value that is no number; number frames 0, 1, 2, ...")
    frame = numbers.astype(np.int64)
    time = table["time_s"].to_numpy().astype(np.float64)
    confidence = table["confidence"].to_numpy().astype(np.float64)
    check_confidence(path, confidence)
    values = np.zeros((len(table), len(CHANNELS)))
    for name, column in COLUMN_OF.items():
        if column in table.column_names:
            values[:, INDEX[name]] = table[column].to_numpy()
    steps = conditioning or UNCONDITIONED
    _check_units(path, values[confidence >= steps.min_confidence], conditioning)
    bounds = [0, *(np.flatnonzero((driver[1:] != driver[:-1]) | (clip[1:] != clip[:-1])) + 1).tolist(), len(table)]
    tracks, left_out = [], 0
    for start, stop in itertools.pairwise(bounds):
        part = slice(start, stop)
        fps = _rate(path, clip[start], frame[part], time[part])
        full, trusted = _on_every_frame(path, clip[start], frame[part], values[part], confidence[part])
        try:
            conditioned, valid = condition(full, trusted, fps, steps)
        except InputError:
            left_out += 1
            continue
        tracks.append(MotionTrack(str(driver[start]), str(clip[start]), fps, conditioned, valid, path.name, licence))
    if not tracks:
        raise EmptyTableError(path, f"no frame has confidence >= {steps.min_confidence} and all values present")
    if left_out:
        warnings.warn(f"{path}: {left_out} clips without one usable frame were left out", stacklevel=2)
    return tracks


def read_split(table: str | Path) -> dict[str, str]:
    """Driver -> ``train`` / ``val`` / ``test`` from the ``split.csv`` beside a motion table."""
    path = Path(table).parent / "split.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["driver"], row["split"]) for row in csv.DictReader(file)]
    except OSError as error:
        raise SplitError(path, "a split was asked for but this cannot be read; write it, or ask for none") from error
    except (KeyError, UnicodeDecodeError) as error:
        raise SplitError(path, "must be a UTF-8 CSV file with the columns driver and split") from error
    wrong = sorted({split for _, split in rows} - set(SPLITS))
    if wrong:
        raise SplitError(path, f"unknown split {wrong[0]!r}; use {', '.join(SPLITS)}")
    if len(dict(rows)) != len(rows):
        raise SplitError(path, "a driver stands in it twice; give every driver one split")
    return dict(rows)


def _wanted_columns(conditioning: Conditioning | None) -> list[str]:
    # What would be zeroed anyway is not asked for, so tables without it load as well.
    skip = () if conditioning is None or conditioning.true_head_pose else WEAK_POSE
    return [*KEYS, *(column for name, column in COLUMN_OF.items() if name not in skip)]


def _read(path: Path, columns: list[str], split: str | None) -> pa.Table:
    if split is not None and split not in SPLITS:
        raise InputError(f"unknown split {split!r}; use {', '.join(SPLITS)} or none")
    if not path.is_file():
        raise UnreadableTableError(path, "no such file; give a Parquet motion table")
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise UnreadableTableError(path, "not a readable Parquet file; write it with pyarrow or pandas") from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise MissingColumnsError(path, f"lacks the columns {', '.join(missing)}; use OpenFace's names, _r intensities")
    chosen = None
    if split is not None:
        assignment = read_split(path)
        chosen = [("driver", "in", [name for name, part in assignment.items() if part == split] or [""])]
    try:
        table = pq.read_table(path, columns=columns, filters=chosen)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableTableError(path, f"damaged Parquet file ({type(error).__name__}); copy it again") from error
    if split is not None:
        _check_everyone_is_assigned(path, assignment)
    if not len(table):
        raise EmptyTableError(path, "holds no frames" if split is None else f"holds no frames of split {split!r}")
    table = table.combine_chunks()
    for name in columns:
        kind = table.schema.field(name).type
        if name in ("driver", "clip"):
            table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.string()))
        elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise MissingColumnsError(path, f"column {name} must hold numbers, not {kind}")
        if name in KEYS[:4] and table[name].null_count:
            raise MissingColumnsError(path, f"column {name} has empty cells; every row needs one")
    return table


def _check_everyone_is_assigned(path: Path, assignment: dict[str, str]) -> None:
    everybody = pc.unique(pq.read_table(path, columns=["driver"])["driver"]).to_pylist()
    unassigned = [name for name in everybody if str(name) not in assignment]
    if unassigned:
        raise SplitError(path.parent / "split.csv", f"{len(unassigned)} drivers of {path.name} have no split; add them")


def _check_units(path: Path, seen: NDArray[np.float64], conditioning: Conditioning | None) -> None:
    """Judge by the bulk of the trusted frames, since single frames may hold any tracking failure."""
    if not len(seen):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of NaN only; its frames are gaps
        low, high = np.nanpercentile(seen, [0.5, 99.5], axis=0)
    if np.nanmax(high[AU], initial=0.0) > 5.5 or np.nanmin(low[AU], initial=0.0) < -0.5:
        raise WrongUnitsError(path, "action units must be OpenFace intensities in 0..5 (not percent, not centred)")
    angles = [INDEX[name] for name in ("gaze_x", "gaze_y", "pitch", "yaw", "roll")]
    if np.nanmax(np.maximum(np.abs(low), np.abs(high))[angles], initial=0.0) > np.pi / 2:
        raise WrongUnitsError(path, "gaze and head angles must be in radians, these look like degrees; times pi / 180")
    if conditioning is not None and conditioning.true_head_pose:
        check_translation(path, (high - low)[[INDEX[name] for name in ("tx", "ty", "tz")]])


def _rate(path: Path, clip: str, frame: NDArray[np.int64], time: NDArray[np.float64]) -> float:
    if len(frame) < 2:
        return 30.0  # one frame has no rate, and no motion either
    steps = np.diff(frame)
    if (steps < 1).any():
        raise MissingColumnsError(path, f"clip {clip}: a frame number stands there twice; number frames 0, 1, 2, ...")
    each = np.diff(time) / steps
    seconds = float(np.median(each))
    if not (np.isfinite(seconds) and 1 / 1000 < seconds <= 1):
        raise WrongUnitsError(path, f"clip {clip}: time_s must be in seconds, but one frame takes {seconds:g}")
    # Frame numbers are the grid here: stamps may be rounded to milliseconds, but must run with the numbers.
    odd = ~(np.abs(each - seconds) <= MOST_JITTER * seconds + 1e-3)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise TimeStampError(
            path,
            f"clip {clip}: frames {frame[row]} and {frame[row + 1]} lie {time[row + 1] - time[row]:.6g} s apart where "
            f"{steps[row] * seconds:.6g} s were due; number frames by their times, leaving out those of gaps",
        )
    return round(1 / seconds, 2)


def _on_every_frame(
    path: Path, clip: str, frame: NDArray[np.int64], values: NDArray[np.float64], confidence: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put frames that the table leaves out back in, as gaps."""
    length = int(frame[-1] - frame[0]) + 1
    if length == len(frame):
        return values, confidence
    if length > 10 * len(frame) + 1000:
        raise MissingColumnsError(path, f"clip {clip}: {length} frame numbers for {len(frame)} rows; split the clip")
    full, trusted = np.zeros((length, values.shape[1])), np.zeros(length)
    full[frame - frame[0]], trusted[frame - frame[0]] = values, confidence
    if len(values):
        trusted[np.setdiff1d(np.arange(length), frame - frame[0])] = -1.0  # below every min_confidence
    return full, trusted
