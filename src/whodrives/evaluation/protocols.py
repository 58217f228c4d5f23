"""The protocols of `trials` on score matrices of small sets in double precision: validation, controls, audits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.ties import FINE_STEP, settle
from whodrives.evaluation.trials import GENUINE, NONE, PROTOCOLS, ProtocolOptions, self_and_cross, tiles

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
    return per_target_scores(cosines(embeddings), target, is_self)


def per_target_scores(scores: NDArray[np.float64], target: Labels, is_self: NDArray[np.bool_]) -> ProtocolResult:
    """`per_target_auc` on (N, N) scores, higher = more alike."""
    per_target: dict[Any, float] = {}
    genuine, impostor = 0, 0
    found, codes = np.unique(target, return_inverse=True)
    names = found.tolist()
    for code, own, cross in self_and_cross(codes, is_self):
        positives = scores[np.ix_(own, own)][np.triu_indices(len(own), 1)]
        negatives = scores[np.ix_(own, cross)].ravel()
        per_target[names[code]] = roc_auc(positives, negatives)
        genuine, impostor = genuine + positives.size, impostor + negatives.size
    if not per_target:
        raise InputError("no target has two self-reenactments and a cross-reenactment; the protocol needs both")
    skipped = tuple(name for name in names if name not in per_target)
    return ProtocolResult(float(np.mean(list(per_target.values()))), per_target, genuine, impostor, skipped)


@dataclass(frozen=True)
class Pairs:
    """Scored pairs of videos. score (P,) float64, genuine (P,) bool, first and second (P,) the two drivers.

    first_target, second_target : (P,) the two faces, so that intervals can allow for them; None where not known.
    """

    score: NDArray[np.float64]
    genuine: NDArray[np.bool_]
    first: Labels
    second: Labels
    first_target: Labels | None = None
    second_target: Labels | None = None

    def result(self) -> ProtocolResult:
        """Pooled AUC over all pairs. Raises InputError without a genuine or without an impostor pair."""
        positives, negatives = self.score[self.genuine], self.score[~self.genuine]
        return ProtocolResult(roc_auc(positives, negatives), {}, positives.size, negatives.size)

    def select(self, keep: NDArray[Any]) -> Pairs:
        """Some of the pairs, by a (P,) bool mask or by numbers."""
        one, two = self.first_target, self.second_target
        return Pairs(
            self.score[keep],
            self.genuine[keep],
            self.first[keep],
            self.second[keep],
            None if one is None else one[keep],
            None if two is None else two[keep],
        )


def _pairs(
    scores: NDArray[np.float64], name: str, driver: Labels, target: Labels, recording: Labels, faces: str = "any"
) -> Pairs:
    """Pairs of a protocol that asks for nothing but driver, target and recording."""
    empty, no = np.full(len(driver), ""), np.zeros(len(driver), np.bool_)
    labels = VideoLabels(driver, target, recording, empty, empty, empty, is_self=no, is_original=no)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_))]
    for tile in tiles(labels, PROTOCOLS[name], ProtocolOptions(faces=faces)):
        chosen = tile.kind != NONE
        rows, columns = np.nonzero(chosen)
        parts.append((tile.rows[rows], tile.columns[columns], tile.kind[chosen] == GENUINE))
    one, two, genuine = (np.concatenate(column) for column in zip(*parts))
    return Pairs(scores[one, two], genuine, driver[one], driver[two], target[one], target[two])


def cosines(embeddings: NDArray[Any]) -> NDArray[np.float64]:
    """(N, D) of any norm -> (N, N) cosines, on steps of 2^-40 so that equal pairs tie (`ties`)."""
    unit = _unit(embeddings)
    return settle(unit @ unit.T, FINE_STEP)


def recording_pairs(
    scores: NDArray[np.float64], driver: Labels, target: Labels, recording: Labels, faces: str = "any"
) -> Pairs:
    """Genuine = one driver in two recordings, impostor = two drivers.

    Parameters
    ----------
    scores : (N, N) symmetric, higher = more alike, as from `cosines`. driver, target, recording : (N,).
    faces : ``any``; ``different``: only pairs that show two targets; ``same``: only pairs that show one. Where drivers
        are not shown on all targets alike, ``any`` lets the face give the driver away.
    """
    return _pairs(scores, "recordings", driver, target, recording, faces)


def different_recordings(
    embeddings: NDArray[Any], driver: Labels, target: Labels, recording: Labels, faces: str = "any"
) -> ProtocolResult:
    """AUC of `recording_pairs` by cosine."""
    return recording_pairs(cosines(embeddings), driver, target, recording, faces).result()


def cross_target_pairs(scores: NDArray[np.float64], driver: Labels, target: Labels, recording: Labels) -> Pairs:
    """The paper's Eq. 1: genuine = one driver on two DIFFERENT targets in different recordings; impostor = two
    drivers on ONE target. Scores as for `recording_pairs`."""
    return _pairs(scores, "cross_target", driver, target, recording)


def cross_target(embeddings: NDArray[Any], driver: Labels, target: Labels, recording: Labels) -> ProtocolResult:
    """AUC of `cross_target_pairs` by cosine."""
    return cross_target_pairs(cosines(embeddings), driver, target, recording).result()
