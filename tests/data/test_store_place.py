"""Packing writes into a folder of its own, and removes nothing that it did not make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_store import CONTRACT, record, write_video

from whodrives.data.record import Record
from whodrives.data.store_errors import StoreError
from whodrives.data.store_pack import pack
from whodrives.data.store_place import refuse_sources, work_folder
from whodrives.errors import InputError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return record(write_video(tmp_path_factory.mktemp("source") / "ana" / "1.mp4", 9))


def test_the_data_set_is_no_place_for_a_store(tmp_path: Path) -> None:
    video = write_video(tmp_path / "films" / "work" / "1.mp4", 9)
    films = tmp_path / "films"
    link = tmp_path / "link"
    link.symlink_to(films)
    with pytest.raises(InputError, match="films: is the data set itself"):
        pack([record(video)], films, contract=CONTRACT, root=films)
    with pytest.raises(InputError, match="link: is the data set itself"):
        pack([record(video)], link, contract=CONTRACT, root=films)
    for out in (films, films / "work", link, tmp_path):
        with pytest.raises(InputError, match=r"holds the video .*1\.mp4"):
            pack([record(video)], out, contract=CONTRACT)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.mp4", "films", "link", "work"]
    # Also when it is a store already: a store beside its videos would be copied, moved and deleted with them.
    pack([record(video)], tmp_path / "store", contract=CONTRACT)
    inside = tmp_path / "store" / "2.mp4"
    inside.write_bytes(video.read_bytes())
    with pytest.raises(InputError, match="holds the video"):
        pack([record(inside)], tmp_path / "store", contract=CONTRACT)
    pack([record(video)], films / "store", contract=CONTRACT, root=films)


def test_a_folder_of_frames_is_no_place_either(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds the video"):
        refuse_sources(tmp_path / "take 1", None, [record(tmp_path / "take 1")])
    refuse_sources(tmp_path / "take", None, [record(tmp_path / "take 1")])


def test_what_a_run_left_before_its_header_is_no_obstacle(source: Record, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for name in (".lock", ".store.json.part"):
        (tmp_path / name).write_bytes(b"{")
    assert pack([source], tmp_path, contract=CONTRACT).videos == 1
    (tmp_path / "store.json").unlink()
    with pytest.raises(StoreError, match=r"not empty \(it holds failed.parquet, index.parquet\)"):
        pack([source], tmp_path, contract=CONTRACT)
    for name in ("failed.parquet", "index.parquet"):
        (tmp_path / name).unlink()
    with pytest.raises(StoreError, match="there are shards beside it"):
        pack([source], tmp_path, contract=CONTRACT)


def test_only_own_left_overs_are_removed(source: Record, tmp_path: Path) -> None:
    pack([source], tmp_path / "store", contract=CONTRACT)
    far = tmp_path / "far"
    far.mkdir()
    kept = [tmp_path / "store" / name for name in ("work", ".whodrives-work", ".whodrives-workshop", "a")]
    for folder in (*kept, far):
        folder.mkdir(exist_ok=True)
        (folder / "thesis.txt").write_text("mine")
    (tmp_path / "store" / ".whodrives-work-7-link").symlink_to(far)
    stale = tmp_path / "store" / ".whodrives-work-123-abc"
    stale.mkdir()
    (stale / "0.bin").write_bytes(b"x")
    pack([source], tmp_path / "store", contract=CONTRACT)
    assert not stale.exists()
    assert all((folder / "thesis.txt").read_text() == "mine" for folder in (*kept, far))


def test_work_folders_are_a_run_s_own(tmp_path: Path) -> None:
    with work_folder(tmp_path, alone=True) as first, work_folder(tmp_path, alone=False) as second:
        assert first != second
        assert first.is_dir()
        assert f"-{os.getpid()}-" in second.name
    assert list(tmp_path.iterdir()) == []
