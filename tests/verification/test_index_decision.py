"""Who of very many is it: the threshold follows the number of templates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fake_weights import INFO, embedding
from whodrives.errors import InputError
from whodrives.verification.gallery import Gallery
from whodrives.verification.index_build import index_gallery
from whodrives.verification.index_decision import identify_in_index, reachable_far, required_far
from whodrives.verification.index_labels import Label
from whodrives.verification.index_write import IndexWriter, describe
from whodrives.verification.template_index import TemplateIndex
from whodrives.video.contract import PreprocessingContract

CONTRACT = PreprocessingContract()


def index_of(path: Path, count: int) -> TemplateIndex:
    rows = np.eye(256)[np.arange(count) % 256]
    with IndexWriter(path, describe(count, 256, INFO.digest, CONTRACT.digest()), overwrite=True) as writer:
        labels = [Label("few" if n < 3 else "many", ("kyc",) if n < 5 else ()) for n in range(count)]
        writer.append([f"d{n}" for n in range(count)], rows, labels)
    return TemplateIndex.open(path)


def probe(value: float, problem: str | None = None) -> object:
    row = np.zeros(256)
    row[0], row[200] = value, np.sqrt(1 - value**2)
    return embedding(row, "call.mp4", problem)


def test_rates() -> None:
    assert required_far(0.05, 1) == 0.05
    assert required_far(0.05, 10) == pytest.approx(0.005)
    # Stricter than what independent comparisons would need, by little.
    for count in (2, 100, 10**6):
        assert 0.97 < required_far(0.05, count) / -np.expm1(np.log1p(-0.05) / count) < 1
    assert reachable_far(INFO, 0.05) == 0.05
    assert reachable_far(INFO, 0.049) == 0.01
    assert reachable_far(INFO, 0.009) is None
    for rate, count in ((0.0, 3), (1.0, 3), (0.5, 0)):
        with pytest.raises(InputError):
            required_far(rate, count)


def test_more_templates_need_a_stricter_threshold_and_then_there_is_none(tmp_path: Path) -> None:
    one, five, six = (identify_in_index(index_of(tmp_path / f"{n}.idx", n), probe(0.7)) for n in (1, 5, 6))
    assert (one.decision, one.name, one.target_far, one.threshold) == ("match", "d0", 0.05, 0.6)
    assert (five.decision, five.name, five.target_far, five.threshold) == ("nobody", None, 0.01, 0.8)
    assert five.false_match_bound == pytest.approx(0.05)
    assert (six.decision, six.name, six.threshold, six.false_match_bound) == ("abstain", None, None, None)
    assert six.reason.startswith("ranked, not decided: 6 templates")
    assert six.reason.endswith("enough for 5")
    assert six.candidates[0].name == "d0"
    assert six.score == pytest.approx(0.7, abs=1e-3)
    assert (six.required_far, six.smallest_far) == (pytest.approx(0.05 / 6), 0.01)
    assert identify_in_index(index_of(tmp_path / "6.idx", 6), probe(0.9), fpir=0.06).decision == "match"


def test_filters_count_only_who_is_compared(tmp_path: Path) -> None:
    index = index_of(tmp_path / "x.idx", 200)
    assert identify_in_index(index, probe(0.9)).decision == "abstain"
    few = identify_in_index(index, probe(0.9), groups=("few",))
    assert (few.decision, few.name, few.gallery_size, few.index_size) == ("match", "d0", 3, 200)
    assert "--scope" in few.warnings[0]
    scoped = identify_in_index(index, probe(0.9), scopes=("kyc",), top=2)
    assert (scoped.gallery_size, len(scoped.candidates), scoped.warnings) == (5, 2, ())
    none = identify_in_index(index, probe(0.9), scopes=("advertising",))
    assert (none.decision, none.candidates, none.required_far) == ("abstain", (), None)
    assert "nobody was compared" in none.reason


def test_a_probe_that_cannot_be_judged_says_so_first(tmp_path: Path) -> None:
    still = identify_in_index(index_of(tmp_path / "x.idx", 200), probe(0.9, "still"))
    assert still.decision == "abstain"
    assert "no motion" in still.reason
    assert still.candidates[0].name == "d0"
    with pytest.raises(InputError, match="top is 0"):
        identify_in_index(index_of(tmp_path / "x.idx", 2), probe(0.9), top=0)


@pytest.mark.parametrize("windows", [1, 4, 12, 25])
def test_scores_are_those_of_the_gallery(tmp_path: Path, rng: np.random.Generator, windows: int) -> None:
    gallery = Gallery.open(tmp_path / "g.db")
    for name in ("ana", "ben", "cai", "dee"):
        gallery.enroll(name, embedding(rng.normal(size=(3, 256)), f"{name}.mp4"))
    index_gallery(gallery, tmp_path / "g.idx", INFO, CONTRACT)
    rows = gallery.template("cai") + rng.normal(0, 0.04, (windows, 256))
    call = embedding(rows, "call.mp4")
    found = identify_in_index(TemplateIndex.open(tmp_path / "g.idx"), call)
    slow = gallery.identify(call)
    assert [one.name for one in found.candidates] == [one.name for one in slow.candidates]
    assert [one.score for one in found.candidates] == pytest.approx([one.score for one in slow.candidates], abs=1e-3)
    assert [one.score for one in found.windows] == pytest.approx([one.score for one in slow.windows], abs=1e-3)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(slow.to_dict()) < set(values)
    assert values["index_size"] == 4
