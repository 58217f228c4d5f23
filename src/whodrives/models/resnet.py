"""ResNet-18 on grey frames as an alternative backbone, with torchvision's state-dict names."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.backbone import Backbone
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.models.config import ModelConfig
from whodrives.models.normalise import at_least_single


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int, per_step: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = FrameBatchNorm(outputs, per_step)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = FrameBatchNorm(outputs, per_step)
        self.downsample: nn.ModuleList | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.ModuleList(
                (nn.Conv2d(inputs, outputs, 1, stride, bias=False), FrameBatchNorm(outputs, per_step))
            )

    def forward(self, x: Tensor, steps: int) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        shortcut = x
        if self.downsample is not None:
            convolution, norm = self.downsample
            shortcut = norm(convolution(x), steps)
        x = F.relu(self.bn1(self.conv1(x), steps), inplace=True)
        return F.relu(self.bn2(self.conv2(x), steps) + shortcut)


class ResNet18Trunk(Backbone):
    """conv1 .. layer4 of ResNet-18: (N, inputs, 128, 128) -> (N, 512, 4, 4); 11,170,240 parameters with one input."""

    def __init__(self, per_step: bool, inputs: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 64, 7, 2, 3, bias=False)
        self.bn1 = FrameBatchNorm(64, per_step)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        for number in range(1, 5):
            stride = 1 if number == 1 else 2
            blocks = (
                BasicBlock(widths[number - 1], widths[number], stride, per_step),
                BasicBlock(widths[number], widths[number], 1, per_step),
            )
            setattr(self, f"layer{number}", nn.ModuleList(blocks))

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        """(N, inputs, H, W) -> (N, 512, H / 32, W / 32)."""
        x = F.relu(self.bn1(self.conv1(x), steps), inplace=True)
        x = self.maxpool(x)
        for number in range(1, 5):
            for block in getattr(self, f"layer{number}"):
                x = self.stage(block, x, steps)
        return x


class ResNet18(Backbone):
    """Backbone swap: layer4 (512 x 4 x 4), 1x1 convolution to 128, upsampled to 16 x 16 for the same head."""

    channels = 128

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = ResNet18Trunk(config.batchnorm == "per_frame_step", config.input_channels)
        self.project = nn.Conv2d(512, self.channels, 1)

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (N, channels, 128, 128) -> (N, 128, 16, 16)."""
        self.trunk.recompute = self.recompute
        x = self.project(self.trunk(frames, steps))
        return F.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False)


class PooledResNet18(Backbone):
    """What Table VIII measured: one 512-d vector a frame, the mean of layer4 (released code).

    Vectors that are then differenced have norm 1. Unlike the released code, BatchNorm sees the whole batch at once
    instead of 128 frames.
    """

    channels = 512

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = ResNet18Trunk(config.batchnorm == "per_frame_step", config.input_channels)
        self.unit = config.representation == "feat_diff"

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (N, channels, 128, 128) -> (N, 512)."""
        self.trunk.recompute = self.recompute
        # Adjacent frames differ by less than half precision can tell.
        x = at_least_single(self.trunk(frames, steps)).mean(dim=(2, 3))
        return F.normalize(x, dim=1) if self.unit else x
