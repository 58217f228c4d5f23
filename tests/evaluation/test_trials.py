"""Protocols in tiles, their scores and summaries, against loops over pairs."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.data.record import Record
from whodrives.errors import InputError
from whodrives.evaluation import pooling
from whodrives.evaluation.labels import VideoLabels, read_content, wanted
from whodrives.evaluation.metrics import eer
from whodrives.evaluation.pooling import collect, histogram_auc, summarise
from whodrives.evaluation.protocols import cross_target, different_recordings, per_target_auc
from whodrives.evaluation.trials import GENUINE, IMPOSTOR, PROTOCOLS, ProtocolOptions, find_protocol, tiles

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "loss_and_protocol.npz"


def make(seed: int, count: int = 40) -> VideoLabels:
    rng = np.random.default_rng(seed)
    driver, target = rng.integers(0, 5, count), rng.integers(0, 4, count)
    generator = rng.choice(["original", "fake", "warp"], count)
    target = np.where(generator == "original", driver % 4, target)
    is_self = driver == target
    generator = np.where((generator == "original") & ~is_self, "fake", generator)
    return VideoLabels(
        driver=np.array([f"d{n}" for n in driver]),
        target=np.array([f"d{n}" for n in target]),
        recording=np.array([f"r{n}" for n in rng.integers(0, 3, count)]),
        generator=generator,
        source=np.array([f"corpus{n % 2}" for n in target]),
        content=rng.choice(["", "a", "b"], count),
        is_self=is_self,
        is_original=generator == "original",
    )


def naive_kind(v: VideoLabels, name: str, a: int, b: int, options: ProtocolOptions) -> int:
    """What a pair is, said as plainly as possible."""
    same_driver, same_target = v.driver[a] == v.driver[b], v.target[a] == v.target[b]
    same_take = same_driver and v.recording[a] == v.recording[b]
    kind = 0
    if name in ("per_target_mean", "pooled"):
        of_target = [n for n in range(len(v)) if v.target[n] == v.target[a]]
        valid = sum(v.is_self[n] for n in of_target) >= 2 and any(not v.is_self[n] for n in of_target)
        if same_target and valid and v.is_self[a] and v.is_self[b]:
            kind = GENUINE
        elif same_target and valid and v.is_self[a] != v.is_self[b]:
            kind = IMPOSTOR
    elif name == "cross_target":
        kind = GENUINE if same_driver and not same_target else IMPOSTOR if same_target and not same_driver else 0
    elif name == "recordings":
        fits = options.faces == "any" or (options.faces == "same") == same_target
        kind = (GENUINE if same_driver else IMPOSTOR) if fits else 0
    elif name == "single_target":
        kind = (GENUINE if same_driver else IMPOSTOR) if same_target else 0
    elif name == "real_to_avatar":
        kind = (GENUINE if same_driver else IMPOSTOR) if v.is_original[a] != v.is_original[b] else 0
    crosses = options.exclude_same_recording
    if crosses is None:
        crosses = name not in ("per_target_mean", "pooled")
    if crosses and same_take:
        return 0
    if options.negatives == "same_source" and kind == IMPOSTOR:
        homes = []
        for n in (a, b):
            corpora = {str(v.source[m]) for m in range(len(v)) if v.is_self[m] and v.driver[m] == v.driver[n]}
            corpora = corpora or {str(v.source[m]) for m in range(len(v)) if v.target[m] == v.driver[n]}
            homes.append(corpora.pop() if corpora else None)
        if homes[0] is None or homes[0] != homes[1]:
            return 0
    if options.content == "matched" and (v.content[a] == "" or v.content[a] != v.content[b]):
        return 0
    if options.generators and sorted((v.generator[a], v.generator[b])) != sorted(options.generators):
        return 0
    return kind


def exact_vectors(seed: int, count: int) -> np.ndarray:
    """Rows whose cosines single precision holds exactly, many of them equal: 16 entries of -1 or 1."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (count, 16))


def auc_or_why(
    vectors: np.ndarray, labels: VideoLabels, name: str, options: ProtocolOptions, side: int = 2048
) -> float | None:
    """None where there are no trials of both kinds."""
    try:
        return collect(vectors, labels, PROTOCOLS[name], options, side=side).auc()
    except InputError:
        return None


