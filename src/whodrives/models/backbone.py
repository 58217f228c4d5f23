"""What backbones share: stages whose activations may be computed again instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from whodrives.models.config import ModelConfig
from whodrives.models.flow import CHANNELS


class Backbone(nn.Module):
    """Frames (N, 1, 128, 128) -> feature maps (N, `channels`, 16, 16).

    `NoBackbone` is given maps already; `concat` has two channels in; `PooledResNet18` gives vectors (N, 512).

    recompute : in training, keep only what enters a stage and compute the rest again in the backward pass. Less
    memory, one more forward pass; BatchNorm's running statistics then move twice unless the caller prevents it.
    """

    recompute = False
    channels: int

    def stage(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call a stage of the network, whose first argument is the tensor that it is given."""
        if self.recompute and torch.is_grad_enabled():
            out: Tensor = checkpoint(function, *arguments, use_reentrant=False)
            return out
        return function(*arguments)


class NoBackbone(Backbone):
    """Of `flow`, whose maps (N, 10, 16, 16) are the features already."""

    channels = CHANNELS

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def forward(self, maps: Tensor, steps: int = 1) -> Tensor:
        """The maps as they are."""
        return maps
