"""fcc: global circular depthwise convolutions along H and W with meta-kernels (paper Sec. III-B)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.models.config import ModelConfig

META_SIZE = 32


def circulant(kernel: Tensor, size: int) -> Tensor:
    """(C, taps) kernels -> (C, size, size) matrices M with (M x)[i] = sum_k kernel[k] x[(i + k) mod size].

    Only the first `size` taps are used: the meta-kernel is cropped to the map (32 to 16 at 128 x 128 input).
    """
    step = torch.arange(size, device=kernel.device)
    return kernel[:, (step[None, :] - step[:, None]) % size]


class CircularBranch(nn.Module):
    """One half of fcc: a circular convolution along the first axis, then along the second, with a residual."""

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        per_step = config.batchnorm == "per_frame_step"
        self.norm = FrameBatchNorm(channels, per_step) if config.fcc_norm else None
        self.residual = config.fcc_residual

    def forward(
        self, x: Tensor, steps: int, first: tuple[Tensor, ...], second: tuple[Tensor, ...], height_first: bool
    ) -> Tensor:
        """x (N, C, S, S) -> same shape. `first`, `second`: kernel (C, 32), bias (C), position (C, 32) of the axes."""
        count, channels, size, _ = x.shape
        shortcut = x
        kernel_1, bias_1, position_1 = first
        kernel_2, bias_2, position_2 = second
        along_1 = position_1[:, :size]
        x = x + (along_1[:, :, None] if height_first else along_1[:, None, :])
        if self.norm is not None:
            x = self.norm(x, steps)
        # (C, N, other axis, filtered axis): each channel is one matrix product with its circulant matrix.
        x = x.permute(1, 0, 3, 2) if height_first else x.permute(1, 0, 2, 3)
        x = torch.bmm(x.reshape(channels, count * size, size), circulant(kernel_1, size).transpose(1, 2))
        x = x.view(channels, count, size, size).transpose(2, 3)
        # Along the first axis (now dim 2) bias_1 is constant; position_2 varies along the second (dim 3).
        x = x + (bias_1[:, None] + position_2[:, :size])[:, None, None, :].to(x.dtype)
        x = torch.bmm(x.reshape(channels, count * size, size), circulant(kernel_2, size).transpose(1, 2))
        x = x.view(channels, count, size, size) + bias_2[:, None, None, None].to(x.dtype)
        x = x.permute(1, 0, 2, 3) if height_first else x.permute(1, 0, 3, 2)
        return x + shortcut if self.residual else x


class FullyCircularConvolution(nn.Module):
    """fcc over 128 channels: half a is filtered along H then W, half b along W then H; joined and fused."""

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        half = channels // 2
        axes = ("1H", "1W", "2H", "2W")
        shapes = {name: (half, 1, META_SIZE, 1) if name[1] == "H" else (half, 1, 1, META_SIZE) for name in axes}
        self.kernel = nn.ParameterDict({name: nn.Parameter(torch.empty(shapes[name])) for name in axes})
        self.bias = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(half)) for name in axes} if config.fcc_bias else {}
        )
        self.position = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(1, half, *shapes[name][2:])) for name in axes if config.fcc_positions}
        )
        for kernel in self.kernel.values():
            nn.init.kaiming_uniform_(kernel, a=5**0.5)
        self.a, self.b = CircularBranch(half, config), CircularBranch(half, config)
        self.fusion = nn.Conv2d(channels, channels, 1) if config.fusion == "conv1x1" else None

    def _axis(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        kernel = self.kernel[name].flatten(1)
        zeros = kernel.new_zeros(kernel.shape)
        bias = self.bias[name] if name in self.bias else zeros[:, 0]
        position = self.position[name].reshape(kernel.shape) if name in self.position else zeros
        return kernel, bias, position

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        """x (N, 128, S, S), S <= 32 -> same shape."""
        half_a, half_b = x.chunk(2, dim=1)
        a = self.a(half_a, steps, self._axis("1H"), self._axis("2W"), height_first=True)
        b = self.b(half_b, steps, self._axis("1W"), self._axis("2H"), height_first=False)
        joined = torch.cat((a, b), dim=1)
        return joined if self.fusion is None else self.fusion(joined)