OPTIONS = st.builds(
    ProtocolOptions,
    negatives=st.sampled_from(["any", "same_source"]),
    content=st.sampled_from(["any", "matched"]),
    exclude_same_recording=st.sampled_from([None, True, False]),
    faces=st.sampled_from(["any", "different", "same"]),
    generators=st.sampled_from([None, ("fake", "warp"), ("warp", "warp")]),
)


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), options=OPTIONS, side=st.sampled_from([3, 7, 1000]))
def test_trials_are_those_of_a_loop_over_pairs(name: str, seed: int, options: ProtocolOptions, side: int) -> None:
    labels = make(seed)
    found: dict[tuple[int, int], int] = {}
    for tile in tiles(labels, PROTOCOLS[name], options, side):
        assert max(tile.kind.shape) <= side
        for r, c in zip(*np.nonzero(tile.kind)):
            a, b = sorted((int(tile.rows[r]), int(tile.columns[c])))
            assert (a, b) not in found
            found[a, b] = int(tile.kind[r, c])
    expected = {
        (a, b): kind
        for a, b in itertools.combinations(range(len(labels)), 2)
        if (kind := naive_kind(labels, name, a, b, options))
    }
    assert found == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(PROTOCOLS)))
def test_scores_are_cosines_with_the_right_labels(seed: int, name: str) -> None:
    labels = make(seed)
    vectors = np.random.default_rng(seed).normal(size=(len(labels), 6))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    try:
        scores = collect(vectors, labels, PROTOCOLS[name])
    except InputError:
        return
    expected = []
    for tile in tiles(labels, PROTOCOLS[name]):
        for r, c in zip(*np.nonzero(tile.kind)):
            a, b = tile.rows[r], tile.columns[c]
            target = labels.targets[tile.target] if tile.target >= 0 else ""
            genuine = tile.kind[r, c] == GENUINE
            expected.append((round(float(unit[a] @ unit[b]), 5), genuine, labels.driver[a], labels.driver[b], target))
    found = [
        (round(float(s), 5), g, scores.drivers[a], scores.drivers[b], scores.targets[t] if t >= 0 else "")
        for s, g, a, b, t in zip(scores.score, scores.genuine, scores.first, scores.second, scores.target)
    ]
    assert len(found) == len(expected)
    for one, two in zip(sorted(found), sorted(expected)):
        assert one[0] == pytest.approx(two[0], abs=2e-5)
    assert sorted(row[1:] for row in found) == sorted(row[1:] for row in expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_small_functions_say_the_same(seed: int) -> None:
    # Single against double precision: near ties may change places.
    labels = make(seed, 60)
    vectors = np.random.default_rng(seed).normal(size=(60, 8))
    target = collect(vectors, labels, PROTOCOLS["per_target_mean"])
    plain = per_target_auc(vectors, labels.target, labels.is_self)
    assert target.auc() == pytest.approx(plain.auc, abs=2e-3)
    assert target.by_target() == pytest.approx(plain.per_target, abs=2e-3)
    takes = np.char.add(np.char.add(labels.driver, "/"), labels.recording)
    eq1 = collect(vectors, labels, PROTOCOLS["cross_target"])
    assert eq1.auc() == pytest.approx(cross_target(vectors, labels.driver, labels.target, takes).auc, abs=2e-3)
    for faces in ("any", "different", "same"):
        pairs = collect(vectors, labels, PROTOCOLS["recordings"], ProtocolOptions(faces=faces))
        expected = different_recordings(vectors, labels.driver, labels.target, takes, faces).auc
        assert pairs.auc() == pytest.approx(expected, abs=2e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["per_target_mean", "pooled", "cross_target", "recordings"]))
def test_summaries_keep_their_bound(seed: int, name: str) -> None:
    labels = make(seed, 80)
    vectors = np.random.default_rng(seed).normal(size=(80, 4))
    exact = collect(vectors, labels, PROTOCOLS[name])
    for bins, loose in ((64, 0), (1 << 16, 0), (64, 1 << 20)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pooling, "LOOSE", loose)
            found = summarise(vectors, labels, PROTOCOLS[name], bins=bins)
        assert abs(found.auc - exact.auc()) <= found.error + 1e-9
        assert found.error <= (0.2 if bins == 64 else 0.01)
        assert found.genuine.sum() == exact.genuine.sum()
        assert found.impostor.sum() == (~exact.genuine).sum()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(PROTOCOLS)), OPTIONS)
