"""Whole evaluations of made-up embeddings, with figures that can be counted on paper."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from whodrives.errors import InputError
from whodrives.evaluation import measured
from whodrives.evaluation.embed_records import AS_IT_IS, EmbeddedVideos
from whodrives.evaluation.evaluate import EvaluationSettings, evaluate, generator_matrix
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import ListedPairs
from whodrives.evaluation.llr import LogisticLlr
from whodrives.evaluation.repeated import RepeatedLlr
from whodrives.evaluation.report.contents import evaluation_document
from whodrives.evaluation.report.parts import Provenance, Tar
from whodrives.evaluation.report.result import EvaluationResult, from_json, to_json
from whodrives.evaluation.trials import ProtocolOptions

ORIGIN = Provenance("m", "d", "simulated", "", "", "")
PEOPLE = 4


def everybody(people: int = PEOPLE, generators: tuple[str, ...] = ("warp",), originals: bool = False) -> VideoLabels:
    """Everybody drives everybody's face in two recordings, rendered by every generator; and is filmed in both."""
    grid = list(itertools.product(range(people), range(people), range(2), generators))
    if originals:
        grid += [(d, d, r, "original") for d in range(people) for r in range(2)]
    driver, target = (np.array([f"p{row[n]}" for row in grid]) for n in range(2))
    generator = np.array([row[3] for row in grid])
    return VideoLabels(
        driver=driver,
        target=target,
        recording=np.array([f"r{row[2]}" for row in grid]),
        generator=generator,
        source=np.full(len(grid), ""),
        content=np.full(len(grid), ""),
        is_self=driver == target,
        is_original=generator == "original",
    )


def one_hot(codes: np.ndarray) -> np.ndarray:
    return np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]


def embedded(labels: VideoLabels, **vectors: np.ndarray) -> EmbeddedVideos:
    """The network's embeddings (`net`) and controls by name; energy is the driver's number."""
    count = len(labels)
    return EmbeddedVideos(
        vectors={name.replace("_", " ").replace("net", AS_IT_IS): rows for name, rows in vectors.items()},
        number=np.arange(count),
        windows=np.ones(count, np.int64),
        n_frames=np.full(count, 64),
        seconds=np.full(count, 2.56),
        energy=1.0 + labels.driver_code,
        padded=np.full(count, 0.25),
        failed=(),
    )


def judged(
    labels: VideoLabels,
    settings: EvaluationSettings | None = None,
    frozen: tuple[EmbeddedVideos, VideoLabels] | None = None,
    **vectors: np.ndarray,
) -> EvaluationResult:
    videos = embedded(labels, **vectors)
    result = evaluate(videos, labels, settings or EvaluationSettings(), ORIGIN, len(labels), 1.5, frozen)
    assert from_json(to_json(result)) == result
    return result


def report(result: EvaluationResult) -> str:
    document = evaluation_document(result)
    lines = []
    for section in document.sections:
        lines += section.words
        for grid in (*section.grids, *section.instead):
            lines += [" | ".join(row) for row in (grid.header, *grid.rows)]
    return "\n".join(lines)


def test_a_network_that_sees_drivers_and_a_control_that_sees_faces() -> None:
    labels = everybody()
    drivers, faces = one_hot(labels.driver_code), one_hot(labels.target_code)
    result = judged(labels, EvaluationSettings(training_auc=0.9), net=drivers, static_frame=faces)
    # A target has one genuine pair, of its two self-reenactments, and 2 x 3 x 2 with cross-reenactments.
    assert (result.n_pairs.genuine, result.n_pairs.impostor) == (4, 48)
    assert (result.auc.overall, result.eer, result.min_cllr) == (1.0, 0.0, 0.0)
    assert result.auc.per_target == dict.fromkeys(["p0", "p1", "p2", "p3"], 1.0)
    eq1 = result.protocols["cross_target"]
    # A driver: 6 pairs of faces, two ways round; a face: 6 pairs of drivers, 4 pairs of videos.
    assert eq1.n_pairs is not None
    assert (eq1.auc, eq1.n_pairs.genuine, eq1.n_pairs.impostor, eq1.distance_ratio) == (1.0, 48, 96, 0.0)
    assert (result.n_videos, result.n_drivers, result.n_targets) == (32, 4, 4)
    # The least lively of four drivers lies under the gate.
    assert result.coverage == 0.75
    assert result.padded_share == 0.25
    static = result.controls["static frame"]
    assert (static.auc, static.trained, static.training_auc) == (0.5, True, 0.9)
    assert result.controls["duration only"].auc == 0.5
    assert result.identification is not None
    assert result.identification.rank1 == 1.0
    assert result.matrix is None
    text = report(result)
    assert "repeated frames of short videos | 25%" in text
    assert "negatives: any; content: any; exclude same recording: as each protocol does" in text


