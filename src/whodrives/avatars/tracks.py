"""What a motion track is: one recording of one driver, as a table of frames x motion channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from whodrives.errors import InputError

AU_CHANNELS = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12",
    "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU45",
)  # fmt: skip
GAZE_CHANNELS = ("gaze_x", "gaze_y")
POSE_CHANNELS = ("pitch", "yaw", "roll", "tx", "ty", "tz")
# What the two sides of a face do differently: half of (driver's left minus driver's right), so that the left side
# shows AU + lr and the right side AU - lr. Tables of symmetric action units leave these at 0.
SIDE_CHANNELS = ("AU02_lr", "AU04_lr", "AU10_lr", "AU12_lr", "AU14_lr", "AU45_lr", "jaw_x", "mouth_x")
CHANNELS = AU_CHANNELS + GAZE_CHANNELS + POSE_CHANNELS + SIDE_CHANNELS
INDEX = {name: number for number, name in enumerate(CHANNELS)}


@dataclass(frozen=True)
class MotionTrack:
    """The motion of one driver in one recording.

    Parameters
    ----------
    driver, recording : whose motion, and which source take it comes from.
    fps : frames per second of `values`.
    values : float32 (N, 33) in the order of `CHANNELS`. Action units 0..5 above the recording's neutral (small
        negatives after filtering are normal); gaze (eye in head), pitch, yaw, roll in radians; tx, ty, tz in
        inter-ocular distances, the head's shift beside what turning about the top of the neck does to it.
        Camera axes are x right, y down, z away; positive pitch brings the nose down, yaw to the left of the image, roll
        is clockwise, positive gaze to the right and down. ``AU.._lr``: in action-unit
        intensities, positive where the driver's LEFT side (the right half of the image) does more; ``jaw_x`` and
        ``mouth_x``: sideways shift of the chin or of the mouth, -1..1 (1 = the widest shift people make), positive
        towards the driver's left.
    valid : bool (N,), False where the source could not see the face; those values only bridge the gap.
    source, licence : where the motion comes from and under which terms.

    Raises
    ------
    InputError
        Shapes do not fit, the rate is not positive, or a value is not finite.
    """

    driver: str
    recording: str
    fps: float
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    source: str
    licence: str

    def __post_init__(self) -> None:
        name = f"motion track {self.recording}"
        if self.values.ndim != 2 or self.values.shape[1] != len(CHANNELS) or not len(self.values):
            raise InputError(f"{name}: values must be (N >= 1, {len(CHANNELS)}), got {self.values.shape}")
        if self.valid.shape != (len(self.values),):
            raise InputError(f"{name}: valid must be ({len(self.values)},) like the frames, got {self.valid.shape}")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"{name}: fps must be a positive number, got {self.fps}")
        if not np.isfinite(self.values).all():
            raise InputError(f"{name}: values must be finite; bridge gaps first and mark them in `valid`")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def seconds(self) -> float:
        """Length in seconds (frames / fps)."""
        return len(self.values) / self.fps

    def resample(self, fps: float) -> MotionTrack:
        """The same motion at another frame rate, starting at the same instant.

        Values come from a cubic spline (linear interpolation would damp 6 Hz by up to a fifth, differently from frame
        to frame). No anti-alias filter: conditioned tracks end near 6 Hz, so keep `fps` at 12 or more. An output frame
        is valid when the source frames on both sides are.
        """
        if not (np.isfinite(fps) and fps > 0):
            raise InputError(f"motion track {self.recording}: fps must be a positive number, got {fps}")
        n = len(self.values)
        if fps == self.fps:
            return self
        if n == 1:
            return replace(self, fps=float(fps))
        # The small term keeps the last frame when the ratio is exact but its float is a hair under the integer.
        positions = np.arange(int(np.floor((n - 1) * fps / self.fps + 1e-6)) + 1) * (self.fps / fps)
        positions = np.minimum(positions, n - 1)
        values = CubicSpline(np.arange(n), self.values, axis=0)(positions).astype(np.float32)
        before = np.floor(positions + 1e-6).astype(int)
        after = np.minimum(np.ceil(positions - 1e-6).astype(int), n - 1)
        return replace(self, fps=float(fps), values=values, valid=self.valid[before] & self.valid[after])

    def window(self, start: int, length: int) -> MotionTrack:
        """Frames start .. start + length - 1 as a track of their own.

        Raises
        ------
        InputError
            The window does not lie inside the track.
        """
        if start < 0 or length < 1 or start + length > len(self.values):
            raise InputError(
                f"motion track {self.recording}: window {start}..{start + length - 1} is outside its {len(self)} frames"
            )
        part = slice(start, start + length)
        return replace(self, values=self.values[part], valid=self.valid[part])

    def window_starts(self, length: int, hop: int = 1, min_valid: float = 1.0) -> NDArray[np.int64]:
        """First frames, every `hop` frames, of the windows in which at least `min_valid` of the frames are valid.

        Bridged gaps of up to 0.2 s count as valid; frames in longer ones are straight lines that nobody moved along.
        """
        if length < 1 or hop < 1:
            raise InputError(f"window length and hop must be at least 1 frame, got {length} and {hop}")
        if len(self.values) < length:
            return np.empty(0, dtype=np.int64)
        total = np.concatenate([[0], np.cumsum(self.valid)])
        starts = np.arange(0, len(self.values) - length + 1, hop)
        # Counts are whole numbers: the tolerance only undoes the rounding of min_valid * length.
        return starts[total[starts + length] - total[starts] >= min_valid * length - 1e-9].astype(np.int64)