def test_the_order_of_videos_does_not_matter(seed: int, name: str, options: ProtocolOptions) -> None:
    labels = make(seed, 60)
    rng = np.random.default_rng(seed)
    vectors, order = exact_vectors(seed, 60), rng.permutation(60)
    one = auc_or_why(vectors, labels, name, options)
    two = auc_or_why(vectors[order] * 4, labels.select(order), name, options)
    assert one == pytest.approx(two, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(PROTOCOLS)), OPTIONS, st.sampled_from([1, 5, 16, 59]))
def test_the_size_of_tiles_does_not_matter(seed: int, name: str, options: ProtocolOptions, side: int) -> None:
    labels, vectors = make(seed, 60), exact_vectors(seed, 60)
    assert auc_or_why(vectors, labels, name, options, side=side) == pytest.approx(
        auc_or_why(vectors, labels, name, options), abs=1e-12
    )
    if isinstance(auc_or_why(vectors, labels, name, options), float):
        found = summarise(vectors, labels, PROTOCOLS[name], options, side=side)
        whole = summarise(vectors, labels, PROTOCOLS[name], options)
        assert (found.genuine == whole.genuine).all()
        assert (found.impostor == whole.impostor).all()
        assert found.auc == pytest.approx(whole.auc, abs=1e-12)
        assert found.by_target == pytest.approx(whole.by_target, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(PROTOCOLS)))
def test_only_the_order_of_scores_counts(seed: int, name: str) -> None:
    labels, vectors = make(seed, 80), exact_vectors(seed, 80)
    scores = collect(vectors, labels, PROTOCOLS[name])
    bent = replace(scores, score=np.exp(3 * scores.score.astype(np.float64)))
    assert bent.auc() == scores.auc()
    assert bent.by_target() == scores.by_target()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4, 64, 1 << 12]), st.sampled_from(list(PROTOCOLS)))
