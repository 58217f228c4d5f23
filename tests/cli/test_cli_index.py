from pathlib import Path
from shutil import copyfile

import pytest

from fake_weights import FakeWeights
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.gallery import Gallery


@pytest.fixture(scope="module")
def enrolled(videos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fingerprinter = Fingerprinter(FakeWeights())
    gallery = Gallery.open(tmp_path_factory.mktemp("gallery") / "drivers.db")
    gallery.enroll("ana", fingerprinter.embed(videos["ana1"]))
    gallery.enroll("ben", fingerprinter.embed(videos["ben1"]))
    gallery.purge()  # so that the one file is all of it
    return gallery.path


@pytest.fixture
def indexed(call, enrolled: Path, tmp_path: Path):
    copyfile(enrolled, tmp_path / "default.db")
    labels = tmp_path / "labels.csv"
    labels.write_text("name,group,scope\nana,staff,kyc\nben,guests,kyc|moderation\n", encoding="utf-8")
    path = tmp_path / "all.idx"
    assert call("index", "build", path, "--labels", labels, "--json").json["templates"] == 2
    return path


def test_identify_in_an_index(call, videos, indexed: Path) -> None:
    found = call("identify", videos["ben2"], "--index", indexed, "--scope", "kyc", "--json")
    assert (found.status, found.json["decision"], found.json["name"]) == (0, "match", "ben")
    assert (found.json["target_far"], found.json["required_far"], found.json["warnings"]) == (0.01, 0.025, [])
    only = call("identify", videos["ben2"], "--index", indexed, "--group", "staff", "--fpir", "0.04", "--json").json
    assert (only["decision"], only["gallery_size"], only["groups"]) == ("nobody", 1, ["staff"])
    strict = call("identify", videos["ben2"], "--index", indexed, "--fpir", "0.001")
    assert strict.status == 1
    assert strict.out.startswith("no answer: ranked, not decided")
    assert "ben" in strict.out


def test_who_left_the_gallery_is_not_found(call, videos, indexed: Path) -> None:
    call("gallery", "remove", "ana")
    answer = call("identify", videos["ben2"], "--index", indexed, "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "StaleIndexError")
    assert call("index", "check", indexed).status == 2
    assert call("index", "remove", indexed, "ana", "--json").json["templates"] == 1
    assert call("index", "check", indexed).out.endswith("1 templates, whole\n")
    assert call("identify", videos["ben2"], "--index", indexed).out.startswith("ben: ")
    assert call("index", "remove", indexed, "ana").status == 2


def test_show_and_build_again(call, indexed: Path) -> None:
    shown = call("index", "show", indexed, "--json").json
    assert (shown["groups"], shown["scopes"]) == ({"staff": 1, "guests": 1}, {"kyc": 2, "moderation": 1})
    assert "staff" in call("index", "show", indexed).out
    assert call("index", "build", indexed).status == 2
    assert call("index", "build", indexed, "--overwrite").out.endswith("2 templates\n")


def test_index_of_embedded_videos(call, videos, tmp_path: Path) -> None:
    out, path = tmp_path / "all.parquet", tmp_path / "e.idx"
    assert call("embed", videos["ana1"], videos["ben1"], videos["still"], "-o", out).status == 0
    report = call("index", "build", path, "--from", out, "--json").json
    assert (report["templates"], report["skipped"]) == (2, 1)
    found = call("identify", videos["ana3"], "--index", path, "--json").json
    assert found["name"] == str(videos["ana1"])
    assert call("identify", videos["ana3"], "--index", path, "--gallery", tmp_path / "default.db").status == 2


def test_wrong_calls(call, videos, indexed: Path, tmp_path: Path) -> None:
    for words in (
        ("identify", videos["ana3"], "--group", "staff"),
        ("identify", videos["ana3"], "--fpir", "0.1"),
        ("identify", videos["missing"], "--index", indexed, "--far", "0.01"),
        ("identify", videos["missing"], "--index", tmp_path / "none.idx"),
        ("identify", videos["missing"], "--index", videos["ana1"]),
        ("index", "build", tmp_path / "x.idx", "--from", videos["ana1"]),
        ("index", "build", tmp_path / "x.idx", "--from", videos["ana1"], "--gallery", tmp_path / "default.db"),
    ):
        answer = call(*words, "--json")
        assert answer.status == 2
        assert answer.json["error"]["type"] != "InternalError"
    other = call("identify", videos["missing"], "--index", indexed, "--model", "paper", "--json")
    assert other.json["error"]["type"] == "WeightsMismatchError"
