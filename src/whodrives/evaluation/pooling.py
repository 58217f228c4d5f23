"""Scores of a protocol's trials: collected while they fit into memory, else as histograms of any number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError
from whodrives.evaluation.labels import Names, VideoLabels
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.ties import products
from whodrives.evaluation.trials import GENUINE, IMPOSTOR, NONE, Protocol, ProtocolOptions, grouped, tiles

Rates = NDArray[np.float64]
MAX_TRIALS = 50_000_000
BINS = 1 << 16
# A tile of scores then takes 16 MiB.
SIDE = 2048
# Scores that `summarise` keeps as they are before it bins them.
LOOSE = 1 << 20


class TooManyTrialsError(InputError):
    """More trials than may be kept; `summarise` takes any number."""


@dataclass(frozen=True, eq=False)
class TrialScores:
    """P scored trials. score : float32 (P,) cosines, on the steps of `ties`. genuine : bool (P,).

    first, second : int32 (P,) drivers of the two videos, places in `drivers`. first_face, second_face : int32 (P,)
    their targets, places in `targets`. target : int32 (P,) the one that the protocol counts the trial for, -1: none.
    """

    score: NDArray[np.float32]
    genuine: NDArray[np.bool_]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    first_face: NDArray[np.int32]
    second_face: NDArray[np.int32]
    target: NDArray[np.int32]
    drivers: Names
    targets: Names
    per_target: bool

    def auc(self) -> float:
        """AUC over all trials, or the mean over targets where the protocol is one of targets.

        Raises InputError when there is no genuine or no impostor trial (no target with both).
        """
        if not self.per_target:
            return roc_auc(self.score[self.genuine], self.score[~self.genuine])
        values = list(self.by_target().values())
        if not values:
            raise InputError(
                "no target has both genuine and impostor trials; the protocol needs two recordings of one "
                "driver and another driver on one face"
            )
        return float(np.mean(values))

    def by_target(self) -> dict[str, float]:
        """AUC of each target that has both kinds of trials; empty where the protocol has no targets."""
        out = {}
        for code, rows in self.target_rows():
            kinds = self.genuine[rows]
            if kinds.any() and not kinds.all():
                out[str(self.targets[code])] = roc_auc(self.score[rows][kinds], self.score[rows][~kinds])
        return out

    def target_rows(self) -> Iterator[tuple[int, Any]]:
        """Each target's code with its trials, as an index of the arrays here."""
        edges = [0, *(np.flatnonzero(np.diff(self.target)) + 1).tolist(), len(self.target)]
        codes = self.target[edges[:-1]]
        if len(np.unique(codes)) < len(codes):
            yield from ((code, rows) for code, rows in grouped(self.target.astype(np.int64)) if code >= 0)
            return
        # As `collect` leaves them: each target's trials in one piece, and slices copy nothing.
        for code, first, last in zip(codes.tolist(), edges, edges[1:]):
            if code >= 0:
                yield code, slice(first, last)

    def distance_ratio(self) -> float:
        """Mean distance (1 - cosine) of genuine trials over that of impostor trials; under 1 the paper's Eq. 1 holds
        on average. NaN where impostors have no distance at all."""
        near, far = (
            1 - self.score[self.genuine].mean(dtype=np.float64),
            1 - self.score[~self.genuine].mean(dtype=np.float64),
        )
        return float(near / far) if far > 0 else float("nan")


