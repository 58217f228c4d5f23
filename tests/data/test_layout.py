"""NVFAIR's layout, the manifest and the record, on trees made here in exactly that layout."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodrives.data.manifest import ManifestError, read_manifest, write_manifest
from whodrives.data.nvfair import LayoutError, list_videos, parse_path, video_path
from whodrives.data.record import Record
from whodrives.errors import InputError

NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\\-.\0"), min_size=1, max_size=8)


def touch(root: Path, relative: str | Path) -> None:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_reads_the_three_kinds_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "NVIDIA-VC-subset/lia-generated/id001/id001--1019_IEO_FEA_LO--1019.mp4")
    touch(tmp_path, "NVIDIA-VC-subset/tps-generated/id001/a01--id001.mp4")
    touch(tmp_path, "CREMA-D/originals/1019/1019_IEO_FEA_LO.mp4")
    touch(tmp_path, "per_file_information.txt")
    splits = {"id001": "test", "1019": "train"}
    original, cross, own = list_videos(tmp_path, splits)
    assert (cross.target, cross.driver, cross.generator, cross.is_self) == ("id001", "1019", "lia", False)
    assert (cross.recording, cross.source, cross.split) == ("1019/1019_IEO_FEA_LO", "NVIDIA-VC-subset", "")
    assert (own.driver, own.generator, own.is_self, own.split) == ("id001", "tps", True, "test")
    assert (original.driver, original.generator, original.is_self, original.split) == (
        "1019",
        "original",
        True,
        "train",
    )


@given(NAME, NAME, NAME, NAME, st.sampled_from(["warp", "facevid2vid", "original"]))
def test_written_paths_are_read_back(source: str, target: str, clip: str, driver: str, generator: str) -> None:
    if generator == "original":
        driver = target
    record = parse_path("root", Path("root") / video_path(source, generator, target, clip, driver))
    assert (record.source, record.generator, record.target, record.driver) == (source, generator, target, driver)
    assert record.recording == f"{driver}/{clip}"


@pytest.mark.parametrize(
    "path",
    [
        "a.mp4",
        "S/lia-generated/t/x.mp4",
        "S/lia/t/t--c--d.mp4",
        "S/-generated/t/t--c--d.mp4",
        "S/lia-generated/t/--d.mp4",
    ],
)
def test_other_places_and_names_are_named(tmp_path: Path, path: str) -> None:
    touch(tmp_path, path)
    with pytest.raises(LayoutError, match=Path(path).name):
        list(list_videos(tmp_path))


def test_bad_parts_and_folders() -> None:
    with pytest.raises(LayoutError, match="rename"):
        video_path("S", "warp", "a--b", "c", "d")
    with pytest.raises(LayoutError, match="rename"):
        video_path("S", "warp", "t", "c/c", "d")
    with pytest.raises(LayoutError, match="no such folder"):
        list(list_videos("/does/not/exist"))


def records(root: Path) -> list[Record]:
    first = Record(root / "S/warp-generated/ü/ü--c--007.mp4", "007", "ü", "warp", "S", "r,1", "test", False, "CC0")
    return [first, replace(first, path=root / "S/warp-generated/ü/ü--c--ü.mp4", driver="ü", is_self=True)]


def test_manifest_round_trip(tmp_path: Path) -> None:
    write_manifest(tmp_path, records(tmp_path))
    assert read_manifest(tmp_path) == list(list_videos(tmp_path)) == records(tmp_path)


def test_manifest_errors(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)
    path = write_manifest(tmp_path, records(tmp_path))
    good = path.read_text()
    path.write_text(good.replace("driving_identity", "who"))
    with pytest.raises(ManifestError, match="driving_identity"):
        read_manifest(tmp_path)
    path.write_text(good.replace("S/warp-generated", "../../etc"))
    with pytest.raises(ManifestError, match="must lie inside"):
        read_manifest(tmp_path)
    path.write_text(good.replace("False", "no"))
    with pytest.raises(ManifestError, match="line 2"):
        read_manifest(tmp_path)


def test_record_checks_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="driver is empty"):
        replace(records(tmp_path)[0], driver="")
    with pytest.raises(InputError, match="original"):
        replace(records(tmp_path)[0], generator="original")
