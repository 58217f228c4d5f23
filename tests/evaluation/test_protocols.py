"""Protocols against plain loops over pairs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.evaluation.intervals import per_target_interval
from whodrives.evaluation.protocols import (
    cosines,
    cross_target,
    different_recordings,
    per_target_auc,
    recording_pairs,
)


class Videos:
    """24 random videos of 4 drivers on 3 targets; targets 0..2 belong to drivers 0..2."""

    def __init__(self, seed: int, identity: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        combinations = list(itertools.product(range(4), range(3), range(2)))
        self.driver = np.array([f"d{d}" for d, _, _ in combinations])
        self.target = np.array([f"t{t}" for _, t, _ in combinations])
        self.recording = np.array([f"d{d}-r{r}" for d, _, r in combinations])
        self.is_self = np.array([d == t for d, t, _ in combinations])
        people = rng.normal(size=(4, 8))
        self.vectors = rng.normal(size=(24, 8)) + identity * people[[d for d, _, _ in combinations]]


def auc(genuine: list[float], impostor: list[float]) -> float:
    return float(np.mean([(g > i) + 0.5 * (g == i) for g in genuine for i in impostor]))


def loop(videos: Videos, is_genuine: object, is_impostor: object) -> float:
    genuine, impostor = [], []
    unit = videos.vectors / np.linalg.norm(videos.vectors, axis=1, keepdims=True)
    for a, b in itertools.combinations(range(24), 2):
        score = float(unit[a] @ unit[b])
        if is_genuine(a, b):  # type: ignore[operator]
            genuine.append(score)
        elif is_impostor(a, b):  # type: ignore[operator]
            impostor.append(score)
    return auc(genuine, impostor)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_per_target_is_the_loop_over_targets(seed: int) -> None:
    v = Videos(seed)
    unit = v.vectors / np.linalg.norm(v.vectors, axis=1, keepdims=True)
    expected = []
    for target in ("t0", "t1", "t2"):
        own = [n for n in range(24) if v.target[n] == target and v.is_self[n]]
        cross = [n for n in range(24) if v.target[n] == target and not v.is_self[n]]
        positives = [float(unit[a] @ unit[b]) for a, b in itertools.combinations(own, 2)]
        expected.append(auc(positives, [float(unit[a] @ unit[b]) for a in own for b in cross]))
    result = per_target_auc(v.vectors * 3, v.target, v.is_self)
    assert result.auc == pytest.approx(np.mean(expected), abs=1e-12)
    assert (result.genuine, result.impostor) == (3 * 1, 3 * 2 * 6)
    interval = per_target_interval(cosines(v.vectors), v.driver, v.target, v.is_self)
    assert interval.value == pytest.approx(result.auc, abs=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_pair_protocols_are_the_loops(seed: int) -> None:
    v = Videos(seed)

    def other_take(a: int, b: int) -> bool:
        return bool(v.driver[a] == v.driver[b] and v.recording[a] != v.recording[b])

    def strangers(a: int, b: int) -> bool:
        return bool(v.driver[a] != v.driver[b])

    def one_face(a: int, b: int) -> bool:
        return bool(v.target[a] == v.target[b])

    labels = v.driver, v.target, v.recording
    assert different_recordings(v.vectors, *labels).auc == pytest.approx(loop(v, other_take, strangers), abs=1e-12)
    assert different_recordings(v.vectors, *labels, faces="different").auc == pytest.approx(
        loop(
            v,
            lambda a, b: other_take(a, b) and not one_face(a, b),
            lambda a, b: strangers(a, b) and not one_face(a, b),
        )
    )
    assert different_recordings(v.vectors, *labels, faces="same").auc == pytest.approx(
        loop(v, lambda a, b: other_take(a, b) and one_face(a, b), lambda a, b: strangers(a, b) and one_face(a, b))
    )
    assert cross_target(v.vectors, *labels).auc == pytest.approx(
        loop(v, lambda a, b: other_take(a, b) and not one_face(a, b), lambda a, b: strangers(a, b) and one_face(a, b))
    )


def test_order_of_videos_does_not_matter() -> None:
    v = Videos(3)
    order = np.random.default_rng(0).permutation(24)
    before = cross_target(v.vectors, v.driver, v.target, v.recording)
    after = cross_target(v.vectors[order], v.driver[order], v.target[order], v.recording[order])
    assert (after.genuine, after.impostor) == (before.genuine, before.impostor)
    assert after.auc == pytest.approx(before.auc, abs=1e-12)


def test_missing_trials_are_errors() -> None:
    v = Videos(0)
    with pytest.raises(InputError, match="two self-reenactments"):
        per_target_auc(v.vectors, v.target, np.zeros(24, dtype=bool))
    with pytest.raises(InputError, match="no genuine"):
        different_recordings(v.vectors, np.arange(24), v.target, v.recording)
    with pytest.raises(InputError, match="choose any"):
        recording_pairs(cosines(v.vectors), v.driver, v.target, v.recording, "some")
