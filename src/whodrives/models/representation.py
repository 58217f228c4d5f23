"""What the temporal head sees: four strategies over ONE backbone (paper Sec. III-C and Table VI)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Encode = Callable[[Tensor], Tensor]
"""Frames (batch, S, 1, 128, 128) -> features (batch, S, C, 16, 16), shared weights for every frame."""


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


REPRESENTATIONS: dict[str, Callable[[Encode, Tensor], Tensor]] = {
    "feat_diff": feat_diff,
    "pixel_diff": pixel_diff,
    "raw_feat": raw_feat,
    "static": static,
}
