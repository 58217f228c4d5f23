"""Frames per second of the warp renderer at 128 x 128 grey, with nuisance and noise, on the CPU (or a GPU).

    python benchmarks/warp_speed.py [--videos 16] [--frames 64] [--rounds 5] [--threads 2] [--device cpu]

One thread by default: two collapse as soon as another process holds a core.
Prints frames per second (best and median) and the ratio to the 1,000 frames/s that training needs; exit status 1 when
the median is slower. The face is procedural, so no data are needed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import torch

from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import CHANNELS
from whodrives.avatars.warp import build_rig, render

NEEDED = 1000.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rgb", action="store_true", help="RGB at 256 x 256 instead (reported, not judged)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    size = 256 if arguments.rgb else 128
    faces = [build_rig(procedural_face(seed), size, device=arguments.device) for seed in range(4)]
    rigs = [faces[number % len(faces)] for number in range(arguments.videos)]
    scale = np.array([1.0] * 17 + [0.1] * (len(CHANNELS) - 17), dtype=np.float32)
    motion = rng.random((arguments.videos, arguments.frames, len(CHANNELS)), dtype=np.float32) * scale
    controls = torch.from_numpy(motion).to(arguments.device)
    nuisance = [Nuisance.sample(rng) for _ in rigs]
    speeds = []
    with torch.inference_mode():
        for number in range(arguments.rounds + 1):
            start = time.perf_counter()
            frames = render(rigs, controls, nuisance, grey=not arguments.rgb)
            float(frames[-1, -1, 0, 0, 0])  # waits for a GPU
            if number:  # the first round warms up
                speeds.append(arguments.videos * arguments.frames / (time.perf_counter() - start))
    median = statistics.median(speeds)
    kind = "256 x 256 RGB" if arguments.rgb else "128 x 128 grey"
    print(f"{kind}, {arguments.threads} threads, {arguments.device}: {median:.0f} frames/s (best {max(speeds):.0f})")
    print(f"ratio {median / NEEDED:.2f} to {NEEDED:.0f} frames/s")
    return int(not arguments.rgb and median < NEEDED)


if __name__ == "__main__":
    sys.exit(main())
