"""The network written down as the paper says it, one frame at a time: the slow reference of the speed benchmarks.

It holds no parameters: every function takes the package's own modules and computes with their weights. Circular
convolutions are padded depthwise convolutions, ccc gathers the features of all neighbours and takes the largest
difference, time is a Python loop. Training BatchNorm sees one time step at a time.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.models import FingerprintModel
from whodrives.models.f5c import F5C
from whodrives.models.fcc import CircularBranch, FullyCircularConvolution
from whodrives.models.normalise import standardise


def embed(model: FingerprintModel, clips: Tensor) -> Tensor:
    """Clips (N, T, 1, 128, 128) -> unit vectors (N, D) of a `feat_diff` model with preset `paper`'s modules."""
    frames = standardise(clips, model.config.normalisation)
    assert isinstance(model.backbone, F5C)
    features = [backbone(model.backbone, frames[:, step]) for step in range(frames.shape[1])]
    volume = torch.stack([after - before for before, after in itertools.pairwise(features)], dim=2)
    return F.normalize(model.head(volume), dim=1)


def backbone(net: F5C, frames: Tensor) -> Tensor:
    """One frame of every clip, (N, 1, 128, 128) -> (N, 128, 16, 16)."""
    x = frames
    for block in net.conv_stack:
        x = F.relu(block.norm(block.conv(x)))
    return ccc(fcc(net.fcc, x), net.ccc.k)


def fcc(net: FullyCircularConvolution, x: Tensor) -> Tensor:
    """(N, 128, S, S) -> same shape."""
    half_a, half_b = x.chunk(2, dim=1)
    a = _branch(net, net.a, half_a, ("1H", "2W"))
    b = _branch(net, net.b, half_b, ("1W", "2H"))
    assert net.fusion is not None
    return net.fusion(torch.cat((a, b), dim=1))


def _branch(net: FullyCircularConvolution, branch: CircularBranch, x: Tensor, axes: tuple[str, str]) -> Tensor:
    size = x.shape[2]
    assert branch.norm is not None
    y = branch.norm(x + _crop(net.position[axes[0]], size))
    y = _circular(y, _crop(net.kernel[axes[0]], size), net.bias[axes[0]])
    y = _circular(y + _crop(net.position[axes[1]], size), _crop(net.kernel[axes[1]], size), net.bias[axes[1]])
    return y + x


def _crop(meta: Tensor, size: int) -> Tensor:
    return meta[:, :, :size, :size]


def _circular(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    high, wide = kernel.shape[2] - 1, kernel.shape[3] - 1
    return F.conv2d(F.pad(x, (0, wide, 0, high), mode="circular"), kernel, bias, groups=kernel.shape[0])


def ccc(x: Tensor, k: int) -> Tensor:
    """f_i + ReLU(f_i + max over the k most similar positions j of (f_j - f_i)), (N, C, H, W) -> same shape."""
    count, channels, height, width = x.shape
    nodes = x.flatten(2).transpose(1, 2)
    unit = F.normalize(nodes, dim=2)
    index = (unit @ unit.transpose(1, 2)).topk(k, dim=2).indices
    everyone = nodes.unsqueeze(1).expand(-1, height * width, -1, -1)
    neighbours = everyone.gather(2, index.unsqueeze(3).expand(-1, -1, -1, channels))
    out = nodes + F.relu(nodes + (neighbours - nodes.unsqueeze(2)).amax(dim=2))
    return out.transpose(1, 2).reshape(count, channels, height, width)
