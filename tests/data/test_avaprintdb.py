"""AVAPrintDB's layout and lists, on trees made here."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodrives.data.avaprintdb import (
    CODES,
    Generation,
    clip_uuid,
    find_root,
    generator_code,
    generator_name,
    list_videos,
    parse_path,
    video_path,
    write_metadata,
)
from whodrives.data.avaprintdb_pairs import Pair, read_pairs, write_pairs
from whodrives.data.errors import LayoutError
from whodrives.data.manifest import write_manifest
from whodrives.data.record import Record

NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\\-.\0"), min_size=1, max_size=8)
GENERATOR = st.sampled_from([*CODES, "my-own-2"])
CLIP = "7d6b8f0e-9f1c-5d3e-8a51-3a9ad21d6f6a"


def touch(root: Path, relative: str | Path) -> Path:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_ids_of_clips_are_those_of_the_database() -> None:
    """uuid5 of the path, worked out by hand: sha1 over namespace and name, version and variant set."""
    import hashlib

    path = "VideoFlash/mp4/1001_DFA_ANG_XX.mp4"
    digest = bytearray(
        hashlib.sha1(bytes.fromhex("12345678" + "1234567812345678" + "12345678") + path.encode()).digest()
    )
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    assert clip_uuid(path).replace("-", "") == bytes(digest[:16]).hex()


def test_reads_a_tree_target_first(tmp_path: Path) -> None:
    root = tmp_path / "database"
    touch(root, f"data/videos/DEV/GAGA/C1001--C1002--{CLIP}--GAGA.mp4")
    touch(root, f"data/videos/TEST/LIVE/Actor_03--Actor_03--{CLIP}--LIVE.mp4")
    touch(root, "data/landmarks/DEV/GAGA/C1001--C1002--x--GAGA.npy")
    touch(root, "data/videos/DEV/GAGA/.half.mp4")
    dev, test = list_videos(tmp_path)
    assert (dev.target, dev.driver, dev.generator, dev.split) == ("C1001", "C1002", "gagavatar", "train")
    assert (dev.source, dev.is_self, dev.recording) == ("CREMA-D", False, f"C1002/{CLIP}")
    assert (test.source, test.is_self, test.generator, test.split) == ("RAVDESS", True, "liveportrait", "test")
    assert list(list_videos(root)) == [dev, test]


@given(st.sampled_from(["train", "val", "test"]), GENERATOR, NAME, NAME, NAME)
def test_written_paths_are_read_back(split: str, generator: str, target: str, driver: str, clip: str) -> None:
    path = video_path(split, generator, target, driver, clip)
    record = parse_path("root", Path("root") / path)
    assert (record.generator, record.target, record.driver) == (generator, target, driver)
    assert record.recording == f"{driver}/{clip}"
    assert record.split == ("test" if split == "test" else "train")
    assert path.parts[2] == ("TEST" if split == "test" else "DEV")


@given(GENERATOR)
def test_codes_are_read_back(generator: str) -> None:
    assert generator_name(generator_code(generator)) == generator


@pytest.mark.parametrize(
    "path",
    [
        "a.mp4",
        "data/videos/DEV/GAGA/C1--C2--GAGA.mp4",
        "data/videos/DEV/GAGA/C1--C2--x--LIVE.mp4",
        "data/videos/VAL/GAGA/C1--C2--x--GAGA.mp4",
        "data/films/DEV/GAGA/C1--C2--x--GAGA.mp4",
        "data/videos/DEV/GAGA/C1----x--GAGA.mp4",
        "data/videos/DEV/GAGA/C1--C2--x--GAGA.avi",
    ],
)
def test_other_places_and_names_are_named(path: str) -> None:
    with pytest.raises(LayoutError, match=Path(path).name):
        parse_path("root", Path("root") / path)


@pytest.mark.parametrize(
    "words",
    [
        ("dev", "warp", "t", "d", "c"),
        ("test", "warp", "a--b", "d", "c"),
        ("test", "warp", "t", "-d", "c"),
        ("test", "warp", "t", "d", ""),
        ("test", "Warp", "t", "d", "c"),
        ("test", "warp", "t/..", "d", "c"),
    ],
)
def test_names_that_would_be_read_back_wrongly(words: tuple[str, str, str, str, str]) -> None:
    with pytest.raises(LayoutError):
        video_path(*words)


def test_a_folder_without_videos_is_named() -> None:
    with pytest.raises(LayoutError, match="holds no data/videos"):
        find_root("/does/not/exist")


def test_a_manifest_comes_before_names(tmp_path: Path) -> None:
    path = touch(tmp_path, video_path("val", "warp", "t", "d", "c"))
    record = Record(path, "d", "t", "warp", "S", "r1", "val", True, "CC0")
    write_manifest(tmp_path, [record])
    assert list(list_videos(tmp_path)) == [record]
    assert parse_path(tmp_path, path) == replace(
        record, source="", recording="d/c", split="train", is_self=False, licence=""
    )


def test_metadata_lists(tmp_path: Path) -> None:
    records = [
        Record(tmp_path / video_path(split, "warp", "t", "d", split), "d", "t", "warp", "S", "r", split, False)
        for split in ("val", "test")
    ]
    rows = [Generation("d", "d/c.mp4", "t", "S/t.png", split) for split in ("val", "test", "test")]
    folder = write_metadata(tmp_path, records, rows)
    lines = (folder / "avaprintdb_metadata.csv").read_text().splitlines()
    assert lines == [
        "avatar_video_path,generator,split",
        "data/videos/DEV/WARP/t--d--val--WARP.mp4,WARP,DEV",
        "data/videos/TEST/WARP/t--d--test--WARP.mp4,WARP,TEST",
    ]
    lines = (folder / "generation.csv").read_text().splitlines()
    assert lines[0].startswith("driver_id,driver_video_path,driver_video_randomname,target_id")
    assert lines[1:] == [f"d,d/c.mp4,{clip_uuid('d/c.mp4')},t,S/t.png,{part}" for part in ("DEV", "TEST")]


def test_pairs_round_trip_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "evaluation_pairs_CREMA-D_WARP.csv"
    pairs = [Pair("a", "b,ü", True), Pair("a", "c", False)]
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs
    assert path.read_text().splitlines()[0] == "enrolment_sample,test_sample,label"
    path.write_text("enrolment_sample,test_sample,label\na,b,yes\n")
    with pytest.raises(LayoutError, match="line 2: label 'yes'"):
        read_pairs(path)
    path.write_text("enrolment_sample,label\n")
    with pytest.raises(LayoutError, match="lacks the column 'test_sample'"):
        read_pairs(path)
    with pytest.raises(LayoutError, match="cannot be read"):
        read_pairs(tmp_path / "none.csv")
