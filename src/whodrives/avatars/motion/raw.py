"""What every reader yields before conditioning, and the one way from there to a motion track."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.conditioning import AU, Conditioning, condition
from whodrives.avatars.motion.errors import EmptyTableError, TimeStampError, WrongUnitsError
from whodrives.avatars.tracks import CHANNELS, INDEX, MotionTrack
from whodrives.errors import InputError

USUAL_RATES = (
    10.0, 12.0, 12.5, 15.0, 20.0, 24_000 / 1001, 24.0, 25.0, 30_000 / 1001, 30.0, 48.0, 50.0, 60_000 / 1001, 60.0,
    90.0, 100.0, 120.0, 200.0, 240.0,
)  # fmt: skip
# Raw channels for analysis: gaps bridged and nothing else.
UNCONDITIONED = Conditioning(
    expression_cutoff_hz=None, pose_cutoff_hz=None, remove_neutral=False, true_head_pose=True, about_neck=False
)
MAX_SECONDS = 12 * 3600.0
# One frame alone has no rate, and no motion either.
RATE_OF_ONE_FRAME = 30.0
# A frame this close to a grid instant (in frames) is taken as it stands.
SNAP = 0.05


@dataclass(frozen=True)
class RawMotion:
    """One recording as its file has it, in our channels and units.

    Parameters
    ----------
    driver, recording : whose motion, and which source take.
    time_s : float64 (N,) seconds, strictly increasing, at any intervals.
    values : float64 (N, 33) in the order and units of `tracks.CHANNELS`, no neutral removed; translation is that of
        the midpoint of the eyes. NaN where the source says nothing: such a frame is a gap.
    confidence : float64 (N,) tracking confidence in 0..1.
    true_head_pose : pitch, yaw, roll and translation were measured, not derived from face points.
    has_translation : false where a measured head pose came without translation, which then stays 0.
    source : the file. licence : terms of the recording.

    Raises
    ------
    TimeStampError
        A time stamp is not a number, repeats or runs backwards; the message gives the first such row.
    InputError
        Shapes do not fit, or there is no frame.
    """

    driver: str
    recording: str
    time_s: NDArray[np.float64]
    values: NDArray[np.float64]
    confidence: NDArray[np.float64]
    true_head_pose: bool
    source: str
    licence: str
    has_translation: bool = True

    def __post_init__(self) -> None:
        n = len(self.time_s)
        if not n:
            raise EmptyTableError(Path(self.source), "holds no frames")
        if self.values.shape != (n, len(CHANNELS)) or self.confidence.shape != (n,):
            raise InputError(
                f"{self.source}: {n} time stamps need values ({n}, {len(CHANNELS)}) and confidence ({n},), got "
                f"{self.values.shape} and {self.confidence.shape}"
            )
        if not np.isfinite(self.time_s).all():
            row = int(np.flatnonzero(~np.isfinite(self.time_s))[0])
            raise TimeStampError(Path(self.source), f"frame {row} has no time stamp; fill it in or drop the row")
        steps = np.diff(self.time_s)
        if (steps <= 0).any():
            row = int(np.flatnonzero(steps <= 0)[0]) + 1
            before, now = self.time_s[row - 1], self.time_s[row]
            what = "repeats" if now == before else "runs backwards after"
            raise TimeStampError(
                Path(self.source),
                f"frame {row}: time {now:.6g} s {what} {before:.6g} s; sort the rows, or split the recordings that "
                "were put together",
            )

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def fps(self) -> float:
        """Frames per second over the ordinary intervals (up to 5 medians, counted in whole medians, so that small
        holes and jitter do not matter), rounded to a usual rate within 1% of it."""
        if len(self.time_s) < 2:
            return RATE_OF_ONE_FRAME
        steps = np.diff(self.time_s)
        # Not the median alone: that of stamps rounded to milliseconds is off by 1%.
        frames = np.round(steps / np.median(steps))
        ordinary = frames <= 5
        rate = float(frames[ordinary].sum() / steps[ordinary].sum())
        usual = min(USUAL_RATES, key=lambda known: abs(np.log(known / rate)))
        return usual if abs(usual / rate - 1) < 0.01 else round(rate, 3)


def to_track(raw: RawMotion, conditioning: Conditioning | None, fps: float | None = None) -> MotionTrack:
    """Bring one recording to a uniform rate and condition it.

    Frames that are not trusted (confidence under `conditioning.min_confidence`, or a value missing) are taken out.
    Between the neighbours that stay, values are interpolated linearly, and a frame within 5% of a grid instant is taken
    as it stands. Where neighbours leave more than `conditioning.max_gap_seconds` uncovered, the frames between them
    are invalid.

    Parameters
    ----------
    raw : the recording. conditioning : the steps; None gives raw channels, gaps bridged.
    fps : rate of the result; None keeps the recording's own (`raw.fps`). Conditioning happens at the recording's own
        rate, so that its low-pass stands before the change of rate.

    Returns
    -------
    `MotionTrack`. A derived head pose (`raw.true_head_pose` False) is never treated as a true one.

    Raises
    ------
    EmptyTableError
        No frame is usable.
    TimeStampError
        The recording seems to last more than 12 hours, or to have under 1 frame a second.
    InputError
        The rate is not positive.
    """
    steps = UNCONDITIONED if conditioning is None else conditioning
    if conditioning is not None and not raw.true_head_pose:
        steps = replace(steps, true_head_pose=False)
    if not raw.has_translation:
        # Taking the neck's share out of a translation that nobody measured would invent one.
        steps = replace(steps, about_neck=False)
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise InputError(f"{raw.source}: fps must be a positive number, got {fps}")
    rate = raw.fps
    seconds = float(raw.time_s[-1] - raw.time_s[0])
    if seconds > MAX_SECONDS or not 1.0 <= rate <= 1000.0:
        raise TimeStampError(
            Path(raw.source),
            f"{len(raw)} frames over {seconds:.6g} s ({rate:g} frames per second); times must be in seconds",
        )
    good = np.isfinite(raw.values).all(axis=1) & (raw.confidence >= steps.min_confidence)
    if not good.any():
        raise EmptyTableError(
            Path(raw.source), f"no frame has confidence >= {steps.min_confidence} and all values present"
        )
    values, hole = _on_grid(raw, good, rate, steps.max_gap_seconds)
    out, valid = condition(values, None, rate, steps)
    track = MotionTrack(raw.driver, raw.recording, rate, out, valid & ~hole, raw.source, raw.licence)
    return track if fps is None else track.resample(fps)


def _on_grid(
    raw: RawMotion, good: NDArray[np.bool_], rate: float, max_gap: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values on the uniform grid, NaN where nothing trusted is near, and which frames those are."""
    # The small term keeps the last frame when it lies a hair before its grid instant.
    count = int(np.floor((raw.time_s[-1] - raw.time_s[0]) * rate + SNAP)) + 1
    grid = raw.time_s[0] + np.arange(count) / rate
    time, seen = raw.time_s[good], raw.values[good]
    after = np.clip(np.searchsorted(time, grid), 0, len(time) - 1)
    before = np.maximum(after - 1, 0)
    near = np.where(grid - time[before] < time[after] - grid, before, after)
    snapped = np.abs(time[near] - grid) <= SNAP / rate
    span = np.maximum(time[after] - time[before], 1e-12)
    share = np.clip((grid - time[before]) / span, 0.0, 1.0)[:, None]
    values = seen[before] * (1 - share) + seen[after] * share
    values[snapped] = seen[near[snapped]]
    # Of the way between two frames, one frame's length is no gap.
    outside = (grid < time[0]) | (grid > time[-1])
    hole = ~snapped & (outside | (span - 1.0 / rate > max_gap + 1e-6))
    values[hole] = np.nan
    return values, hole


