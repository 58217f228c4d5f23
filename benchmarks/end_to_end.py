"""One clip from an mp4 file to its fingerprint: this package against OpenCV and the modules called frame by frame.

    .venv-extras/bin/python benchmarks/end_to_end.py [--model FILE] [--video FILE] [--threads 2] [--rounds 7]
        [--json FILE]

Needs OpenCV (the extra `landmarks` brings it). Without --video, a built-in driver's clip of T = 64 frames, 256 x 256,
H.264. Ways take turns in one run, fp32:

by frame      OpenCV reads each frame, makes it grey and resizes it; the network's modules are called once per frame,
              then the head, as a plain script would
paper by frame   the same with the paper's network (untrained: the time is the same), whatever --model is
package       `Fingerprinter.embed` of the file: PyAV, time stamps, scene cuts, motion gate, network
package, onnxruntime   the same, the network exported and run by ONNX Runtime (with the extra `onnx`)

Beside the time on the clock stands the processors' time, which other work on the machine disturbs less. Then where the
package's time goes, each stage's multiply-accumulates beside this machine's measured matrix rate and its input and
output beside the measured copying rate. Exit status 1 when the package is less than 3 times as fast as `by frame`, or
the two fingerprints of the network differ by more than 1e-4.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forward_speed import FRAMES, per_frame, products
from whodrives.avatars.allocator import keep_large_blocks
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.online import OnlineAvatars
from whodrives.avatars.procedural import procedural_face
from whodrives.models import FingerprintModel, build_model
from whodrives.models.flow import optical_flow
from whodrives.models.fused import FusedF5C, fused
from whodrives.models.fused_residual import FusedResidual
from whodrives.models.normalise import standardise
from whodrives.training.onnx_export import export_onnx
from whodrives.training.onnx_weights import MissingRuntimeError
from whodrives.training.weights import load_weights
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.video.frames import load_frames
from whodrives.video.source import VideoSource

WANTED, CLOSE = 3.0, 1e-4


def make_video(path: Path) -> None:
    """A built-in driver on a drawn face: FRAMES frames of 256 x 256 at 25 a second."""
    avatars = OnlineAvatars(
        [[BuiltinDriver(1_000_000).recording(1, 0, 6.0)]], [procedural_face(1_000_000)], identities=1, samples=1,
        length=FRAMES, size=256,
    )  # fmt: skip
    grey = avatars.batch(0).frames[0, :, 0].mul(255).round().byte().numpy()
    write_mp4(path, np.repeat(grey[..., None], 3, axis=3))


@torch.inference_mode()
def by_frame(path: Path, model: FingerprintModel, cv2: Any) -> Tensor:
    """As a plain script would: read, grey, resize; the modules frame by frame."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while len(frames) < FRAMES:
        there, picture = capture.read()
        if not there:
            raise SystemExit(f"{path}: {len(frames)} frames, {FRAMES} are needed")
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        frames.append(cv2.resize(grey, (128, 128), interpolation=cv2.INTER_AREA))
    capture.release()
    clip = torch.from_numpy(np.stack(frames)).float().div_(255)[None, :, None]
    return per_frame(model, clip)


def seconds(function: Callable[[], object]) -> float:
    """One timed call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def clocks(function: Callable[[], object]) -> tuple[float, float]:
    """One timed call: seconds on the clock, and of all of the process's threads."""
    busy = time.process_time()
    elapsed = seconds(function)
    return elapsed, time.process_time() - busy


def rates(rounds: int) -> tuple[float, float]:
    """This machine's own: multiply-accumulates a second of a matrix product, bytes a second of copying (both ways)."""
    a, b = torch.rand(1024, 1024), torch.rand(1024, 1024)
    big = torch.rand(2**24)
    out = torch.empty_like(big)
    a @ b
    product = min(seconds(lambda: a @ b) for _ in range(3 * rounds))
    copy = min(seconds(lambda: out.copy_(big)) for _ in range(3 * rounds))
    return 1024**3 / product, 2 * big.numel() * 4 / copy


def parts_of(backbone: torch.nn.Module) -> dict[str, Callable[[Tensor], Tensor]]:
    """A fused backbone's parts by name, each fed with what the one before gives."""
    if isinstance(backbone, FusedF5C):

        def stem(x: Tensor) -> Tensor:
            for conv in backbone.conv_stack:
                x = torch.relu_(conv(x))
            return x

        return {"stem": stem, "fcc": backbone.fcc, "ccc": backbone.ccc}
    if isinstance(backbone, FusedResidual):
        return {f"layer {number}": layer for number, layer in enumerate(backbone.layers, 1)}
    return {"backbone": backbone}


