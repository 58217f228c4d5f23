"""Ways to keep grey 128 x 128 frames: size, random windows a second, and what is lost.

    python benchmarks/store_formats.py [VIDEO_OR_FOLDER ...] [--seconds 0.5] [--rounds 3] [--chunk 16]

Without arguments it renders 24 videos with `whodrives simulate`. Every format codes the same chunks of frames under the
default contract (video codecs: a key frame at the start of each chunk) and gives back random windows of 64 frames
from memory, in one process, all formats in turn in each round (median). A lossy format is also judged by what the
bundled weights make of it: 1 - cosine between the embeddings before and after.

Exit status 1 when the store's default is over 40 % of raw or slower than half of any other lossless format of that
size, which would mean that the choice in docs/store.md no longer holds.
"""

from __future__ import annotations

import argparse
import io
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from whodrives.data.store_codec import CODECS
from whodrives.errors import WhodrivesError
from whodrives.video import load_frames

Frames = NDArray[np.uint8]
T, SIDE = 64, 128
SUFFIXES = (".mp4", ".mpg", ".mov", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class Format:
    """encode : frames (N, S, S) to bytes. decode : bytes and N to frames."""

    encode: Callable[[Frames], bytes]
    decode: Callable[[bytes, int], Frames]


def stored(name: str) -> Format:
    """A codec of the store."""

    def decode(data: bytes, count: int) -> Frames:
        out = np.empty((count, SIDE, SIDE), np.uint8)
        CODECS[name].decode(memoryview(data), count, 0, out)
        return out

    return Format(CODECS[name].encode, decode)


def plain(codec: str, level: int | None = None, change: bool = False) -> Format:
    """A general compressor, on the frames or on their differences in time."""
    packer = pa.Codec(codec, compression_level=level) if level is not None else pa.Codec(codec)

    def encode(frames: Frames) -> bytes:
        if change:
            frames = np.concatenate([frames[:1], frames[1:] - frames[:-1]])
        return bytes(packer.compress(frames.tobytes(), asbytes=True))

    def decode(data: bytes, count: int) -> Frames:
        size = count * SIDE * SIDE
        frames = np.frombuffer(packer.decompress(data, decompressed_size=size), np.uint8).reshape(count, SIDE, SIDE)
        if change:
            frames = frames.copy()
            for number in range(1, count):
                np.add(frames[number - 1], frames[number], out=frames[number])
        return frames

    return Format(encode, decode)


def png(frames: Frames) -> bytes:
    """PNG pictures one after the other, each with its length."""
    out = []
    for frame in frames:
        picture = io.BytesIO()
        Image.fromarray(frame).save(picture, "png")
        out.append(picture.getvalue())
    return struct.pack(f"<{len(out)}I", *map(len, out)) + b"".join(out)


def from_png(data: bytes, count: int) -> Frames:
    """Inverse of `png`."""
    place, out = 4 * count, np.empty((count, SIDE, SIDE), np.uint8)
    for number, length in enumerate(struct.unpack_from(f"<{count}I", data)):
        out[number] = np.asarray(Image.open(io.BytesIO(data[place : place + length])))
        place += length
    return out


def video(encoder: str, decoder: str, options: dict[str, str], pixels: str = "gray") -> Format:
    """Bare packets of a video codec; the numbers of packets and their lengths in front."""

    def encode(frames: Frames) -> bytes:
        context = av.CodecContext.create(encoder, "w")
        context.width = context.height = SIDE
        context.pix_fmt, context.time_base, context.framerate = pixels, Fraction(1, 25), Fraction(25)
        context.options, context.thread_count = options, 1
        packets = []
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="gray").reformat(format=pixels)
            picture.pts = number
            packets += [bytes(packet) for packet in context.encode(picture)]
        packets += [bytes(packet) for packet in context.encode(None)]
        extra = context.extradata or b""
        lengths = struct.pack(f"<HH{len(packets)}I", len(extra), len(packets), *map(len, packets))
        return lengths + extra + b"".join(packets)

    def decode(data: bytes, count: int) -> Frames:
        context = av.CodecContext.create(decoder, "r")
        context.thread_count, context.width, context.height, context.pix_fmt = 1, SIDE, SIDE, pixels
        extra, packets = struct.unpack_from("<HH", data)
        lengths = struct.unpack_from(f"<{packets}I", data, 4)
        place = 4 + 4 * packets
        if extra:
            context.extradata = data[place : place + extra]
        place += extra
        out, seen = np.empty((count, SIDE, SIDE), np.uint8), 0
        for length in (*lengths, 0):
            for frame in context.decode(av.Packet(data[place : place + length]) if length else None):
                plane = frame.planes[0]
                out[seen] = np.frombuffer(plane, np.uint8).reshape(SIDE, plane.line_size)[:, :SIDE]
                seen += 1
            place += length
        assert seen == count, f"{decoder}: {seen} of {count} frames"
        return out

    return Format(encode, decode)


def x264(**options: str) -> Format:
    """H.264, a key frame a chunk, no B-frames."""
    return video("libx264", "h264", {"g": "999", "bf": "0", "preset": "veryfast", **options})


