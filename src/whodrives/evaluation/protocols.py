"""Which pairs of videos are genuine and which impostor: the field's protocols, vectorised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.metrics import roc_auc

Labels = NDArray[Any]


@dataclass(frozen=True)
class ProtocolResult:
    """auc : 0..1. per_target : AUC of each target (only per-target protocols). genuine, impostor : pairs counted.

    skipped : targets with fewer than two self videos or no cross video.
    """

    auc: float
    per_target: dict[Any, float]
    genuine: int
    impostor: int
    skipped: tuple[Any, ...] = ()


def _unit(embeddings: NDArray[Any]) -> NDArray[np.float64]:
    """Rows scaled to norm 1, so that products are cosines whatever the caller brings."""
    rows = np.asarray(embeddings, dtype=np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def per_target_auc(embeddings: NDArray[Any], target: Labels, is_self: NDArray[np.bool_]) -> ProtocolResult:
    """The paper's protocol: for each target, pairs of its self-reenactments against self-cross pairs.

    Parameters
    ----------
    embeddings : (N, D), any norm; the score is the cosine. target : (N,). is_self : (N,) bool, driver = target.

    Returns
    -------
    ProtocolResult with the unweighted mean over targets. Raises InputError when no target is valid.
    """
    embeddings = _unit(embeddings)
    per_target: dict[Any, float] = {}
    skipped, genuine, impostor = [], 0, 0
    for name in np.unique(target).tolist():
        own = embeddings[(target == name) & is_self]
        cross = embeddings[(target == name) & ~is_self]
        if len(own) < 2 or len(cross) < 1:
            skipped.append(name)
            continue
        positives = (own @ own.T)[np.triu_indices(len(own), 1)]
        negatives = (own @ cross.T).ravel()
        per_target[name] = roc_auc(positives, negatives)
        genuine, impostor = genuine + positives.size, impostor + negatives.size
    if not per_target:
        raise InputError("no target has two self-reenactments and a cross-reenactment; the protocol needs both")
    return ProtocolResult(float(np.mean(list(per_target.values()))), per_target, genuine, impostor, tuple(skipped))


def per_target_mean(
    embeddings: NDArray[Any], driver: Labels, target: Labels, owner: dict[Any, Any] | None = None
) -> ProtocolResult:
    """`per_target_auc` from driver and target labels.

    owner : target -> its own driver, where the names differ (a driver assigned to a portrait). None: the names are
    equal, or else the driver with most videos of a target owns it.
    """
    if owner is None and not np.isin(target, driver).any():
        owner = {}
        for name in np.unique(target).tolist():
            people, counts = np.unique(driver[target == name], return_counts=True)
            owner[name] = people[np.argmax(counts)]
    owners = target if owner is None else np.array([owner[name] for name in target.tolist()])
    return per_target_auc(embeddings, target, driver == owners)


def different_recordings(
    embeddings: NDArray[Any], driver: Labels, target: Labels, recording: Labels, different_target: bool = False
) -> ProtocolResult:
    """All pairs: genuine = one driver in two recordings, impostor = two drivers.

    different_target : count only pairs that show two different faces, genuine and impostor alike.
    """
    rows, columns = np.triu_indices(len(embeddings), 1)
    unit = _unit(embeddings)
    scores = (unit @ unit.T)[rows, columns]
    same = driver[rows] == driver[columns]
    keep = ~same | (recording[rows] != recording[columns])
    if different_target:
        keep &= target[rows] != target[columns]
    positives, negatives = scores[keep & same], scores[keep & ~same]
    return ProtocolResult(roc_auc(positives, negatives), {}, positives.size, negatives.size)


def cross_target(embeddings: NDArray[Any], driver: Labels, target: Labels, recording: Labels) -> ProtocolResult:
    """The paper's Eq. 1: genuine = one driver on two DIFFERENT targets in different recordings; impostor = two
    drivers on ONE target."""
    rows, columns = np.triu_indices(len(embeddings), 1)
    unit = _unit(embeddings)
    scores = (unit @ unit.T)[rows, columns]
    same_driver, same_target = driver[rows] == driver[columns], target[rows] == target[columns]
    positives = scores[same_driver & ~same_target & (recording[rows] != recording[columns])]
    negatives = scores[~same_driver & same_target]
    return ProtocolResult(roc_auc(positives, negatives), {}, positives.size, negatives.size)
