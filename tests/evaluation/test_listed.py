"""Listed trials against a loop over the list."""

import numpy as np
import pytest

from whodrives.data.avaprintdb_pairs import Pair, resolve_pairs
from whodrives.data.record import Record
from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import ListedPairs, listed_scores, listed_trials, number_pairs
from whodrives.evaluation.metrics import roc_auc

RECORDS = [
    Record(
        f"TEST/{target}--{driver}--{take}--GAGA.mp4", driver, target, "gagavatar", "c", take, "test", driver == target
    )
    for target in ("C1", "C2")
    for driver in ("C1", "C2", "C3")
    for take in ("a", "b")
]


def test_listed_pairs_are_scored_in_chunks() -> None:
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(30, 3, 4))
    windows /= np.linalg.norm(windows, axis=2, keepdims=True)
    first, second = rng.integers(0, 30, 100), rng.integers(0, 30, 100)
    # AVAPrintDB's score: the mean of all cosines between windows of the one and windows of the other.
    expected = [float((windows[a] @ windows[b].T).mean()) for a, b in zip(first, second)]
    vectors = windows.mean(axis=1)
    for chunk in (1, 7, 1000):
        assert np.allclose(listed_scores(vectors, first, second, chunk=chunk), expected, atol=1e-6)


def test_a_list_of_the_database_becomes_trials() -> None:
    names = [record.path.stem for record in RECORDS]
    pairs = [
        Pair(names[a], names[b], RECORDS[a].driver == RECORDS[b].driver) for a, b in ((0, 1), (0, 6), (2, 4), (5, 8))
    ]
    resolved = resolve_pairs([*pairs, Pair("nobody", names[0], False)], RECORDS)
    # One of the videos could not be embedded.
    kept = [record for place, record in enumerate(RECORDS) if place != 8]
    listed = number_pairs(resolved.trials, kept)
    assert listed.missing == 1
    assert list(zip(listed.first.tolist(), listed.second.tolist())) == [(0, 1), (0, 6), (2, 4)]
    unit = np.random.default_rng(1).normal(size=(len(kept), 5))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    scores = listed_trials(unit, VideoLabels.from_records(kept), listed)
    expected = [float(unit[a] @ unit[b]) for a, b in ((0, 1), (0, 6), (2, 4))]
    assert scores.score == pytest.approx(expected, abs=1e-6)
    assert scores.genuine.tolist() == [True, True, False]
    assert scores.drivers[scores.first].tolist() == ["C1", "C1", "C2"]
    assert scores.drivers[scores.second].tolist() == ["C1", "C1", "C3"]
    assert scores.auc() == pytest.approx(roc_auc(expected[:2], expected[2:]))


def test_pairs_among_some_videos_keep_their_meaning() -> None:
    pairs = ListedPairs(np.array([0, 4, 2]), np.array([3, 1, 4]), np.array([True, False, True]), missing=2)
    some = pairs.among(np.array([4, 2, 1]))
    assert list(zip(some.first.tolist(), some.second.tolist())) == [(0, 2), (1, 0)]
    assert some.genuine.tolist() == [False, True]
    assert some.missing == 3
    assert pairs.among(np.array([], np.int64)).missing == 5


def test_lists_that_do_not_fit_say_why() -> None:
    vectors, labels = np.eye(len(RECORDS)), VideoLabels.from_records(RECORDS)
    with pytest.raises(InputError, match="equal length"):
        listed_scores(vectors, [1, 2], [1])
    with pytest.raises(InputError, match="norm 1 or less"):
        listed_scores(2 * vectors, [1], [2])
    for wrong in (-1, len(RECORDS)):
        with pytest.raises(InputError, match=r"there are 0\.\.11"):
            listed_scores(vectors, [0], [wrong])
    with pytest.raises(InputError, match="no pair"):
        listed_trials(vectors, labels, number_pairs([], RECORDS))
    one = np.array([0])
    with pytest.raises(InputError, match="as many"):
        listed_trials(vectors, labels, ListedPairs(one, one, np.array([True, False])))
    with pytest.raises(InputError, match="list each video once"):
        number_pairs([], [RECORDS[0], RECORDS[0]])