def unit_rows(embeddings: ArrayLike) -> NDArray[np.float32]:
    """(N, D) of any norm -> float32 rows of norm 1. Raises InputError on NaN or infinity."""
    rows = np.asarray(embeddings, np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError(f"embeddings of shape {rows.shape} must be (videos, dimensions) and finite")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def collect(
    embeddings: ArrayLike,
    labels: VideoLabels,
    protocol: Protocol,
    options: ProtocolOptions | None = None,
    max_trials: int = MAX_TRIALS,
    side: int = SIDE,
) -> TrialScores:
    """Score every trial of a protocol by cosine.

    Parameters
    ----------
    embeddings : (N, D), any norm. labels : of the same N videos. max_trials : a trial takes 25 bytes.
    side : tiles of side x side pairs are scored at once.

    Raises
    ------
    InputError
        No trial at all, more than `max_trials` (TooManyTrialsError), or shapes that do not fit.
    """
    unit = _checked(embeddings, labels)
    drivers, faces = labels.driver_code.astype(np.int32), labels.target_code.astype(np.int32)
    # Counted first: fresh memory is what costs most here, so every array is made once and at its size.
    count = 0
    for tile in tiles(labels, protocol, options, side):
        count += int(np.count_nonzero(tile.kind))
        if count > max_trials:
            raise TooManyTrialsError(
                f"{protocol.name}: more than {max_trials:,} trials; use fewer videos, or `summarise`"
            )
    if not count:
        raise InputError(f"{protocol.name}: these {len(labels)} videos form no trial")
    score, genuine = np.empty(count, np.float32), np.empty(count, np.bool_)
    first, second, first_face, second_face, target = (np.empty(count, np.int32) for _ in range(5))
    done = 0
    for tile in tiles(labels, protocol, options, side):
        keep = tile.kind != NONE
        found = int(np.count_nonzero(keep))
        if not found:
            continue
        piece = slice(done, done + found)
        target[piece] = tile.target
        sides = (
            (first, drivers[tile.rows][:, None]),
            (second, drivers[tile.columns][None]),
            (first_face, faces[tile.rows][:, None]),
            (second_face, faces[tile.columns][None]),
        )
        if found == keep.size:
            products(unit[tile.rows], unit[tile.columns], out=score[piece].reshape(keep.shape))
            genuine[piece].reshape(keep.shape)[:] = tile.kind == GENUINE
            for out, codes in sides:
                out[piece].reshape(keep.shape)[:] = codes
        else:
            score[piece] = products(unit[tile.rows], unit[tile.columns])[keep]
            genuine[piece] = tile.kind[keep] == GENUINE
            for out, codes in sides:
                out[piece] = np.broadcast_to(codes, keep.shape)[keep]
        done += found
    return TrialScores(
        score,
        genuine,
        first,
        second,
        first_face,
        second_face,
        target,
        labels.drivers,
        labels.targets,
        protocol.per_target,
    )


@dataclass(frozen=True, eq=False)
class TrialSummary:
    """Histograms of any number of trials. genuine, impostor : int64 (bins,) counts over cosines from -1 to 1, of all
    targets together.

    auc : from the histograms; of a protocol of targets the mean over targets. error : the exact AUC differs by no more.
    by_target : AUC of each target, as `auc`.
    """

    genuine: NDArray[np.int64]
    impostor: NDArray[np.int64]
    auc: float
    error: float
    by_target: dict[str, float]

    @property
    def middles(self) -> Rates:
        """(bins,) cosine in the middle of each bin."""
        bins = len(self.genuine)
        return np.asarray((np.arange(bins) + 0.5) * (2 / bins) - 1, np.float64)

    def distance_ratio(self) -> float:
        """As `TrialScores.distance_ratio`, from the middles of the bins."""
        near, far = (1 - float(kind @ self.middles) / kind.sum() for kind in (self.genuine, self.impostor))
        return near / far if far > 0 else float("nan")

    def error_rates(self) -> tuple[Rates, Rates, Rates]:
        """Thresholds (bins + 1,) from -1 to 1, and FAR and FRR when everything at or above one is accepted.

        Exact at these thresholds up to the rounding of float32. Raises InputError without trials of both kinds.
        """
        if not self.genuine.any() or not self.impostor.any():
            raise InputError("error rates need at least one genuine and one impostor trial")
        genuine, impostor = (np.append(0, np.cumsum(kind)) for kind in (self.genuine, self.impostor))
        return np.linspace(-1, 1, len(genuine)), 1 - impostor / impostor[-1], genuine / genuine[-1]

    def eer(self) -> tuple[float, float]:
        """Equal error rate, and the most by which that of the exact scores (`metrics.eer`) can differ."""
        _, far, frr = self.error_rates()
        # FAR falls and FRR rises: they meet between the last edge with FAR >= FRR and the next.
        at = int(np.flatnonzero(far >= frr)[-1])
        low, high = (far[at + 1] + frr[at]) / 2, (far[at] + frr[at + 1]) / 2
        return float((low + high) / 2), float((high - low) / 2)


def histogram_auc(genuine: NDArray[np.int64], impostor: NDArray[np.int64]) -> tuple[float, float]:
    """AUC of binned scores with pairs inside one bin counting half, and the most by which the exact AUC can differ:
    half the share of genuine-impostor pairs inside one bin."""
    total = float(genuine.sum()) * float(impostor.sum())
    if not total:
        raise InputError("an AUC needs at least one genuine and one impostor trial")
    below = np.cumsum(impostor, dtype=np.float64) - impostor
    shared = 0.5 * float(genuine.astype(np.float64) @ impostor) / total
    return float(genuine.astype(np.float64) @ below) / total + shared, shared


def summarise(
    embeddings: ArrayLike,
    labels: VideoLabels,
    protocol: Protocol,
    options: ProtocolOptions | None = None,
    bins: int = BINS,
    side: int = SIDE,
) -> TrialSummary:
    """Any number of trials in bounded memory: one tile of scores, and one pair of histograms a target.

    Raises
    ------
    InputError
        As `collect`, or no target has both kinds of trials.
    """
    unit = _checked(embeddings, labels)
    overall, held = _Binned(bins), _Binned(bins)
    names, found = labels.targets, {}
    target, errors = -1, []

    def close() -> None:
        if target >= 0 and held.has_both:
            found[str(names[target])], error = held.auc()
            errors.append(error)

    for tile in tiles(labels, protocol, options, side):
        if protocol.per_target and tile.target != target:
            close()
            held, target = _Binned(bins), tile.target
        if not tile.kind.any():
            continue
        score = products(unit[tile.rows], unit[tile.columns])
        for one in (overall, held) if protocol.per_target else (overall,):
            one.add(score[tile.kind == GENUINE], score[tile.kind == IMPOSTOR])
    close()
    overall.settle()
    if not protocol.per_target:
        auc, error = overall.auc()
        return TrialSummary(overall.counts[0], overall.counts[1], auc, error, found)
    if not found:
        raise InputError(f"{protocol.name}: no target has both genuine and impostor trials")
    mean, bound = float(np.mean(list(found.values()))), float(np.mean(errors))
    return TrialSummary(overall.counts[0], overall.counts[1], mean, bound, found)


class _Binned:
    """Scores of both kinds: kept as they are while they are few, then as histograms."""

    def __init__(self, bins: int) -> None:
        self.counts = np.zeros((2, bins), np.int64)
        self.loose: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
        self.exact, self.held = True, 0

    @property
    def has_both(self) -> bool:
        """Whether there are genuine and impostor scores."""
        return all(bool(kind) or bool(counts.any()) for kind, counts in zip(self.loose, self.counts))

    def add(self, *scores: NDArray[np.float32]) -> None:
        """Genuine and impostor scores."""
        for kind, part in zip(self.loose, scores):
            if part.size:
                kind.append(part)
                self.held += part.size
        if self.held > LOOSE:
            self.settle()

    def settle(self) -> None:
        """Put what is held into the histograms."""
        bins = self.counts.shape[1]
        for kind, counts in zip(self.loose, self.counts):
            if kind:
                place = np.clip((np.concatenate(kind) + 1) * (bins / 2), 0, bins - 1).astype(np.int32)
                counts += np.bincount(place, minlength=bins)
                kind.clear()
        self.exact, self.held = False, 0

    def auc(self) -> tuple[float, float]:
        """AUC and by how much the exact one may differ."""
        if self.exact:
            genuine, impostor = (np.concatenate(kind) if kind else np.empty(0, np.float32) for kind in self.loose)
            return roc_auc(genuine, impostor), 0.0
        self.settle()
        return histogram_auc(self.counts[0], self.counts[1])


def _checked(embeddings: ArrayLike, labels: VideoLabels) -> NDArray[np.float32]:
    unit = unit_rows(embeddings)
    if len(unit) != len(labels):
        raise InputError(f"{len(unit)} embeddings for {len(labels)} labelled videos")
    return unit
