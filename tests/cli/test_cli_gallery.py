import json
from pathlib import Path

import pytest

from fake_weights import FakeWeights
from whodrives.cli.options import default_gallery
from whodrives.training import weights

VERIFY_KEYS = {"decision", "score", "llr", "threshold", "target_far", "windows", "reason", "model", "contract"}


@pytest.fixture
def enrolled(call, videos):
    assert call("enroll", "ana", videos["ana1"], videos["ana2"]).status == 0
    assert call("enroll", "ben", videos["ben1"]).status == 0
    return call


def test_enroll_verify_identify(enrolled, videos) -> None:
    yes = enrolled("verify", videos["ana3"], "--as", "ana", "--json")
    no = enrolled("verify", videos["ben2"], "--as", "ana", "--json")
    assert (yes.status, yes.json["decision"]) == (0, "accept")
    assert (no.status, no.json["decision"]) == (1, "reject")
    assert set(yes.json) >= VERIFY_KEYS
    assert yes.json["score"] > yes.json["threshold"] == 0.6 > no.json["score"]
    assert yes.json["target_far"] == 0.05
    assert len(yes.json["windows"]) == 4
    assert yes.json["llr"] is None
    found = enrolled("identify", videos["ben2"], "--json")
    assert (found.status, found.json["decision"], found.json["name"]) == (0, "match", "ben")
    nobody = enrolled("identify", videos["stranger"], "--json", "--top", 1)
    assert (nobody.status, nobody.json["decision"], nobody.json["name"]) == (1, "nobody", None)
    assert len(nobody.json["candidates"]) == 1
    assert nobody.json["false_match_bound"] == pytest.approx(0.1)


def test_answers_for_people(enrolled, videos) -> None:
    assert enrolled("verify", videos["ana3"], "--as", "ana").out.startswith("accept: score")
    assert enrolled("verify", videos["ben2"], "--as", "ana").out.startswith("reject: score")
    assert enrolled("identify", videos["ana3"]).out.startswith("ana: score")
    assert enrolled("identify", videos["stranger"]).out.startswith("nobody of the enrolled")
    assert enrolled("compare", videos["ana1"], videos["ana2"]).out.startswith("same driver")


@pytest.mark.parametrize(("name", "words"), [("short", "20 real frames"), ("still", "no motion")])
def test_abstention_is_status_1_with_reason_and_score(enrolled, videos, name: str, words: str) -> None:
    answer = enrolled("verify", videos[name], "--as", "ana", "--json")
    assert (answer.status, answer.json["decision"]) == (1, "abstain")
    assert words in answer.json["reason"]
    assert isinstance(answer.json["score"], float)


def test_far_chooses_the_threshold_and_must_be_calibrated(enrolled, videos) -> None:
    strict = enrolled("verify", videos["ana3"], "--as", "ana", "--far", "0.01", "--json")
    assert strict.json["threshold"] == 0.8
    assert strict.json["target_far"] == 0.01
    answer = enrolled("verify", videos["missing"], "--as", "ana", "--far", "0.2", "--json")
    assert answer.status == 2
    assert "0.01, 0.05" in answer.json["error"]["message"]


def test_compare(call, videos) -> None:
    same = call("compare", videos["ana1"], videos["ana2"], "--json")
    assert (same.status, same.json["decision"], same.json["n_windows"]) == (0, "accept", [4, 4])
    other = call("compare", videos["ana1"], videos["ben1"], "--json")
    assert (other.status, other.json["decision"]) == (1, "reject")
    untrained = call("compare", videos["short"], videos["short"], "--model", "paper", "--json")
    assert (untrained.status, untrained.json["decision"]) == (1, "abstain")


def test_gallery_verbs(enrolled, videos, tmp_path: Path) -> None:
    listed = enrolled("gallery", "list", "--json").json
    assert [driver["name"] for driver in listed["drivers"]] == ["ana", "ben"]
    shown = enrolled("gallery", "show", "ana", "--json").json["driver"]
    assert [sample["source"] for sample in shown["samples"]] == ["ana1.mp4", "änä 2.mp4"]
    assert "änä 2.mp4" in enrolled("gallery", "show", "ana").out
    out = tmp_path / "out.json"
    assert enrolled("gallery", "export", out).status == 0
    assert enrolled("gallery", "export", out).status == 2
    assert enrolled("gallery", "export", out, "--overwrite", "--json").json["drivers"] == 2
    assert enrolled("gallery", "remove", "ana").out == "ana: removed\n"
    assert enrolled("gallery", "remove", "ana").status == 2
    assert enrolled("gallery", "import", out).status == 2
    assert enrolled("gallery", "import", out, "--replace", "--json").json["imported"] == 2
    assert enrolled("gallery", "list", "--json").json == listed
    assert enrolled("gallery", "purge").status == 0
    for name in ("ana", "ben"):
        enrolled("gallery", "remove", name)
    assert "nobody is enrolled" in enrolled("gallery", "list").out


