"""Frames per second of the warp renderer at 128 x 128 grey with all nuisance on: processes of one thread each.

    python benchmarks/warp_speed.py [--processes 2] [--threads 1] [--videos 16] [--frames 64] [--rounds 5]
                                    [--device cpu] [--rgb] [--plain-malloc]

All processes render at the same time, as the workers of online training do. Prints frames per second of all of them
together, by the clock and by the processor time they used (frames per second that undisturbed cores would give), and
the ratio to the 2,000 frames/s by the clock that training on two cores needs; exit status 1 when it is below 1. Faces
are drawn, drivers built in, so no data are needed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.warp import build_rig, render

NEEDED = 2000.0


def measure(number: int, arguments: argparse.Namespace, together: Any) -> tuple[float, float]:
    """Median seconds of a round, by the clock and of processor time, in this process."""
    torch.set_num_threads(arguments.threads)
    if not arguments.plain_malloc:
        keep_large_blocks()
    rng = np.random.default_rng(number)
    size = 256 if arguments.rgb else 128
    faces = [build_rig(procedural_face(seed), size, device=arguments.device) for seed in range(4)]
    rigs = [faces[video % len(faces)] for video in range(arguments.videos)]
    seconds = arguments.frames / 25 + 2
    clips = [BuiltinDriver(d).recording(d, 0, seconds).values[: arguments.frames] for d in range(arguments.videos)]
    controls = torch.from_numpy(np.stack(clips).astype(np.float32)).to(arguments.device)
    clock, processor = [], []
    with torch.inference_mode():
        for turn in range(arguments.rounds + 1):
            nuisance = [Nuisance.sample(rng) for _ in rigs]
            if together is not None:
                together.wait()
            start, used = time.perf_counter(), time.process_time()
            frames = render(rigs, controls, nuisance, grey=not arguments.rgb)
            float(frames[-1, -1, 0, 0, 0])  # waits for a GPU
            if turn:  # the first round warms up
                clock.append(time.perf_counter() - start)
                processor.append(time.process_time() - used)
    return statistics.median(clock), statistics.median(processor)


def _worker(number: int, arguments: argparse.Namespace, together: Any, results: Any) -> None:
    results.put(measure(number, arguments, together))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rgb", action="store_true", help="RGB at 256 x 256 instead (reported, not judged)")
    parser.add_argument("--plain-malloc", action="store_true", help="leave the C library's allocator as it is")
    arguments = parser.parse_args()
    if arguments.processes == 1:
        times = [measure(0, arguments, None)]
    else:
        context = multiprocessing.get_context("spawn")
        together, results = context.Barrier(arguments.processes), context.Queue()
        workers = [
            context.Process(target=_worker, args=(number, arguments, together, results), daemon=True)
            for number in range(arguments.processes)
        ]
        for worker in workers:
            worker.start()
        times = [results.get(timeout=600) for _ in workers]
        for worker in workers:
            worker.join()
    frames = arguments.videos * arguments.frames
    clock, processor = (sum(frames / pair[kind] for pair in times) for kind in (0, 1))
    kind = "256 x 256 RGB" if arguments.rgb else "128 x 128 grey"
    print(f"{kind}, {arguments.processes} processes x {arguments.threads} threads, {arguments.device}:", end=" ")
    print(f"{clock:.0f} frames/s (by processor time {processor:.0f})")
    print(f"ratio {clock / NEEDED:.2f} to {NEEDED:.0f} frames/s")
    return int(not arguments.rgb and clock < NEEDED)


if __name__ == "__main__":
    sys.exit(main())
