"""Who of very many is it, if anybody? The threshold follows the number of templates that a probe is compared with.

A stranger who is compared with N templates is taken for somebody with a probability of at most N times the false-accept
rate of one comparison (the union bound: it needs no independence, which scores of one probe do not have). For a
false-positive identification rate (FPIR) the comparisons must therefore run at FPIR / N. Comparisons that were
independent would allow 1 - (1 - FPIR)^(1 / N), at most 3% more for rates up to 0.05. A weights card has thresholds at
the rates its calibration trials could show, and nothing is extrapolated below them: past FPIR / smallest rate templates
there are ranks and scores, but no decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from whodrives.errors import InputError
from whodrives.verification.aggregation import TRIM
from whodrives.verification.decision import (
    Candidate,
    Identification,
    Threshold,
    choose_threshold,
    judge,
)
from whodrives.verification.embedding import Embedding, ModelInfo, unusable_reason
from whodrives.verification.scoring import evidence, likelihood_ratio, window_scores
from whodrives.verification.template_index import TemplateIndex

DEFAULT_FPIR = 0.05


@dataclass(frozen=True)
class IndexIdentification(Identification):
    """As `Identification`; `gallery_size` counts the templates that were compared, after the filters.

    decision is ``abstain`` where the weights have no threshold for so many; candidates are given all the same.
    target_fpir : how often a stranger may be taken for somebody. required_far : the rate of one comparison that this
    needs, None when nothing was compared. smallest_far : the smallest with a threshold, None without thresholds.
    index_size : templates in the index. groups, scopes : the filters, None for none.
    """

    target_fpir: float = DEFAULT_FPIR
    required_far: float | None = None
    smallest_far: float | None = None
    index_size: int = 0
    groups: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **super().to_dict(),
            "target_fpir": self.target_fpir,
            "required_far": self.required_far,
            "smallest_far": self.smallest_far,
            "index_size": self.index_size,
            "groups": None if self.groups is None else list(self.groups),
            "scopes": None if self.scopes is None else list(self.scopes),
        }


def required_far(fpir: float, count: int) -> float:
    """The false-accept rate of one comparison at which `count` of them alarm for at most a share `fpir` of strangers.

    Raises InputError unless 0 < fpir < 1 and count is at least 1.
    """
    if not 0 < fpir < 1 or count < 1:
        raise InputError(f"false-positive identification rate {fpir}, {count} templates; give a rate within 0 and 1")
    return fpir / count


def reachable_far(model: ModelInfo, rate: float) -> float | None:
    """The largest false-accept rate of the weights' thresholds that is not above `rate`; None when all are."""
    return max((known for known in model.thresholds if known <= rate * (1 + 1e-9)), default=None)


def identify_in_index(
    index: TemplateIndex,
    probe: Embedding,
    fpir: float = DEFAULT_FPIR,
    top: int = 5,
    groups: tuple[str, ...] | None = None,
    scopes: tuple[str, ...] | None = None,
) -> IndexIdentification:
    """Who of the drivers in an index drives the video(s) of `probe`, if anybody?

    Parameters
    ----------
    fpir : share of strangers who may be taken for somebody. top : candidates to list. groups, scopes : as
        `TemplateIndex.search`; whoever they leave out is neither compared nor counted.

    Raises
    ------
    WeightsMismatchError, ContractMismatchError
        The index is of other weights or preprocessing.
    InputError
        `fpir` or `top` is out of range.
    IndexDamageError, StaleIndexError
        As `TemplateIndex.search`.
    """
    if top < 1:
        raise InputError(f"top is {top}; give at least 1")
    required_far(fpir, 1)
    index.require_comparable(probe.model, probe.contract)
    # As `video_score`: the usable windows, all of them when none is.
    windows = probe.vectors[probe.usable] if probe.usable.any() else probe.vectors
    warnings = list(probe.warnings)
    if scopes is None and any(index.info.scopes):
        warnings.append(
            f"{index.path}: records what drivers allowed, and was searched for no purpose in particular; name the "
            "purpose (--scope)"
        )
    compared = index.count(groups, scopes)
    candidates: tuple[Candidate, ...] = ()
    scores = np.empty(0, np.float32)
    if len(windows) and compared:
        hits = index.search_windows(windows, int(TRIM * len(windows)), top, groups, scopes)
        candidates = tuple(Candidate(name, float(score)) for name, score in zip(hits.names, hits.scores))
        scores = (probe.vectors @ index.templates(hits.rows[:1])[0]).astype(np.float32)
    score = candidates[0].score if candidates else None
    required = required_far(fpir, compared) if compared else None
    rate = None if required is None else reachable_far(probe.model, required)
    threshold = Threshold(None, None, None)
    if rate is not None:
        threshold = choose_threshold(probe.model, evidence(probe), rate)
    answer: Literal["match", "nobody", "abstain"] = "abstain"
    problem = unusable_reason(probe)
    if not compared:
        reason = f"none of the {len(index):,} templates fits the filters, so nobody was compared"
    elif required is not None and rate is None and problem is None and probe.model.thresholds:
        smallest = min(probe.model.thresholds)
        reason = (
            f"ranked, not decided: {compared:,} templates at a false-positive rate of {fpir:g} need a false-accept "
            f"rate of {required:.1e} a comparison; the thresholds of weights {probe.model} end at {smallest:g}, enough "
            f"for {int(fpir / smallest + 1e-9):,}"
        )
    else:
        verdict, reason = judge(probe, score, threshold)
        answer = "match" if verdict == "accept" else "nobody" if verdict == "reject" else "abstain"
        if answer == "nobody":
            reason = f"no driver in the index reaches the threshold: the best {reason}"
    return IndexIdentification(
        decision=answer,
        name=candidates[0].name if answer == "match" else None,
        candidates=candidates,
        score=score,
        llr=likelihood_ratio(probe, score),
        threshold=threshold.score,
        target_far=threshold.far,
        gallery_size=compared,
        false_match_bound=None if threshold.score is None or rate is None else min(1.0, compared * rate),
        windows=window_scores(probe, scores),
        reason=reason,
        model=probe.model,
        contract=probe.contract,
        warnings=tuple(warnings),
        target_fpir=fpir,
        required_far=required,
        smallest_far=min(probe.model.thresholds, default=None),
        index_size=len(index),
        groups=groups,
        scopes=scopes,
    )
