"""Watching a long call: memory, real-time factor, and how long a look takes.

    python benchmarks/watch_memory.py VIDEO [--model FILE] [--minutes 30] [--hop 8] [--threads 2] [--json FILE]

VIDEO is decoded once and its pictures are shown again and again, to and fro, with times going on, as one endless call;
they come as fast as they are taken. Every look is what `whodrives watch` does: crop and resize, scene cuts, motion
gate, network, sequential test. Memory is what this process holds.

Weights without a calibration get one that never decides. Exit status 1 when the memory grows by more than 3% after the
third minute, or the call is watched more slowly than it would run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.evaluation.llr import LogisticLlr
from whodrives.evaluation.repeated import RepeatedLlr
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.watch import Watch
from whodrives.video.decoder import Decoder, SourceFrame
from whodrives.video.source import VideoSource

GROWTH = 0.03
PICTURES = 250


class Endless(Decoder):
    """The first pictures of a file, to and fro for `seconds`."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(path)
        self.seconds = seconds
        with VideoSource(path) as source:
            self.nominal_fps, self.square_pixels = source.nominal_fps, source.square_pixels
            self.pictures = [frame.frame for frame, _ in zip(source, range(PICTURES))]

    def __iter__(self) -> Iterator[SourceFrame]:
        last = len(self.pictures) - 1
        for number in range(round(self.seconds * self.nominal_fps)):
            at = number % (2 * last)
            self.decoded += 1
            yield SourceFrame(self.pictures[min(at, 2 * last - at)], number / self.nominal_fps, False)


def never_decides(fingerprinter: Fingerprinter) -> Fingerprinter:
    """With a calibration that says nothing, where the weights have none: what a look costs is the same."""
    if fingerprinter.model.calibration is None:
        print(f"{fingerprinter.model} has no calibration: one that never decides stands in; times are the same")
        nothing = RepeatedLlr(LogisticLlr(0.0, 0.0, -1.0, 1.0, 0.5, 1e-4, 0, 0), 1.0)
        fingerprinter.model = dataclasses.replace(fingerprinter.model, calibration=nothing)
    return fingerprinter


def resident() -> float:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def begin(description: str | None, unit: str) -> tuple[argparse.Namespace, Fingerprinter]:
    """The options of a benchmark that watches for 30 `unit` (``minutes``, ``seconds``), and what it watches with."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", default="bundled")
    parser.add_argument(f"--{unit}", type=float, default=30)
    parser.add_argument("--hop", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_large_blocks()
    return options, never_decides(Fingerprinter.load(options.model, "cpu"))


def main() -> int:
    options, fingerprinter = begin(__doc__, "minutes")
    template = fingerprinter.embed(options.video).template
    if template is None:
        raise SystemExit(f"{options.video}: no usable window")
    source = Endless(options.video, 60 * options.minutes)
    memory: dict[int, float] = {}
    looks: list[float] = []
    begun = time.perf_counter()
    for update in Watch(source, fingerprinter, template, hop=options.hop):
        looks.append(update.compute)
        memory[int(update.seconds // 60)] = resident()
    spent = time.perf_counter() - begun
    stream = 60 * options.minutes
    start = memory.get(2, min(memory.values()))
    growth = memory[max(memory)] / start - 1
    result = {
        "model": str(fingerprinter.model),
        "normalisation": fingerprinter.contract.normalisation,
        "stream seconds": stream,
        "looks": len(looks),
        "stream seconds a second": stream / spent,
        "look, median ms": 1000 * statistics.median(looks),
        "look, 95% ms": 1000 * float(np.quantile(looks, 0.95)),
        "MiB by minute": {minute: round(value, 1) for minute, value in memory.items()},
        "growth after minute 3": growth,
        "threads": options.threads,
    }
    print(f"{fingerprinter.model}, normalisation {fingerprinter.contract.normalisation}, {options.threads} threads")
    print(f"{stream / 60:.0f} minutes of {source.nominal_fps:g} fps in {spent:.0f} s: {stream / spent:.1f} x real time")
    print(f"{len(looks)} looks: median {result['look, median ms']:.1f} ms, 95% under {result['look, 95% ms']:.1f} ms")
    print(f"memory {start:.0f} MiB after minute 3, {memory[max(memory)]:.0f} MiB at the end: {growth:+.1%}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
    return 0 if growth <= GROWTH and spent <= stream else 1


if __name__ == "__main__":
    sys.exit(main())
