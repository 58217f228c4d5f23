"""What the head sees: the paper's four strategies over ONE backbone (Sec. III-C and Table VI), `concat` and `flow`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from whodrives.models.flow import optical_flow

Encode = Callable[[Tensor], Tensor]
"""Frames (batch, S, 1, 128, 128), pairs of them for `concat`, -> features (batch, S, C, 16, 16), shared weights."""


def feat_diff(encode: Encode, clip: Tensor) -> Tensor:
    """d_t = f_{t+1} - f_t: (batch, T, ...) -> (batch, T - 1, C, 16, 16). Stable appearance cancels."""
    features = encode(clip)
    return features[:, 1:] - features[:, :-1]


def pixel_diff(encode: Encode, clip: Tensor) -> Tensor:
    """The backbone applied to x_{t+1} - x_t: (batch, T - 1, C, 16, 16)."""
    return encode(clip[:, 1:] - clip[:, :-1])


def raw_feat(encode: Encode, clip: Tensor) -> Tensor:
    """f_t itself: (batch, T, C, 16, 16)."""
    return encode(clip)


def static(encode: Encode, clip: Tensor) -> Tensor:
    """Only the centre frame, index T // 2: (batch, 1, C, 16, 16). Appearance without motion."""
    centre = clip.shape[1] // 2
    return encode(clip[:, centre : centre + 1])


def concat(encode: Encode, clip: Tensor) -> Tensor:
    """The backbone applied to [x_t, x_{t+1}] as two channels: (batch, T - 1, C, 16, 16).

    What the paper argues against: a pair still holds the whole appearance of both frames.
    """
    return encode(torch.cat((clip[:, :-1], clip[:, 1:]), dim=2))


def flow(encode: Encode, clip: Tensor) -> Tensor:
    """Optical flow from x_t to x_{t+1}: (batch, T - 1, 10, 16, 16). The contrast of what moves cancels, too."""
    return encode(optical_flow(clip))


REPRESENTATIONS: dict[str, Callable[[Encode, Tensor], Tensor]] = {
    "feat_diff": feat_diff,
    "pixel_diff": pixel_diff,
    "raw_feat": raw_feat,
    "static": static,
    "concat": concat,
    "flow": flow,
}
