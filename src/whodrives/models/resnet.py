"""ResNet-18 on grey frames as an alternative backbone, with torchvision's state-dict names."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.backbone import Backbone
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.models.config import ModelConfig


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
    """conv1 .. layer4 of ResNet-18 for one input channel: 11,170,240 parameters, (N, 1, 128, 128) -> (N, 512, 4, 4)."""

    def __init__(self, per_step: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn1 = FrameBatchNorm(64, per_step)
        widths = (64, 64, 128, 256, 512)
        for number in range(1, 5):
            stride = 1 if number == 1 else 2
            blocks = (
                BasicBlock(widths[number - 1], widths[number], stride, per_step),
                BasicBlock(widths[number], widths[number], 1, per_step),
            )
            setattr(self, f"layer{number}", nn.ModuleList(blocks))

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        """(N, 1, H, W) -> (N, 512, H / 32, W / 32)."""
        x = F.relu(self.bn1(self.conv1(x), steps), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1)
        for number in range(1, 5):
            for block in getattr(self, f"layer{number}"):
                x = self.stage(block, x, steps)
        return x


class ResNet18(Backbone):
    """Backbone swap: layer4 (512 x 4 x 4), 1x1 convolution to 128, upsampled to 16 x 16 for the same head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = ResNet18Trunk(config.batchnorm == "per_frame_step")
        self.project = nn.Conv2d(512, 128, 1)

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (N, 1, 128, 128) -> (N, 128, 16, 16)."""
        self.trunk.recompute = self.recompute
        x = self.project(self.trunk(frames, steps))
        return F.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False)
