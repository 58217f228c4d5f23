"""AVAPrintDB's lists: metadata, generations, subjects, evaluation pairs, and source clips behind ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_trees import touch
from whodrives.data.avaprintdb import (
    METADATA,
    METADATA_FILE,
    Generation,
    clip_uuid,
    list_videos,
    video_path,
    write_metadata,
)
from whodrives.data.avaprintdb_lists import (
    Subject,
    clip_id,
    clips_behind,
    read_generations,
    read_metadata,
    read_subjects,
    source_clips,
)
from whodrives.data.avaprintdb_pairs import Pair, resolve_pairs
from whodrives.data.errors import LayoutError
from whodrives.data.layouts import list_dataset

CREMAD, RAVDESS = "VideoFlash/mp4/1001_DFA_ANG_XX.mp4", "VIDEO-SPEECH/Actor_02/01-01-05-02-01-01-02.mp4"
NAMES = (
    video_path("train", "gagavatar", "C1001", "C1001", clip_uuid(CREMAD)),
    video_path("train", "gagavatar", "C1003", "C1001", clip_uuid(CREMAD)),
    video_path("test", "gagavatar", "Actor_03", "Actor_02", clip_uuid(RAVDESS)),
    video_path("test", "liveportrait", "Actor_03", "Actor_02", clip_uuid(RAVDESS)),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path / "database", *NAMES)
    return tmp_path


def metadata(root: Path, *rows: str) -> Path:
    path = root / "database" / METADATA / METADATA_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["avatar_video_path,generator,split", *rows]))
    return path


def test_metadata_is_compared_with_the_files(root: Path) -> None:
    moved = NAMES[0].name
    metadata(root, f"/other/place/{moved},GAGA,TEST", f"{NAMES[1].name},GAGA,dev", "C1--C2--x--GAGA.mp4,GAGA,DEV")
    listing = list_dataset(root, strict=False)
    assert listing.layout == "avaprintdb"
    assert len(listing.records) == 4
    assert len(listing.problems) == 1
    assert f"{moved}: lies in DEV, {METADATA_FILE} says TEST" in listing.problems[0]
    assert any("1 of 3 videos in avaprintdb_metadata.csv are not here: C1--C2" in note for note in listing.notes)
    assert any("2 videos here are not in" in note for note in listing.notes)
    with pytest.raises(LayoutError, match="says TEST"):
        list_dataset(root)


def test_metadata_errors(root: Path) -> None:
    for row, message in (("a.mp4,GAGA,VAL", "not 'VAL'"), (",GAGA,DEV", "line 2"), ("a,G,DEV\nb/a,G,TEST", "in both")):
        with pytest.raises(LayoutError, match=message):
            read_metadata(metadata(root, row))


def test_splits_divide_dev(root: Path) -> None:
    path = root / "split.csv"
    path.write_text("identity,split\nC1001,val\nC1003,val\nActor_02,train\nActor_03,train\n")
    listing = list_dataset(root, splits=path, strict=False)
    assert [record.split for record in listing.records] == ["val", "val", "train", "train"]
    assert len(listing.problems) == 2
    assert all(problem.endswith(f"lies in TEST, {path} says DEV; correct it") for problem in listing.problems)
    assert all(record.split in ("train", "test") for record in list_dataset(root).records)


def test_strays_are_problems(root: Path) -> None:
    touch(root / "database", "data/videos/DEV/GAGA/C1--C2--GAGA.mp4", "data/videos/odd.mp4")
    listing = list_dataset(root, strict=False)
    assert (len(listing.records), len(listing.problems)) == (4, 2)


def test_generations_round_trip_and_check_the_ids(tmp_path: Path) -> None:
    rows = [Generation("C1001", CREMAD, "C1003", "C1003.png", "train")]
    path = write_metadata(tmp_path, [], rows) / "generation.csv"
    assert read_generations(path) == [Generation("C1001", CREMAD, "C1003", "C1003.png", "DEV")]
    text = path.read_text()
    path.write_text(text.replace(CREMAD, "/data/CREMA-D/" + CREMAD))
    assert read_generations(path)[0].clip.startswith("/data")
    path.write_text(text.replace(CREMAD, "VideoFlash/mp4/1002_DFA_ANG_XX.mp4"))
    with pytest.raises(LayoutError, match=r"line 2: .* is not the id of 'VideoFlash/mp4/1002"):
        read_generations(path)
    path.write_text(text.replace("C1003,", ","))
    with pytest.raises(LayoutError, match="must not be empty"):
        read_generations(path)


def test_subjects(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"neither cremad_metadata.csv"):
        read_subjects(tmp_path)
    (tmp_path / "cremad_metadata.csv").write_text("ActorID,Age,Sex,Race\n1001,51,Male,Caucasian\n1002,,Female,\n")
    (tmp_path / "ravdess_metadata.csv").write_text("id,gender,ethnicity,age\nActor_01,male,,27.5\n")
    assert read_subjects(tmp_path) == {
        "1001": Subject("1001", "Male", "Caucasian", 51.0),
        "1002": Subject("1002", "Female", "", None),
        "Actor_01": Subject("Actor_01", "male", "", 27.5),
    }


def test_ids_lead_back_to_source_clips(root: Path, tmp_path: Path) -> None:
    crema, ravdess = tmp_path / "CREMA-D", tmp_path / "ravdess videos"
    touch(crema, "VideoFlash/1001_DFA_ANG_XX.flv")
    touch(ravdess, "Video_Speech_Actor_02/Actor_02/01-01-05-02-01-01-02.mp4", "loose.mp4")
    clips = source_clips(crema, ravdess)
    assert clips[clip_uuid(CREMAD)] == crema / "VideoFlash/1001_DFA_ANG_XX.flv"
    records = list(list_videos(root))
    found, lost = clips_behind(records, clips)
    assert (len(found), lost) == (2, 0)
    assert found[clip_id(records[-1])].name == "01-01-05-02-01-01-02.mp4"
    assert clips_behind(records, {}) == ({}, 2)
    assert clips_behind(records, source_clips(crema))[1] == 1


def test_pairs_become_records_with_coverage(root: Path) -> None:
    records = list(list_videos(root))
    own, cross, ravdess, live = (name.stem for name in NAMES)
    pairs = [
        Pair(own, f"DEV/GAGA/{cross}.npy", True),
        Pair(own, ravdess + ".mp4", True),
        Pair(own, "C1--C2--x--GAGA", False),
    ]
    got = resolve_pairs(pairs, records)
    assert [(one.path.stem, other.path.stem, same) for one, other, same in got.trials] == [
        (own, cross, True),
        (own, ravdess, True),
    ]
    assert (got.total, got.mislabelled, got.missing) == (3, 1, ("C1--C2--x--GAGA",))
    assert got.coverage == pytest.approx(2 / 3)
    swapped = resolve_pairs([Pair(ravdess, ravdess, True)], records, generator="liveportrait")
    assert swapped.trials[0][0].path.stem == live
    assert resolve_pairs([], records).coverage == 1.0
    with pytest.raises(LayoutError, match="leave one of them out"):
        resolve_pairs(pairs, [*records, *list_videos(root)])
