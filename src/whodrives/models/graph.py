"""ccc: differential aggregation over a k-NN graph of the 256 positions of a feature map (paper Sec. III-B)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.models.normalise import at_least_single


def nearest_positions(nodes: Tensor, k: int, include_self: bool = True) -> Tensor:
    """Indices of the k most cosine-similar positions of each position.

    Parameters
    ----------
    nodes : (N, P, C) float, one row of C features a position.
    k : neighbours a position.
    include_self : count the position itself (it is then always among the k, short of ties).

    Returns
    -------
    (N, P, k) int64. Not differentiable, like every k-NN graph.
    """
    with torch.no_grad():
        unit = F.normalize(nodes, dim=2, eps=1e-12)
        similarity = torch.bmm(unit, unit.transpose(1, 2))
        if not include_self:
            # Not through a view of the diagonal, which cannot be exported.
            itself = torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
            similarity.masked_fill_(itself, float("-inf"))
        return similarity.topk(k, dim=2, sorted=False).indices


# Rows a block: small enough that a block's temporaries stay in the cache and in malloc's free lists.
_BLOCK_ROWS = 4096


class _NeighbourMax(torch.autograd.Function):
    """out[n, p, c] = max_j nodes[n, index[n, p, j], c], keeping one byte an element for the backward pass."""

    @staticmethod
    def forward(ctx: Any, nodes: Tensor, index: Tensor) -> Tensor:
        out = torch.empty_like(nodes)
        winner = torch.empty(nodes.shape, dtype=torch.uint8, device=nodes.device)
        for block, flat in _blocks(nodes, index):
            rows = nodes[block].flatten(0, 1)
            best = rows.index_select(0, flat[:, 0])
            who = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
            for j in range(1, index.shape[2]):
                other = rows.index_select(0, flat[:, j])
                torch.maximum(who, (other > best).view(torch.uint8) * j, out=who)
                torch.maximum(best, other, out=best)
            out[block] = best.view_as(out[block])
            winner[block] = who.view_as(out[block])
        ctx.save_for_backward(winner, index)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        winner, index = ctx.saved_tensors
        grad = grads[0].contiguous()
        total = torch.empty_like(grad)
        for block, flat in _blocks(grad, index):
            part, who = at_least_single(grad[block].flatten(0, 1)), winner[block].flatten(0, 1)
            if part.device.type == "cpu":
                summed = torch.zeros_like(part).scatter_add_(0, flat.gather(1, who.long()), part)
            else:
                # Here scatter_add would be atomic and add in any order; the backward of an embedding look-up is not.
                won = torch.cat([part * (who == j) for j in range(index.shape[2])])
                summed = torch.ops.aten.embedding_dense_backward(won, flat.T.reshape(-1), part.shape[0], -1, False)
            total[block] = summed.view_as(total[block]).to(total.dtype)
        return total, None


def _blocks(nodes: Tensor, index: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Slices over frames with, for each, the neighbours' row numbers (rows, k) inside the slice."""
    positions = nodes.shape[1]
    size = max(1, _BLOCK_ROWS // positions) if nodes.device.type == "cpu" else nodes.shape[0]
    for start in range(0, nodes.shape[0], size):
        block = slice(start, min(start + size, nodes.shape[0]))
        part = index[block]
        base = torch.arange(part.shape[0], device=part.device).mul_(positions).view(-1, 1, 1)
        yield block, (part + base).flatten(0, 1)


def neighbour_max(nodes: Tensor, index: Tensor) -> Tensor:
    """Maximum over each position's neighbours, channel by channel.

    Parameters
    ----------
    nodes : (N, P, C) float. index : (N, P, k) int64 from `nearest_positions`.

    Returns
    -------
    (N, P, C). Never materialises (N, C, P, k): the neighbours are folded in one after another.
    """
    if torch.is_grad_enabled() and nodes.requires_grad:
        out: Tensor = _NeighbourMax.apply(nodes.contiguous(), index)
        return out
    if torch.compiler.is_exporting():
        return _exported_max(nodes, index)
    nodes = nodes.contiguous()
    best = torch.empty_like(nodes)
    for block, flat in _blocks(nodes, index):
        rows = nodes[block].flatten(0, 1)
        part = rows.index_select(0, flat[:, 0])
        for j in range(1, index.shape[2]):
            torch.maximum(part, rows.index_select(0, flat[:, j]), out=part)
        best[block] = part.view_as(best[block])
    return best


def _exported_max(nodes: Tensor, index: Tensor) -> Tensor:
    """`neighbour_max` as a graph for any N: a loop over blocks would be unrolled for the N of the example."""
    base = torch.arange(nodes.shape[0], device=nodes.device).mul(nodes.shape[1]).view(-1, 1, 1)
    flat, rows = (index + base).flatten(0, 1), nodes.flatten(0, 1)
    best = rows.index_select(0, flat[:, 0])
    for j in range(1, index.shape[2]):
        best = torch.maximum(best, rows.index_select(0, flat[:, j]))
    return best.view_as(nodes)


class GraphAggregation(nn.Module):
    """ccc. ``max``: f_i + ReLU(f_i + max_j (f_j - f_i)) = f_i + ReLU(max_j f_j), without parameters (released).

    ``edge_conv``: f_i + max_j ReLU(W [f_i, f_j - f_i]), the learned reading of the paper's text. As W is linear,
    W [f_i, f_j - f_i] = U f_i + V f_j, so the maximum over edges is U f_i + max_j V f_j.
    """

    def __init__(self, channels: int, k: int, include_self: bool, aggregation: str, dead_params: bool = False) -> None:
        super().__init__()
        self.k, self.include_self = k, include_self
        self.edge_conv = nn.Linear(2 * channels, channels) if aggregation == "edge_conv" else None
        # Declared and never called, as in the released code: only so that parameter counts can be compared.
        self.edge_fc = nn.Linear(channels, channels) if dead_params else None

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> same shape, channels-last memory."""
        count, channels, height, width = x.shape
        nodes = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        index = nearest_positions(nodes, self.k, self.include_self)
        if self.edge_conv is None:
            out = nodes + F.relu(neighbour_max(nodes, index))
        else:
            own, other = self.edge_conv.weight.split(channels, dim=1)
            fixed = F.linear(nodes, own - other, self.edge_conv.bias)
            out = nodes + F.relu(fixed + neighbour_max(F.linear(nodes, other), index))
        return out.view(count, height, width, channels).permute(0, 3, 1, 2)
