"""The same network with less work, for embedding on a CPU: what is constant after training is worked out once.

Nothing is approximated: results differ by rounding alone (and where rounding swaps equally near neighbours of the
graph).

BatchNorm is folded into the convolution before it.

fcc is affine in evaluation: per channel a circulant matrix along H, one along W, and, from positions, biases and
BatchNorm's shift, a map that does not depend on the input. So fcc(x) = fuse(L x R + x) + fcc(0), with the 1x1
convolution as one matrix product that also leaves positions as rows, the way ccc wants them.

The Conv3D's three taps over time become a Winograd minimal filter F(4, 3) (Lavin and Gray 2016): six 2-D convolutions
for four steps in place of twelve.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from whodrives.errors import InputError
from whodrives.models.backbone import Backbone
from whodrives.models.f5c import F5C, ConvBlock
from whodrives.models.fcc import CircularBranch, FullyCircularConvolution, circulant
from whodrives.models.fingerprint import FingerprintModel
from whodrives.models.fused_residual import FusedResidual
from whodrives.models.head import TemporalHead, VolumeBlock
from whodrives.models.residual import SmallResidual

# Winograd's F(4, 3) at the points 0, 1, -1, 2, -2 and infinity: 24 times what makes six kernels of three taps.
_KERNELS = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
_TILE = 4
# Below this many steps the padding to whole tiles costs more than it saves.
_LEAST_STEPS = 8


def fused(model: FingerprintModel) -> FingerprintModel:
    """A copy of a model that embeds the same, faster on a CPU.

    Parameters
    ----------
    model : in evaluation mode. Of the backbones F5C and SmallResidual change.

    Returns
    -------
    A model for inference: it holds its constants in place of some parameters, so it can neither be trained nor saved as
    weights.

    Raises
    ------
    InputError
        The model is in training mode.
    """
    if model.training:
        raise InputError("the model is in training mode, where BatchNorm is no constant; call eval() first")
    out = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        if isinstance(out.backbone, F5C):
            out.backbone = FusedF5C(out.backbone)
        if isinstance(out.backbone, SmallResidual):
            out.backbone = FusedResidual(out.backbone)
        if isinstance(out.head, TemporalHead):
            out.head.blocks = nn.ModuleList(_fused_block(block) for block in out.head.blocks)
    return out.eval()


class FusedF5C(Backbone):
    """`F5C` in evaluation mode: (N, channels, 128, 128) -> (N, 128, 16, 16), channels-last memory."""

    channels = F5C.channels

    def __init__(self, backbone: F5C) -> None:
        super().__init__()
        self.conv_stack = nn.ModuleList(_fused_conv(block) for block in backbone.conv_stack)
        self.fcc = FusedCircular(backbone.fcc)
        self.ccc = backbone.ccc

    def forward(self, frames: Tensor, steps: int = 1) -> Tensor:
        """frames (N, channels, 128, 128), standardised -> (N, 128, 16, 16)."""
        x = frames
        for conv in self.conv_stack:
            x = F.relu(conv(x), inplace=True)
        out: Tensor = self.ccc(self.fcc(x))
        return out


def _fused_conv(block: nn.Module) -> nn.Conv2d:
    assert isinstance(block, ConvBlock)
    return fuse_conv_bn_eval(block.conv, block.norm)


class FusedCircular(nn.Module):
    """`FullyCircularConvolution` in evaluation mode, for maps of 16 x 16."""

    left: Tensor
    right: Tensor
    constant: Tensor
    mix: Tensor | None

    def __init__(self, fcc: FullyCircularConvolution, size: int = 16) -> None:
        super().__init__()
        kernel = {name: circulant(value.flatten(1), size) for name, value in fcc.kernel.items()}
        one_a, one_b = _scale(fcc.a), _scale(fcc.b)
        # A matrix from the left filters along H, from the right (transposed) along W.
        self.register_buffer("left", torch.cat((kernel["1H"] * one_a, kernel["2H"])))
        self.register_buffer("right", torch.cat((kernel["2W"], kernel["1W"] * one_b)).transpose(1, 2).contiguous())
        self.residual = fcc.a.residual
        channels = self.left.shape[0]
        at_zero = fcc(self.left.new_zeros(1, channels, size, size))
        self.register_buffer("constant", at_zero.flatten(2).transpose(1, 2).contiguous())
        mix = None if fcc.fusion is None else fcc.fusion.weight.flatten(1).T.contiguous()
        self.register_buffer("mix", mix)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 128, S, S) -> same shape, channels-last memory."""
        count, channels, height, width = x.shape
        y = self.left @ x @ self.right
        if self.residual:
            y = y.add_(x)
        rows = y.flatten(2).transpose(1, 2)
        constant = self.constant.expand(count, -1, -1)
        if self.mix is None:
            rows = rows + constant
        else:
            rows = torch.baddbmm(constant, rows, self.mix.expand(count, -1, -1))
        return rows.reshape(count, height, width, channels).permute(0, 3, 1, 2)


