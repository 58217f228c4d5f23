"""`SmallResidual` with BatchNorm folded into its convolutions, for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from whodrives.models.backbone import Backbone
from whodrives.models.residual import Halving, SmallResidual
from whodrives.models.resnet import BasicBlock


class FusedResidual(Backbone):
    """`SmallResidual` in evaluation mode: (N, channels, 128, 128) -> (N, 64, 16, 16), channels-last memory."""

    channels = SmallResidual.channels

    def __init__(self, backbone: SmallResidual) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_fused(layer) for stage in backbone.stages for layer in _layers(stage))

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (N, channels, 128, 128), standardised -> (N, 64, 16, 16)."""
        x = frames.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = layer(x)
        return x


class FusedHalving(nn.Module):
    """`Halving` in evaluation mode."""

    def __init__(self, layer: Halving) -> None:
        super().__init__()
        self.conv = _joined(layer.conv, layer.norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        return F.relu(self.conv(x), inplace=True)


class FusedBlock(nn.Module):
    """`BasicBlock` without a change of size, in evaluation mode."""

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.conv1, self.conv2 = _joined(block.conv1, block.bn1), _joined(block.conv2, block.bn2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape."""
        return F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)).add_(x), inplace=True)


def _layers(stage: nn.Module) -> nn.ModuleList:
    assert isinstance(stage, nn.ModuleList)
    return stage


def _fused(layer: nn.Module) -> FusedHalving | FusedBlock:
    if isinstance(layer, Halving):
        return FusedHalving(layer)
    assert isinstance(layer, BasicBlock)
    return FusedBlock(layer)


def _joined(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    joined = fuse_conv_bn_eval(conv, norm)
    joined.weight.data = joined.weight.data.contiguous(memory_format=torch.channels_last)
    return joined
