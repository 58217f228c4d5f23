"""Forward pass of one T=64 clip on the CPU: whole clip at once against the same modules called once per frame.

    python benchmarks/forward_speed.py [--preset paper] [--rounds 7] [--threads 2]

Eager fp32, same threads, alternating in one run. Prints multiply-accumulates, milliseconds (median), GMAC/s and the
ratio; exit status 1 when the outputs differ by more than 1e-5 or the vectorised path is not faster.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from whodrives.models import PRESETS, FingerprintModel, build_model
from whodrives.models.flow import optical_flow
from whodrives.models.normalise import standardise

FRAMES = 64


def per_frame(model: FingerprintModel, clip: Tensor) -> Tensor:
    """The same modules, one frame at a time (with `flow` one pair of frames)."""
    frames = standardise(clip, model.config.normalisation)
    if model.config.representation == "flow":
        flows = [optical_flow(frames[:, step - 1 : step + 1])[:, 0] for step in range(1, frames.shape[1])]
        return F.normalize(model.head(torch.stack(flows, dim=2)), dim=1)
    features = [model.backbone(frames[:, step]) for step in range(frames.shape[1])]
    volume = torch.stack([b - a for a, b in itertools.pairwise(features)], dim=2)
    return F.normalize(model.head(volume), dim=1)


def products(function: Callable[[], object]) -> float:
    """Multiply-accumulates of the convolutions and matrix products of one call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 2


def milliseconds(function: Callable[[], Tensor]) -> float:
    """One timed call."""
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper", choices=sorted(PRESETS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    # The counter looks for gradients, which inference tensors do not have.
    model = build_model(arguments.preset).eval().requires_grad_(False)
    clip = torch.rand(1, FRAMES, 1, 128, 128)
    with torch.inference_mode():
        difference = float((model(clip) - per_frame(model, clip)).abs().max())
        macs = products(lambda: model(clip))
        times: dict[str, list[float]] = {"whole clip": [], "per frame": []}
        for _ in range(arguments.rounds):
            times["whole clip"].append(milliseconds(lambda: model(clip)))
            times["per frame"].append(milliseconds(lambda: per_frame(model, clip)))
    print(f"{macs / 1e6:.0f} million multiply-accumulates a clip, {macs / FRAMES / 1e6:.1f} a frame")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:11s} {value:8.1f} ms  {macs / value / 1e6:7.1f} GMAC/s")
    ratio = statistics.median(b / a for a, b in zip(times["whole clip"], times["per frame"], strict=True))
    print(f"ratio {ratio:.2f} (median of {arguments.rounds} alternating rounds, {arguments.threads} threads)")
    print(f"largest difference of the embeddings {difference:.1e}")
    return int(difference > 1e-5 or ratio <= 1.0)


if __name__ == "__main__":
    sys.exit(main())
