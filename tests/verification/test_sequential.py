"""The sequential test against its definition, and its error rates on simulated calls."""

import dataclasses

import numpy as np
import pytest

from whodrives.errors import InputError
from whodrives.evaluation.llr import LogisticLlr
from whodrives.evaluation.repeated import RepeatedLlr, wald_bounds
from whodrives.verification.sequential import Evidence, SequentialSettings, SequentialTest

LENGTH, FPS = 64, 25.0
# Scores of genuine windows lie at +1, impostor ones at -1: variances .3 between and .7 within calls.
APART, BETWEEN, WITHIN = 2.0, 0.3, 0.7
CALIBRATION = RepeatedLlr(LogisticLlr(APART, 0.0, -9.0, 9.0, 0.5, 1e-4, 9, 9), BETWEEN / (BETWEEN + WITHIN))


def run(scores: np.ndarray, hop: int = LENGTH, settings: SequentialSettings | None = None) -> list[Evidence]:
    test = SequentialTest(CALIBRATION, LENGTH, FPS, settings or SequentialSettings())
    return [test.add(hop * number, float(score)) for number, score in enumerate(scores)]


def call(rng: np.random.Generator, windows: int, mean: float) -> np.ndarray:
    return mean + rng.normal(0, BETWEEN**0.5) + rng.normal(0, WITHIN**0.5, windows)


def test_evidence_is_that_of_all_windows_so_far() -> None:
    scores = np.array([0.3, -0.2, 0.1, 0.2])
    for number, evidence in enumerate(run(scores), 1):
        mean = scores[:number].mean()
        assert evidence.mean == pytest.approx(mean)
        assert evidence.covered == number
        assert evidence.llr == pytest.approx(float(CALIBRATION.llr(mean, number)))
        assert evidence.state == "watching"


def test_overlapping_windows_count_once() -> None:
    evidence = run(np.full(9, 0.5), hop=8)[-1]
    assert evidence.covered == 2  # 64 + 8 * 8 frames
    # The variance of the mean of nine windows, each the mean of its frames' noise.
    weight = np.zeros(128)
    for start in range(0, 65, 8):
        weight[start : start + 64] += 1 / (9 * 64)
    worth = 1 / (64 * (weight**2).sum())
    assert evidence.worth == pytest.approx(worth)
    assert 1.5 < worth < 2
    assert evidence.llr == pytest.approx(float(CALIBRATION.llr(0.5, worth)))


def test_windows_after_a_gap_cover_only_their_own_frames() -> None:
    test = SequentialTest(CALIBRATION, LENGTH, FPS, SequentialSettings())
    test.add(0, 0.1)
    last = test.add(1000, 0.1)
    assert last.covered == last.worth == 2


def test_decisions_come_at_walds_bounds_and_stay() -> None:
    low, high = wald_bounds(0.01, 0.05)
    found = run(np.array([2.0, 2.0, 2.0, 0.0, 0.0]))
    first = next(n for n, one in enumerate(found) if one.state == "accept")
    assert found[first].llr >= high
    assert all(one.llr < high for one in found[:first])
    assert all(one.state == "accept" for one in found[first:])
    rejected = run(np.array([-2.0, -2.0, -2.0]))
    assert rejected[-1].state == "reject"
    assert rejected[-1].llr <= low


def test_nominal_rates_bound_the_measured_ones() -> None:
    rng = np.random.default_rng(0)
    settings = SequentialSettings(far=0.05, frr=0.05, change_hours=1e6)
    calls, wrong = 400, {"accept": 0, "reject": 0}
    for sign, mistake in ((-1.0, "accept"), (1.0, "reject")):
        for _ in range(calls):
            wrong[mistake] += run(call(rng, 30, sign * APART / 2), settings=settings)[-1].state == mistake
    limit = 0.05 / 0.95
    for count in wrong.values():
        assert count / calls <= limit + 3 * (limit / calls) ** 0.5


def test_nominal_rates_hold_where_windows_overlap() -> None:
    # Windows as means of frames: looking more often at the same frames must not accept more impostors.
    rng = np.random.default_rng(3)
    calls, frames, apart, hop = 600, 64 * 15, 1.4, 4
    calibration = RepeatedLlr(LogisticLlr(apart, 0.0, -9.0, 9.0, 0.5, 1e-4, 9, 9), 0.1)
    noise = rng.normal(0, (0.9 * LENGTH) ** 0.5, (calls, frames)).cumsum(axis=1)
    noise = np.pad(noise, ((0, 0), (1, 0)))
    starts = np.arange(0, frames - LENGTH + 1, hop)
    scores = (noise[:, starts + LENGTH] - noise[:, starts]) / LENGTH + rng.normal(0, 0.1**0.5, (calls, 1)) - apart / 2
    wrong = 0
    for row in scores:
        test = SequentialTest(calibration, LENGTH, FPS, SequentialSettings(0.05, 0.05, 1e6))
        states = (test.add(int(start), float(score)).state for start, score in zip(starts, row))
        wrong += next((state for state in states if state != "watching"), "watching") == "accept"
    limit = 0.05 / 0.95
    assert wrong / calls <= limit + 2 * (limit / calls) ** 0.5


def test_a_swapped_driver_is_found_and_judged_anew() -> None:
    rng = np.random.default_rng(1)
    settings = SequentialSettings(change_hours=1.0)
    found, delays = 0, []
    for _ in range(50):
        # Easier than the calibration expects: there, evidence levels off below what one alarm an hour takes.
        evidence = run(np.concatenate([call(rng, 20, 2.0), call(rng, 20, -2.0)]), settings=settings)
        if evidence[19].state != "accept":
            continue
        changes = [n for n, one in enumerate(evidence) if one.changed_at is not None]
        if changes and changes[0] >= 20:
            found += 1
            first = evidence[changes[0]]
            delays.append(changes[0] - 20)
            assert first.changed_at is not None
            assert 17 <= first.changed_at / LENGTH <= changes[0]
            # What came before no longer counts.
            assert first.covered == changes[0] - first.changed_at / LENGTH + 1
            assert first.state != "accept"
    assert found >= 45
    assert np.median(delays) <= 4


def test_calls_without_a_change_seldom_raise_an_alarm() -> None:
    rng = np.random.default_rng(2)
    settings = SequentialSettings(change_hours=1.0)  # 1406 windows: 60 calls of 30 are 1800
    alarms = 0
    for _ in range(60):
        alarms += sum(one.changed_at is not None for one in run(call(rng, 30, 1.0), settings=settings))
    assert alarms <= 5


def test_settings_and_weak_weights_are_told() -> None:
    with pytest.raises(InputError, match="change_hours"):
        SequentialSettings(change_hours=0)
    with pytest.raises(InputError, match="error rates"):
        SequentialSettings(far=0.6, frr=0.5)
    weak = RepeatedLlr(dataclasses.replace(CALIBRATION.one, scale=0.1), 0.5)
    assert not SequentialTest(weak, LENGTH, FPS, SequentialSettings()).can_tell_changes
    assert SequentialTest(CALIBRATION, LENGTH, FPS, SequentialSettings()).can_tell_changes
