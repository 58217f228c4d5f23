"""`whodrives watch` on files."""

import json
from pathlib import Path

import pytest

from conftest import Caller
from fake_weights import CALIBRATED_CARD, FakeWeights, video
from whodrives.training import weights


@pytest.fixture
def enrolled(call: Caller, videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setattr(weights, "load_weights", lambda source="bundled": FakeWeights(card=CALIBRATED_CARD))
    assert call("enroll", "ana", videos["ana1"]).status == 0
    return call


def test_a_line_for_every_look(enrolled: Caller, tmp_path: Path) -> None:
    path = video(tmp_path / "long.mp4", 0, seed=9, frames=256)
    answer = enrolled("watch", path, "--as", "ana", "--hop", 32, "--far", 0.1, "--frr", 0.1, "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [line["seconds"] for line in lines] == [(64 + 32 * n) / 25 for n in range(7)]
    assert all(line["schema_version"] == 1 and line["claimed"] == "ana" for line in lines)
    assert lines[-1]["decision"] == "accept"
    assert answer.status == 0
    people = enrolled("watch", path, "--as", "ana", "--hop", 32, "--far", 0.1, "--frr", 0.1)
    assert "accept" in people.out
    assert people.out.splitlines()[-1] == "accept after 7 looks"
    part = enrolled("watch", path, "--as", "ana", "--hop", 32, "--seconds", 4, "--json")
    assert len(part.out.splitlines()) == 3


def test_an_impostor_is_not_accepted(enrolled: Caller, tmp_path: Path) -> None:
    answer = enrolled("watch", video(tmp_path / "ben.mp4", 7, seed=9, frames=256), "--as", "ana", "--far", 0.1)
    assert answer.status == 1
    assert "accept" not in answer.out


def test_what_cannot_be_watched_is_told(enrolled: Caller, tmp_path: Path, videos: dict[str, Path]) -> None:
    for words, part in (
        ((videos["ana1"], "--as", "zoe"), "zoe"),
        ((tmp_path / "no.mp4", "--as", "ana"), "no such file"),
        (("rtsp://127.0.0.1:9/x", "--as", "ana"), "cannot be opened"),
        ((videos["ana1"], "--as", "ana", "--far", 0.7, "--frr", 0.5), "error rates"),
    ):
        answer = enrolled("watch", *words)
        assert answer.status == 2
        assert part in answer.err
    short = enrolled("watch", video(tmp_path / "short.mp4", 0, frames=40), "--as", "ana")
    assert short.status == 1
    assert "ended before a whole window" in short.err
