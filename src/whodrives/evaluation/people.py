"""What an evaluation says of people: who is named rightly, and which groups of drivers fare worse."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.identification import cmc, fnir_at_fpir, search
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.pooling import TrialScores, unit_rows
from whodrives.evaluation.report.measure import fnir_entry, subgroup_entry
from whodrives.evaluation.report.parts import Identification, Subgroup
from whodrives.evaluation.subgroups import SubgroupResult, summarise_subgroups, terciles
from whodrives.evaluation.ties import products

EXPRESSIVITY = "expressivity (motion energy)"
FEWEST_TRIALS = 5


def identification(vectors: NDArray[np.float32], labels: VideoLabels) -> Identification | None:
    """Who is it? Every driver is enrolled with the mean of its first recording, the other recordings are probes.

    For FNIR at FPIR every second driver stays out of the gallery. None where nobody has two recordings.
    """
    unit = unit_rows(vectors)
    templates, people, probes = [], [], []
    for driver in labels.drivers:
        rows = np.flatnonzero(labels.driver == driver)
        first = np.sort(labels.recording[rows])[0]
        enrolled = rows[labels.recording[rows] == first]
        templates.append(unit[enrolled].mean(axis=0))
        people.append(str(driver))
        probes.extend(rows[labels.recording[rows] != first].tolist())
    if not probes or len(people) < 2:
        return None
    table = products(unit_rows(np.stack(templates)), unit[probes])
    who = labels.driver[probes].tolist()
    curve = cmc(search(table, people, who))
    fnir = {}
    if len(people) > 3:
        closed = search(table[::2], people[::2], who)
        fnir = {f"{rate:g}": fnir_entry(fnir_at_fpir(closed, rate)) for rate in (0.01, 0.1)}
    return Identification(float(curve[0]), tuple(curve[:20].tolist()), fnir)


def subgroups(
    energy: NDArray[np.float64],
    labels: VideoLabels,
    scores: TrialScores,
    attributes: Mapping[str, Mapping[str, str]],
) -> tuple[Subgroup, ...]:
    """AUC within each subgroup of drivers, all its trials pooled; and within terciles of the drivers' motion energy.

    Parameters
    ----------
    energy : (N,) of the videos that `labels` are of. scores : their trials; one between two subgroups counts in none.
    attributes : attribute -> driver -> subgroup.
    """
    groups: dict[str, Mapping[str, str]] = dict(attributes)
    mean = {str(name): float(energy[labels.driver == name].mean()) for name in labels.drivers}
    try:
        edges = terciles(list(mean.values()))
        groups[EXPRESSIVITY] = dict(zip(mean, edges.label(list(mean.values()))))
    except InputError:
        pass  # too few people to make three parts
    out = []
    for attribute, of_driver in groups.items():
        own = [of_driver.get(str(name), "") for name in scores.drivers]
        names = sorted(set(own) - {""})
        code = np.array([names.index(name) if name else -1 for name in own], np.int32)
        first, second = code[scores.first], code[scores.second]
        measured = _by_group(scores, np.where(first == second, first, -1), names)
        if measured is not None:
            out.append(subgroup_entry(attribute, measured, "AUC, pooled" if scores.per_target else "AUC"))
    return tuple(out)


def _by_group(scores: TrialScores, group: NDArray[np.int32], names: list[str]) -> SubgroupResult | None:
    """AUC of each group of trials, `group` (P,) a place in `names` or -1; None where none has enough trials.

    As `subgroups.by_subgroup`, which takes a Python label of every trial: too many of them for millions of trials.
    """
    values: dict[Hashable, float] = {}
    trials: dict[Hashable, tuple[int, int]] = {}
    skipped = []
    for number, name in enumerate(names):
        mine = group == number
        own, other = scores.score[mine & scores.genuine], scores.score[mine & ~scores.genuine]
        if min(len(own), len(other)) >= FEWEST_TRIALS:
            values[name], trials[name] = roc_auc(own, other), (len(own), len(other))
        elif len(own) or len(other):
            skipped.append(name)
    return replace(summarise_subgroups(values), trials=trials, skipped=tuple(skipped)) if values else None
