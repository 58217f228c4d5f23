"""Trials of one protocol with everything that is said of them, at any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import LISTED, listed_trials
from whodrives.evaluation.pooling import TooManyTrialsError, TrialScores, TrialSummary, collect, summarise
from whodrives.evaluation.report.parts import Bounds, PairCounts, Protocol
from whodrives.evaluation.settings import EvaluationSettings
from whodrives.evaluation.trial_intervals import trials_interval
from whodrives.evaluation.trials import GENUINE, find_protocol, tiles

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
# Trials up to which all are kept and get an interval: 20 million of a protocol that goes target by target (0.5 GB), 10
# million under one threshold, where the interval takes several times the memory of the trials. Beyond: histograms.
MOST_BY_TARGET = 20_000_000
MOST_POOLED = 10_000_000
# Scores of a kind that are drawn from histograms, or from kept trials for figures that walk through them one by one.
MOST_DRAWN = 1_000_000


@dataclass(frozen=True, eq=False)
class Measured:
    """AUC of one protocol with its trials. ci95 : None where there is no interval, and `notes` say why. counts : of the
    trials. distance_ratio : None where it does not exist. scores : None where there were too many, `summary` then holds
    their histograms."""

    auc: float
    ci95: Bounds | None
    counts: PairCounts
    distance_ratio: float | None
    by_target: dict[str, float]
    notes: tuple[str, ...] = ()
    scores: TrialScores | None = None
    summary: TrialSummary | None = None

    def kinds(self, seed: int) -> tuple[Scores, Scores]:
        """Genuine and impostor scores: all that were kept, or at most `MOST_DRAWN` of each drawn from histograms."""
        if self.scores is not None:
            score = self.scores.score.astype(np.float64)
            return score[self.scores.genuine], score[~self.scores.genuine]
        assert self.summary is not None
        rng = np.random.default_rng(seed)
        middles = self.summary.middles
        parts = []
        for counts in (self.summary.genuine, self.summary.impostor):
            total = int(counts.sum())
            if total > MOST_DRAWN:
                counts = rng.multivariate_hypergeometric(counts, MOST_DRAWN, method="marginals")
            parts.append(np.repeat(middles, counts))
        return parts[0], parts[1]


def measure(vectors: Vectors, labels: VideoLabels, name: str, settings: EvaluationSettings) -> Measured:
    """One protocol, or the trials of a list (``listed``, by their places among these videos), on N videos.

    Raises
    ------
    InputError
        There is no AUC: no trials of both kinds. Where only the interval is missing, the notes say so.
    """
    keep = settings.takes_part(labels, name)
    if not keep.all():
        vectors, labels = vectors[keep], labels.select(keep)
    if name == LISTED and settings.pairs is not None:
        missing = settings.pairs.missing
        note = (f"{missing} listed pairs are left out, a video of theirs is not there",) if missing else ()
        return _kept(listed_trials(vectors, labels, settings.pairs), note)
    protocol, options = find_protocol(name), settings.options_for(name)
    try:
        most = MOST_BY_TARGET if protocol.per_target else MOST_POOLED
        return _kept(collect(vectors, labels, protocol, options, max_trials=most))
    except TooManyTrialsError:
        return _summarised(summarise(vectors, labels, protocol, options))


def _kept(scores: TrialScores, notes: tuple[str, ...] = ()) -> Measured:
    genuine = int(scores.genuine.sum())
    ci95: Bounds | None
    try:
        interval = trials_interval(scores)
        auc, ci95 = interval.value, (interval.low, interval.high)
    except InputError as error:
        # Without any AUC this raises anew, and then there is no result.
        auc, ci95 = scores.auc(), None
        notes = (*notes, f"no interval: {error}")
    ratio = scores.distance_ratio()
    return Measured(
        auc,
        ci95,
        PairCounts(genuine, len(scores.genuine) - genuine),
        ratio if np.isfinite(ratio) else None,
        scores.by_target() if scores.per_target else {},
        notes,
        scores,
    )


def _summarised(summary: TrialSummary) -> Measured:
    counts = PairCounts(int(summary.genuine.sum()), int(summary.impostor.sum()))
    note = f"{counts.genuine + counts.impostor:,} trials: AUC from a histogram, ± {summary.error:.1e}, no interval"
    ratio = summary.distance_ratio()
    return Measured(
        summary.auc,
        None,
        counts,
        ratio if np.isfinite(ratio) else None,
        summary.by_target,
        (note,),
        summary=summary,
    )


def protocol_entry(
    vectors: Vectors, labels: VideoLabels, name: str, settings: EvaluationSettings, known: Measured | None = None
) -> Protocol:
    """AUC of one protocol with its interval, or why it cannot be measured on these videos.

    known : what was measured of `settings.protocol`, where it is there already.
    """
    try:
        found = known if known is not None and name == settings.protocol else measure(vectors, labels, name, settings)
    except InputError as error:
        return Protocol(None, note=str(error))
    ratio = found.distance_ratio if name == "cross_target" else None
    notes = [*found.notes, *_same_recording(labels, name, settings, found.counts.genuine)]
    return Protocol(found.auc, found.ci95, found.counts, ratio, "; ".join(notes))


def _same_recording(labels: VideoLabels, name: str, settings: EvaluationSettings, genuine: int) -> list[str]:
    """A warning where one recording rendered twice counts as genuine: that pair shares its very motion."""
    if name == LISTED:
        return []
    protocol, options = find_protocol(name), settings.options_for(name)
    excluded = options.exclude_same_recording
    if protocol.crosses_recordings if excluded is None else excluded:
        return []
    keep = settings.takes_part(labels, name)
    shown = labels if keep.all() else labels.select(keep)
    code, same = shown.take_code, 0
    for tile in tiles(shown, protocol, options):
        own = tile.kind == GENUINE
        if own.any():
            same += int(np.count_nonzero(own & (code[tile.rows][:, None] == code[tile.columns][None])))
    if not same:
        return []
    return [f"{same / genuine:.0%} of the genuine pairs are two renderings of one recording"]
