"""What a card's thresholds do on labelled videos, counted by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import operating_points
from whodrives.data.record import Record
from whodrives.training.weights import load_weights
from whodrives.verification.fingerprinter import read_model_info


def videos() -> tuple[np.ndarray, list[Record]]:
    """Four drivers, each with three recordings on its own face and one on the next driver's; two windows each."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(4, 6))
    records, vectors = [], []
    for driver in range(4):
        for take, target in ((0, driver), (1, driver), (2, driver), (0, (driver + 1) % 4)):
            name = f"{driver}-{take}-{target}.mp4"
            records.append(
                Record(
                    path=Path(name),
                    driver=f"d{driver}",
                    target=f"f{target}",
                    generator="warp",
                    source="",
                    recording=f"d{driver}-{take}",
                    split="test",
                    is_self=target == driver,
                )
            )
            vectors.append(people[driver] + 0.8 * rng.normal(size=(2, 6)))
    rows = np.array(vectors)
    return rows / np.linalg.norm(rows, axis=2, keepdims=True), records


def by_hand(vectors: np.ndarray, records: list[Record], count: int) -> tuple[list[float], list[float]]:
    genuine: list[float] = []
    impostor: list[float] = []
    for probe, record in enumerate(records):
        own = [
            n
            for n, r in enumerate(records)
            if r.is_self and r.target == record.target and r.recording != record.recording
        ]
        template = vectors[own].reshape(-1, 6).mean(axis=0)
        scores = vectors[probe] @ (template / np.linalg.norm(template))
        (genuine if record.is_self else impostor).extend([scores.mean()] if count == 2 else list(scores))
    return genuine, impostor


@pytest.mark.parametrize(("count", "name"), [(1, "one window"), (2, "mean of 2")])
def test_rates_are_counted(count: int, name: str) -> None:
    vectors, records = videos()
    genuine, impostor = by_hand(vectors, records, count)
    at = sorted(impostor)[-2]  # two impostors come in
    weights = load_weights()
    info = replace(read_model_info(weights.card, weights.digest), thresholds={0.05: {count: at}})
    found = operating_points.operating_points(vectors, records, info)[name]
    assert (found["genuine"], found["impostor"]) == (len(genuine), len(impostor))
    assert found["FAR at 5%"].value == pytest.approx(2 / len(impostor))
    assert found["FRR at 5%"].value == pytest.approx(np.mean(np.array(genuine) < at))
    assert "FAR at 1%" not in found
    assert 0 <= found["EER"].low <= found["EER"].value <= found["EER"].high <= 1
    assert 0 <= found["minCllr"] <= min(found["Cllr"], 1)


def test_pairs_know_who_drove_and_whose_face_it_was() -> None:
    vectors, records = videos()
    clips = operating_points.labelled(records, 2)
    trials = operating_points.verification_trials(vectors.reshape(-1, 6), clips, 1, 2)
    pairs = operating_points.pairs_of(trials)
    assert (pairs.first[pairs.genuine] == pairs.second[pairs.genuine]).all()
    others = [(r.driver, f"d{r.target[1]}") for r in records if not r.is_self for _ in range(2)]
    assert list(zip(pairs.first[~pairs.genuine], pairs.second[~pairs.genuine])) == others
