"""Clips of one take have one recording, whatever names they go by."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_trees import touch
from whodrives.data.layouts import list_dataset
from whodrives.data.takes import take_of


@pytest.mark.parametrize(
    ("clip", "take"),
    [
        ("01-01-03-01-01-01-07", "01-03-01-01-01-07"),
        ("02-01-03-01-01-01-07", "01-03-01-01-01-07"),
        ("02-01-03-01-01-01-07_crop", "01-03-01-01-01-07_crop"),
        ("01-01-03-01-01-01-071", "01-01-03-01-01-01-071"),
        ("04-01-03-01-01-01-07", "04-01-03-01-01-01-07"),
        ("01-02", "01-02"),
        ("1001_DFA_ANG_XX", "1001_DFA_ANG_XX"),
        ("", ""),
    ],
)
def test_takes(clip: str, take: str) -> None:
    assert take_of(clip) == take


def recordings(root: Path, layout: str) -> set[str]:
    listing = list_dataset(root)
    assert listing.layout == layout
    return {record.recording for record in listing.records}


def test_with_and_without_sound_is_one_take(tmp_path: Path) -> None:
    clips = [f"{modality}-01-03-01-01-01-07" for modality in ("01", "02")]
    touch(tmp_path / "gaga", *(f"Actor_08/Actor_07/{clip}_Actor_08.mp4" for clip in clips))
    assert recordings(tmp_path / "gaga", "gagavatar") == {"Actor_07/01-03-01-01-01-07"}
    touch(tmp_path / "nvfair", *(f"RAVDESS/originals/Actor_07/{clip}.mp4" for clip in clips))
    touch(tmp_path / "nvfair", *(f"RAVDESS/lia-generated/Actor_08/Actor_08--{c}--Actor_07.mp4" for c in clips))
    assert recordings(tmp_path / "nvfair", "nvfair") == {"Actor_07/01-03-01-01-01-07"}
    columns = "new_path,target_identity,driving_identity,generator\n"
    rows = "".join(f"test/RAVDESS/lia/Actor_08/Actor_08--{c}--Actor_07.mp4,Actor_08,Actor_07,lia\n" for c in clips)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test_files.csv").write_text(columns + rows)
    assert recordings(tmp_path / "lists", "nvfair") == {"Actor_07/01-03-01-01-01-07"}


def test_names_of_two_and_three_fields_and_originals_are_one_take(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "CREMA-D/originals/1019/1019_IEO_FEA_LO.mp4",
        "CREMA-D/lia-generated/1001/1019_IEO_FEA_LO--1019.mp4",
        "CREMA-D/lia-generated/1001/1001--1019_IEO_FEA_LO--1019.mp4",
    )
    assert recordings(tmp_path, "nvfair") == {"1019/1019_IEO_FEA_LO"}