@pytest.mark.parametrize(("training", "trained"), [(None, False), (0.79, False), (0.8, True)])
def test_a_control_counts_only_with_its_training_auc(training: float | None, trained: bool) -> None:
    labels = everybody()
    faces = one_hot(labels.target_code)
    result = judged(
        labels,
        EvaluationSettings(training_auc=training),
        net=one_hot(labels.driver_code),
        reversed=faces,
        untrained=faces,
    )
    control = result.controls["reversed"]
    assert (control.auc, control.trained, control.training_auc) == (0.5, trained, training)
    assert control.says_something == trained
    assert result.controls["untrained"].says_something
    (line,) = [line for line in report(result).splitlines() if line.startswith("reversed")]
    assert ("0.500" in line) == trained
    assert ("not trained" in line) != trained
    assert ("training AUC not known" in line) == (training is None)


def test_subgroups_of_drivers() -> None:
    labels = everybody()
    # The first two people move alike.
    alike = one_hot(np.maximum(labels.driver_code - 1, 0))
    sex = {"p0": "f", "p1": "f", "p2": "m", "p3": "m"}
    settings = EvaluationSettings("cross_target", attributes={"sex": sex, "one": {"p2": "x", "p3": "x"}})
    found = {one.attribute: one for one in judged(labels, settings, net=alike).subgroups}
    assert found["sex"].values == {"f": 0.5, "m": 1.0}
    assert found["sex"].gap == 0.5
    assert (found["sex"].trials["f"].genuine, found["sex"].trials["f"].impostor) == (24, 16)
    assert (found["one"].values, found["one"].gap) == ({"x": 1.0}, None)
    assert found["sex"].metric == "AUC"
    by_target = judged(labels, replace(settings, protocol="pooled"), net=alike)
    assert by_target.subgroups == ()  # a single genuine trial of a driver: too few in each
    six = everybody(12)
    halves = {f"p{n}": "ab"[n % 2] for n in range(12)}
    (group,) = judged(six, EvaluationSettings(attributes={"half": halves}), net=one_hot(six.driver_code)).subgroups
    assert group.metric == "AUC, pooled"
    assert (group.trials["a"].genuine, group.trials["a"].impostor) == (6, 6 * 2 * 5 * 2)
    text = report(judged(labels, settings, net=alike))
    assert "gap, best to worst | – | –" in text
    assert "gap, best to worst | 0.500 | –" in text


def test_the_matrix_never_takes_two_renderings_of_one_recording_for_two() -> None:
    labels = everybody(generators=("mesh", "warp"))
    takes = one_hot(labels.take_code)
    result = judged(labels, net=takes)
    assert result.matrix is not None
    assert (result.matrix.rows, result.matrix.columns) == (("mesh", "warp"), ("mesh", "warp"))
    assert result.matrix.values == ((0.5, 0.5), (0.5, 0.5))
    assert "enrolled from | mesh | warp" in report(result)
    allowed = generator_matrix(takes, labels, EvaluationSettings(options=ProtocolOptions(exclude_same_recording=False)))
    # Of the four genuine pairs of a target two are of one recording.
    assert allowed.values == ((0.5, 0.75), (0.75, 0.5))
    pairs = ListedPairs(np.array([0]), np.array([1]), np.array([True]))
    for settings in (EvaluationSettings("listed", pairs=pairs), EvaluationSettings("real_to_avatar")):
        with pytest.raises(InputError, match="no matrix of generators"):
            generator_matrix(takes, labels, settings)


