"""BatchNorm whose statistics are shared by all processes, on gloo as on NCCL.

PyTorch's SyncBatchNorm runs on CUDA only. Means and variances travel with their counts and are combined by Chan's
formula, so nothing is lost by subtracting large squares. In evaluation both are plain BatchNorm.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.batchnorm import ClipBatchNorm, FrameBatchNorm, move_running_statistics
from whodrives.models.normalise import at_least_single


class _SharedNorm(torch.autograd.Function):
    """x (N, C, ...) -> normalised x, and mean, biased variance (C,) and count over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [0, *range(2, x.ndim)]
        var, mean = torch.var_mean(at_least_single(x), axes, correction=0)
        count = mean.new_full((1,), x.numel() / x.shape[1])
        local = torch.cat([count, mean, var])
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local)
        stacked = torch.stack(parts)
        counts = stacked[:, :1]
        means, variances = stacked[:, 1:].chunk(2, dim=1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        var = (counts * (variances + (means - mean).square())).sum(0) / total
        out = F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps), total)
        ctx.mark_non_differentiable(mean, var, total)
        return out, mean, var, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale, total = ctx.saved_tensors
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1, *[1] * (x.ndim - 2))
        grad = at_least_single(grads[0])
        unit = (at_least_single(x) - mean.view(shape)) * scale.view(shape)
        grad_bias, grad_weight = grad.sum(axes), (grad * unit).sum(axes)
        sums = torch.stack([grad_bias, grad_weight])
        dist.all_reduce(sums)
        centred = grad - (sums[0] / total).view(shape) - unit * (sums[1] / total).view(shape)
        return (centred * (weight * scale).view(shape)).to(x.dtype), grad_weight, grad_bias, None


class SharedFrameBatchNorm(FrameBatchNorm):
    """`FrameBatchNorm` over the frames of all processes; the same two training semantics."""

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        """Normalise x (batch * steps, C, H, W)."""
        if not self.training:
            return super().forward(x, steps)
        if not self.per_step:
            steps = 1
        folded = x.reshape(x.shape[0] // steps, steps * x.shape[1], *x.shape[2:])
        out, mean, var, count = _SharedNorm.apply(folded, self.weight.repeat(steps), self.bias.repeat(steps), self.eps)
        move_running_statistics(self, mean, var, count, steps)
        return out.reshape(x.shape)


def _shared(norm: nn.BatchNorm1d | nn.BatchNorm3d, x: Tensor) -> Tensor:
    """x (N, C, ...) normalised over all processes; moves the running statistics of `norm`."""
    out, mean, var, count = _SharedNorm.apply(x, norm.weight, norm.bias, norm.eps)
    move_running_statistics(norm, mean, var, count)
    normalised: Tensor = out
    return normalised


class SharedClipBatchNorm(ClipBatchNorm):
    """`ClipBatchNorm` over the clips of all processes, one of which may have a single clip."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (batch, C)."""
        return _shared(self, x) if self.training else super().forward(x)


class SharedBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm1d over the series of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (batch, C, T)."""
        return _shared(self, x) if self.training else super().forward(x)


class SharedBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm3d over the volumes of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (batch, C, T, H, W)."""
        return _shared(self, x) if self.training else super().forward(x)


def share_batchnorm(module: nn.Module) -> None:
    """Replace every BatchNorm below `module` by one that shares its statistics; names and parameters stay the same."""
    for name, child in module.named_children():
        new: SharedFrameBatchNorm | SharedClipBatchNorm | SharedBatchNorm1d | SharedBatchNorm3d
        if isinstance(child, FrameBatchNorm):
            new = SharedFrameBatchNorm(child.num_features, child.per_step)
        elif isinstance(child, ClipBatchNorm):
            new = SharedClipBatchNorm(child.num_features)
        elif isinstance(child, nn.BatchNorm1d):
            new = SharedBatchNorm1d(child.num_features)
        elif isinstance(child, nn.BatchNorm3d):
            new = SharedBatchNorm3d(child.num_features)
        else:
            share_batchnorm(child)
            continue
        new.eps, new.momentum = child.eps, child.momentum
        for key, parameter in child.named_parameters(recurse=False):
            setattr(new, key, parameter)
        for key, buffer in child.named_buffers(recurse=False):
            setattr(new, key, buffer)
        setattr(module, name, new.train(child.training))
