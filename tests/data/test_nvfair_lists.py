"""NVFAIR's split lists (train_files.csv, ...) and the frame folders that they name."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whodrives.data.errors import LayoutError
from whodrives.data.frame_folder import frame_files
from whodrives.data.layouts import list_dataset, open_layout
from whodrives.data.nvfair_lists import COLUMNS, read_lists

CROSS = ("val", "CREMA-D", "lia", "1001", "1001--1019_IEO_FEA_LO--1019.mp4")


def row(place: tuple[str, ...] = CROSS, driver: str = "1019", **other: str) -> dict[str, str]:
    values = {
        "original_path": "x/" + place[-1], "new_path": "/".join(place), "target_identity": place[3],
        "driving_identity": driver, "generator": place[2], "dataset_source": place[1],
        "is_self_reenactment": str(driver == place[3]), "real_or_synthetic": "synthetic", "self_cross_label": "cross",
        "license": "ODbL", "research_use": "Yes", "publication_use": "No",
    }  # fmt: skip
    return values | other


def write(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


ORIGINAL = row(("train", "CREMA-D", "original", "0042", "0042_IEO.mp4"), "0042")


def test_lists_give_records(tmp_path: Path) -> None:
    write(tmp_path / "train_files.csv", ORIGINAL)
    write(tmp_path / "val_files.csv", row())
    listing = list_dataset(tmp_path)
    assert listing.layout == "nvfair"
    original, cross = listing.records
    assert (original.driver, original.is_self, original.recording) == ("0042", True, "0042/0042_IEO")
    assert cross.path == tmp_path.joinpath(*CROSS)
    assert (cross.target, cross.driver, cross.generator, cross.split) == ("1001", "1019", "lia", "val")
    assert (cross.recording, cross.source, cross.is_self) == ("1019/1019_IEO_FEA_LO", "CREMA-D", False)
    assert (cross.licence, cross.research_use, cross.publication_use) == ("ODbL", True, False)
    assert not cross.is_frames


def test_frame_folders_are_told_by_their_ending(tmp_path: Path) -> None:
    write(tmp_path / "val_files.csv", row())
    (record,) = open_layout(tmp_path, frames=tmp_path / "frames")
    assert record.path == tmp_path.joinpath("frames", *CROSS).with_suffix("")
    assert record.is_frames


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(driver="1020"), "driving_identity '1020' is not that of the name"),
        (row(target_identity="1002"), "target_identity '1002' is not the folder"),
        (row(is_self_reenactment="True"), "contradicts target '1001' and driver '1019'"),
        (row(("test", *CROSS[1:])), "another split than val"),
        (row(("val", "..", *CROSS[2:])), "new_path"),
        (row(CROSS[:4]), "new_path"),
        (row(driver=""), "must not be empty"),
        (row((*CROSS[:4], "x.mp4")), "the name of"),
        (row(("val", "S", "original", "1001", "1001_x.mp4")), "an original of '1001' cannot be driven by '1019'"),
    ],
)
def test_rows_that_contradict_themselves(tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    write(tmp_path / "val_files.csv", row(), wrong)
    with pytest.raises(LayoutError, match=rf"val_files.csv: line 3: .*{message}"):
        read_lists(tmp_path)
    listing = list_dataset(tmp_path, strict=False)
    assert (len(listing.records), len(listing.problems)) == (1, 1)


def test_other_errors(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"holds none of train_files.csv"):
        read_lists(tmp_path)
    (tmp_path / "test_files.csv").write_text("new_path,target_identity\n")
    with pytest.raises(LayoutError, match="lacks the column 'driving_identity'"):
        read_lists(tmp_path)


def test_frames_in_lexicographic_order(tmp_path: Path) -> None:
    for name in ("000.png", "002.png", "001.png", ".hidden.png", "note.txt"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name, "png")
    assert [path.name for path in frame_files(tmp_path)] == ["000.png", "001.png", "002.png"]
    for name in ("9.png", "10.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(LayoutError, match="pad numbers with zeros"):
        frame_files(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match=r"holds no .png"):
        frame_files(tmp_path / "empty")
    with pytest.raises(LayoutError, match="cannot be listed"):
        frame_files(tmp_path / "none")