def test_two_renderings_of_one_recording_are_told() -> None:
    labels = everybody(generators=("mesh", "warp"))
    vectors = one_hot(labels.driver_code)
    result = judged(labels, net=vectors)
    # Four self-reenactments of a target make six pairs, two of them of one recording.
    assert "33% of the genuine pairs are two renderings of one recording" in result.protocols["per_target_mean"].note
    assert result.protocols["cross_target"].note == ""
    apart = EvaluationSettings(options=ProtocolOptions(exclude_same_recording=True))
    assert judged(labels, apart, net=vectors).protocols["per_target_mean"].note == ""
    assert judged(everybody(), net=one_hot(everybody().driver_code)).protocols["per_target_mean"].note == ""


def test_originals_stand_in_real_to_avatar_alone_unless_asked_for() -> None:
    labels = everybody(generators=("mesh", "warp"), originals=True)
    vectors = one_hot(labels.driver_code)
    settings = EvaluationSettings("real_to_avatar", include_originals=False)
    result = judged(labels, settings, net=vectors)
    # An original meets its driver's other recording on 4 faces by 2 generators, and the 16 videos of each of 3 others.
    assert (result.n_pairs.genuine, result.n_pairs.impostor) == (8 * 8, 8 * 48)
    assert set(result.auc.per_generator) == {"mesh", "warp"}
    assert result.auc.per_generator["mesh"].value == 1.0
    without, beside = everybody(generators=("mesh", "warp")), result.protocols["per_target_mean"]
    alone = judged(without, net=one_hot(without.driver_code)).protocols["per_target_mean"]
    assert beside == alone
    asked = judged(labels, replace(settings, include_originals=True), net=vectors).protocols["per_target_mean"]
    assert asked.n_pairs != alone.n_pairs
    assert result.matrix is None


def test_without_an_interval_there_is_still_an_auc() -> None:
    two = everybody(2)
    result = judged(two, net=one_hot(two.driver_code))
    assert (result.auc.overall, result.auc.ci95) == (1.0, None)
    assert "no interval: 2 people" in result.protocols["per_target_mean"].note
    assert result.eer_ci95 is None
    labels = everybody()
    one_face = labels.select(labels.target == "p0")
    result = judged(one_face, net=one_hot(one_face.driver_code))
    assert (result.auc.overall, result.auc.ci95) == (1.0, None)
    assert "no interval" in result.protocols["per_target_mean"].note
    with pytest.raises(InputError, match="no trial"):
        judged(two.select(~two.is_self), net=one_hot(two.driver_code[~two.is_self]))


def test_more_trials_than_fit_go_into_histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = everybody(6)
    rng = np.random.default_rng(0)
    vectors = (0.7 * one_hot(labels.driver_code) + rng.normal(size=(len(labels), 6))).astype(np.float32)
    exact = judged(labels, net=vectors)
    monkeypatch.setattr(measured, "MOST_BY_TARGET", 100)
    monkeypatch.setattr(measured, "MOST_POOLED", 100)
    found = judged(labels, net=vectors)
    assert (found.auc.overall, found.auc.ci95) == (pytest.approx(exact.auc.overall, abs=1e-4), None)
    assert found.auc.per_target == pytest.approx(exact.auc.per_target, abs=1e-4)
    assert found.n_pairs == exact.n_pairs
    assert found.eer == pytest.approx(exact.eer, abs=1e-3)
    assert found.min_cllr == pytest.approx(exact.min_cllr, abs=1e-3)
    for name in ("per_target_mean", "cross_target"):
        assert "histogram, ± " in found.protocols[name].note
        assert found.protocols[name].auc == pytest.approx(exact.protocols[name].auc, abs=1e-4)
    ratios = [one.protocols["cross_target"].distance_ratio for one in (found, exact)]
    assert ratios[0] == pytest.approx(ratios[1], abs=1e-3)
    # More of a kind than are drawn: figures rest on a sample.
    monkeypatch.setattr(measured, "MOST_DRAWN", 200)
    few = judged(labels, net=vectors)
    assert few.n_pairs == exact.n_pairs
    assert few.eer == pytest.approx(exact.eer, abs=0.1)


