"""Closed- and open-set identification against hand-made cases and plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from whodrives.errors import InputError
from whodrives.evaluation.identification import cmc, fnir_at_fpir, open_set_rates, rank_one, search

Case = tuple[np.ndarray, list[str], list[str | None]]
FEW = settings(max_examples=60, deadline=None)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to 8 templates of a, b, c, d and 12 probes, at least one of an enrolled and one of an unknown person."""
    gallery = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8))
    probe: list[str | None] = draw(st.lists(st.sampled_from([*"abcde", None]), max_size=10))
    probe += [gallery[0], "x"]
    size = len(gallery) * len(probe)
    table = draw(st.lists(st.integers(-5, 5), min_size=size, max_size=size))
    return np.array(table, dtype=float).reshape(len(gallery), len(probe)), gallery, probe


def loop_best(case: Case, p: int) -> dict[str, float]:
    table, gallery, _ = case
    best: dict[str, float] = {}
    for g, name in enumerate(gallery):
        best[name] = max(best.get(name, -math.inf), table[g, p])
    return best


def loop_rates(case: Case, threshold: float, rank: int) -> tuple[float, float]:
    """FPIR and FNIR by asking each probe's candidate list, ties against the right person."""
    alarms, misses = [], []
    for p, name in enumerate(case[2]):
        best = loop_best(case, p)
        if name in best:
            above = [other for other in best if other != name and best[other] >= best[name]]
            misses.append(len(above) + 1 > rank or best[name] < threshold)
        else:
            alarms.append(any(score >= threshold for score in best.values()))
    return float(np.mean(alarms)), float(np.mean(misses))


# Rows: ana (twice), bo, cy. Columns: ana, bo, cy, two strangers.
SCORES = [
    [0.9, 0.1, 0.6, 0.2, 0.3],
    [0.2, 0.3, 0.1, 0.5, 0.1],
    [0.4, 0.2, 0.5, 0.1, 0.7],
    [0.1, 0.0, 0.3, 0.4, 0.6],
]
GALLERY, PROBE = ["ana", "ana", "bo", "cy"], ["ana", "bo", "cy", "dan", None]


def test_by_hand() -> None:
    searches = search(SCORES, GALLERY, PROBE)
    assert searches.rank.tolist() == [1, 2, 3]
    assert searches.mate.tolist() == [0.9, 0.2, 0.3]
    assert searches.stranger.tolist() == [0.5, 0.7]
    assert searches.people == 3
    assert cmc(searches) == pytest.approx([1 / 3, 2 / 3, 1])
    assert rank_one(searches) == pytest.approx(1 / 3)
    rates = open_set_rates(searches, 0.6)
    assert (rates.fpir, rates.n_mated, rates.n_unmated) == (0.5, 3, 2)
    assert rates.fnir == pytest.approx(2 / 3)
    assert open_set_rates(searches, 0.2, rank=2).fnir == pytest.approx(1 / 3)
    assert open_set_rates(searches, -math.inf, rank=3).fnir == 0
    assert open_set_rates(searches, -math.inf).fpir == 1
    nobody = open_set_rates(searches, math.inf)
    assert (nobody.fpir, nobody.fnir) == (0, 1)
    half = fnir_at_fpir(searches, 0.5)
    assert half.measurable
    assert half.rates is not None
    assert (half.rates.fpir, str(half)) == (0.5, "0.667")
    few = fnir_at_fpir(searches, 0.1)
    assert not few.measurable
    assert (few.smallest_fpir, str(few)) == (0.5, "not measurable (smallest FPIR 0.5)")


@FEW
@given(cases())
def test_ranks_and_cmc_are_the_loops(case: Case) -> None:
    searches = search(*case)
    expected = []
    for p, name in enumerate(case[2]):
        best = loop_best(case, p)
        if name in best:
            expected.append(1 + sum(best[other] >= best[name] for other in best if other != name))
    assert searches.rank.tolist() == expected
    curve = cmc(searches)
    assert curve.tolist() == pytest.approx([np.mean([r <= k for r in expected]) for k in range(1, len(curve) + 1)])
    assert curve[-1] == pytest.approx(1)
    assert rank_one(searches) == curve[0]


@FEW
@given(cases(), st.integers(-6, 6), st.integers(1, 4))
def test_open_set_rates_are_the_loop(case: Case, threshold: int, rank: int) -> None:
    searches = search(*case)
    rates = open_set_rates(searches, threshold, rank)
    assert (rates.fpir, rates.fnir) == pytest.approx(loop_rates(case, threshold, rank))
    higher = open_set_rates(searches, threshold + 1, rank)
    assert higher.fpir <= rates.fpir
    assert higher.fnir >= rates.fnir
    assert open_set_rates(searches, threshold, rank + 1).fnir <= rates.fnir
    assert rates.fnir >= 1 - cmc(searches)[min(rank, searches.people) - 1] - 1e-12