FORMATS: dict[str, Format] = {
    "raw (store)": stored("raw"),
    "delta (store)": stored("delta"),
    "lz4": plain("lz4"),
    "lz4, time delta": plain("lz4", change=True),
    "zstd 3": plain("zstd", 3),
    "zstd 9, time delta": plain("zstd", 9, change=True),
    "png": Format(png, from_png),
    "ffv1 intra": video("ffv1", "ffv1", {"g": "1", "level": "1"}),
    "x264 lossless intra": x264(qp="0", g="1"),
    "x264 lossless": x264(qp="0"),
    "x264 lossless ultrafast": x264(qp="0", preset="ultrafast"),
    "x264 crf 6": x264(crf="6"),
    "x264 crf 12": x264(crf="12"),
    "x264 crf 12 intra": x264(crf="12", g="1"),
    "mjpeg q 2": video("mjpeg", "mjpeg", {"qmin": "2", "qmax": "2"}, "yuvj420p"),
}
Coded = list[list[tuple[bytes, int]]]


def windows_per_second(form: Format, coded: Coded, chunk: int, seconds: float, seed: int) -> float:
    """Random windows of T frames, each put together from the chunks it touches."""
    rng = np.random.default_rng(seed)
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        chunks = coded[rng.integers(len(coded))]
        count = sum(held for _, held in chunks)
        start = int(rng.integers(max(count - T, 0) + 1))
        stop, out, filled = min(start + T, count), np.empty((T, SIDE, SIDE), np.uint8), 0
        for number in range(start // chunk, (stop - 1) // chunk + 1):
            frames = form.decode(*chunks[number])[max(start - number * chunk, 0) : stop - number * chunk]
            out[filled : filled + len(frames)] = frames
            filled += len(frames)
        done += 1
    return done / (time.perf_counter() - begin)


def embeddings(videos: list[Frames]) -> torch.Tensor:
    """Unit rows (N, D) of the first T frames of each video that has them, by the bundled weights."""
    from whodrives.training.weights import load_weights

    clips = torch.from_numpy(np.stack([frames[:T, None] for frames in videos if len(frames) >= T][:12]))
    with torch.inference_mode():
        return torch.nn.functional.normalize(load_weights("bundled").model(clips).double(), dim=1)


def collect(places: list[str]) -> list[Frames]:
    """Decode every video below the places."""
    found: list[Frames] = []
    for place in map(Path, places):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in SUFFIXES:
                found.append(load_frames(path).frames)
    return found


def render(folder: str) -> None:
    """24 videos of 6 seconds."""
    words = ["simulate", folder, "--drivers", "4", "--clips", "1", "--targets", "6", "--seconds", "6", "--seed", "3"]
    subprocess.run([sys.executable, "-c", "from whodrives.cli.main import main; main()", *words], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--formats", default="", help="names with semicolons [all]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if not arguments.videos:
                render(folder)
            videos = collect(arguments.videos or [folder])
    except WhodrivesError as error:
        print(error, file=sys.stderr)
        return 2
    if not videos:
        print("no videos found", file=sys.stderr)
        return 2
    total, chunk = sum(map(len, videos)), arguments.chunk
    names = [name.strip() for name in arguments.formats.split(";") if name.strip()] or list(FORMATS)
    before = embeddings(videos)
    coded: dict[str, Coded] = {}
    rows: dict[str, str] = {}
    sizes: dict[str, float] = {}
    exact: dict[str, bool] = {}
    for name in names:
        form = FORMATS[name]
        begin = time.perf_counter()
        coded[name] = [
            [(form.encode(frames[a : a + chunk]), len(frames[a : a + chunk])) for a in range(0, len(frames), chunk)]
            for frames in videos
        ]
        speed = total / (time.perf_counter() - begin)
        back = [np.concatenate([form.decode(*piece) for piece in pieces]) for pieces in coded[name]]
        error = np.concatenate([(a.astype(np.int16) - b).ravel() for a, b in zip(back, videos, strict=True)])
        sizes[name] = sum(len(data) for pieces in coded[name] for data, _ in pieces) / total
        exact[name] = not error.any()
        lost = "nothing"
        if not exact[name]:
            noise = 10 * np.log10(255**2 / np.mean(error.astype(np.float32) ** 2))
            moved = float((1 - (embeddings(back) * before).sum(dim=1)).mean())
            lost = f"{np.abs(error).max()} levels, {noise:.1f} dB, 1 - cos {moved:.4f}"
        rows[name] = (
            f"| {sizes[name] * T / 1024:.0f} | {sizes[name] * 25 / 1024:.0f} | {{:.0f}} | {speed:.0f} | {lost} |"
        )
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(arguments.rounds):
        for name in names:
            form = FORMATS[name]
            speeds[name].append(windows_per_second(form, coded[name], chunk, arguments.seconds, number))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"{len(videos)} videos, {total} frames, chunks of {chunk}, {arguments.rounds} rounds")
    print("| format | KiB a clip of 64 | KiB a second | windows/s | encodes frames/s | lost |")
    print("|---|---|---|---|---|---|")
    for name in names:
        print(f"| {name} {rows[name].format(medians[name])}")
    small = {name: medians[name] for name in names if exact[name] and sizes[name] <= 0.4 * SIDE * SIDE}
    ours = small.pop("delta (store)", 0.0)
    best = max(small, key=lambda name: small[name], default="")
    reference = small.get(best, 0.0)
    print(f"delta (store) {ours:.0f} windows/s; fastest other lossless format of its size: {best} {reference:.0f}")
    return int(ours < 0.5 * reference or not ours)


if __name__ == "__main__":
    sys.exit(main())