def test_frozen_videos_must_be_twins() -> None:
    labels = everybody()
    rng = np.random.default_rng(0)
    vectors, still = (rng.normal(size=(len(labels), 5)).astype(np.float32) for _ in range(2))

    def run(frozen: np.ndarray, of: VideoLabels) -> EvaluationResult:
        return judged(labels, EvaluationSettings(training_auc=0.9), (embedded(of, net=frozen), of), net=vectors)

    assert run(still, labels).controls["frozen"].auc is not None
    order = rng.permutation(len(labels))
    assert run(still[order], labels.select(order)).controls["frozen"].auc is not None
    with pytest.raises(InputError, match="very embedding of the video"):
        run(vectors[order], labels.select(order))
    with pytest.raises(InputError, match="no nuisance"):
        run(np.repeat(still[:1], len(labels), axis=0), labels)
    others = {
        "fewer": labels.select(np.arange(len(labels) - 1)),
        "take": replace(labels, recording=np.where(labels.recording == "r1", "r2", labels.recording)),
        "generator": replace(labels, generator=np.full(len(labels), "mesh")),
    }
    for of in others.values():
        with pytest.raises(InputError, match="no twins of these"):
            run(still[: len(of)], of)
    pairs = ListedPairs(np.array([0, 0]), np.array([1, 30]), np.array([True, False]))
    with pytest.raises(InputError, match="names no frozen twins"):
        judged(labels, EvaluationSettings("listed", pairs=pairs), (embedded(labels, net=still), labels), net=vectors)


def test_rates_have_intervals_and_a_calibrated_cllr() -> None:
    labels = everybody(8)
    rng = np.random.default_rng(1)
    vectors = (one_hot(labels.driver_code) + 0.5 * rng.normal(size=(len(labels), 8))).astype(np.float32)
    result = judged(labels, EvaluationSettings("cross_target"), net=vectors)
    assert result.eer_ci95 is not None
    assert result.eer_ci95[0] < result.eer < result.eer_ci95[1]
    tar = result.tar_at_far["0.01"]
    assert isinstance(tar, Tar)
    assert tar.ci95 is not None
    assert tar.ci95[0] <= tar.tar <= tar.ci95[1]
    assert f"[{result.eer_ci95[0]:.3f}, " in report(result)
    assert judged(labels, EvaluationSettings("cross_target"), net=vectors) == result
    assert result.cllr is None
    assert "not calibrated" in report(result)
    calibration = RepeatedLlr(LogisticLlr(4.0, -2.0, -1.0, 1.0, 0.5, 1e-4, 9, 9), 0.1)
    exact = judged(everybody(), EvaluationSettings(calibration=calibration), net=one_hot(everybody().driver_code))
    # Genuine trials score 1 and impostors 0: likelihood ratios of e^2 and e^-2.
    assert exact.cllr == pytest.approx(math.log2(1 + math.exp(-2)))
    assert "not calibrated" not in report(exact)


def test_restrictions_that_nothing_fits_and_settings_that_contradict() -> None:
    labels = everybody()
    vectors = one_hot(labels.driver_code)
    for settings, words in (
        (EvaluationSettings(options=ProtocolOptions(content="matched")), "no video's recording has a label.*r0, r1"),
        (EvaluationSettings(options=ProtocolOptions(negatives="same_source")), "name no corpus"),
        (EvaluationSettings(attributes={"sex": {"bob": "m"}}), "'sex' names no driver of these videos, such as p0"),
    ):
        with pytest.raises(InputError, match=words):
            judged(labels, settings, net=vectors)
    with pytest.raises(InputError, match="faces = 'same' restricts the protocol recordings alone"):
        EvaluationSettings(options=ProtocolOptions(faces="same"))
    with pytest.raises(InputError, match="choose one of per_target_mean"):
        EvaluationSettings("best")
    plain = EvaluationSettings("recordings", ProtocolOptions(faces="same", exclude_same_recording=False))
    assert plain.restrictions() == {
        "negatives": "any",
        "content": "any",
        "exclude_same_recording": "no",
        "include_originals": "yes",
        "faces": "same",
    }
