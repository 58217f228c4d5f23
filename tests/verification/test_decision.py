import dataclasses
import json

import numpy as np
import pytest

from fake_weights import INFO, embedding
from whodrives.errors import InputError
from whodrives.evaluation.llr import LogisticLlr
from whodrives.evaluation.repeated import RepeatedLlr
from whodrives.verification.decision import (
    choose_threshold,
    compare_embeddings,
    identify_against,
    verify_against,
)
from whodrives.verification.embedding import Embedding, ModelInfo
from whodrives.verification.errors import WeightsMismatchError
from whodrives.verification.scoring import worth_of
from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import ContractMismatchError

E0, E1 = np.eye(256, dtype=np.float32)[:2]
UNCALIBRATED = ModelInfo("raw", "", "feedfeedfeedfeed", 64, motion_gate=0.8)


def rows(*cosines: float) -> np.ndarray:
    """Unit rows with the given cosines to E0."""
    return np.stack([c * E0 + np.sqrt(1 - c * c) * E1 for c in cosines])


def test_threshold_of_the_largest_count_not_above() -> None:
    assert choose_threshold(INFO, 1).score == 0.6
    assert choose_threshold(INFO, 3).score == 0.6
    assert choose_threshold(INFO, 4).score == 0.5
    assert choose_threshold(INFO, 99, far=0.01) == dataclasses.replace(
        choose_threshold(INFO, 4, far=0.01), score=0.7, far=0.01, windows=4
    )


def test_half_windows_are_half_the_evidence() -> None:
    halves = embedding(rows(0.9, 0.9, 0.9, 0.9), valid=32)
    assert verify_against(halves, E0, "ana").threshold == choose_threshold(INFO, 2).score == 0.6
    whole = embedding(rows(0.9, 0.9, 0.9, 0.9))
    assert verify_against(whole, E0, "ana").threshold == 0.5


def test_likelihood_ratio_counts_no_frame_twice() -> None:
    calibration = RepeatedLlr(LogisticLlr(4.0, -2.0, -1.0, 1.0, 0.5, 1e-4, 9, 9), 0.5)
    info = dataclasses.replace(INFO, calibration=calibration)
    two = dataclasses.replace(embedding(rows(0.9, 0.7)), model=info)
    answer = verify_against(two, E0, "ana")
    # (4 * 0.8 - 2) for one window; two of correlation 0.5 are worth 2 / 1.5.
    assert answer.llr == pytest.approx(1.2 * 2 / 1.5)
    assert identify_against(two, ["ana", "ben"], np.stack([E0, E1])).llr == answer.llr
    halves = [dataclasses.replace(window, start=32 * n) for n, window in enumerate(two.windows)]
    overlapping = dataclasses.replace(two, windows=tuple(halves))
    worth = 4 / 3  # the variance of their mean is (1 + 1 + 2 / 2) / 4 of one's
    assert worth_of(overlapping) == pytest.approx(worth)
    assert verify_against(overlapping, E0, "ana").llr == pytest.approx(1.2 * worth / (1 + 0.5 * (worth - 1)))
    part = embedding(rows(0.9), valid=48)
    assert worth_of(part) == 0.75
    assert worth_of(Embedding.join([part, part])) == 1.5
    short = dataclasses.replace(embedding(rows(0.9), valid=20, problem="short"), model=info)
    assert verify_against(short, E0, "ana").llr is None


def test_unknown_rate_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"0\.02.*0\.01, 0\.05"):
        choose_threshold(INFO, 1, far=0.02)


def test_accept_and_reject_at_the_threshold() -> None:
    accepted = verify_against(embedding(rows(0.61)), E0, "ana")
    rejected = verify_against(embedding(rows(0.59)), E0, "ana")
    assert (accepted.decision, rejected.decision) == ("accept", "reject")
    assert accepted.score == pytest.approx(0.61, abs=1e-6)
    assert accepted.threshold == 0.6
    assert accepted.target_far == 0.05
    assert accepted.llr is None
    assert [window.score for window in accepted.windows] == [pytest.approx(0.61, abs=1e-6)]


def test_four_disjoint_windows_use_their_own_threshold_but_overlapping_ones_do_not() -> None:
    probe = embedding(rows(0.55, 0.55, 0.55, 0.55))
    assert verify_against(probe, E0, "ana").decision == "accept"
    crowded = tuple(dataclasses.replace(w, start=8 * i) for i, w in enumerate(probe.windows))
    probe = Embedding(probe.vectors, crowded, probe.videos, probe.model, probe.contract)
    decision = verify_against(probe, E0, "ana")
    assert decision.decision == "reject"
    assert decision.threshold == 0.6