@FEW
@given(cases(), st.floats(0.05, 0.95))
def test_fnir_at_fpir_is_the_best_allowed_threshold(case: Case, fpir: float) -> None:
    searches = search(*case)
    result = fnir_at_fpir(searches, fpir)
    assert result.measurable == (searches.stranger.size * fpir >= 1 - 1e-9)
    if result.rates is None:
        return
    assert result.rates.fpir <= fpir + 1e-9
    allowed = [loop_rates(case, t, 1) for t in [*np.unique(case[0]), math.inf]]
    assert result.rates.fnir == pytest.approx(min(fnir for false, fnir in allowed if false <= fpir + 1e-9))


@FEW
@given(cases(), st.integers(0, 1000))
def test_order_and_rising_maps_change_nothing(case: Case, seed: int) -> None:
    table, gallery, probe = case
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(gallery)), rng.permutation(len(probe))
    moved = np.exp(table[np.ix_(rows, columns)])
    before, after = search(*case), search(moved, [gallery[g] for g in rows], [probe[p] for p in columns])
    assert cmc(after).tolist() == cmc(before).tolist()
    assert sorted(after.rank.tolist()) == sorted(before.rank.tolist())
    one, two = fnir_at_fpir(before, 0.5), fnir_at_fpir(after, 0.5)
    assert one.measurable == two.measurable
    if one.rates is not None and two.rates is not None:
        assert (one.rates.fpir, one.rates.fnir) == (two.rates.fpir, two.rates.fnir)


def test_cmc_is_scikit_learn_without_ties() -> None:
    rng = np.random.default_rng(0)
    table, probe = rng.normal(size=(6, 40)), np.arange(40) % 6
    table[probe, np.arange(40)] += 1
    curve = cmc(search(table, np.arange(6), probe))
    for k in range(1, 6):
        assert curve[k - 1] == pytest.approx(top_k_accuracy_score(probe, table.T, k=k))


def test_ties_and_single_trials() -> None:
    # Constant scores identify nobody: every other person is ranked first.
    assert search(np.zeros((3, 3)), list("abc"), list("abc")).rank.tolist() == [3, 3, 3]
    # A person's own templates do not stand in each other's way.
    assert search(np.zeros((3, 1)), list("aaa"), ["a"]).rank.tolist() == [1]
    one = search([[0.5]], ["a"], ["a"])
    assert cmc(one).tolist() == [1]
    assert (one.people, one.stranger.size) == (1, 0)
    perfect = search(np.eye(3)[:, [0, 1, 2, 2]] * [1, 1, 1, 0], list("abc"), [*"abc", "z"])
    rates = open_set_rates(perfect, 0.5)
    assert (rates.fpir, rates.fnir) == (0, 0)


def test_numbers_and_words_are_different_people() -> None:
    searches = search([[1.0, 0.0]], [1], [1, "1"])
    assert (searches.mate.tolist(), searches.stranger.tolist()) == ([1.0], [0.0])


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least one of each"):
        search(np.empty((0, 3)), [], ["a", "b", "c"])
    with pytest.raises(InputError, match="templates, probes"):
        search([1.0, 2.0], ["a"], ["a"])
    with pytest.raises(InputError, match="1 of 2 scores are NaN or infinite"):
        search([[math.nan, 1.0]], ["a"], ["a", "b"])
    with pytest.raises(InputError, match="2 gallery labels for 1"):
        search([[1.0]], ["a", "b"], ["a"])
    with pytest.raises(InputError, match="probe label is NaN"):
        search([[1.0]], ["a"], [math.nan])
    with pytest.raises(InputError, match="gallery label is None"):
        search([[1.0]], [None], [None])
    strangers, friends = search([[1.0]], ["a"], ["b"]), search([[1.0]], ["a"], ["a"])
    for function in (cmc, rank_one, lambda s: open_set_rates(s, 0.0)):
        with pytest.raises(InputError, match="enrol some"):
            function(strangers)
    with pytest.raises(InputError, match="left out of it"):
        fnir_at_fpir(friends, 0.5)
    both = search([[1.0, 0.0]], ["a"], ["a", "b"])
    with pytest.raises(InputError, match="NaN"):
        open_set_rates(both, math.nan)
    with pytest.raises(InputError, match="rank 0"):
        open_set_rates(both, 0.0, rank=0)
    with pytest.raises(InputError, match="between 0 and 1"):
        fnir_at_fpir(both, 1.0)
