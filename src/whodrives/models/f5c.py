"""F5C, the per-frame backbone: ConvStack -> fcc -> ccc (paper Sec. III-B), vectorised over batch and time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.backbone import Backbone
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.models.config import ModelConfig
from whodrives.models.fcc import FullyCircularConvolution
from whodrives.models.graph import GraphAggregation

# out, kernel, stride, padding: 128 -> 63 -> 31 -> 16 -> 16 pixels
_LAYERS = ((8, 4, 2, 0), (32, 3, 2, 0), (64, 2, 2, 1), (128, 1, 1, 0))


class ConvBlock(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, spec: tuple[int, int, int, int], per_step: bool) -> None:
        super().__init__()
        outputs, kernel, stride, padding = spec
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = FrameBatchNorm(outputs, per_step)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        return F.relu(self.norm(self.conv(x), steps), inplace=True)


class F5C(Backbone):
    """Frames (N, 1, 128, 128), or pairs (N, 2, 128, 128) for `concat`, -> feature maps (N, 128, 16, 16)."""

    channels = 128

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        per_step = config.batchnorm == "per_frame_step"
        widths = (config.input_channels, *(spec[0] for spec in _LAYERS))
        self.conv_stack = nn.ModuleList(ConvBlock(inputs, spec, per_step) for inputs, spec in zip(widths, _LAYERS))
        self.fcc = FullyCircularConvolution(self.channels, config)
        self.ccc = GraphAggregation(
            self.channels, config.neighbours, config.include_self, config.aggregation, config.dead_params
        )

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (batch * steps, channels, 128, 128), standardised -> (batch * steps, 128, 16, 16)."""
        x = self.stage(self._convolve, frames, steps)
        x = self.stage(self.fcc, x, steps)
        return self.stage(self.ccc, x)

    def _convolve(self, x: Tensor, steps: int) -> Tensor:
        for block in self.conv_stack:
            x = block(x, steps)
        return x
