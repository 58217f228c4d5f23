"""Frames per second of every generator: online (straight to tensors) and to files, at 128 and 256 pixels.

    python benchmarks/simulator_speed.py [--generators warp,mesh,keypoint] [--workers 2] [--seconds 20] [--device cpu]

Online: `OnlineAvatars` through a DataLoader with `--workers` processes of one thread each (0 = in this process, e.g.
for a GPU): batches of 8 drivers x 2 clips of 64 grey frames, built-in drivers on procedural faces, all nuisance on.
Rigs are built before the clock starts. Files: `whodrives simulate`'s own path, H.264 of 2.56 s, workers starting and
rigs included.

Every figure is frames per second over the whole machine. The demand is on the online figures at 128 pixels: warp
2,000, mesh and keypoint 400; exit status 1 when one falls short.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from whodrives.avatars.dataset import render_dataset
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.online import OnlineAvatars
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.simulation import Simulation

NEEDED = {"warp": 2000.0, "mesh": 400.0, "keypoint": 400.0}
IDENTITIES, SAMPLES, LENGTH, DRIVERS, FACES = 8, 2, 64, 8, 8


def online(generator: str, size: int, workers: int, seconds: float, device: str) -> float:
    """Frames per second from the second batch of every worker on."""
    drivers = [
        [BuiltinDriver(seed).recording(seed * 10 + take, take, 12.0, 25.0) for take in range(2)]
        for seed in range(DRIVERS)
    ]
    source = OnlineAvatars(
        drivers,
        [procedural_face(seed) for seed in range(FACES)],
        generators={generator: 1.0},
        identities=IDENTITIES,
        samples=SAMPLES,
        length=LENGTH,
        size=size,
        seed=0,
        device=device,
    )
    batches = iter(DataLoader(source, batch_size=None, num_workers=workers))
    for _ in range(2 * max(1, workers)):
        next(batches)
    frames, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        batch = next(batches)
        frames += batch.frames.shape[0] * batch.frames.shape[1]
        float(batch.frames[-1, -1, 0, 0, 0])  # waits for a GPU
    return frames / (time.perf_counter() - start)


def files(generator: str, size: int, workers: int) -> float:
    """Frames per second to finished files, everything included."""
    settings = Simulation(
        drivers=8, clips=2, cross_clips=1, targets=8, seed=0, generators=(generator,), seconds=2.56, fps="25", size=size
    )
    plan = settings.plan()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for _ in render_dataset(plan, Path(folder), size=size, workers=workers):
            pass
        return len(plan) * LENGTH / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generators", default="warp,mesh,keypoint")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    short = []
    for name in options.generators.split(","):
        for size in (128, 256):
            speed = online(name, size, options.workers, options.seconds, options.device)
            written = files(name, size, max(1, options.workers))
            print(f"{name:9s} {size} px   online {speed:6.0f} frames/s   files {written:6.0f} frames/s", flush=True)
            if size == 128:
                print(f"{'':9s} online, ratio {speed / NEEDED[name]:.2f} to {NEEDED[name]:.0f} frames/s")
                if speed < NEEDED[name]:
                    short.append(name)
    print(
        f"torch {torch.__version__}, {options.workers} workers, {options.device}"
        + (f"; SHORT: {short}" if short else "")
    )
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
