"""Plain folders: one driver a folder, sub-folders are recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_trees import touch
from whodrives.data.errors import LayoutError
from whodrives.data.layouts import list_dataset, open_layout


def test_drivers_and_recordings(tmp_path: Path) -> None:
    root = tmp_path / "friends"
    touch(root, "ana/a.mp4", "ana/b.MOV", "ana/monday/1.mp4", "ana/monday/2.mkv", "ana/trip/day 2/x--y.mp4")
    touch(root, "Zoë ü/क.mp4", "Zoë ü/notes.txt", ".trash/z.mp4", "ana/._a.mp4")
    records = open_layout(root)
    got = {record.path.relative_to(root).as_posix(): record for record in records}
    assert {name: record.recording for name, record in got.items()} == {
        "ana/a.mp4": "ana/a",
        "ana/b.MOV": "ana/b",
        "ana/monday/1.mp4": "ana/monday",
        "ana/monday/2.mkv": "ana/monday",
        "ana/trip/day 2/x--y.mp4": "ana/trip/day 2",
        "Zoë ü/क.mp4": "Zoë ü/क",
    }
    for record in records:
        assert record.driver == record.target == record.path.relative_to(root).parts[0]
        assert (record.generator, record.is_self, record.source, record.split) == ("original", True, "friends", "")


def test_folders_named_like_splits_are_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/ana/a.mp4", "Validation/bob/s/b.mp4")
    bob, ana = open_layout(tmp_path)
    assert (ana.driver, ana.split, ana.recording) == ("ana", "train", "ana/a")
    assert (bob.driver, bob.split, bob.recording) == ("bob", "val", "bob/s")


def test_videos_beside_the_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "ana/a.mp4", "stray.mp4")
    with pytest.raises(LayoutError, match=r"stray.mp4: lies in no driver's folder"):
        open_layout(tmp_path)
    assert len(list_dataset(tmp_path, strict=False).records) == 1


def test_splits_are_given_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "ana/a.mp4", "bob/b.mp4")
    (tmp_path / "s.csv").write_text("driver,split\nana,test\ncarl,test\n")
    listing = list_dataset(tmp_path, "folder", splits=tmp_path / "s.csv")
    assert [record.split for record in listing.records] == ["test", ""]
    assert listing.notes == (
        "1 identities are in no split of s.csv: bob",
        "1 identities of s.csv have no video here: carl",
    )


def test_dev_is_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/ana/a.mp4", "dev/bob/b.mp4", "Test/cy/c.mp4")
    assert {record.driver: record.split for record in open_layout(tmp_path)} == {
        "ana": "train", "bob": "val", "cy": "test",
    }  # fmt: skip


@pytest.mark.parametrize("splits", [("train",), ("Training",), ("dev", "test"), ("train", "test")])
def test_other_folders_beside_splits_are_refused(tmp_path: Path, splits: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{split}/ana-{split}/a.mp4" for split in splits), "extras/q/1.mp4", "carl/c.mp4", "carl/d/c.mp4")
    with pytest.raises(LayoutError, match="are splits, but beside them lie carl, extras; move these"):
        open_layout(tmp_path)
    listing = list_dataset(tmp_path, strict=False)
    assert {record.driver for record in listing.records} == {f"ana-{split}" for split in splits}
    assert all(record.split for record in listing.records)
    assert len(listing.problems) == 1


def test_a_single_folder_named_test_may_be_a_person(tmp_path: Path) -> None:
    touch(tmp_path, "test/a.mp4", "Dev Patel/b.mp4", "ana/c.mp4")
    assert {record.driver for record in open_layout(tmp_path)} == {"test", "Dev Patel", "ana"}


def test_any_case_and_camcorders_and_what_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "ana/1.Mp4", "ana/2.MTS", "ana/3.m2ts", "ana/4.txt", "ana/5.TXT", "ana/s/notes", "readme.md")
    listing = list_dataset(tmp_path)
    assert [record.path.name for record in listing.records] == ["1.Mp4", "2.MTS", "3.m2ts"]
    assert not any(record.is_frames for record in listing.records)
    assert listing.notes == ("3 files are no videos by their names and left out: .txt (2), no ending (1)",)


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "far", "ana/a.mp4")
    root = tmp_path / "root"
    root.mkdir()
    (root / "ana").symlink_to(tmp_path / "far" / "ana")
    (tmp_path / "far" / "ana" / "loop").symlink_to(root)
    assert [record.path.name for record in open_layout(root)] == ["a.mp4"]


def test_links_to_what_is_there_anyway_list_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "ana/mon/1.mp4", "zoe/tue/1.mp4")
    (tmp_path / "ana" / "latest").symlink_to("mon")
    (tmp_path / "ana" / "self").symlink_to(".")
    (tmp_path / "ana" / "friend").symlink_to("../zoe")
    (tmp_path / "ana" / "up").symlink_to("..")
    (tmp_path / "bob").symlink_to("zoe")
    assert [(record.driver, record.recording) for record in open_layout(tmp_path)] == [
        ("ana", "ana/mon"), ("zoe", "zoe/tue"),
    ]  # fmt: skip


def test_one_place_behind_two_links_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path / "far", "ana/1.mp4", "ana/tue/2.mp4")
    root = tmp_path / "root"
    touch(root, "zoe/1.mp4")
    for name, target in {"a": "ana", "b": "ana", "c": "ana/tue"}.items():
        (root / name).symlink_to(tmp_path / "far" / target)
    places = [record.path.relative_to(root).as_posix() for record in open_layout(root)]
    assert places == ["zoe/1.mp4", "a/1.mp4", "a/tue/2.mp4"]
