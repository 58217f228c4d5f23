"""Intervals over people: left-out values against really leaving out, copies against really copying, and coverage."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm, t

from whodrives.errors import InputError
from whodrives.evaluation import intervals
from whodrives.evaluation.intervals import (
    Interval,
    metric_interval,
    paired_pairs_interval,
    paired_per_target_interval,
    pairs_interval,
    people_interval,
    per_target_interval,
    resampled,
)
from whodrives.evaluation.metrics import eer, roc_auc, tar_at_far
from whodrives.evaluation.protocols import Pairs, cosines, cross_target_pairs, per_target_scores, recording_pairs
from whodrives.evaluation.resampling import leave_one_out_interval


class Study:
    """Everyone owns a face and drives all others; two recordings on the own face, one video on each other face."""

    def __init__(self, seed: int, people: int = 6, identity: float = 1.0, takes: int = 2) -> None:
        rng = np.random.default_rng(seed)
        rows = [(p, f, r) for p, f in itertools.product(range(people), repeat=2) for r in range(takes if p == f else 1)]
        driver, target, take = np.array(rows).T
        self.driver, self.target = np.char.add("d", driver.astype(str)), np.char.add("f", target.astype(str))
        self.recording, self.is_self = driver * takes + (take + target) % takes, driver == target
        self.person = rng.normal(size=(people, 6))[driver]
        self.rest = rng.normal(size=(len(rows), 6)) + 0.3 * rng.normal(size=(people, 6))[target]
        self.scores = self.seen(identity)

    def seen(self, identity: float) -> NDArray[np.float64]:
        return cosines(identity * self.person + self.rest)

    def pairs(self, scores: NDArray[np.float64] | None = None) -> Pairs:
        return recording_pairs(self.scores if scores is None else scores, self.driver, self.target, self.recording)

    @property
    def labels(self) -> tuple[NDArray, NDArray, NDArray]:
        return self.driver, self.target, self.is_self


def auc(genuine: list[float], impostor: list[float]) -> float:
    return float(np.mean([(g > i) + 0.5 * (g == i) for g in genuine for i in impostor]))


def probit(share: float) -> float:
    return float(norm.ppf(min(max(share, 1e-4), 1 - 1e-4)))


def spread(left_out: list[float]) -> float:
    """The jackknife variance of probits, in plain numbers."""
    probits = [probit(one) for one in left_out]
    mean = sum(probits) / len(probits)
    return (len(probits) - 1) / len(probits) * sum((one - mean) ** 2 for one in probits)


def around(value: float, variance: float, people: int) -> tuple[float, float]:
    reach = t.ppf(0.975, people - 1) * math.sqrt(variance)
    return norm.cdf(probit(value) - reach), norm.cdf(probit(value) + reach)


def auc_of(pairs: Pairs, kept: list[int]) -> float:
    genuine = [float(pairs.score[n]) for n in kept if pairs.genuine[n]]
    return auc(genuine, [float(pairs.score[n]) for n in kept if not pairs.genuine[n]])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_pairs_interval_is_the_jackknife_by_really_leaving_out(seed: int, ties: bool) -> None:
    study = Study(seed)
    scores = np.round(study.scores, 1) if ties else study.scores
    pairs = cross_target_pairs(scores, study.driver, study.target, study.recording)
    value, count = pairs.result().auc, len(pairs.score)
    people = [
        auc_of(pairs, [n for n in range(count) if name not in (pairs.first[n], pairs.second[n])])
        for name in np.unique(study.driver)
    ]
    faces = [
        auc_of(pairs, [n for n in range(count) if name not in (pairs.first_target[n], pairs.second_target[n])])
        for name in np.unique(study.target)
    ]
    drivers_only = pairs_interval(replace(pairs, first_target=None, second_target=None))
    assert drivers_only.value == pytest.approx(value, abs=1e-12)
    assert (drivers_only.low, drivers_only.high) == pytest.approx(around(value, spread(people), 6), abs=1e-9)
    assert (drivers_only.rounds, drivers_only.seed, drivers_only.method) == (6, None, "leave-one-person-out")

    genuine, impostor = pairs.score[pairs.genuine], pairs.score[~pairs.genuine]
    both: dict[tuple[str, str], float] = {}
    for n in range(count):
        if pairs.genuine[n]:
            moves = (auc([pairs.score[n]], list(impostor)) - value) / len(genuine)
        else:
            moves = (auc(list(genuine), [pairs.score[n]]) - value) / len(impostor)
        ends = {(pairs.first[n], pairs.first_target[n]), (pairs.second[n], pairs.second_target[n])}
        for end in ends:
            both[end] = both.get(end, 0.0) + moves
    shared = sum(one**2 for one in both.values()) / norm.pdf(probit(value)) ** 2
    variance = max(spread(people) + spread(faces) - shared, spread(people))
    interval = pairs_interval(pairs)
    assert (interval.low, interval.high) == pytest.approx(around(value, variance, 6), abs=1e-9)


def test_faces_that_cannot_be_left_out_are_left_aside() -> None:
    study = Study(7)
    pairs = study.pairs()
    plain = pairs_interval(replace(pairs, first_target=None, second_target=None))
    one_face = np.full(len(pairs.score), "f0")
    assert pairs_interval(replace(pairs, first_target=one_face, second_target=one_face)) == plain
    assert pairs_interval(pairs).half_width >= plain.half_width


def test_selected_pairs_keep_their_faces() -> None:
    pairs = Study(0).pairs()
    some = pairs.select(pairs.score > 0)
    assert some.first_target is not None
    assert some.second_target is not None
    assert np.array_equal(some.first_target, pairs.first_target[pairs.score > 0])
    assert np.array_equal(some.second_target, pairs.second_target[pairs.score > 0])
    assert replace(pairs, first_target=None, second_target=None).select(np.arange(3)).first_target is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_per_target_interval_is_the_jackknife_less_half_of_what_counts_twice(seed: int) -> None:
    study = Study(seed, takes=3)
    driver, target, is_self = study.labels
    left_out = []
    for name in np.unique(driver):
        kept = np.flatnonzero((driver != name) & (target != name.replace("d", "f")))
        left_out.append(per_target_scores(study.scores[np.ix_(kept, kept)], target[kept], is_self[kept]).auc)
    value = per_target_scores(study.scores, target, is_self).auc
    influence: dict[frozenset[str], float] = {}
    faces = np.unique(target)
    for face in faces:
        own = np.flatnonzero((target == face) & is_self)
        cross = np.flatnonzero((target == face) & ~is_self)
        positives = [study.scores[a, b] for a, b in itertools.combinations(own, 2)]
        for one in cross:
            gain = sum(auc(positives, [study.scores[a, one]]) - value for a in own) / (len(own) * len(cross))
            who = frozenset((str(driver[own[0]]), str(driver[one])))
            influence[who] = influence.get(who, 0.0) + gain / len(faces)
    interval = per_target_interval(study.scores, *study.labels)
    shared = sum(one**2 for one in influence.values()) / 2 / norm.pdf(probit(value)) ** 2
    variance = max(spread(left_out) - shared, spread(left_out) / 2)
    assert shared > 0
    assert interval.value == pytest.approx(value, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx(around(value, variance, 6), abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_resampled_scores_are_those_of_copied_people(seed: int, counts: list[int]) -> None:
    pairs = Study(seed).pairs()
    times = dict(zip(np.unique(pairs.first), counts, strict=True))
    expected: dict[bool, list[float]] = {True: [], False: []}
    for score, same, a, b in zip(pairs.score, pairs.genuine, pairs.first, pairs.second, strict=True):
        for _ in range(times[a]):
            expected[bool(same)].extend([float(score)] * (1 if same else times[b]))
    genuine, impostor = resampled(pairs, np.array(counts))
    assert sorted(genuine) == sorted(expected[True])
    assert sorted(impostor) == sorted(expected[False])
    if genuine.size and impostor.size:
        assert roc_auc(genuine, impostor) == pytest.approx(auc(expected[True], expected[False]), abs=1e-12)


def test_a_model_does_not_differ_from_itself() -> None:
    study = Study(0)
    for interval in (
        paired_pairs_interval(study.pairs(), study.pairs()),
        paired_per_target_interval(study.scores, study.scores, *study.labels),
    ):
        assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_a_paired_interval_is_narrower_than_two_and_turns_with_its_sign() -> None:
    study = Study(1, people=12, takes=3)
    good, poor = study.seen(1.2), study.seen(0.9)
    for paired, single in (
        (lambda a, b: paired_pairs_interval(study.pairs(a), study.pairs(b)), lambda a: pairs_interval(study.pairs(a))),
        (
            lambda a, b: paired_per_target_interval(a, b, *study.labels),
            lambda a: per_target_interval(a, *study.labels),
        ),
    ):
        one, two = single(good), single(poor)
        interval, mirrored = paired(good, poor), paired(poor, good)
        assert interval.value == pytest.approx(one.value - two.value, abs=1e-12)
        assert interval.half_width < 0.5 * math.hypot(one.half_width, two.half_width)
        assert interval.low > 0, "the intervals of the two overlap, and yet one model is better"
        assert one.low < two.high
        assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-12)


def test_other_trials_cannot_be_compared() -> None:
    study = Study(2)
    pairs = study.pairs()
    for other in (
        replace(pairs, genuine=~pairs.genuine),
        replace(pairs, first=pairs.second, second=pairs.first),
        replace(pairs, first_target=None, second_target=None),
        Pairs(pairs.score[1:], pairs.genuine[1:], pairs.first[1:], pairs.second[1:]),
    ):
        with pytest.raises(InputError, match="not scored on the same trials"):
            paired_pairs_interval(pairs, other)
    with pytest.raises(InputError, match="scores have shape"):
        paired_per_target_interval(study.scores, study.scores[1:, 1:], *study.labels)


def test_seeds_decide_what_is_drawn_and_nothing_else() -> None:
    pairs = Study(3).pairs()
    once, again, other = (metric_interval(pairs, eer, rounds=50, seed=seed) for seed in (4, 4, 5))
    assert once == again
    assert once.low != other.low
    assert once.value == other.value == eer(pairs.score[pairs.genuine], pairs.score[~pairs.genuine])
    assert (once.seed, once.rounds, once.method) == (4, 50, "people bootstrap")
    assert pairs_interval(pairs, rounds=5, seed=1) == pairs_interval(pairs, rounds=500, seed=2), "nothing is drawn"
    tar = metric_interval(pairs, lambda genuine, impostor: tar_at_far(genuine, impostor, 0.1), rounds=50)
    assert 0.0 <= tar.low <= tar.value <= tar.high <= 1.0


def test_both_methods_agree_on_a_mean() -> None:
    """For a mean the jackknife is the standard error, and the bootstrap nearly so."""
    values = np.random.default_rng(0).normal(size=40)

    def mean(counts: NDArray[np.int64]) -> float:
        return float(np.average(values, weights=counts))

    drawn = people_interval(mean, 40, rounds=4000, share=False)
    left = leave_one_out_interval(values.mean(), (values.sum() - values) / 39, share=False)
    reach = t.ppf(0.975, 39) * values.std(ddof=1) / math.sqrt(40)
    assert left.half_width == pytest.approx(reach, rel=1e-9)
    assert drawn.half_width == pytest.approx(reach, rel=0.05)
    assert leave_one_out_interval(0.5, left_out=np.array([0.4, 0.5, 0.6]), level=0.5).half_width < 0.2


def test_more_confidence_is_wider_and_ends_stay_in_range() -> None:
    study = Study(4, identity=4.0)
    narrow, wide = (pairs_interval(study.pairs(), level=level) for level in (0.8, 0.99))
    assert 0.0 <= wide.low < narrow.low < narrow.value < narrow.high < wide.high <= 1.0
    assert Interval(0.5, 0.4, 0.7, 10).half_width == pytest.approx(0.15)
    assert Interval(0.5, 0.4, 0.7, 10).holds(0.4)
    assert not Interval(0.5, 0.4, 0.7, 10).holds(0.71)
    assert str(Interval(0.5, 0.4, 0.7, 10)) == "0.500 [0.400, 0.700]"
    perfect = replace(study.pairs(), score=study.pairs().genuine.astype(np.float64))
    assert (pairs_interval(perfect).low, pairs_interval(perfect).high) == pytest.approx((1.0, 1.0), abs=2e-4)


def test_too_little_is_an_error() -> None:
    single = Pairs(np.arange(4.0), np.array([True, True, False, False]), np.array(list("aaab")), np.array(list("aabc")))
    with pytest.raises(InputError, match="hold all genuine"):
        pairs_interval(single)
    with pytest.raises(InputError, match="no genuine"):
        pairs_interval(replace(single, genuine=np.zeros(4, dtype=bool)))
    with pytest.raises(InputError, match="NaN"):
        pairs_interval(replace(single, score=np.full(4, np.nan)))
    study = Study(0)
    with pytest.raises(InputError, match="two self-reenactments"):
        per_target_interval(study.scores, study.driver, study.target, np.zeros(len(study.driver), dtype=bool))
    with pytest.raises(InputError, match="NaN"):
        per_target_interval(np.full_like(study.scores, np.nan), *study.labels)
    two = Study(0, people=2)
    with pytest.raises(InputError, match="at least 3"):
        per_target_interval(two.scores, *two.labels)
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(InputError, match="level"):
            pairs_interval(study.pairs(), level=level)
        with pytest.raises(InputError, match="level"):
            metric_interval(study.pairs(), eer, level=level)
    with pytest.raises(InputError, match="no resample"):
        people_interval(lambda counts: 0.5 if counts.max() == 1 else math.nan, 30, rounds=20)
    with pytest.raises(InputError, match="on all 4 people"):
        people_interval(lambda counts: math.nan, 4)
    with pytest.raises(InputError, match="at least 2 of each"):
        people_interval(lambda counts: 0.5, 1)
    with pytest.raises(InputError, match="one each"):
        resampled(single, np.ones(2, dtype=np.int64))


def test_coverage_in_a_small_experiment() -> None:
    """120 experiments of 12 people with known truth; benchmarks/interval_coverage.py is the large one."""
    large = [Study(10_000 + seed, people=16) for seed in range(16)]
    truth = np.mean([study.pairs().result().auc for study in large])
    truth_target = np.mean([per_target_scores(study.scores, study.target, study.is_self).auc for study in large])
    small = [Study(seed, people=10) for seed in range(120)]
    intervals = [pairs_interval(study.pairs()) for study in small]
    by_target = [per_target_interval(study.scores, *study.labels) for study in small]
    assert 0.88 <= np.mean([one.holds(truth) for one in intervals]) <= 1.0
    assert 0.88 <= np.mean([one.holds(truth_target) for one in by_target]) <= 1.0
    assert np.mean([one.half_width for one in intervals]) < 0.15, "intervals must not cover by saying nothing"


@pytest.mark.parametrize("seed", range(3))
def test_names_numbers_and_far_apart_numbers_of_people_are_one(seed: int) -> None:
    study = Study(seed)
    pairs = study.pairs()
    expected = pairs_interval(pairs)
    names = np.unique(np.concatenate((pairs.first, pairs.second)))
    for stretch in (1, 7, 1 << 40):
        first, second = (np.searchsorted(names, side) * stretch for side in (pairs.first, pairs.second))
        assert pairs_interval(replace(pairs, first=first, second=second)) == expected


def test_many_scores_are_ranked_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = Study(5).pairs()
    few = pairs_interval(pairs)
    monkeypatch.setattr(intervals, "MANY", 1)
    assert pairs_interval(pairs) == few
