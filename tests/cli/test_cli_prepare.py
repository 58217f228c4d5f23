"""`whodrives prepare --check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataset_trees import NVFAIR, film, nvfair, touch
from whodrives.data.nvfair_table import COLUMNS

if TYPE_CHECKING:
    from tests.cli.conftest import Caller


def test_a_sound_folder(call: Caller, tmp_path: Path) -> None:
    for number, name in enumerate(("ana/1.mp4", "ana/2.mp4", "Zoë/1.mp4")):
        film(tmp_path / name, seed=number)
    answer = call("prepare", tmp_path, "--check", "--json")
    assert answer.status == 0
    assert answer.json["ok"] is True
    assert (answer.json["layout"], answer.json["depth"], answer.json["problems"]) == ("folder", "headers", 0)
    assert answer.json["total"]["videos"] == 3
    assert answer.json["splits"]["(none)"]["identities"] == 2
    assert answer.json["short"] == 3
    told = call("prepare", tmp_path, "--check", "--decode", "--workers", 2)
    assert told.status == 0
    assert "no problems found" in told.out
    assert "resolution: 64x64 (3)" in told.out


def test_problems_are_told_and_end_with_1(call: Caller, tmp_path: Path) -> None:
    film(tmp_path / "ana/1.mp4")
    film(tmp_path / "bob/1.mp4")
    touch(tmp_path, "stray.mp4", *(f"carl/{number}.mp4" for number in range(30)))
    answer = call("prepare", tmp_path, "--check", "--json", "--layout", "folder")
    assert answer.status == 1
    assert answer.json["ok"] is False
    assert answer.json["problems"] == 32
    assert {bad["error"] for bad in answer.json["bad_files"]} == {"EmptyFileError"}
    assert len(answer.json["duplicates"]) == 1
    assert "stray.mp4" in answer.json["layout_problems"][0]
    told = call("prepare", tmp_path, "--check")
    assert told.status == 1
    assert "... and 12 more; --json lists all" in told.out
    assert "32 problems found" in told.out


def test_nvfair_with_its_tables(call: Caller, tmp_path: Path) -> None:
    nvfair(tmp_path, splits=None)
    splits, table = tmp_path / "s.csv", tmp_path / "t.csv"
    splits.write_text("identity,split\nid001,test\n1019,train\nActor_01,train\nActor_02,test\n")
    header = ",".join(f'"{COLUMNS[name][0]}"' for name in ("file", "licence", "research"))
    table.write_text(f"{header}\n{Path(NVFAIR[0]).name},NVIDIA,No\n{Path(NVFAIR[2]).name},ODbL,Yes\n")
    words = ("prepare", tmp_path, "--check", "--quick", "--splits", splits, "--metadata", table)
    everything = call(*words, "--json")
    assert everything.json["licences"] == {"not stated": 3, "ODbL": 2, "NVIDIA": 1}
    assert everything.json["research_use"] == {"not stated": 3, "yes": 2, "no": 1}
    assert everything.json["overlaps"] == []
    assert any("111 / 15 / 35" in note for note in everything.json["notes"])
    cleared = call(*words, "--cleared", "research", "--json")
    assert cleared.json["total"]["videos"] == 2
    assert "only the 2 of 6 videos cleared for research" in cleared.json["notes"]
    assert "research use: yes (2)" in call(*words, "--cleared", "research").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either STORE, to pack, or --check"),
        (("--check", "--quick", "--decode"), "give one of them"),
        (("--check", "--layout", "imagenet"), "imagenet"),
        (("--check", "--splits", "none.csv"), "none.csv: cannot be read"),
        (("--check", "--cleared", "research"), "give the data set's per-file table"),
        (("--check", "--layout", "nvfair", "--frames", "x"), "frame folders are named by split lists"),
        (("--check", "--workers", 0), "workers"),
        (("--check", "--layout", "avaprintdb"), "holds no data/videos"),
    ],
)
def test_wrong_calls(call: Caller, tmp_path: Path, words: tuple, message: str) -> None:
    nvfair(tmp_path)
    answer = call("prepare", tmp_path, *words, "--json")
    assert answer.status == 2
    assert message in answer.json["error"]["message"]


def test_nothing_there(call: Caller, tmp_path: Path) -> None:
    answer = call("prepare", tmp_path / "none", "--check")
    assert answer.status == 2
    assert "no such file or folder" in answer.err
    assert "no layout fits" in call("prepare", tmp_path, "--check").err


def test_packing_a_folder(call: Caller, tmp_path: Path) -> None:
    from whodrives.data.store import FrameStore

    root, store = tmp_path / "films", tmp_path / "store"
    for number, name in enumerate(("ana/1.mp4", "ana/2.mp4", "Zoë/1.mp4")):
        film(root / name, seed=number)
    answer = call("prepare", root, store, "--json")
    assert answer.status == 0
    assert (answer.json["packed"], answer.json["kept"], answer.json["failed"]) == (3, 0, [])
    assert sorted(record.driver for record in FrameStore.open(store).records) == ["Zoë", "ana", "ana"]
    touch(root, "ana/3.mp4")
    told = call("prepare", root, store)
    assert told.status == 1
    assert "0 packed now, 3 kept" in told.out
    assert "left out: ana/3.mp4" in told.out
    other = call("prepare", root, store, "--native")
    assert other.status == 2
    assert "both" not in other.out


def test_what_the_data_set_no_longer_holds(call: Caller, tmp_path: Path) -> None:
    root, store = tmp_path / "films", tmp_path / "store"
    for number, name in enumerate(("ana/1.mp4", "ana/2.mp4", "Zoë/1.mp4")):
        film(root / name, seed=number)
    call("prepare", root, store)
    (root / "ana/2.mp4").rename(tmp_path / "gone.mp4")
    kept = call("prepare", root, store, "--add")
    assert kept.status == 0
    assert "1 videos that ROOT does not list: kept" in kept.out
    told = call("prepare", root, store)
    assert "store: 2 videos" in told.out
    assert "1 videos that ROOT does not list: no longer listed; --add keeps such ones" in told.out
    assert call("prepare", root, store, "--json").json["others"] == 0


def test_the_data_set_is_no_place_for_its_store(call: Caller, tmp_path: Path) -> None:
    film(tmp_path / "films" / "work" / "1.mp4")
    for place in (tmp_path / "films", tmp_path / "films/work"):
        assert call("prepare", tmp_path / "films", place).status == 2
    assert (tmp_path / "films" / "work" / "1.mp4").exists()


def test_either_store_or_check(call: Caller, tmp_path: Path) -> None:
    told = call("prepare", tmp_path, tmp_path / "store", "--check")
    assert told.status == 2