@pytest.mark.parametrize(
    ("problem", "words"),
    [("short", ["20 real frames", "32 are needed"]), ("still", ["0.10", "0.80 is needed"]), ("rate", ["33%"])],
)
def test_abstains_with_numbers_and_still_gives_the_score(problem: str, words: list[str]) -> None:
    decision = verify_against(embedding(rows(0.9), problem=problem), E0, "ana")
    assert decision.decision == "abstain"
    assert decision.score == pytest.approx(0.9, abs=1e-6)
    for word in words:
        assert word in decision.reason


def test_unusable_windows_do_not_count_beside_usable_ones() -> None:
    probe = Embedding.join([embedding(rows(0.9), "a"), embedding(rows(-0.9), "b", problem="still")])
    decision = verify_against(probe, E0, "ana")
    assert decision.decision == "accept"
    assert decision.score == pytest.approx(0.9, abs=1e-6)
    assert [window.usable for window in decision.windows] == [True, False]


def test_no_windows_at_all_is_no_score() -> None:
    empty = dataclasses.replace(embedding(rows(0.5)), vectors=np.zeros((0, 256), np.float32), windows=())
    decision = verify_against(empty, E0, "ana")
    assert (decision.decision, decision.score) == ("abstain", None)


def test_weights_without_thresholds_abstain() -> None:
    decision = verify_against(embedding(rows(0.9), model=UNCALIBRATED), E0, "ana")
    assert decision.decision == "abstain"
    assert "no threshold" in decision.reason
    assert decision.score == pytest.approx(0.9, abs=1e-6)
    assert decision.threshold is None


def test_identify_ranks_and_may_answer_nobody() -> None:
    templates = np.stack([E0, E1])
    found = identify_against(embedding(rows(0.95)), ["ana", "ben"], templates)
    assert (found.decision, found.name) == ("match", "ana")
    assert [candidate.name for candidate in found.candidates] == ["ana", "ben"]
    assert found.false_match_bound == pytest.approx(0.1)
    stranger = embedding(np.eye(256)[5])
    nobody = identify_against(stranger, ["ana", "ben"], templates, top=1)
    assert (nobody.decision, nobody.name, len(nobody.candidates)) == ("nobody", None, 1)
    assert nobody.score == pytest.approx(0.0)


def test_compare_is_symmetric_and_flags_the_same_video() -> None:
    a, b = embedding(rows(0.9, 0.8, 0.3), "a"), embedding(rows(1.0, 0.7), "b")
    forth, back = compare_embeddings(a, b), compare_embeddings(b, a)
    assert forth.score == pytest.approx(back.score)
    assert forth.n_windows == (3, 2)
    assert a.template is not None
    assert b.template is not None
    expected = (float((a.vectors @ b.template).mean()) + float((b.vectors @ a.template).mean())) / 2
    assert forth.score == pytest.approx(expected, abs=1e-6)
    assert any("same video" in warning for warning in compare_embeddings(a, a).warnings)
    assert not forth.warnings


def test_compare_abstains_when_either_side_is_unusable() -> None:
    result = compare_embeddings(embedding(rows(0.9), "good"), embedding(rows(0.9), "frozen", problem="still"))
    assert result.decision == "abstain"
    assert "frozen" in result.reason
    assert "good" not in result.reason
    assert result.score == pytest.approx(1.0, abs=1e-6)


def test_other_weights_or_contract_is_an_error() -> None:
    a = embedding(rows(0.9))
    with pytest.raises(WeightsMismatchError, match="feedfeedfeedfeed"):
        compare_embeddings(a, embedding(rows(0.9), model=dataclasses.replace(INFO, digest="0" * 16)))
    with pytest.raises(ContractMismatchError, match="fps"):
        compare_embeddings(a, embedding(rows(0.9), contract=PreprocessingContract(fps=30.0)))


def test_to_dict_is_json_with_the_promised_keys() -> None:
    values = json.loads(json.dumps(verify_against(embedding(rows(0.9)), E0, "ana").to_dict(), allow_nan=False))
    promised = {"decision", "score", "llr", "threshold", "target_far", "windows", "reason", "model", "contract"}
    assert promised <= set(values)
    assert values["model"] == {"name": "fake", "version": "1", "digest": "feedfeedfeedfeed"}
    assert values["contract"]["digest"] == PreprocessingContract().digest()
    probe = embedding(rows(0.9))
    info = probe.videos[0]
    scored = [{"path": info.path, "crop": list(info.crop)}]
    both = compare_embeddings(probe, probe).to_dict()["videos"]
    for found in (values["videos"], json.loads(json.dumps(both))[:1], json.loads(json.dumps(both))[1:]):
        assert found == scored
