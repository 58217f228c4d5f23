"""Peak memory of streaming 4K decode: 60 s against 20 s of the same video, each in a fresh process.

    python benchmarks/video_memory.py [--codec libx264] [--fps 25] [--torch]

Writes two 3840x2160 files to a temporary folder, reads each through `iter_windows` and prints the peak resident memory
of both and their ratio. Exit status 1 when the longer video needs over 5 % more, or any over 700 MiB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 3840, 2160
GOP_SECONDS = 2
MAX_RATIO = 1.05
MAX_MIB = 700.0


def write_video(path: Path, seconds: int, codec: str, fps: int) -> None:
    """Encode one group of 2 s, then repeat its packets: a long file at the price of a short one."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "0"}
        frames = GOP_SECONDS * fps
        stream.gop_size = frames
        ramp = np.linspace(40, 200, WIDTH, dtype=np.float32)[None, :] + np.zeros((HEIGHT, 1), np.float32)
        packets: list[tuple[bytes, bool]] = []
        for i in range(frames + 1):
            encoded = []
            if i < frames:
                luma = np.roll(ramp, 24 * i, axis=1).astype(np.uint8)
                luma[800:1400, 1000 + 20 * i : 1600 + 20 * i] = 230
                chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
                frame = av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), format="yuv420p")
                frame.pts = i
                encoded = stream.encode(frame)
            else:
                encoded = stream.encode()
            packets += [(bytes(packet), packet.is_keyframe) for packet in encoded]
        for i in range(seconds * fps):
            data, key = packets[i % len(packets)]
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, stream.codec_context.time_base
            packet.pts = packet.dts = i
            packet.duration = 1
            packet.is_keyframe = key
            out.mux(packet)


def peak_mib() -> float:
    """Peak resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a child inherits the peak of the process that started it.
        line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def decode(path: str, with_torch: bool) -> int:
    """Child process: read every window, then print frames and peak MiB."""
    if with_torch:
        import torch  # noqa: F401
    from whodrives.video import iter_windows

    stream = iter_windows(path)
    for _ in stream:
        pass
    print(stream.report.n_frames, peak_mib())
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", default="libx264", choices=["libx264", "mpeg4", "libvpx-vp9"])
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--torch", action="store_true", help="import torch before decoding")
    parser.add_argument("--decode", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.decode:
        return decode(arguments.decode, arguments.torch)
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (20, 60):
            path = Path(folder) / f"{seconds}.mp4"
            write_video(path, seconds, arguments.codec, arguments.fps)
            command = [sys.executable, __file__, "--decode", str(path), *(["--torch"] if arguments.torch else [])]
            start = time.perf_counter()
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            took = time.perf_counter() - start
            frames, peaks[seconds] = int(answer[0]), float(answer[1])
            if frames != seconds * 25:
                print(f"{seconds} s: {frames} frames came out, not {seconds * 25}")
                return 1
            print(f"{seconds:3d} s of 4K: {peaks[seconds]:7.1f} MiB peak, {frames} frames, {took:.1f} s")
    ratio = peaks[60] / peaks[20]
    good = ratio <= MAX_RATIO and max(peaks.values()) <= MAX_MIB
    print(f"ratio {ratio:.3f} (limit {MAX_RATIO}), limit {MAX_MIB:.0f} MiB: {'ok' if good else 'FALLS SHORT'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
