"""Rendered frames to H.264 files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from whodrives.errors import InputError


def write_mp4(path: str | Path, frames: np.ndarray, fps: float = 25.0, crf: int = 20) -> None:
    """Write an mp4 (libx264, yuv420p, one keyframe every 2 s, same settings for every video).

    Parameters
    ----------
    path : file to write, replaced if it exists. frames : (T, H, W, 3) uint8 RGB, H and W even. fps : frames/s.
    crf : constant rate factor, 0..51, higher is coarser.

    Raises
    ------
    InputError
        Frames of another shape or type.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise InputError(f"{path}: frames must be (T, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "g": str(round(2 * fps)), "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
