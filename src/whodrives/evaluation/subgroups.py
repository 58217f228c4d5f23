"""One metric for each subgroup of the trials: mean, worst, and the gap between best and worst."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError
from whodrives.evaluation.detection import finite_scores
from whodrives.evaluation.metrics import Scores

TERCILES = ("low", "middle", "high")
Groups = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class SubgroupResult:
    """values : the metric of each subgroup. mean : unweighted over subgroups. worst, best : (subgroup, value).

    gap : best - worst as a distance, >= 0; 0 for a single subgroup. trials : (genuine, impostor) of each subgroup that
    was measured, empty when not known. skipped : subgroups with too few trials.
    """

    values: dict[Hashable, float]
    mean: float
    worst: tuple[Hashable, float]
    best: tuple[Hashable, float]
    gap: float
    trials: dict[Hashable, tuple[int, int]]
    skipped: tuple[Hashable, ...] = ()


def summarise_subgroups(values: Mapping[Hashable, float], higher_is_better: bool = True) -> SubgroupResult:
    """Mean, worst, best and gap of values that were measured elsewhere; of equal ones the first in order is named.

    Raises InputError without a subgroup, or when a value is NaN or infinite.
    """
    if not values:
        raise InputError("no subgroup to summarise; give at least one with its value")
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise InputError(f"subgroup {bad[0]!r} has the value {values[bad[0]]}; leave out what could not be measured")
    plain = {name: float(value) for name, value in values.items()}
    low, high = min(plain.items(), key=lambda item: item[1]), max(plain.items(), key=lambda item: item[1])
    worst, best = (low, high) if higher_is_better else (high, low)
    return SubgroupResult(plain, float(np.mean(list(plain.values()))), worst, best, high[1] - low[1], {})


def _members(scores: ArrayLike, groups: Groups, name: str) -> dict[Hashable, Scores]:
    array, labels = finite_scores(scores, name), list(groups)
    if len(labels) != array.size:
        raise InputError(f"{len(labels)} subgroup labels for {array.size} {name} scores; give one label each")
    if any(label != label for label in labels):
        raise InputError(f"a subgroup label of the {name} trials is NaN; give None to leave a trial out")
    found: dict[Hashable, list[int]] = {}
    for number, label in enumerate(labels):
        if label is not None:
            found.setdefault(label, []).append(number)
    return {label: array[at] for label, at in found.items()}


def by_subgroup(
    metric: Callable[[Scores, Scores], float],
    genuine: ArrayLike,
    impostor: ArrayLike,
    genuine_groups: Groups,
    impostor_groups: Groups,
    higher_is_better: bool = True,
    minimum: int = 1,
) -> SubgroupResult:
    """`metric(genuine, impostor)` on the trials of each subgroup, in the order of the subgroups' names.

    Parameters
    ----------
    metric : such as `roc_auc`, or `eer` with higher_is_better False. genuine (n,), impostor (m,) : finite scores.
    genuine_groups (n,), impostor_groups (m,) : subgroup of each trial; None leaves the trial out. For impostor trials
    between two subgroups the caller decides: None is the stricter choice, since people of two subgroups are often
    easier to tell apart. minimum : trials of each kind under which a subgroup is skipped, and named as skipped.

    Raises InputError for empty or non-finite scores, labels that do not fit, or when no subgroup has enough trials.
    """
    if minimum < 1:
        raise InputError(f"minimum {minimum} must be at least 1")
    own, other = _members(genuine, genuine_groups, "genuine"), _members(impostor, impostor_groups, "impostor")
    none = np.empty(0)
    names: list[Any] = list({**own, **other})
    # Sorted, so that the order of trials does not matter; numbers and words at once only sort by their text.
    try:
        names.sort()
    except TypeError:
        names.sort(key=str)
    counts = {name: (own.get(name, none).size, other.get(name, none).size) for name in names}
    kept = [name for name in names if min(counts[name]) >= minimum]
    if not kept:
        raise InputError(
            f"none of {len(names)} subgroups has {minimum} genuine and {minimum} impostor trials; "
            "use coarser subgroups or a smaller minimum"
        )
    result = summarise_subgroups({name: metric(own[name], other[name]) for name in kept}, higher_is_better)
    return SubgroupResult(
        values=result.values,
        mean=result.mean,
        worst=result.worst,
        best=result.best,
        gap=result.gap,
        trials={name: counts[name] for name in kept},
        skipped=tuple(name for name in names if name not in kept),
    )


@dataclass(frozen=True)
class Terciles:
    """Edges of three parts of a continuous attribute, in its unit: low is <= first, middle <= second, high above."""

    first: float
    second: float

    def label(self, values: ArrayLike) -> list[str]:
        """(n,) values -> "low", "middle" or "high" for each. Raises InputError as `finite_scores`."""
        part = np.searchsorted([self.first, self.second], finite_scores(values, "attribute"), side="left")
        return [TERCILES[number] for number in part.tolist()]


def terciles(values: ArrayLike) -> Terciles:
    """Edges at a third and two thirds of the values, which are themselves values: the smallest reached by the share.

    Equal values are never split, so parts may differ in size. Give one value a person and not one a trial, or people
    with many trials set the edges. Raises InputError for empty or non-finite values, and when ties leave a part empty.
    """
    ordered = np.sort(finite_scores(values, "attribute"))
    # Whole-number ceilings of n / 3 and 2 n / 3: a float third may round over the edge.
    edges = Terciles(float(ordered[-(-ordered.size // 3) - 1]), float(ordered[-(-2 * ordered.size // 3) - 1]))
    if not edges.first < edges.second < ordered[-1]:
        raise InputError(
            f"{ordered.size} values with {np.unique(ordered).size} distinct ones do not make three parts; "
            "use the values themselves as subgroups"
        )
    return edges
