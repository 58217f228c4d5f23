"""How much of the motion between adjacent frames is left at each stage of a backbone.

The paper's central claim is that generic encoders (its ResNet-18) collapse adjacent frames to nearly identical
features, while F5C keeps measurable motion; its Table VIII infers that from AUC and does not measure it. This does.
What is common to all inputs (biases, fcc's learned positions, channels that are always on) lowers ratio and raises
cosine although it carries nothing, so that they compare badly between networks; `centred` takes it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.normalise import standardise

INPUT = "frames"
_TRUNK = {"stem": "trunk.maxpool", **{f"layer{n}": f"trunk.layer{n}.1" for n in range(1, 5)}}
# Backbone -> stage -> module below `model.backbone` whose output it is; "" is the backbone itself.
STAGES: dict[str, dict[str, str]] = {
    "f5c": {**{f"conv{n + 1}": f"conv_stack.{n}" for n in range(4)}, "fcc": "fcc", "ccc": "ccc"},
    "resnet18": {**_TRUNK, "project": "project"},
    "resnet18_released": {**_TRUNK, "pooled": ""},
    "residual": {f"scale{n + 1}": f"stages.{n}.{last}" for n, last in enumerate((0, 2, 2))},
}


@dataclass(frozen=True, eq=False)
class MotionRatio:
    """Per stage, in the order of the network and the input frames first; arrays are float64 (clips,).

    ratio : mean over t of ||h_{t+1} - h_t|| / ||h_t||, 0 where nothing moves. cosine : mean over t of the cosine of
    h_t and h_{t+1}. Both NaN for a clip in which a stage is zero at some frame, such as an even grey one.
    centred : mean over t of ||h_{t+1} - h_t|| / sqrt(2 V), V = mean of ||h - mean h||^2 over the frames of ALL clips: a
    step's size among that of the step from any frame to any other. NaN when all frames of all clips are alike.
    """

    ratio: dict[str, NDArray[np.float64]]
    cosine: dict[str, NDArray[np.float64]]
    centred: dict[str, NDArray[np.float64]]


def adjacent(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(T, ...) features -> ||h_{t+1} - h_t|| / ||h_t||, cosine of h_t and h_{t+1}, ||h_{t+1} - h_t||.

    Each (T - 1,) float64.
    """
    rows = h.flatten(1).double()
    norm, step = rows.norm(dim=1), (rows[1:] - rows[:-1]).norm(dim=1)
    return step / norm[:-1], (rows[1:] * rows[:-1]).sum(dim=1) / (norm[1:] * norm[:-1]), step


class _Watch:
    """Collects the adjacent-frame measures of every stage while the backbone runs; keeps one mean map a stage."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Tensor]] = {}
        self.total: dict[str, tuple[int, Tensor, float]] = {}

    def add(self, stage: str, h: Tensor) -> None:
        self.seen.setdefault(stage, []).append(torch.stack(adjacent(h)).cpu())
        # The last frame of a chunk is the next one's first.
        rows = h[:-1].flatten(1).double()
        count, total, squares = self.total.get(stage, (0, torch.zeros_like(rows[0]), 0.0))
        self.total[stage] = (count + len(rows), total + rows.sum(dim=0), squares + float((rows * rows).sum()))

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Stage -> (3,) means over all pairs of frames since the last call."""
        out = {stage: torch.cat(parts, dim=1).mean(dim=1).numpy() for stage, parts in self.seen.items()}
        self.seen = {}
        return out

    def spread(self, stage: str) -> float:
        """sqrt(2 V) over all frames so far; NaN when V is no more than rounding."""
        count, total, squares = self.total[stage]
        variance = (squares - float((total * total).sum()) / count) / count
        return float(np.sqrt(2 * variance)) if variance > 1e-12 * squares / count else float("nan")


@contextmanager
def _watching(model: FingerprintModel) -> Iterator[_Watch]:
    watch, hooks, training = _Watch(), [], model.training

    def hook(stage: str, module: nn.Module) -> None:
        hooks.append(module.register_forward_hook(lambda _, __, output: watch.add(stage, output)))

    try:
        for stage, path in STAGES[model.config.backbone].items():
            hook(stage, model.backbone.get_submodule(path))
        model.eval()
        yield watch
    finally:
        for handle in hooks:
            handle.remove()
        model.train(training)


@torch.no_grad()
def motion_ratio(
    model: FingerprintModel, clips: Tensor, valid: NDArray[np.int64] | None = None, chunk: int = 32
) -> MotionRatio:
    """Motion ratio and adjacent-frame cosine at every stage, clip by clip; clips of several faces, for `centred`.

    Every stage sees standardised single frames, whatever the representation (a `pixel_diff` network never saw these in
    training); only `concat` sees adjacent pairs, because its first convolution needs two frames.
    `resnet18_released` with `feat_diff` scales its pooled features to norm 1.

    Parameters
    ----------
    model : any, on the CPU or a GPU; runs in evaluation mode and is left in its own.
    clips : (N, T, 1, 128, 128) uint8 or float in 0..1, T >= 2 (3 for `concat`). Only one clip at a time is moved to
        the model's device.
    valid : (N,) leading real frames; the others are left out. None: all.
    chunk : frames that the backbone sees at once; bounds the memory, changes nothing else.

    Raises
    ------
    InputError
        Wrong shape, no clip, too few real frames, chunk < 1, or a `flow` network, which has no features of frames.
    """
    if model.config.representation == "flow":
        raise InputError("a flow network has no features of single frames; take another representation")
    pairs = model.config.input_channels
    if clips.ndim != 5 or clips.shape[2] != 1 or not len(clips) or chunk < 1:
        raise InputError(f"clips must be (N >= 1, T, 1, H, W) and chunk at least 1, got {tuple(clips.shape)}, {chunk}")
    lengths = np.full(len(clips), clips.shape[1]) if valid is None else np.asarray(valid)
    if lengths.shape != (len(clips),) or lengths.min() < pairs + 1 or lengths.max() > clips.shape[1]:
        raise InputError(f"every clip needs {pairs + 1}..{clips.shape[1]} real frames to have adjacent features")
    device = next(model.parameters()).device
    rows: list[dict[str, NDArray[np.float64]]] = []
    with _watching(model) as watch:
        for clip, length in zip(clips, lengths.tolist(), strict=True):
            frames = standardise(clip[None, :length].to(device), model.config.normalisation)[0]
            if pairs == 2:
                frames = torch.cat((frames[:-1], frames[1:]), dim=1)
            frames = frames.to(next(model.parameters()).dtype)
            # Neighbouring chunks share a frame, so that no pair is lost between them.
            for start in range(0, len(frames) - 1, chunk):
                part = frames[start : start + chunk + 1]
                watch.add(INPUT, part)
                model.backbone(part, len(part))
            rows.append(watch.means())
    ratio, cosine, step = ({stage: np.array([row[stage][n] for row in rows]) for stage in rows[0]} for n in range(3))
    return MotionRatio(ratio, cosine, {stage: values / watch.spread(stage) for stage, values in step.items()})
