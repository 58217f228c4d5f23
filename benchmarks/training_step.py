"""One optimiser step on the CPU: this package against the same network called once per frame.

    python benchmarks/training_step.py [--shapes 8x32,16x64] [--rounds 5] [--threads 2] [--json FILE]

Forward, supervised contrastive loss, backward, AdamW, in training mode. Four ways take turns in one run, in one process
with the memory settings of the trainer:

naive      the network as the paper writes it, frame by frame, eager fp32 (benchmarks/textbook.py)
per frame  the package's own modules called frame by frame, eager fp32: what is left when only the loop over time is
           taken away
fp32, bf16 the package as it trains

The first two normalise one time step at a time, as `per_frame_step` does. Before timing, the package with
`per_frame_step` must equal the naive way: loss within 1e-5, gradients within 1%.

GMAC/s counts the matrix work of a step (forward once, backward twice, the k-NN similarities forward only); percent is
of the rate measured here for a 2048 x 2048 matrix product of the same type and thread count.

Exit status 1 when they are not equal, fp32 is less than 1.8 times or bf16 less than 2.5 times as fast as naive (bf16
only where the CPU computes in it).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import textbook
from whodrives.avatars.allocator import keep_large_blocks
from whodrives.models import FingerprintModel, ModelConfig, build_model
from whodrives.models.normalise import standardise
from whodrives.training.loss import supervised_contrastive

# Multiply-accumulates a frame: ConvStack, fcc with its fusion, and the k-NN similarities, which have no gradient.
LEARNED, SIMILARITY = 6.916e6 + 1.049e6 + 4.194e6, 8.389e6
# The head, for each difference of frames: 128 -> 64 at 8 x 16, 64 -> 32 at 4 x 16, 27 taps.
HEAD = 27 * (128 * 64 * 8 * 16 + 64 * 32 * 4 * 16)
NEEDED = {"fp32": 1.8, "bf16": 2.5}


def per_frame(model: FingerprintModel, clips: Tensor) -> Tensor:
    """The package's modules, one frame at a time."""
    frames = standardise(clips, model.config.normalisation)
    features = [model.backbone(frames[:, step]) for step in range(frames.shape[1])]
    volume = torch.stack([b - a for a, b in itertools.pairwise(features)], dim=2)
    return F.normalize(model.head(volume), dim=1)


class Step:
    """A model with its optimiser, ready to be timed."""

    def __init__(self, embed: Callable[[FingerprintModel, Tensor], Tensor], bf16: bool = False) -> None:
        torch.manual_seed(0)
        self.model = build_model("paper").train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.embed, self.bf16 = embed, bf16

    def __call__(self, clips: Tensor, labels: Tensor) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            embeddings = self.embed(self.model, clips)
        loss = supervised_contrastive(embeddings, labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return time.perf_counter() - start


def differences() -> tuple[float, float]:
    """Loss, and largest relative norm of a gradient's difference, of the package against the naive loop.

    k = 1: which positions are nearest can turn on the last bit, and then both are right.
    """
    clips, labels = torch.rand(6, 4, 1, 128, 128), torch.arange(6) // 2
    found = []
    for embed in (textbook.embed, lambda model, x: model(x)):
        torch.manual_seed(0)
        config = ModelConfig(batchnorm="per_frame_step", dropout=0.0, neighbours=1)
        model = build_model(config).train()
        loss = supervised_contrastive(embed(model, clips), labels)
        loss.backward()
        found.append((float(loss.detach()), [p.grad for p in model.parameters() if p.grad is not None]))
    (loss_a, a), (loss_b, b) = found
    total = torch.stack([g.norm() for g in a]).norm()
    off = torch.stack([(x - y).norm() for x, y in zip(a, b, strict=True)]).norm()
    return abs(loss_a - loss_b), float(off / total)


def matmul_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """GMAC/s of a square matrix product, best of 5."""
    a, b = torch.rand(size, size, dtype=dtype), torch.rand(size, size, dtype=dtype)
    a @ b
    best = min(_timed(lambda: a @ b) for _ in range(5))
    return size**3 / best / 1e9


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="8x32,16x64", help="clips x frames, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain-malloc", action="store_true", help="leave the C library's memory settings alone")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.plain_malloc:
        keep_large_blocks(any_size=True)
    loss_off, gradient_off = differences()
    print(f"against the naive loop: loss {loss_off:.1e}, gradients {gradient_off:.1e} (relative norm)")
    failed = loss_off > 1e-5 or gradient_off > 1e-2
    native_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    rates = {"fp32": matmul_rate(torch.float32), "bf16": matmul_rate(torch.bfloat16)}
    print("matrix product: " + ", ".join(f"{name} {rate:.0f} GMAC/s" for name, rate in rates.items()))
    results = {}
    for shape in arguments.shapes.split(","):
        count, length = (int(part) for part in shape.split("x"))
        macs = count * (length * (3 * LEARNED + SIMILARITY) + 3 * (length - 1) * HEAD)
        generator = torch.Generator().manual_seed(1)
        clips, labels = torch.rand(count, length, 1, 128, 128, generator=generator), torch.arange(count) // 2
        ways = {
            "naive": Step(textbook.embed),
            "per frame": Step(per_frame),
            "fp32": Step(lambda m, x: m(x)),
            "bf16": Step(lambda m, x: m(x), bf16=True),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(arguments.rounds + 1):
            for name, step in ways.items():
                seconds = step(clips, labels)
                if number:  # the first round warms up
                    times[name].append(seconds)
        print(f"\n{count} clips x {length} frames, {arguments.threads} threads, {arguments.rounds} alternating rounds")
        for name, seconds in times.items():
            median = statistics.median(seconds)
            speed = macs / median / 1e9
            ratio = statistics.median(a / b for a, b in zip(times["naive"], seconds, strict=True))
            percent = 100 * speed / rates["bf16" if name == "bf16" else "fp32"]
            print(
                f"  {name:9s} {median * 1e3:8.0f} ms {speed:7.1f} GMAC/s {percent:5.1f}% of matmul, ratio {ratio:.2f}"
            )
            results[f"{shape} {name}"] = {"seconds": seconds, "gmac_per_second": speed, "ratio": ratio}
            if name in NEEDED and (name == "fp32" or native_bf16):
                failed |= ratio < NEEDED[name]
    if arguments.json:
        arguments.json.write_text(json.dumps({"matmul": rates, "steps": results}, indent=2) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
