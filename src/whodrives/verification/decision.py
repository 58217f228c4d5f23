"""From scores to answers: accept, reject or abstain, each with its reason and numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.verification.embedding import Embedding, ModelInfo, unit_mean, unusable_reason
from whodrives.verification.scoring import (
    ScoredVideo,
    WindowScore,
    evidence,
    likelihood_ratio,
    scored_videos,
    video_score,
    window_scores,
)
from whodrives.video.contract import PreprocessingContract

Verdict = Literal["accept", "reject", "abstain"]


@dataclass(frozen=True)
class Threshold:
    """Smallest accepted `score` at the nominal false-accept rate `far`, measured on means of `windows` windows."""

    score: float | None
    far: float | None
    windows: int | None


@dataclass(frozen=True)
class Decision:
    """Answer to "does `claimed` drive this video?".

    score : mean cosine over windows, -1..1, higher = more alike; given whenever one window exists, even when
    abstaining. llr : natural log-likelihood ratio, None where the card has no calibration. threshold, target_far : None
    without thresholds.
    """

    decision: Verdict
    score: float | None
    llr: float | None
    threshold: float | None
    target_far: float | None
    windows: tuple[WindowScore, ...]
    reason: str
    model: ModelInfo
    contract: PreprocessingContract
    claimed: str = ""
    warnings: tuple[str, ...] = ()
    videos: tuple[ScoredVideo, ...] = ()

    def __str__(self) -> str:
        return f"{self.decision}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "decision": self.decision,
            "score": self.score,
            "llr": self.llr,
            "threshold": self.threshold,
            "target_far": self.target_far,
            "windows": [asdict(window) for window in self.windows],
            "reason": self.reason,
            "claimed": self.claimed,
            **provenance(self.model, self.contract),
            "videos": [asdict(video) for video in self.videos],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Comparison:
    """Answer to "does the same person drive both videos?"; fields as `Decision`.

    n_windows : usable windows of each side.
    """

    decision: Verdict
    score: float | None
    llr: float | None
    threshold: float | None
    target_far: float | None
    n_windows: tuple[int, int]
    reason: str
    warnings: tuple[str, ...]
    model: ModelInfo
    contract: PreprocessingContract
    videos: tuple[ScoredVideo, ...] = ()

    def __str__(self) -> str:
        return f"{self.decision}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "decision": self.decision,
            "score": self.score,
            "llr": self.llr,
            "threshold": self.threshold,
            "target_far": self.target_far,
            "n_windows": list(self.n_windows),
            "reason": self.reason,
            **provenance(self.model, self.contract),
            "videos": [asdict(video) for video in self.videos],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Candidate:
    """An enrolled driver with the score of the probe."""

    name: str
    score: float


@dataclass(frozen=True)
class Identification:
    """Answer to "who of the enrolled drives this video?", which may be nobody.

    decision : ``match``, ``nobody`` or ``abstain``. name : None unless ``match``. candidates : best first.
    false_match_bound : gallery_size * target_far, at most 1: how often a stranger may be taken for somebody.
    """

    decision: Literal["match", "nobody", "abstain"]
    name: str | None
    candidates: tuple[Candidate, ...]
    score: float | None
    llr: float | None
    threshold: float | None
    target_far: float | None
    gallery_size: int
    false_match_bound: float | None
    windows: tuple[WindowScore, ...]
    reason: str
    model: ModelInfo
    contract: PreprocessingContract
    warnings: tuple[str, ...] = ()
    videos: tuple[ScoredVideo, ...] = ()

    def __str__(self) -> str:
        return f"{self.name or self.decision}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "decision": self.decision,
            "name": self.name,
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "score": self.score,
            "llr": self.llr,
            "threshold": self.threshold,
            "target_far": self.target_far,
            "gallery_size": self.gallery_size,
            "false_match_bound": self.false_match_bound,
            "windows": [asdict(window) for window in self.windows],
            "reason": self.reason,
            **provenance(self.model, self.contract),
            "videos": [asdict(video) for video in self.videos],
            "warnings": list(self.warnings),
        }


def provenance(model: ModelInfo, contract: PreprocessingContract) -> dict[str, Any]:
    """The `model` and `contract` entries of every JSON answer."""
    return {"model": model.to_dict(), "contract": {**contract.to_dict(), "digest": contract.digest()}}


def check_far(model: ModelInfo, far: float | None = None) -> float | None:
    """The card's rate that equals `far` (None: the card's default); None for weights without thresholds.

    Raises
    ------
    InputError
        The weights have thresholds, but none at `far`.
    """
    if not model.thresholds:
        return None
    wanted = far if far is not None else model.default_far if model.default_far is not None else min(model.thresholds)
    for rate in model.thresholds:
        if math.isclose(rate, wanted, rel_tol=1e-6):
            return rate
    rates = ", ".join(f"{rate:g}" for rate in sorted(model.thresholds))
    raise InputError(f"false-accept rate {wanted:g} has no threshold in weights {model}; choose one of {rates}")


def choose_threshold(model: ModelInfo, windows: int, far: float | None = None) -> Threshold:
    """The threshold for `windows` independent windows (frames not shared).

    The one measured for the largest number of windows not above `windows`; when the card has only larger ones there is
    none. `far` None: the card's default.

    Raises
    ------
    InputError
        The weights have thresholds, but none at `far`.
    """
    known = check_far(model, far)
    if known is None:
        return Threshold(None, far, None)
    counts = [count for count in model.thresholds[known] if count <= windows]
    if not counts:
        return Threshold(None, known, None)
    return Threshold(model.thresholds[known][max(counts)], known, max(counts))


def verify_against(probe: Embedding, template: NDArray[np.float32], claimed: str, far: float | None = None) -> Decision:
    """Decide whether `probe` is driven by the owner of `template` (D,), a unit vector of the same space."""
    scores = probe.vectors @ template
    score = video_score(probe, scores)
    threshold = choose_threshold(probe.model, evidence(probe), far)
    verdict, reason = judge(probe, score, threshold)
    return Decision(
        decision=verdict,
        score=score,
        llr=likelihood_ratio(probe, score),
        threshold=threshold.score,
        target_far=threshold.far,
        windows=window_scores(probe, scores),
        reason=reason,
        model=probe.model,
        contract=probe.contract,
        claimed=claimed,
        warnings=probe.warnings,
        videos=scored_videos(probe),
    )


def identify_against(
    probe: Embedding, names: list[str], templates: NDArray[np.float32], far: float | None = None, top: int = 5
) -> Identification:
    """Decide which of `names`, if any, drives `probe`; `templates` (len(names), D) unit rows."""
    if top < 1:
        raise InputError(f"top is {top}; give at least 1")
    every = probe.vectors @ templates.T
    ranked: list[tuple[float, int]] = []
    for column in range(len(names)):
        value = video_score(probe, every[:, column])
        if value is not None:
            ranked.append((value, column))
    ranked.sort(key=lambda pair: (-pair[0], names[pair[1]]))
    threshold = choose_threshold(probe.model, evidence(probe), far)
    best = ranked[0] if ranked else None
    verdict, reason = judge(probe, best[0] if best else None, threshold)
    answer: Literal["match", "nobody", "abstain"] = "abstain"
    if verdict == "accept":
        answer = "match"
    elif verdict == "reject":
        answer = "nobody"
        reason = f"no enrolled driver reaches the threshold: the best {reason}"
    bound = None if threshold.score is None or threshold.far is None else min(1.0, len(names) * threshold.far)
    return Identification(
        decision=answer,
        name=names[best[1]] if best and answer == "match" else None,
        candidates=tuple(Candidate(names[column], value) for value, column in ranked[:top]),
        score=best[0] if best else None,
        llr=likelihood_ratio(probe, best[0] if best else None),
        threshold=threshold.score,
        target_far=threshold.far,
        gallery_size=len(names),
        false_match_bound=bound,
        windows=window_scores(probe, every[:, best[1]] if best else np.empty(0, np.float32)),
        reason=reason,
        model=probe.model,
        contract=probe.contract,
        warnings=probe.warnings,
        videos=scored_videos(probe),
    )


def compare_embeddings(a: Embedding, b: Embedding, far: float | None = None) -> Comparison:
    """Decide whether one person drives both; symmetric: the mean of both directions of windows against template."""
    a.require_comparable(b)
    template_a, template_b = _fallback_template(a), _fallback_template(b)
    score = None
    if template_a is not None and template_b is not None:
        forth, back = video_score(a, a.vectors @ template_b), video_score(b, b.vectors @ template_a)
        score = None if forth is None or back is None else (forth + back) / 2
    threshold = choose_threshold(a.model, min(evidence(a), evidence(b)), far)
    problems = [
        f"{', '.join(video.path for video in side.videos)}: {why}"
        for side in (a, b)
        if (why := unusable_reason(side)) is not None
    ]
    if problems:
        verdict: Verdict = "abstain"
        reason = "; ".join(problems)
    else:
        verdict, reason = judge(a, score, threshold)
    warnings = list(dict.fromkeys(a.warnings + b.warnings))
    if {video.content for video in a.videos} & {video.content for video in b.videos}:
        warnings.append("both sides hold the same video; the score says nothing about the driver")
    return Comparison(
        decision=verdict,
        score=score,
        llr=None,  # calibration is of a video against a template, not of two videos
        threshold=threshold.score,
        target_far=threshold.far,
        n_windows=(int(a.usable.sum()), int(b.usable.sum())),
        reason=reason,
        warnings=tuple(warnings),
        model=a.model,
        contract=a.contract,
        videos=(*scored_videos(a), *scored_videos(b)),
    )


def _fallback_template(side: Embedding) -> NDArray[np.float32] | None:
    return side.template if side.usable.any() else unit_mean(side.vectors)


def judge(probe: Embedding, score: float | None, threshold: Threshold) -> tuple[Verdict, str]:
    """The verdict on a score, with its reason."""
    problem = unusable_reason(probe)
    if problem is not None:
        return "abstain", problem
    if score is None:
        return "abstain", "the windows' vectors cancel out, no score exists"
    if threshold.score is None:
        if not probe.model.thresholds:
            return "abstain", f"weights {probe.model} have no threshold: they were never calibrated"
        return "abstain", f"weights {probe.model} have no threshold for so few windows"
    count = int(probe.usable.sum())
    over = f"mean of {count} windows" if count > 1 else "one window"
    limit = f"the threshold {threshold.score:.4f} (false accepts {threshold.far:g}, {threshold.windows} windows)"
    if score >= threshold.score:
        return "accept", f"score {score:.4f} ({over}) reaches {limit}"
    return "reject", f"score {score:.4f} ({over}) is below {limit}"