def check_units(path: Path, raw_values: NDArray[np.float64]) -> None:
    """Raise `WrongUnitsError` when action units, angles or translation of (N, 33) have other units, by their bulk.

    Single frames may hold any tracking failure, so the 0.5th and 99.5th percentiles decide.
    """
    seen = raw_values[np.isfinite(raw_values).all(axis=1)]
    if not len(seen):
        return
    low, high = np.percentile(seen, [0.5, 99.5], axis=0)
    if high[AU].max() > 5.5 or low[AU].min() < -0.5:
        raise WrongUnitsError(path, "action units must be intensities in 0..5 (not percent, not centred)")
    angles = [INDEX[name] for name in ("gaze_x", "gaze_y", "pitch", "yaw", "roll")]
    if np.maximum(np.abs(low), np.abs(high))[angles].max() > np.pi / 2:
        raise WrongUnitsError(path, "gaze and head angles must be in radians, these look like degrees; times pi / 180")
    check_translation(path, (high - low)[[INDEX[name] for name in ("tx", "ty", "tz")]])


def check_translation(path: Path, spread: NDArray[np.float64]) -> None:
    """Raise `WrongUnitsError` when the bulk of the head's places spreads over more than 20 inter-ocular distances."""
    if np.nanmax(spread, initial=0.0) > 20:
        raise WrongUnitsError(path, "translation must be in inter-ocular distances, not mm; divide by 63 mm")


def check_confidence(path: Path, confidence: NDArray[np.float64]) -> None:
    """Raise `WrongUnitsError` when confidence is not in 0..1: 5 percent would pass for full trust."""
    if np.nanmax(confidence, initial=0.0) > 1.5:
        raise WrongUnitsError(path, "confidence must lie in 0..1, this looks like percent; divide by 100")