def _scale(branch: CircularBranch) -> Tensor | float:
    """What BatchNorm multiplies each channel by, (C, 1, 1); its shift goes into fcc(0)."""
    norm = branch.norm
    if norm is None:
        return 1.0
    assert norm.running_var is not None
    return (norm.weight / torch.sqrt(norm.running_var + norm.eps))[:, None, None]


def _fused_block(block: nn.Module) -> FusedVolumeBlock:
    assert isinstance(block, VolumeBlock)
    return FusedVolumeBlock(block)


class FusedVolumeBlock(VolumeBlock):
    """`VolumeBlock` in evaluation mode. `conv3d` and `norm` stay what they were, for `models.sliding`."""

    taps: Tensor
    folded: nn.Conv3d

    def __init__(self, block: VolumeBlock) -> None:
        nn.Module.__init__(self)
        self.conv3d, self.norm = block.conv3d, block.norm
        self.folded = fuse_conv_bn_eval(block.conv3d, block.norm)
        weight = self.folded.weight
        # (out, in, 3, kh, kw) -> six kernels (6, out, in, kh, kw); in double, so that folding costs no digits.
        kernels = weight.new_tensor(_KERNELS, dtype=torch.float64) / 24
        six = torch.einsum("gk,oikhw->goihw", kernels, weight.double())
        self.register_buffer("taps", six.to(weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, T, H, W) -> (batch, outputs, T, H', W')."""
        # An exported graph has one way for every T.
        few = not torch.compiler.is_exporting() and x.shape[2] < _LEAST_STEPS
        if few or x.dtype != self.taps.dtype:
            return F.relu(self.folded(x), inplace=True)
        batch, channels, steps, height, width = x.shape
        # Not -(-steps // tile): whole division in ONNX rounds towards zero.
        tiles = (steps + _TILE - 1) // _TILE
        # (batch, time, H, W, C) is how a backbone leaves its volume in memory, so this copies nothing but the padding.
        rows = x.permute(0, 2, 3, 4, 1)
        rows = F.pad(rows, (0, 0, 0, 0, 0, 0, 1, 1 + tiles * _TILE - steps))
        last = tiles * _TILE
        six = _mixed([rows[:, i : last + i : _TILE] for i in range(6)])
        stride, padding = self.folded.stride[1:], self.folded.padding[1:]
        parts = [
            F.conv2d(part.reshape(-1, height, width, channels).permute(0, 3, 1, 2), taps, None, stride, padding)
            for part, taps in zip(six, self.taps)
        ]
        four = torch.stack(_unmixed(parts), dim=1)  # (batch tiles, 4, out, H', W')
        y = four.reshape(batch, last, *four.shape[2:])[:, :steps].transpose(1, 2)
        bias = self.folded.bias
        return F.relu(y if bias is None else y + bias[:, None, None, None], inplace=bias is not None)


def _mixed(d: list[Tensor]) -> tuple[Tensor, ...]:
    """Winograd's input transform of steps 0 to 5 of each tile."""
    even, odd = d[4] - 4 * d[2], d[3] - 4 * d[1]
    near, far = d[4] - d[2], 2 * (d[3] - d[1])
    first = torch.add(4 * d[0] + d[4], d[2], alpha=-5)
    last = torch.add(4 * d[1] + d[5], d[3], alpha=-5)
    return first, even + odd, even - odd, near + far, near - far, last


def _unmixed(p: list[Tensor]) -> tuple[Tensor, ...]:
    """Its output transform: the four steps of each tile."""
    sum_1, difference_1, sum_2, difference_2 = p[1] + p[2], p[1] - p[2], p[3] + p[4], p[3] - p[4]
    return (
        p[0] + sum_1 + sum_2,
        torch.add(difference_1, difference_2, alpha=2),
        torch.add(sum_1, sum_2, alpha=4),
        torch.add(difference_1, difference_2, alpha=8) + p[5],
    )
