"""One call for every data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_trees import NVFAIR, nvfair, touch
from whodrives.data.errors import LayoutError
from whodrives.data.layouts import LAYOUTS, detect_layout, list_dataset, open_layout
from whodrives.data.nvfair import parse_path, split_stem
from whodrives.data.tree import videos_by_folder

NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0\n\r-"), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("nvfair", NVFAIR[1]),
        ("nvfair", NVFAIR[0]),
        ("avaprintdb", "data/videos/DEV/GAGA/C1--C2--x--GAGA.mp4"),
        ("avaprintdb", "database/data/videos/TEST/LIVE/C1--C2--x--LIVE.mp4"),
        ("gagavatar", "1001/1002/1002_XX_1001.mp4"),
        ("folder", "ana/clip.mp4"),
        ("folder", "ana/originals/clip.mp4"),
        ("folder", "ana/originals/mon/1.mp4"),
    ],
)
def test_layouts_are_told_by_what_is_there(tmp_path: Path, layout: str, name: str) -> None:
    touch(tmp_path, name)
    assert detect_layout(tmp_path) == layout
    (record,) = open_layout(tmp_path)
    assert record == open_layout(tmp_path, layout)[0]
    assert record.path.is_file()


def test_nothing_there_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LayoutError) as caught:
        open_layout(tmp_path)
    assert all(f"{name}: {layout.looks_for}" in str(caught.value) for name, layout in LAYOUTS.items())
    with pytest.raises(LayoutError, match="no such file or folder"):
        open_layout(tmp_path / "none")
    with pytest.raises(LayoutError, match="no such file or folder"):
        open_layout(tmp_path / "none", "folder")
    with pytest.raises(LayoutError, match="neither a folder nor"):
        open_layout(touch(tmp_path, "x.txt"))
    with pytest.raises(LayoutError, match="must be auto or one of manifest, avaprintdb"):
        open_layout(tmp_path, "imagenet")
    (tmp_path / "CREMA-D" / "originals" / "1001").mkdir(parents=True)
    with pytest.raises(LayoutError, match="holds no video in the layout nvfair"):
        open_layout(tmp_path)


def test_originals_alone_need_a_second_sign(tmp_path: Path) -> None:
    touch(tmp_path, "ana/originals/mon/1.mp4", "ana/originals/tue/1.mp4")
    assert {(record.driver, record.recording) for record in open_layout(tmp_path)} == {
        ("ana", "ana/originals/mon"), ("ana", "ana/originals/tue"),
    }  # fmt: skip
    (tmp_path / "subject_sources.txt").write_text("")
    assert detect_layout(tmp_path) == "nvfair"


def test_mixed_trees_name_what_does_not_fit(tmp_path: Path) -> None:
    nvfair(tmp_path)
    strays = ("readme.mp4", "CREMA-D/lia/1001/x.mp4", "CREMA-D/lia-generated/1001/x.mp4", "S/originals/a/b/c.mp4")
    touch(tmp_path, *strays, "CREMA-D/lia-generated/1001/x.png")
    listing = list_dataset(tmp_path, strict=False)
    assert len(listing.records) == len(NVFAIR)
    assert len(listing.problems) == 4
    for stray in strays:
        assert any(problem.startswith(f"{tmp_path / stray}: ") for problem in listing.problems)
    with pytest.raises(LayoutError):
        open_layout(tmp_path)


@given(NAME, st.lists(NAME, min_size=1, max_size=3), NAME)
def test_clips_may_hold_the_separator(target: str, words: list[str], driver: str) -> None:
    clip = "--".join(words)
    assert split_stem(f"{target}--{clip}--{driver}", target) == (clip, driver)


@given(st.text(st.sampled_from("ab-"), max_size=12), st.sampled_from(["a", "ab"]))
def test_any_name_is_read_or_refused(stem: str, target: str) -> None:
    got = split_stem(stem, target)
    if got is not None:
        clip, driver = got
        assert clip
        assert driver
        assert stem.endswith("--" + driver)
        assert stem in (f"{clip}--{driver}", f"{stem.split('--')[0]}--{clip}--{driver}")


def test_awkward_names_list_and_parse_alike(tmp_path: Path) -> None:
    names = (
        "NVIDIA-VC-subset/lia-generated/Zoë ü/Zoë ü--take 1--two--岡田 (2).mp4",
        "S p/my gen-generated/007/007--c.d,e--'x'.MP4",
        "S p/originals/007/a--b.mp4",
    )
    touch(tmp_path, *names)
    one, other, original = open_layout(tmp_path)
    assert (one.driver, one.target, one.recording) == ("岡田 (2)", "Zoë ü", "岡田 (2)/take 1--two")
    assert (other.driver, other.generator, other.source) == ("'x'", "my gen", "S p")
    assert (original.driver, original.recording) == ("007", "007/a--b")
    assert [parse_path(tmp_path, record.path) for record in (one, other, original)] == [one, other, original]


def test_the_folder_counts_not_the_name(tmp_path: Path) -> None:
    touch(
        tmp_path, "S/lia-generated/007/7--c--8.mp4", "S/lia-generated/007/007--c--8.mp4", "S/lia-generated/007/c--8.mp4"
    )
    listing = list_dataset(tmp_path)
    assert {record.target for record in listing.records} == {"007"}
    assert any("1 names begin with another target" in note and "7--c--8.mp4" in note for note in listing.notes)


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    folder = tmp_path / "S" / "originals" / "x"
    folder.mkdir(parents=True)
    try:
        (folder / "\udcff.mp4").write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (record,) = open_layout(tmp_path)
    assert record.path.is_file()


def test_walk_refuses_files(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no such folder"):
        list(videos_by_folder(touch(tmp_path, "a.mp4")))
