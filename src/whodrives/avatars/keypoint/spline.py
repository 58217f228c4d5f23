"""Thin-plate splines, batched: from driven key points back to where they lie on the still.

The centres are the DRIVEN points, so each frame brings its own small system (K + 3 unknowns, well under 0.1 ms) and the
backward map needs no inversion: it hits the key points up to `softness`. The cheaper way, fixed centres at rest and one
inverse for all frames, gives a forward map whose inversion by iteration diverges just where it matters: an opening
mouth pulls two nearly coincident points apart, which no forward map of moderate slope does.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Keeps the logarithm finite at a centre, where r^2 log r^2 is 0.
TINY = 1e-9


def kernel(squared: Tensor) -> Tensor:
    """r^2 log r^2 of squared distances."""
    squared = squared.clamp(min=TINY)
    return squared * squared.log()


def fit(centres: Tensor, values: Tensor, softness: Tensor) -> Tensor:
    """Splines through `values` at `centres`, least bending.

    Parameters
    ----------
    centres : (n, K, 2), at least three of them not on one line. values : (n, K, D).
    softness : (K,) >= 0, how far each value may be missed: the diagonal of the regularisation. 0 interpolates; 1e-3
        lets two centres 0.05 apart disagree by about a tenth before the plate bends sharply. Centres that may
        coincide need it above 0.

    Returns
    -------
    (n, K + 3, D) float32: weights of the K kernels, then of 1, x and y. Solved in float64: close centres make the
    system ill-conditioned.
    """
    n, k = centres.shape[:2]
    c = centres.double()
    squared = (c[:, :, None] - c[:, None]).square().sum(-1)
    one = torch.cat([torch.ones(n, k, 1, dtype=c.dtype, device=c.device), c], dim=-1)
    system = torch.zeros(n, k + 3, k + 3, dtype=c.dtype, device=c.device)
    system[:, :k, :k] = kernel(squared) + torch.diag(softness.double())
    system[:, :k, k:] = one
    system[:, k:, :k] = one.transpose(1, 2)
    wanted = torch.zeros(n, k + 3, values.shape[-1], dtype=c.dtype, device=c.device)
    wanted[:, :k] = values
    return torch.linalg.solve(system, wanted).float()


def evaluate(weights: Tensor, centres: Tensor, places: Tensor) -> Tensor:
    """Splines at places: weights (n, K + 3, D), centres (n, K, 2), places (n, 2, P) -> (n, D, P)."""
    k = centres.shape[1]
    # |p - c|^2 = |c|^2 - 2 c p + |p|^2 as one product; less memory traffic than the difference itself.
    ones = torch.ones_like(centres[..., :1])
    left = torch.cat([centres.square().sum(-1, keepdim=True), -2.0 * centres, ones], dim=-1)
    right = torch.cat([torch.ones_like(places[:, :1]), places, places.square().sum(1, keepdim=True)], dim=1)
    squared = torch.bmm(left, right).clamp_(min=TINY)
    weights = weights.transpose(1, 2)
    return torch.bmm(weights[..., :k], squared.mul_(squared.log())).baddbmm_(weights[..., k:], right[:, :3])
