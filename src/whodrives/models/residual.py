"""A small residual network as a backbone (ours): 86.6 million multiplications a frame, F5C 20.5.

Half of them are spent at 32 x 32 places, where a pupil still moves by half a cell and where F5C has one convolution of
32 channels, half at 16 x 16.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.backbone import Backbone
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.models.config import ModelConfig
from whodrives.models.resnet import BasicBlock

# Of each scale (64, 32, 16 pixels): channels, kernel of the convolution that halves the picture, residual blocks.
_SCALES = ((16, 5, 0), (32, 3, 2), (64, 3, 2))


class Halving(nn.Module):
    """Convolution with stride 2, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, per_step: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False)
        self.norm = FrameBatchNorm(outputs, per_step)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        return F.relu(self.norm(self.conv(x), steps), inplace=True)


class SmallResidual(Backbone):
    """Frames (N, 1, 128, 128), or pairs (N, 2, 128, 128) for `concat`, -> feature maps (N, 64, 16, 16)."""

    channels = _SCALES[-1][0]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        per_step = config.batchnorm == "per_frame_step"
        self.stages = nn.ModuleList()
        inputs = config.input_channels
        for outputs, kernel, blocks in _SCALES:
            halving = Halving(inputs, outputs, kernel, per_step)
            residual = [BasicBlock(outputs, outputs, 1, per_step) for _ in range(blocks)]
            for block in residual:
                # Each block begins as nothing but its shortcut (Goyal et al. 2017).
                nn.init.zeros_(block.bn2.weight)
            self.stages.append(nn.ModuleList((halving, *residual)))
            inputs = outputs

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (batch * steps, channels, 128, 128), standardised -> (batch * steps, 64, 16, 16)."""
        x = frames
        for stage in self.stages:
            x = self.stage(self._through, x, stage, steps)
        return x

    def _through(self, x: Tensor, layers: nn.ModuleList, steps: int) -> Tensor:
        for layer in layers:
            x = layer(x, steps)
        return x
