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
    touch(tmp_path, "carl/c.mp4")
    assert {record.driver for record in open_layout(tmp_path)} == {"train", "Validation", "carl"}


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


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "far", "ana/a.mp4")
    root = tmp_path / "root"
    root.mkdir()
    (root / "ana").symlink_to(tmp_path / "far" / "ana")
    (tmp_path / "far" / "ana" / "loop").symlink_to(root)
    assert [record.path.name for record in open_layout(root)] == ["a.mp4"]