def test_enroll_again_needs_add_or_replace(enrolled, videos) -> None:
    again = enrolled("enroll", "ana", videos["missing"], "--json")
    assert (again.status, again.json["error"]["type"]) == (2, "AlreadyEnrolledError")
    assert enrolled("enroll", "ana", videos["ana3"], "--add", "--json").json["driver"]["samples"][2]
    assert enrolled("enroll", "ana", videos["ana3"], "--replace", "--json").json["replaced"] is True
    same = enrolled("enroll", "zoe", videos["ana3"], "--json")
    assert (same.status, same.json["error"]["type"]) == (2, "DuplicateSampleError")


def test_a_bad_video_enrolls_nobody_and_leaves_no_gallery(call, videos, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    for bad in ("empty", "text", "missing", "still"):
        answer = call(
            "enroll", "ana", videos["ana1"] if bad != "still" else videos[bad], videos[bad], "--gallery", path
        )
        assert answer.status == 2
        assert bad in answer.err
        assert answer.err.count("\n") == 2  # which weights, and what is wrong
    assert not path.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "x.mp4", "--as", "ana"],
        ["identify", "x.mp4"],
        ["gallery", "list"],
        ["gallery", "show", "ana"],
        ["gallery", "remove", "ana"],
        ["gallery", "export", "x.json"],
        ["gallery", "import", "x.json"],
    ],
)
def test_no_gallery_is_an_error_and_makes_none(call, tmp_path: Path, words: list[str]) -> None:
    answer = call(*words, "--gallery", tmp_path / "absent.db", "--json")
    assert answer.status == 2
    assert not (tmp_path / "absent.db").exists()


def test_unknown_driver_is_told_before_the_video_is_read(enrolled, videos) -> None:
    answer = enrolled("verify", videos["missing"], "--as", "zoe", "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "UnknownDriverError")


def test_not_a_gallery(call, videos) -> None:
    answer = call("gallery", "list", "--gallery", videos["ana1"], "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "GalleryError")
    assert videos["ana1"].stat().st_size > 1000


def test_names_are_never_markup(call, videos) -> None:
    name = "[red]x[/red] [link"
    assert call("enroll", name, videos["ana1"]).status == 0
    assert name in call("gallery", "list").out
    assert name in call("gallery", "show", name).out


def test_default_gallery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WHODRIVES_GALLERY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_gallery() == tmp_path / "whodrives" / "drivers.db"
    monkeypatch.setenv("WHODRIVES_GALLERY", "/elsewhere/x.db")
    assert str(default_gallery()) == "/elsewhere/x.db"


def test_default_gallery_folder_is_made_by_enroll(call, videos, tmp_path: Path) -> None:
    env = {"WHODRIVES_GALLERY": str(tmp_path / "new" / "deep" / "x.db")}
    assert call("enroll", "ana", videos["ana1"], **env).status == 0
    assert json.loads(call("gallery", "list", "--json", **env).out)["drivers"][0]["name"] == "ana"


def test_moving_to_new_weights(enrolled, videos, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = enrolled("gallery", "status", "--json").json
    assert (sorted(ready["ready"]), ready["outdated"]) == (["ana", "ben"], [])
    assert enrolled("gallery", "status").status == 0
    monkeypatch.setattr(weights, "load_weights", lambda source="bundled": FakeWeights(digest="0" * 16))
    before = enrolled("gallery", "status")
    assert before.status == 1
    assert "2 to be enrolled again" in before.out
    assert enrolled("enroll", "ana", videos["ana1"], "--add").status == 0
    between = enrolled("gallery", "status", "--json")
    assert (between.status, between.json["ready"], between.json["outdated"]) == (1, ["ana"], ["ben"])
    assert len(enrolled("gallery", "show", "ana", "--json").json["older"]) == 1
    assert enrolled("enroll", "ben", videos["ben1"], "--add").status == 0
    old = ready["weights"]
    assert enrolled("gallery", "forget", old, "--json").json["forgotten"] == 2
    after = enrolled("gallery", "status", "--json")
    assert (after.status, len(after.json["groups"])) == (0, 1)
    assert enrolled("gallery", "forget", old).status == 2
