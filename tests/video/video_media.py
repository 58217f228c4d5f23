"""Tiny media made with PyAV at test time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

CODECS = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx",
    ".avi": "mpeg4",
    ".mpg": "mpeg1video",
    ".flv": "flv",
}

Writer = Callable[..., Path]


def picture(seed: int, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A smooth random picture, grey 20..235: as different from another seed's as two portraits are."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), height / 12)
    field = (field - field.min()) / np.ptp(field)
    return (20 + 215 * field).astype(np.uint8)


def talking(seed: int, count: int, height: int = 96, width: int = 128) -> list[NDArray[np.uint8]]:
    """`count` frames of `picture(seed)` that sways a little, with a mouth that opens and closes."""
    base = picture(seed, height, width)
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for i in range(count):
        frame = np.roll(base, round(1.5 * np.sin(i / 5)), axis=1)
        opening = 2 + 5 * abs(np.sin(i / 3))
        mouth = ((columns - width / 2) / 12) ** 2 + ((rows - 0.7 * height) / opening) ** 2 < 1
        frames.append(np.where(mouth, 40, frame).astype(np.uint8))
    return frames


def numbered(count: int, height: int = 64, width: int = 64) -> list[NDArray[np.uint8]]:
    """Flat frames whose grey level tells their number: 30, 32, 34 ..."""
    return [np.full((height, width), 30 + 2 * i, np.uint8) for i in range(count)]


def write(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: int = 25,
    codec: str | None = None,
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    tick: Fraction | None = None,
    sound: bool = False,
    options: dict[str, str] | None = None,
    full_range: bool = False,
) -> Path:
    """Write luma frames (H, W) as stored (limited range unless `full_range`); `times` in ticks makes the rate vary."""
    codec = codec or CODECS[path.suffix]
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}) as out:
        stream = out.add_stream(codec, rate=fps)
        if codec == "libx264":
            stream.options = {"crf": "10", "preset": "ultrafast", **(options or {})}
        elif codec in ("libvpx", "mpeg4", "mpeg1video", "flv"):
            stream.options = {"qmin": "2", "qmax": "4", **(options or {})}
            stream.bit_rate = 2_000_000
        stream.pix_fmt = pix_fmt
        if tick is not None:
            stream.time_base = stream.codec_context.time_base = tick
        audio = out.add_stream("aac" if path.suffix != ".webm" else "libvorbis", rate=16000) if sound else None
        for i, luma in enumerate(frames):
            height, width = luma.shape
            if i == 0:
                stream.width, stream.height = width, height
            flat = np.full((height // 2, width), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.vstack([luma, flat]), format="yuv420p")
            if full_range:
                frame.color_range = stream.codec_context.color_range = 2
            if pix_fmt != "yuv420p":
                frame = frame.reformat(format=pix_fmt)
            if times is not None:
                frame.pts, frame.time_base = times[i], tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if audio is not None:
            _write_sound(out, audio, 16000)
    return path


def _write_sound(out: object, stream: object, samples: int) -> None:
    for start in range(0, samples, 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, start
        out.mux(stream.encode(frame))  # type: ignore[attr-defined]
    out.mux(stream.encode())  # type: ignore[attr-defined]


def write_sound_only(path: Path) -> Path:
    """One second of silence."""
    with av.open(str(path), "w") as out:
        _write_sound(out, out.add_stream("aac", rate=16000), 16000)
    return path
