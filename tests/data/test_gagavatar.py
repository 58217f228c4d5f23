"""GAGAvatar-Benchmark: which of two folders is the target is told by the names, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_trees import touch
from whodrives.data.errors import LayoutError
from whodrives.data.gagavatar import driver_of
from whodrives.data.layouts import detect_layout, list_dataset, open_layout

CLIPS = {"1001": "1001_DFA_ANG_XX", "1002": "1002_IEO_HAP_HI", "Actor_07": "01-01-05-02-01-01-07"}


def tree(root: Path, order: str, drivers: tuple[str, ...] = tuple(CLIPS), only_self: bool = False) -> Path:
    for driver in drivers:
        for target in CLIPS:
            if not only_self or driver == target:
                folders = (target, driver) if order == "target/driver" else (driver, target)
                touch(root, Path(*folders, f"{CLIPS[driver]}_{target}.mp4"))
    return root


@pytest.mark.parametrize("order", ["target/driver", "driver/target"])
@pytest.mark.parametrize("above", ["", "CREMA-D"])
def test_order_is_detected(tmp_path: Path, order: str, above: str) -> None:
    tree(tmp_path / above, order)
    listing = list_dataset(tmp_path)
    assert listing.layout == "gagavatar"
    assert len(listing.records) == 9
    assert f"folders are {order} (detected from the names)" in listing.notes
    for record in listing.records:
        assert record.path.stem == f"{CLIPS[record.driver]}_{record.target}"
        assert record.recording == f"{record.driver}/{CLIPS[record.driver].removeprefix('01-')}"
        assert record.is_self == (record.driver == record.target)
        assert record.source == ("RAVDESS" if record.target == "Actor_07" else "CREMA-D")
        assert (record.generator, record.split) == ("gagavatar", "")


def test_both_orders_at_once_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, "target/driver", ("1001",))
    tree(tmp_path, "driver/target", ("1002",))
    with pytest.raises(LayoutError, match="2 files say that folders are target/driver and 2 say driver/target"):
        list_dataset(tmp_path, "gagavatar")
    listing = list_dataset(tmp_path, "gagavatar", order="target/driver", strict=False)
    assert (len(listing.records), len(listing.problems)) == (4, 2)


def test_names_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "b/a_b/clip_a_b.mp4", "x/y/clip.mp4")
    with pytest.raises(LayoutError, match="no name tells target from driver"):
        open_layout(tmp_path, "gagavatar")
    with pytest.raises(LayoutError, match="must be auto or one of"):
        open_layout(tmp_path, "gagavatar", order="up")
    listing = list_dataset(tmp_path, "gagavatar", order="target/driver", strict=False)
    assert [record.target for record in listing.records] == ["b"]
    assert "must be <driver clip>_x.mp4" in listing.problems[0]


def test_self_reenactments_alone_need_no_order(tmp_path: Path) -> None:
    tree(tmp_path, "driver/target", only_self=True)
    assert [record.is_self for record in open_layout(tmp_path)] == [True] * 3


def test_clips_in_the_wrong_folder_and_strays(tmp_path: Path) -> None:
    tree(tmp_path, "target/driver")
    touch(tmp_path, "1001/1002/1001_XX_1001.mp4", "stray.mp4")
    listing = list_dataset(tmp_path, "gagavatar", strict=False)
    assert len(listing.records) == 9
    assert any("is a clip of 1001, but lies in the folder of 1002" in problem for problem in listing.problems)
    assert any("expected two folders" in problem for problem in listing.problems)


def test_landmarks_alone_do_not_do(tmp_path: Path) -> None:
    touch(tmp_path, "1001/1002/1002_XX_1001/w0.npy")
    with pytest.raises(LayoutError, match="get the videos"):
        open_layout(tmp_path, "gagavatar")


def test_plain_recordings_are_not_taken_for_it(tmp_path: Path) -> None:
    touch(tmp_path, "ana/monday/one_monday.mp4", "ana/friday/two_friday.mp4")
    assert detect_layout(tmp_path) == "folder"


def test_splits_by_identity(tmp_path: Path) -> None:
    tree(tmp_path, "target/driver")
    (tmp_path / "s.csv").write_text("identity,split\n1001,train\n1002,train\nActor_07,test\n")
    records = open_layout(tmp_path, splits=tmp_path / "s.csv")
    assert sorted(record.split for record in records) == [""] * 4 + ["test"] + ["train"] * 4


def test_actors_that_clips_tell() -> None:
    assert [driver_of(clip) for clip in (*CLIPS.values(), "holiday")] == [*CLIPS, ""]