def stages(
    path: Path, model: FingerprintModel, printer: Fingerprinter
) -> dict[str, tuple[Callable[[], object], float, float]]:
    """Name -> what to time, its multiply-accumulates, its input and output in bytes."""
    frames = load_frames(path, printer.contract).frames
    clip = torch.from_numpy(frames[:FRAMES])[None, :, None]
    quick = fused(model)
    shown = standardise(clip, model.config.normalisation)[0]

    def decode() -> None:
        with VideoSource(path) as source:
            for _ in source:
                pass

    large, pixels = 256 * 256 * 1.5 * FRAMES, clip.numel() * 4.0
    found: dict[str, tuple[Callable[[], object], float, float]] = {
        "decode": (decode, 0.0, large),
        "decode, grey, resize": (lambda: load_frames(path, printer.contract), 0.0, large + pixels / 4),
        "standardise": (lambda: standardise(clip, model.config.normalisation), 0.0, 1.25 * pixels),
    }
    if model.config.representation == "flow":
        call = partial(optical_flow, shown[None])
        flow = call()
        head = partial(quick.head, flow.transpose(1, 2))
        found["flow"] = (call, products(call), 4.0 * (shown.numel() + flow.numel()))
        found["head"] = (head, products(head), 4.0 * flow.numel())
        return found
    x = shown
    for name, part in parts_of(quick.backbone).items():
        call = partial(part, x)
        y = call()
        found[name] = (call, products(call), 4.0 * (x.numel() + y.numel()))
        x = y
    call = partial(quick.head, (x[1:] - x[:-1])[None].transpose(1, 2))
    found["head"] = (call, products(call), 4.0 * x.numel())
    return found


def ways_of(
    path: Path, model: FingerprintModel, printer: Fingerprinter, exported: Fingerprinter | None, cv2: Any
) -> dict[str, Callable[[], Any]]:
    """Name -> the whole way from the file to the fingerprint."""
    paper = build_model("paper").eval()
    ways = {
        "by frame": lambda: by_frame(path, model, cv2)[0].numpy(),
        "paper by frame": lambda: by_frame(path, paper, cv2)[0].numpy(),
        "package": lambda: printer.embed(path).vectors[0],
    }
    if exported is not None:
        ways["package, onnxruntime"] = lambda: exported.embed(path).vectors[0]
    return ways


def in_onnxruntime(source: str, folder: Path) -> Fingerprinter | None:
    """The weights exported and loaded again; None, with a word about it, without the extra."""
    try:
        return Fingerprinter.load(export_onnx(load_weights(source), folder / "model.onnx").path)
    except MissingRuntimeError as error:
        print(f"package, onnxruntime is left out: {error}", file=sys.stderr)
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        import cv2
    except ImportError:
        print("OpenCV is not installed: pip install 'whodrives[landmarks]'", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    keep_large_blocks()
    model = load_weights(options.model).model.eval()
    printer = Fingerprinter.load(options.model, "cpu")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = options.video or Path(folder) / "clip.mp4"
        if options.video is None:
            make_video(path)
        ways = ways_of(path, model, printer, in_onnxruntime(options.model, Path(folder)), cv2)
        times: dict[str, list[float]] = {name: [] for name in ways}
        busy: dict[str, list[float]] = {name: [] for name in ways}
        rows = {name: way() for name, way in ways.items()}
        for _ in range(options.rounds):
            for name, way in ways.items():
                elapsed, worked = clocks(way)
                times[name].append(elapsed)
                busy[name].append(worked)
        parts = stages(path, model, printer)
        inside: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(options.rounds):
            for name, (function, _, _) in parts.items():
                inside[name].append(seconds(function))
        matrix, copying = rates(options.rounds)
        # The network alone, on one and the same clip: the two ways above decode and resize differently.
        frames = load_frames(path, printer.contract).frames
        clip = torch.from_numpy(frames[:FRAMES])[None, :, None]
        off = float((per_frame(model, clip) - fused(model)(clip)).abs().max())
    # Those of one network.
    cosines = {name: float(row @ rows["package"]) for name, row in rows.items() if name != "paper by frame"}
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"T = {FRAMES} frames of {path.name if options.video else '256 x 256 H.264'}, {options.threads} threads, fp32"
    )
    ratios = {}
    for name, value in middle.items():
        ratios[name] = statistics.median(a / b for a, b in zip(times["by frame"], times[name]))
        worked = statistics.median(a / b for a, b in zip(busy["by frame"], busy[name]))
        print(
            f"  {name:22} {value * 1e3:7.1f} ms   {ratios[name]:5.2f} times by frame"
            f"   processors {statistics.median(busy[name]) * 1e3:7.1f} ms, {worked:5.2f} times"
            + (f"   cosine with package {cosines[name]:.6f}" if name in cosines else "")
        )
    print(f"matrix product {matrix / 1e9:.0f} GMAC/s, copying {copying / 1e9:.1f} GB/s")
    found = {}
    for name, (_, macs, moved) in parts.items():
        value = statistics.median(inside[name])
        found[name] = {
            "ms": value * 1e3,
            "of matrix rate": macs / matrix / value,
            "of copying rate": moved / copying / value,
        }
        print(
            f"  {name:22} {value * 1e3:7.1f} ms   {macs / value / 1e9:6.1f} GMAC/s, {macs / matrix / value:4.0%}"
            f"   {moved / value / 1e9:5.2f} GB/s, {moved / copying / value:4.0%} of the rates"
        )
    print(f"largest difference of the network's two forms {off:.1e}")
    worst = min(ratio for name, ratio in ratios.items() if name.startswith("package"))
    if options.json:
        options.json.write_text(
            json.dumps({"ms": middle, "ratio": ratios, "cosine": cosines, "stages": found, "difference": off}, indent=1)
        )
    return int(worst < WANTED or off > CLOSE)


if __name__ == "__main__":
    sys.exit(main())
