"""Features of single frames and of steps between frames, small enough for probes and analyses of variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.head import pool_to_grid
from whodrives.models.normalise import standardise

CELLS = 4


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """f, d : float32 (N, K, D): features of K frames of each clip, and of the steps to the frames after them.

    D is 2048 (128 channels x 4 x 4, the head's own grid; 1024 with `residual`), or 512 with `resnet18_released`.
    """

    f: NDArray[np.float32]
    d: NDArray[np.float32]


@torch.no_grad()
def frame_features(model: FingerprintModel, clips: Tensor, places: Sequence[int]) -> FrameFeatures:
    """f_t and d_t of whole clips, as a `feat_diff` head gets them; embeddings come from `embed_videos.embed_windows`.

    d_t is f_{t+1} - f_t, but the backbone of x_{t+1} - x_t in a `pixel_diff` network (which saw no single frame in
    training; its f_t says what its filters keep of one).

    Parameters
    ----------
    model : on the CPU or a GPU; runs in evaluation mode and is left in its own.
    clips : (N, T, 1, 128, 128) uint8 or float in 0..1; standardised over all T frames.
    places : K frames t in 0..T-2.

    Raises
    ------
    InputError
        Wrong shape, a place outside the clip, or a `concat` or `flow` network, which has no features of one frame.
    """
    at = np.asarray(places, np.int64)
    if clips.ndim != 5 or not len(clips) or at.ndim != 1 or not at.size:
        raise InputError(
            f"clips must be (N >= 1, T, 1, H, W) with a place or more, got {tuple(clips.shape)}, {at.shape}"
        )
    if at.min() < 0 or at.max() > clips.shape[1] - 2:
        raise InputError(f"places must lie in 0..{clips.shape[1] - 2}, so that a frame comes after each")
    if model.config.representation in ("concat", "flow"):
        raise InputError(
            f"a {model.config.representation} network has no features of a single frame; take another representation"
        )
    parameter, training = next(model.parameters()), model.training
    here = torch.from_numpy(at).to(parameter.device)

    def pooled(frames: Tensor) -> Tensor:
        h = model.encode_frames(frames)[0]
        return h if h.ndim == 2 else pool_to_grid(h, CELLS).flatten(1)

    model.eval()
    rows = []
    for clip in clips:
        frames = standardise(clip[None].to(parameter.device), model.config.normalisation).to(parameter.dtype)
        before, after = frames[:, here], frames[:, here + 1]
        f = pooled(before)
        d = pooled(after - before) if model.config.representation == "pixel_diff" else pooled(after) - f
        rows.append(torch.stack((f, d)).float().cpu().numpy())
    model.train(training)
    both = np.stack(rows, axis=1)
    return FrameFeatures(both[0], both[1])
