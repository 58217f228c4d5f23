"""Embedding every window of a long video: sharing frames between windows against each window by itself.

    python benchmarks/window_reuse.py [--model FILE] [--seconds 60] [--length 64] [--hop 8] [--threads 2] [--rounds 3]
        [--json FILE]

Three ways take turns in one run, fp32, on the same random frames at 25 a second:

one by one   the model on every window
shared       models/sliding.py: each frame and each step of the head once
single pass  windows that do not overlap: every frame through the network once, nothing twice; the least that any way
             of embedding the video can cost

MODEL is a weight file or checkpoint whose normalisation is `frame` or `fixed`; without it an untrained network with
`frame`. Exit status 1 when shared is less than 6 times as fast as one by one, takes more than 1.3 times the single
pass, or an embedding differs by more than 1e-4 (except where rounding swapped equally near neighbours of the graph:
such windows are counted and must be fewer than 1%).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.models import FingerprintModel, ModelConfig, build_model
from whodrives.models.sliding import sliding_embeddings

FASTER, DEARER, CLOSE, SWAPPED = 6.0, 1.3, 1e-4, 0.01


def load(path: str | None) -> FingerprintModel:
    """A network in evaluation mode."""
    if path is None:
        torch.manual_seed(0)
        return build_model(ModelConfig(normalisation="frame")).eval()
    from whodrives.training.subject import load_subject

    return load_subject(path).model.eval()


@torch.inference_mode()
def one_by_one(model: FingerprintModel, frames: Tensor, length: int, hop: int) -> Tensor:
    """Every window by itself, one forward pass each."""
    starts = range(0, len(frames) - length + 1, hop)
    return torch.cat([model(frames[None, start : start + length]) for start in starts])


def timed(function: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Seconds, seconds of processors, and what came out."""
    start, busy = time.perf_counter(), time.process_time()
    out = function()
    return time.perf_counter() - start, time.process_time() - busy, out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--hop", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_large_blocks()
    model, (length, hop) = load(options.model), (options.length, options.hop)
    count = round(25 * options.seconds)
    # Smooth in space and slow in time, as faces are: noise would have no near neighbours.
    rough = torch.rand(count // 5 + 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(rough, size=(128, 128), mode="bilinear")
    at = torch.arange(count) / 5
    share = (at - at.floor())[:, None, None, None]
    frames = (255 * ((1 - share) * large[at.long()] + share * large[at.long() + 1])).to(torch.uint8)

    ways: dict[str, Callable[[], Tensor]] = {
        "one by one": lambda: one_by_one(model, frames, length, hop),
        "shared": lambda: sliding_embeddings(model, frames, length, hop)[1],
        "single pass": lambda: one_by_one(model, frames, length, length),
    }
    ways["shared"]()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Tensor] = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            spent, worked, found[name] = timed(way)
            seconds[name].append(spent)
            busy[name].append(worked)
    off = (found["shared"] - found["one by one"]).abs().amax(dim=1)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    pairs = list(zip(seconds["one by one"], seconds["shared"], seconds["single pass"]))
    faster = statistics.median(a / b for a, b, _ in pairs)
    dearer = statistics.median(b / c for _, b, c in pairs)
    # What others leave of a busy machine counts in seconds, hardly in those of processors.
    work = {name: statistics.median(times) for name, times in busy.items()}
    swapped = float((off > CLOSE).float().mean())
    result = {
        "frames": count,
        "windows": len(off),
        "seconds": middle,
        "processor seconds": work,
        "frames a second, shared": count / middle["shared"],
        "one by one / shared": faster,
        "shared / single pass": dearer,
        "largest difference": float(off.max()),
        "median difference": float(off.median()),
        "share of windows over 1e-4": swapped,
        "threads": options.threads,
    }
    print(f"{count} frames, {len(off)} windows of {length} every {hop}, {options.threads} threads, fp32")
    for name, value in middle.items():
        print(f"  {name:12} {value:7.2f} s, {work[name]:7.2f} s of processors")
    print(f"one by one / shared  {faster:5.2f} (wanted {FASTER:g})")
    print(f"shared / single pass {dearer:5.2f} (at most {DEARER:g})")
    ratios = work["one by one"] / work["shared"], work["shared"] / work["single pass"]
    print(f"of processors alone: {ratios[0]:.2f} and {ratios[1]:.2f}")
    print(f"differences: median {off.median():.1e}, largest {off.max():.1e}, over {CLOSE:g}: {swapped:.1%} of windows")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
    return 0 if faster >= FASTER and dearer <= DEARER and swapped < SWAPPED else 1


if __name__ == "__main__":
    sys.exit(main())
