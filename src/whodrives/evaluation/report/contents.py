"""An evaluation result in words and grids: the main AUC, both protocols, the controls, then the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from whodrives.evaluation.detection import can_show
from whodrives.evaluation.report.document import NOTHING, Document, Grid, Section, count, percent, shown
from whodrives.evaluation.report.parts import (
    TABLE_RATES,
    Control,
    Fnir,
    NotMeasurable,
    PairCounts,
    Protocol,
    Subgroup,
)
from whodrives.evaluation.report.result import BOTH_PROTOCOLS, EvaluationResult
from whodrives.evaluation.report.shared import matrix_section, motion_section, provenance_section, scaling_section

PROTOCOL_WORDS = {
    "per_target_mean": "mean over targets; genuine: two self-reenactments of the target, impostor: a self- and a "
    "cross-reenactment that show it",
    "cross_target": "the paper's Eq. 1; genuine: one driver on two targets in two recordings, impostor: two drivers on "
    "one target",
}
CMC_RANKS = (1, 2, 3, 5, 10, 20, 50)


def _trials(pairs: PairCounts | None) -> str:
    return NOTHING if pairs is None else f"{pairs.genuine:,} / {pairs.impostor:,}"


def control_words(control: Control) -> str:
    """The AUC of a control, or "not trained (training AUC 0.61)" where it would be no evidence."""
    if control.says_something:
        return shown(control.auc, control.ci95)
    if control.training_auc is None:
        return "not trained (training AUC not known)"
    return f"not trained (training AUC {control.training_auc:.2f})"


def _restrictions(result: EvaluationResult) -> str:
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in result.restrictions.items())


def _provenance(result: EvaluationResult) -> Section:
    """With the restrictions once more: LaTeX prints tables alone."""
    section = provenance_section(result.provenance)
    if not result.restrictions:
        return section
    (grid,) = section.grids
    rows = (*grid.rows, ("trials and videos", _restrictions(result)))
    return replace(section, grids=(replace(grid, rows=rows),))


def _both(result: EvaluationResult) -> Section:
    pair = [result.protocols[name] for name in BOTH_PROTOCOLS]
    rows = [
        ("AUC [95%]", *(shown(one.auc, one.ci95) for one in pair)),
        ("pairs, genuine / impostor", *(_trials(one.n_pairs) for one in pair)),
    ]
    if any(one.distance_ratio is not None for one in pair):
        rows.append(("distance, genuine / impostor", *(shown(one.distance_ratio) for one in pair)))
    rows.append(("what is compared", *(PROTOCOL_WORDS[name] for name in BOTH_PROTOCOLS)))
    if any(one.note for one in pair):
        rows.append(("note", *(one.note or NOTHING for one in pair)))
    grids = [Grid("Both protocols", ("", *BOTH_PROTOCOLS), tuple(rows), prose=2)]
    others = {name: one for name, one in result.protocols.items() if name not in BOTH_PROTOCOLS}
    if others:
        grids.append(_others(others))
    limits = _restrictions(result)
    return Section("protocols", "Both protocols", (f"Trials and videos. {limits}.",) if limits else (), tuple(grids))


def _others(protocols: dict[str, Protocol]) -> Grid:
    header = ("protocol", "AUC [95%]", "pairs, genuine / impostor", "distance, genuine / impostor", "note")
    rows = tuple(
        (name, shown(one.auc, one.ci95), _trials(one.n_pairs), shown(one.distance_ratio), one.note or NOTHING)
        for name, one in protocols.items()
    )
    return Grid("Other protocols", header, rows, prose=1)


def _controls(result: EvaluationResult) -> Section:
    if not result.controls:
        return Section("controls", "Controls", ("No control was run: nothing here says what the AUC rests on.",))
    words = (
        "The same trials with something taken away. A control whose network has not learned (training AUC under 0.8, "
        "or not known) shows nothing, so its AUC is not printed.",
    )
    rows = tuple(
        (name, control_words(one), shown(one.training_auc), one.note or NOTHING)
        for name, one in result.controls.items()
    )
    grid = Grid("Controls", ("control", "AUC [95%]", "training AUC", "note"), rows, prose=1)
    return Section("controls", "Controls", words, (grid,))


def _verification(result: EvaluationResult) -> Section:
    rows = [("equal error rate", shown(result.eer, result.eer_ci95))]
    for far, entry in result.tar_at_far.items():
        value = (
            f"not measurable ({entry.not_measurable})"
            if isinstance(entry, NotMeasurable)
            else f"{shown(entry.tar, entry.ci95)} at score {entry.threshold:.4f}"
        )
        rows.append((f"true accepts at {percent(far)} false accepts", value))
    rows += [(f"minDCF, {name}", shown(cost)) for name, cost in result.min_dcf.items()]
    rows.append(("Cllr, bits", "not calibrated" if result.cllr is None else shown(result.cllr)))
    rows.append(("minCllr, bits", shown(result.min_cllr)))
    rows.append(("coverage", percent(round(result.coverage, 4))))
    if result.padded_share is not None:
        rows.append(("repeated frames of short videos", percent(round(result.padded_share, 4))))
    words = (
        "Every rate counts all trials with the raw score; coverage is the share of videos on which the verifier would "
        "not abstain. Thresholds were found on these trials, so they are no operating points.",
    )
    return Section("verification", "Verification", words, (Grid("Verification", ("figure", "value"), tuple(rows)),))


def _generators(result: EvaluationResult) -> list[Section]:
    if not result.auc.per_generator:
        return []
    rows = tuple((name, shown(one.value, one.ci95)) for name, one in result.auc.per_generator.items())
    return [Section("generators", "Generators", grids=(Grid("AUC by generator", ("generator", "AUC [95%]"), rows),))]


def _curves(result: EvaluationResult) -> list[Section]:
    if result.curves is None:
        return []
    trials = result.n_pairs.impostor
    rates = [rate for rate in TABLE_RATES if trials and can_show(rate, trials)]

    def reached(far: tuple[float, ...], other: tuple[float, ...], best: str) -> list[str]:
        """The best of the other rate among points whose FAR is within the limit."""
        x, y = np.asarray(far), np.asarray(other)
        within = [y[x <= rate + 1e-12] for rate in rates]
        return [shown(float(getattr(np, best)(one))) if one.size else NOTHING for one in within]

    det, roc = result.curves.det, result.curves.roc
    misses = tuple(zip(map(percent, rates), reached(det.far, det.frr, "min")))
    accepts = tuple(zip(map(percent, rates), reached(roc.far, roc.tar, "max")))
    return [
        Section(
            "det",
            "DET curve",
            ("False rejects against false accepts on normal-deviate axes, all trials pooled; lower left is better.",),
            instead=(Grid("Points of the DET curve", ("false accepts, at most", "false rejects"), misses),),
        ),
        Section(
            "roc",
            "ROC curve",
            instead=(Grid("Points of the ROC curve", ("false accepts, at most", "true accepts"), accepts),),
        ),
    ]


def by_value(values: dict[str, float]) -> list[tuple[str, float]]:
    """Highest first, equal ones by name."""
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))


def _targets(result: EvaluationResult) -> list[Section]:
    values = result.auc.per_target
    if not values:
        return []
    mean = float(np.mean(list(values.values())))
    words = (f"{count(len(values), 'target')}, mean {shown(mean)}, worst {shown(min(values.values()))}.",)
    grid = Grid("AUC by target", ("target", "AUC"), tuple((name, shown(value)) for name, value in by_value(values)))
    return [Section("targets", "Targets", words, instead=(grid,))]


def _scores(result: EvaluationResult) -> list[Section]:
    if result.histograms is None:
        return []
    bars = result.histograms
    totals = sum(bars.genuine), sum(bars.impostor)
    rows = tuple(
        (f"{low:.4f} to {high:.4f}", f"{own:,}", percent(round(own / totals[0], 4)), f"{other:,}",
         percent(round(other / totals[1], 4)))
        for low, high, own, other in zip(bars.edges[:-1], bars.edges[1:], bars.genuine, bars.impostor)
    )  # fmt: skip
    header = ("score", "genuine", "share", "impostor", "share")
    words = ("Shares of the genuine and of the impostor trials; a wide first or last bin is drawn narrow.",)
    return [Section("scores", "Scores", words, instead=(Grid("Scores", header, rows),), only_figure=True)]


def _identification(result: EvaluationResult) -> list[Section]:
    found = result.identification
    if found is None:
        return []
    rows = [("rank 1", shown(found.rank1))]
    rows += [(f"rank {k} or better", shown(found.cmc[k - 1])) for k in CMC_RANKS[1:] if k <= len(found.cmc)]
    for fpir, entry in found.fnir_at_fpir.items():
        value = (
            f"{shown(entry.fnir)} at score {entry.threshold:.4f}"
            if isinstance(entry, Fnir)
            else f"not measurable ({entry.not_measurable})"
        )
        rows.append((f"missed at {percent(fpir)} false alarms (FNIR at FPIR)", value))
    return [
        Section("identification", "Identification", grids=(Grid("Identification", ("figure", "value"), tuple(rows)),))
    ]


def _subgroups(subgroups: Iterable[Subgroup]) -> list[Section]:
    grids = []
    for one in subgroups:
        rows = [(name, shown(value), _trials(one.trials.get(name))) for name, value in one.values.items()]
        rows += [(name, "too few trials", _trials(one.trials.get(name))) for name in one.skipped]
        rows.append(("gap, best to worst", shown(one.gap), NOTHING))
        grids.append(Grid(one.attribute, (one.attribute, one.metric, "trials, genuine / impostor"), tuple(rows)))
    return [Section("subgroups", "Subgroups", grids=tuple(grids))] if grids else []


def evaluation_document(result: EvaluationResult) -> Document:
    """The whole report of one model on one data set."""
    origin = result.provenance
    pairs = result.n_pairs
    split = f", split {origin.split}" if origin.split else ""
    size = ", ".join(
        (count(result.n_videos, "video"), count(result.n_drivers, "driver"), count(result.n_targets, "target"))
    )
    words = (
        f"{origin.model} on {origin.data} ({origin.data_kind}{split}): {size}; "
        f"{count(pairs.genuine, 'genuine pair')} and {count(pairs.impostor, 'impostor pair')}. Intervals are 95%.",
    )
    sections = (
        _both(result),
        _controls(result),
        *_generators(result),
        _verification(result),
        *_curves(result),
        *_targets(result),
        *_scores(result),
        *_identification(result),
        *_subgroups(result.subgroups),
        *matrix_section(result.matrix),
        *scaling_section(result.scaling),
        *motion_section(result.motion_ratio),
        _provenance(result),
    )
    lead = f"AUC {shown(result.auc.overall, result.auc.ci95)} ({result.protocol})"
    return Document(origin.model, f"Evaluation of {origin.model}", lead, words, sections)
