"""Equal pairs tie: coinciding embeddings make an AUC of exactly one half, whatever the shape of the products."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from whodrives.evaluation.disentanglement import swaps
from whodrives.evaluation.evaluate import identification
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import ListedPairs, listed_trials
from whodrives.evaluation.pooling import collect, summarise
from whodrives.evaluation.protocols import cosines, cross_target, different_recordings, per_target_auc
from whodrives.evaluation.ties import FINE_STEP, STEP, products, row_products, settle
from whodrives.evaluation.trials import NONE, PROTOCOLS, tiles


def design(rng: np.random.Generator) -> VideoLabels:
    """Everybody on every face in a few recordings, and originals; some videos missing at random."""
    people, takes = int(rng.integers(4, 13)), int(rng.integers(2, 6))
    grid = [
        (d, t, r) for d in range(people) for t in range(people) for r in range(takes) if d == t or rng.random() < 0.8
    ]
    driver, target, take = (np.array([f"{row[n]:02d}" for row in grid]) for n in range(3))
    original = (driver == target) & (take == "00")
    blank = np.full(len(grid), "")
    generator = np.where(original, "original", "warp")
    return VideoLabels(driver, target, take, generator, blank, blank, driver == target, original)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", PROTOCOLS)
def test_coinciding_embeddings_score_one_half(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = design(rng)
    vectors = np.repeat(rng.normal(size=(1, 256)), len(labels), axis=0)
    scores = collect(vectors, labels, PROTOCOLS[name], side=int(rng.integers(7, 60)))
    assert scores.auc() == 0.5
    assert np.unique(scores.score).tolist() == [1.0]
    assert summarise(vectors, labels, PROTOCOLS[name], side=33).auc == 0.5


def test_coinciding_embeddings_name_nobody() -> None:
    rng = np.random.default_rng(3)
    labels = design(rng)
    found = identification(np.repeat(rng.normal(size=(1, 256)), len(labels), axis=0).astype(np.float32), labels)
    assert found is not None
    assert found.rank1 == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_coinciding_embeddings_in_the_small_functions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = design(rng)
    vectors = np.repeat(rng.normal(size=(1, 256)), len(labels), axis=0)
    takes = np.char.add(np.char.add(labels.driver, "/"), labels.recording)
    of_people = labels.driver, labels.target, takes
    assert per_target_auc(vectors, labels.target, labels.is_self).auc == 0.5
    assert cross_target(vectors, *of_people).auc == 0.5
    assert different_recordings(vectors, *of_people).auc == 0.5
    assert np.unique(cosines(vectors)).tolist() == [1.0]


def test_swaps_of_coinciding_embeddings() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        one = np.broadcast_to(rng.normal(size=256), (5, 7, 256))
        assert swaps(one, np.arange(7) % 4).auc.value == 0.5


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_few_distinct_embeddings_have_as_few_distinct_scores(name: str) -> None:
    """As durations in whole frames do: what each pair scores depends on its two values alone."""
    rng = np.random.default_rng(11)
    labels = design(rng)
    values, kind = rng.normal(size=(4, 256)), rng.integers(0, 4, len(labels))
    scores = collect(values[kind], labels, PROTOCOLS[name], side=19)
    assert len(np.unique(scores.score)) <= 10
    assert len(np.unique(cosines(values[kind]))) <= 10


def test_listed_pairs_score_as_those_of_a_protocol() -> None:
    rng = np.random.default_rng(5)
    labels = design(rng)
    vectors = rng.normal(size=(len(labels), 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = []
    for tile in tiles(labels, PROTOCOLS["pooled"]):
        for r, c in zip(*np.nonzero(tile.kind != NONE)):
            rows.append((tile.rows[r], tile.columns[c], tile.kind[r, c] == 1))
    first, second, genuine = (np.array(column) for column in zip(*rows))
    listed = listed_trials(vectors, labels, ListedPairs(first, second, genuine.astype(bool)))
    pooled = collect(vectors, labels, PROTOCOLS["pooled"])
    assert listed.auc() == pytest.approx(pooled.auc(), abs=1e-9)
    assert np.abs(listed.score - pooled.score).max() <= STEP


def test_scores_are_on_their_steps_and_next_to_the_product() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 48)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    exact = unit @ unit.T
    found = products(rows, rows)
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() <= STEP / 2 + 1e-12
    assert (found / STEP % 1 == 0).all()
    assert np.array_equal(row_products(rows[:-1], rows[1:]), np.diagonal(found, 1))
    for start, stop in itertools.pairwise((0, 1, 8, 300, 600)):
        assert np.array_equal(products(rows[start:stop], rows[:77]), found[start:stop, :77])
    fine = settle(exact.copy(), FINE_STEP)
    assert np.abs(fine - exact).max() <= FINE_STEP / 2
    assert (fine / FINE_STEP % 1 == 0).all()


def test_steps_are_fine_enough_for_crowded_embeddings() -> None:
    """As those of an untrained network: cosines within a few millionths of 1, people a little apart."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(12), 8)
    few = rng.normal(size=(12, 6))[people] + rng.normal(size=(96, 6))
    exact = rng.normal(size=256) + 2e-3 * few @ rng.normal(size=(6, 256))
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    first, second = np.triu_indices(96, 1)
    genuine = people[first] == people[second]
    true = np.einsum("ij,ij->i", exact[first], exact[second])
    assert 1e-6 < np.quantile(1 - true, 0.05) < np.quantile(1 - true, 0.5) < 1e-4
    rows = exact.astype(np.float32)
    found = products(rows, rows)[first, second]
    assert roc_auc_score(genuine, found) == pytest.approx(roc_auc_score(genuine, true), abs=1e-3)


def test_what_is_no_unit_row_keeps_its_length() -> None:
    rows = np.array([[0.6, 0.0], [0.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    assert products(rows, rows) == pytest.approx(np.array([[0.36, 0, 0.36], [0, 0, 0], [0.36, 0, 1]]), abs=1e-7)
