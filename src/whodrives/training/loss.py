"""Losses over a batch of embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models.normalise import at_least_single


def supervised_contrastive(
    embeddings: Tensor, labels: Tensor, temperature: float = 0.07, reduction: str = "mean", eps: float = 1e-8
) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, L_out; paper Eq. 7).

    For anchor i with positives P(i): -1/|P(i)| sum_{p in P(i)} log(exp(s_ip) / sum_{a != i} exp(s_ia)),
    s = cosine / temperature.

    Parameters
    ----------
    embeddings : (N, D) float, unit rows. labels : (N,) int64, driver of each row.
    temperature : tau > 0.
    reduction : ``mean`` over the anchors that have a positive (released code), or ``sum`` (the paper's formula).
    eps : added to the denominator after subtracting the row maximum, as the released code does; there the maximum
        includes the anchor itself, so at tau 0.07 it moves the loss by about 1e-4. 0 gives the plain formula.

    Returns
    -------
    Scalar float32, or float64 of such embeddings. Zero, with a gradient, when no anchor has a positive.

    Raises
    ------
    InputError
        Shapes that do not fit, an unknown reduction or temperature <= 0.
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise InputError(f"embeddings {tuple(embeddings.shape)} and labels {tuple(labels.shape)} do not fit")
    if reduction not in ("mean", "sum") or temperature <= 0:
        raise InputError(f"reduction {reduction!r} must be 'mean' or 'sum', temperature {temperature} above 0")
    embeddings = at_least_single(embeddings)
    similarity = (embeddings @ embeddings.T) / temperature
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels[None, :]) & ~own
    denominator = similarity.masked_fill(own, float("-inf")).logsumexp(dim=1, keepdim=True)
    if eps > 0:
        floor = similarity.detach().amax(dim=1, keepdim=True) + math.log(eps)
        denominator = torch.logaddexp(denominator, floor)
    log_probability = similarity - denominator
    count = positive.sum(dim=1)
    has = count > 0
    total = (log_probability * positive).sum(dim=1)
    per_anchor = -torch.where(has, total / count.clamp(min=1), 0.0 * total)
    return per_anchor.sum() if reduction == "sum" else per_anchor.sum() / has.sum().clamp(min=1)


class Prototypes(nn.Module):
    """One learned direction a training driver, for the auxiliary cross-entropy."""

    def __init__(self, drivers: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(drivers, dim))


def driver_cross_entropy(embeddings: Tensor, prototypes: Tensor, classes: Tensor, scale: float = 16.0) -> Tensor:
    """Cosine cross-entropy over the training drivers: an auxiliary to the contrastive loss (ours, not the paper's).

    Parameters
    ----------
    embeddings : (N, D) unit rows. prototypes : (drivers, D), any norm. classes : (N,) int64, -1 = no prototype
        (such rows are left out). scale : inverse temperature of the softmax.

    Returns
    -------
    Scalar float32, zero when every class is -1.
    """
    logits = scale * at_least_single(embeddings) @ F.normalize(at_least_single(prototypes), dim=1).T
    known = classes >= 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits[known], classes[known])
