"""Subgroup metrics against plain loops; terciles on ties and small numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.evaluation.metrics import eer, roc_auc
from whodrives.evaluation.subgroups import Terciles, by_subgroup, summarise_subgroups, terciles

TRIALS = st.lists(st.tuples(st.integers(-9, 9), st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=30)


def test_by_hand() -> None:
    result = by_subgroup(
        roc_auc,
        [1.0, 0.0, 5.0, 7.0, 9.0],
        [0.5, 0.5, 4.0, 9.0],
        ["x", "x", "y", "z", None],
        ["x", "x", "y", None],
    )
    assert result.values == {"x": 0.5, "y": 1.0}
    assert result.mean == 0.75
    assert (result.worst, result.best, result.gap) == (("x", 0.5), ("y", 1.0), 0.5)
    assert result.trials == {"x": (2, 2), "y": (1, 1)}
    assert result.skipped == ("z",)


def test_lower_is_better_turns_worst_and_best() -> None:
    values = {"f": 0.1, "m": 0.3, "n": 0.2}
    result = summarise_subgroups(values, higher_is_better=False)
    assert (result.worst, result.best) == (("m", 0.3), ("f", 0.1))
    assert result.gap == pytest.approx(0.2)
    assert result.mean == pytest.approx(0.2)
    assert summarise_subgroups(values).worst == ("f", 0.1)
    single = summarise_subgroups({"only": 0.4})
    assert (single.gap, single.worst, single.best) == (0.0, ("only", 0.4), ("only", 0.4))
    ties = summarise_subgroups({"p": 0.4, "q": 0.4})
    assert (ties.worst, ties.best) == (("p", 0.4), ("p", 0.4))


@settings(max_examples=60, deadline=None)
@given(TRIALS, TRIALS, st.integers(1, 3), st.randoms())
def test_values_are_the_loop_and_order_does_not_matter(
    genuine: list[tuple[int, str | None]], impostor: list[tuple[int, str | None]], minimum: int, random: object
) -> None:
    expected, skipped = {}, []
    for name in "abc":
        own, other = ([score for score, group in side if group == name] for side in (genuine, impostor))
        if min(len(own), len(other)) >= minimum:
            expected[name] = eer(own, other)
        elif own or other:
            skipped.append(name)

    def run(
        own: list[tuple[int, str | None]], other: list[tuple[int, str | None]]
    ) -> tuple[dict[object, float], tuple[object, ...], float, float, float]:
        (own_scores, own_groups), (other_scores, other_groups) = zip(*own), zip(*other)
        result = by_subgroup(
            eer, own_scores, other_scores, own_groups, other_groups, higher_is_better=False, minimum=minimum
        )
        return result.values, result.skipped, result.worst[1], result.best[1], result.gap

    if not expected:
        with pytest.raises(InputError, match="coarser"):
            run(genuine, impostor)
        return
    values, left_out, worst, best, gap = run(genuine, impostor)
    assert values == expected
    assert list(left_out) == skipped
    assert (worst, best) == (max(expected.values()), min(expected.values()))
    assert gap == worst - best >= 0
    shuffled = list(genuine)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert run(shuffled, impostor[::-1]) == (values, left_out, worst, best, gap)


@pytest.mark.parametrize(
    ("names", "order"), [([30, 4, 200], [4, 30, 200]), (["two", 30, 4], [30, 4, "two"]), (["y", "x"], ["x", "y"])]
)
def test_subgroups_are_sorted_and_may_be_numbers_and_words(names: list[object], order: list[object]) -> None:
    result = by_subgroup(roc_auc, [1.0] * len(names), [0.0] * len(names), names, names[::-1])
    assert list(result.values.items()) == [(name, 1.0) for name in order]


def test_subgroups_refuse_bad_input() -> None:
    with pytest.raises(InputError, match="no subgroup"):
        summarise_subgroups({})
    with pytest.raises(InputError, match="'m' has the value nan"):
        summarise_subgroups({"f": 0.5, "m": math.nan})
    with pytest.raises(InputError, match="1 subgroup labels for 2 genuine"):
        by_subgroup(roc_auc, [1.0, 2.0], [0.0], ["a"], ["a"])
    with pytest.raises(InputError, match="label of the impostor trials is NaN"):
        by_subgroup(roc_auc, [1.0], [0.0], ["a"], [math.nan])
    with pytest.raises(InputError, match="no genuine"):
        by_subgroup(roc_auc, [], [0.0], [], ["a"])
    with pytest.raises(InputError, match="NaN or infinite"):
        by_subgroup(roc_auc, [math.nan], [0.0], ["a"], ["a"])
    with pytest.raises(InputError, match="coarser"):
        by_subgroup(roc_auc, [1.0], [0.0], [None], [None])
    with pytest.raises(InputError, match="minimum 0"):
        by_subgroup(roc_auc, [1.0], [0.0], ["a"], ["a"], minimum=0)


@given(st.sets(st.integers(-1000, 1000), min_size=3, max_size=50))
def test_terciles_of_distinct_values_differ_by_one_at_most(values: set[int]) -> None:
    labels = terciles(list(values)).label(list(values))
    sizes = [labels.count(part) for part in ("low", "middle", "high")]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(values)
    rising = [labels[number] for number in np.argsort(list(values))]
    assert rising == sorted(rising, key=["low", "middle", "high"].index)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_terciles_never_split_ties_nor_leave_a_part_empty(values: list[int]) -> None:
    ordered = sorted(values)
    n = len(ordered)
    # The edges are the values at the ceilings of n / 3 and 2 n / 3; a part is empty when they meet or nothing is above.
    edges = ordered[(n + 2) // 3 - 1], ordered[(2 * n + 2) // 3 - 1]
    if len({*edges, ordered[-1]}) < 3:
        with pytest.raises(InputError, match="do not make three parts"):
            terciles(values)
        return
    labels = terciles(values).label(values)
    assert set(labels) == {"low", "middle", "high"}
    assert len(set(zip(values, labels))) == len(set(values))


def test_terciles_by_hand() -> None:
    edges = terciles([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert edges == Terciles(2.0, 4.0)
    assert edges.label([0.0, 2.0, 2.1, 4.0, 99.0]) == ["low", "low", "middle", "middle", "high"]
    for few in ([1.0], [1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0], [7.0] * 9):
        with pytest.raises(InputError, match="three parts"):
            terciles(few)
    with pytest.raises(InputError, match="no attribute"):
        terciles([])
    with pytest.raises(InputError, match="NaN"):
        edges.label([math.nan])
