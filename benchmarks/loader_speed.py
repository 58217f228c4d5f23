"""Random windows a second: the packed frame store against a folder of PNG frames, the same videos.

    python benchmarks/loader_speed.py [VIDEO_OR_FOLDER ...] [--workers 1] [--seconds 2] [--rounds 5] [--codec delta]

The folder is read as NVFAIR's loader reads it: one grey 128 x 128 PNG a frame (Pillow, default compression), the
directory listed and sorted at each access, 64 files decoded with Pillow and stacked. Both sides draw the same videos
and starts, in the same number of processes, A and B in turn; everything comes out of the page cache. Bytes on the disk
count whole files (for PNG also as 4 KiB blocks, which is what a file system takes).

Exit status 1 when the store's median is under 10 times the folder's, or a window differs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_pack import pack
from whodrives.errors import WhodrivesError
from whodrives.video.contract import DEFAULT_CONTRACT

T = 64
SUFFIXES = (".mp4", ".mpg", ".mov", ".mkv", ".webm", ".avi")
Window = Callable[[int, int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Side:
    """One way to read. kind : ``store`` or ``png``. place : its folder."""

    kind: str
    place: str

    def open(self) -> Window:
        """(video, start) -> uint8 (T, 1, 128, 128), the last frame repeated."""
        if self.kind == "store":
            store = FrameStore.open(self.place)
            return lambda video, start: store.window(video, start, T).frames
        folders = [os.path.join(self.place, name) for name in sorted(os.listdir(self.place))]

        def window(video: int, start: int) -> NDArray[np.uint8]:
            names = sorted(name for name in os.listdir(folders[video]) if name.endswith(".png"))
            pictures = []
            for name in names[start : start + T]:
                with Image.open(os.path.join(folders[video], name)) as picture:
                    pictures.append(np.asarray(picture))
            pictures += [pictures[-1]] * (T - len(pictures))
            return np.stack(pictures)[:, None]

        return window


def draw(counts: list[int], rng: np.random.Generator) -> tuple[int, int]:
    """A video and a start, uniform."""
    video = int(rng.integers(len(counts)))
    return video, int(rng.integers(max(counts[video] - T, 0) + 1))


def serve(side: Side, counts: list[int], seed: int, pipe: multiprocessing.connection.Connection) -> None:
    """A process: seconds in, windows and the time they took out; 0 ends it."""
    window, rng = side.open(), np.random.default_rng(seed)
    while seconds := pipe.recv():
        done, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            window(*draw(counts, rng))
            done += 1
        pipe.send((done, time.perf_counter() - begin))


class Readers:
    """Processes that read from one side."""

    def __init__(self, side: Side, counts: list[int], workers: int) -> None:
        context = multiprocessing.get_context("fork")
        self.pipes = []
        for number in range(workers):
            ours, theirs = context.Pipe()
            context.Process(target=serve, args=(side, counts, number, theirs), daemon=True).start()
            self.pipes.append(ours)

    def measure(self, seconds: float) -> float:
        """Windows a second, all processes together."""
        for pipe in self.pipes:
            pipe.send(seconds)
        return sum(done / took for done, took in [pipe.recv() for pipe in self.pipes])

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(0)


def render(folder: str) -> None:
    """24 videos of 6 seconds."""
    words = ["simulate", folder, "--drivers", "4", "--clips", "1", "--targets", "6", "--seconds", "6", "--seed", "3"]
    subprocess.run([sys.executable, "-c", "from whodrives.cli.main import main; main()", *words], check=True)


def records(places: list[str]) -> list[Record]:
    """Every video below the places; the labels do not matter here."""
    found: list[Path] = []
    for place in map(Path, places):
        found += [path for path in sorted(place.rglob("*")) if path.suffix in SUFFIXES] if place.is_dir() else [place]
    return [Record(path, "driver", "target", "generator", "", "recording", "", False) for path in found]


def extract(store: FrameStore, folder: Path) -> None:
    """The frames of a store as PNG folders, in the order of the store."""
    for video in range(len(store)):
        place = folder / f"{video:06d}"
        place.mkdir(parents=True)
        for number, frame in enumerate(store.whole(video).frames[:, 0]):
            Image.fromarray(frame).save(place / f"{number:05d}.png")


def disk_bytes(folder: Path, block: int = 1) -> int:
    """Bytes of all files below, each rounded up to blocks."""
    return sum(-(-path.stat().st_size // block) * block for path in folder.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codec", default="delta")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        try:
            if not arguments.videos:
                render(f"{work}/videos")
            found = records(arguments.videos or [f"{work}/videos"])
            pack(found, f"{work}/store", contract=DEFAULT_CONTRACT, codec=arguments.codec, workers=2)
            store = FrameStore.open(f"{work}/store")
        except WhodrivesError as error:
            print(error, file=sys.stderr)
            return 2
        extract(store, Path(work, "png"))
        sides = {kind: Side(kind, f"{work}/{kind}") for kind in ("png", "store")}
        counts = [int(count) for count in store.n_frames]
        rng, (png, packed) = np.random.default_rng(0), (side.open() for side in sides.values())
        picks = [draw(counts, rng) for _ in range(50)]
        same = all(np.array_equal(png(*pick), packed(*pick)) for pick in picks)
        readers = {kind: Readers(side, counts, arguments.workers) for kind, side in sides.items()}
        speeds: dict[str, list[float]] = {kind: [] for kind in sides}
        for _ in range(arguments.rounds):
            for kind, reader in readers.items():
                speeds[kind].append(reader.measure(arguments.seconds))
        for reader in readers.values():
            reader.close()
        seconds = sum(counts) / 25
        sizes = {kind: disk_bytes(Path(side.place)) / seconds for kind, side in sides.items()}
        blocks = disk_bytes(Path(work, "png"), 4096) / seconds
    print(f"{len(counts)} videos, {sum(counts)} frames, windows of {T}, {arguments.workers} processes a side")
    print(
        f"png folder    {statistics.median(speeds['png']):8.0f} windows/s {sizes['png'] / 1024:6.0f} KiB a second",
        end="",
    )
    print(f" of video ({blocks / 1024:.0f} in blocks of 4 KiB)")
    print(f"store, {arguments.codec:6s} {statistics.median(speeds['store']):8.0f} windows/s", end="")
    print(f" {sizes['store'] / 1024:6.0f} KiB a second of video")
    ratios = [b / a for a, b in zip(speeds["png"], speeds["store"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.1f} (median of {len(ratios)} alternating rounds, {min(ratios):.1f} to {max(ratios):.1f})")
    print(f"equal windows: {'yes' if same else 'NO'}")
    return int(ratio < 10 or not same)


if __name__ == "__main__":
    sys.exit(main())