def test_error_rates_of_summaries(seed: int, bins: int, name: str) -> None:
    labels, vectors = make(seed, 60), exact_vectors(seed, 60)
    exact = collect(vectors, labels, PROTOCOLS[name])
    found = summarise(vectors, labels, PROTOCOLS[name], bins=bins)
    genuine, impostor = exact.score[exact.genuine], exact.score[~exact.genuine]
    value, error = found.eer()
    assert abs(value - eer(genuine, impostor)) <= error + 1e-12
    for threshold, far, frr in zip(*(column[:: max(bins // 64, 1)] for column in found.error_rates())):
        # Scores are sixteenths, and 1 belongs to the last bin.
        if threshold < 1:
            assert far == pytest.approx((impostor >= threshold).mean())
            assert frr == pytest.approx((genuine < threshold).mean())


def test_the_distance_ratio_is_below_one_when_drivers_attract() -> None:
    labels = make(1, 60)
    drivers, faces = np.eye(5)[labels.driver_code], np.eye(4)[labels.target_code]
    attract = collect(drivers + 0.1, labels, PROTOCOLS["cross_target"])
    repel = collect(faces + 0.1, labels, PROTOCOLS["cross_target"])
    assert attract.auc() == 1.0
    assert attract.distance_ratio() == pytest.approx(0.0, abs=1e-6)
    assert repel.auc() == 0.0
    assert np.isnan(repel.distance_ratio()) or repel.distance_ratio() > 1e3


@pytest.mark.skipif(not GOLDEN.is_file(), reason="needs ../shared/golden")
def test_golden_protocol() -> None:
    golden = np.load(GOLDEN)
    target, is_self = golden["protocol_target"], golden["protocol_is_self"]
    count = len(target)
    labels = VideoLabels(
        # The reference names no drivers; the protocol asks only whether a video is a self-reenactment.
        driver=np.where(is_self, target, "somebody else"),
        target=target,
        recording=np.array([str(n) for n in range(count)]),
        generator=np.full(count, "x"),
        source=np.full(count, ""),
        content=np.full(count, ""),
        is_self=is_self,
        is_original=np.zeros(count, bool),
    )
    scores = collect(golden["protocol_embeddings"], labels, PROTOCOLS["per_target_mean"])
    assert scores.auc() == pytest.approx(float(golden["protocol_mean_auc"]), abs=1e-6)
    expected = dict(zip(golden["protocol_targets"].tolist(), golden["protocol_auc_per_target"].tolist()))
    assert scores.by_target() == pytest.approx(expected, abs=1e-6)
    summary = summarise(golden["protocol_embeddings"], labels, PROTOCOLS["per_target_mean"])
    assert summary.auc == pytest.approx(float(golden["protocol_mean_auc"]), abs=1e-6)


def test_labels_come_from_records(tmp_path: Path) -> None:
    table = tmp_path / "content.csv"
    table.write_text("recording,content\nr1,hello\nr2,\n")
    records = [
        Record("a.mp4", "ana", "ana", "warp", "c1", "r1", "test", True),
        Record("b.mp4", "ben", "ana", "warp", "c1", "r2", "test", False),
        Record("c.mp4", "ben", "ben", "original", "c2", "r2", "test", True),
    ]
    labels = VideoLabels.from_records(records, read_content(table))
    assert labels.content.tolist() == ["hello", "", ""]
    assert labels.is_original.tolist() == [False, False, True]
    # Ben's home is where he shows his own face, not where he drives somebody else's.
    assert labels.corpus_code[1] == labels.corpus_code[2] != labels.corpus_code[0]
    assert labels.select(np.array([2, 0])).driver.tolist() == ["ben", "ana"]
    table.write_text("driver,recording,content\nana,r,hello\nben,r,bye\n,x,all\n")
    takes = [("ana", "r"), ("ben", "r"), ("cy", "r"), ("cy", "x")]
    records = [Record("v.mp4", who, who, "warp", "c", take, "test", True) for who, take in takes]
    assert VideoLabels.from_records(records, read_content(table)).content.tolist() == ["hello", "bye", "", "all"]
    table.write_text("recording,content\nr,hello\nr,hello\nr,bye\n")
    with pytest.raises(InputError, match="'hello' and 'bye'"):
        read_content(table)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for path in (tmp_path / "bad.csv", tmp_path / "none.csv"):
        with pytest.raises(InputError, match=path.name):
            read_content(path)


def test_corpora_of_drivers_do_not_depend_on_order() -> None:
    rows = [("ana", "ana", "c1", True), ("ben", "ana", "c1", False), ("ana", "ben", "c2", False)]
    rows.append(("cy", "ana", "c1", False))
    records = [Record(f"{n}.mp4", d, t, "warp", s, "r", "test", own) for n, (d, t, s, own) in enumerate(rows)]
    labels = VideoLabels.from_records(records)
    corpora = np.unique(labels.source)
    # Ben has no video of his own here, but his face is shown; Cy is nowhere to be seen.
    assert corpora[labels.corpus_code[:3]].tolist() == ["c1", "c2", "c1"]
    assert labels.corpus_code[3] == -1
    extra = Record("9.mp4", "ana", "ana", "warp", "c2", "r", "test", True)
    for both in ([*records, extra], [extra, *records]):
        with pytest.raises(InputError, match="ana is shown in two corpora"):
            collect(np.eye(5), VideoLabels.from_records(both), PROTOCOLS["recordings"], ProtocolOptions("same_source"))


def test_videos_are_chosen_by_generator() -> None:
    names = np.array(["warp", "mesh", "original"])
    assert wanted(names).tolist() == [True, True, False]
    assert wanted(names, include_originals=True).tolist() == [True, True, True]
    assert wanted(names, ["mesh"]).tolist() == [False, True, False]
    assert wanted(names, ["mesh"], include_originals=True).tolist() == [False, True, True]


def test_what_cannot_be_scored_says_why() -> None:
    labels = make(0)
    vectors = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(InputError, match="more than 5 trials"):
        collect(vectors, labels, PROTOCOLS["recordings"], max_trials=5)
    with pytest.raises(InputError, match="39 embeddings for 40"):
        collect(vectors[:39], labels, PROTOCOLS["recordings"])
    with pytest.raises(InputError, match="finite"):
        collect(np.where(vectors > 2, np.nan, vectors) * np.nan, labels, PROTOCOLS["recordings"])
    with pytest.raises(InputError, match="no trial"):
        collect(vectors[:1], labels.select(np.array([0])), PROTOCOLS["recordings"])
    with pytest.raises(InputError, match="per_target_mean"):
        find_protocol("best")
    with pytest.raises(InputError, match="tiles of 0"):
        collect(vectors, labels, PROTOCOLS["recordings"], side=0)
    with pytest.raises(InputError, match="negatives"):
        ProtocolOptions(negatives="easy")
    with pytest.raises(InputError, match="at least one"):
        histogram_auc(np.zeros(4, np.int64), np.ones(4, np.int64))
