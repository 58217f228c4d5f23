"""Rendered frames to H.264: into files, or through the codec and back in memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError

CODEC, PIXELS = "libx264", "yuv420p"


def encoder_settings(fps: float, crf: int) -> dict[str, str]:
    """Options of the encoder: one keyframe every 2 s; one thread, and no code of this processor's own.

    Without the last two, equal frames can give other bytes: from run to run with several threads, and at sides that are
    no multiple of 128 pixels with x264's AVX-512 code as well.
    """
    return {
        "crf": str(crf),
        "preset": "veryfast",
        "g": str(round(2 * fps)),
        "threads": "1",
        "x264-params": "cpu-independent=1",
    }


def _check(name: str | Path, frames: NDArray[np.uint8], shape: tuple[int, ...], words: str) -> None:
    if frames.ndim != 3 + len(shape) or frames.shape[3:] != shape or frames.dtype != np.uint8 or len(frames) == 0:
        raise InputError(f"{name}: frames must be {words} uint8, got {frames.shape} {frames.dtype}")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise InputError(f"{name}: H.264 needs even sides, got {frames.shape[1]} x {frames.shape[2]}")


def write_mp4(path: str | Path, frames: NDArray[np.uint8], fps: float = 25.0, crf: int = 20) -> None:
    """Write an mp4 (libx264, yuv420p); equal input gives equal bytes.

    Parameters
    ----------
    path : file to write, replaced if it exists. frames : (T, H, W, 3) uint8 RGB, H and W even. fps : frames/s.
    crf : constant rate factor, 0..51, higher is coarser.

    Raises
    ------
    InputError
        Frames of another shape or type.
    """
    _check(path, frames, (3,), "(T, H, W, 3)")
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(CODEC, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = PIXELS
        stream.options = encoder_settings(fps, crf)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def through_codec(frames: NDArray[np.uint8], fps: float = 25.0, crf: int = 20) -> NDArray[np.uint8]:
    """Grey frames after H.264 and back, in memory, with the settings of `write_mp4` (0..255 as limited-range luma).

    Parameters
    ----------
    frames : (T, H, W) uint8, H and W even.

    Returns
    -------
    uint8, the same shape.

    Raises
    ------
    InputError
        Frames of another shape or type.
    """
    _check("through_codec", frames, (), "(T, H, W)")
    height, width = frames.shape[1:]
    luma = np.rint(16.0 + frames * (219.0 / 255.0)).astype(np.uint8)
    planes = np.full((len(frames), height * 3 // 2, width), 128, dtype=np.uint8)
    planes[:, :height] = luma
    encoder: Any = av.CodecContext.create(CODEC, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, PIXELS
    encoder.time_base = 1 / Fraction(fps).limit_denominator(1001)
    encoder.framerate = 1 / encoder.time_base
    encoder.options = encoder_settings(fps, crf)
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    out: list[NDArray[np.uint8]] = []

    def decode(packets: Any) -> None:
        for packet in packets:
            out.extend(frame.to_ndarray()[:height] for frame in decoder.decode(packet))

    for number, plane in enumerate(planes):
        frame = av.VideoFrame.from_ndarray(plane, format=PIXELS)
        frame.pts = number
        decode(encoder.encode(frame))
    decode(encoder.encode(None))
    out.extend(frame.to_ndarray()[:height] for frame in decoder.decode(None))
    back = (np.stack(out).astype(np.float32) - 16.0) * (255.0 / 219.0)
    return np.clip(np.rint(back), 0, 255).astype(np.uint8)
