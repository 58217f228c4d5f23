"""What a store lists after several runs: the records of the last one, and others only when asked for."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_store import CONTRACT, record, write_video

from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_errors import StoreError
from whodrives.data.store_pack import PackResult, pack
from whodrives.errors import InputError
from whodrives.video import load_frames


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Three videos of 9, 10 and 11 frames."""
    for number, name in enumerate("abc"):
        write_video(tmp_path / "films" / "ana" / f"{name}.mp4", 9 + number, number)
    return tmp_path / "films"


def of(films: Path, names: str, **labels: str) -> list[Record]:
    return [replace(record(films / "ana" / f"{name}.mp4"), **labels) for name in names]


def run(records: list[Record], films: Path, keep_others: bool = False) -> PackResult:
    return pack(records, films.parent / "store", contract=CONTRACT, root=films, keep_others=keep_others)


def listed(films: Path) -> dict[str, tuple[str, str]]:
    store = FrameStore.open(films.parent / "store")
    assert store.verify() == ()
    return {one.path.stem: (one.driver, one.split) for one in store.records}


def test_corrected_labels_last(films: Path) -> None:
    run(of(films, "ab"), films)
    run([*of(films, "a", split="test"), *of(films, "b", driver="bob")], films)
    result = run(of(films, "c"), films, keep_others=True)
    assert (result.packed, result.kept, result.others, result.videos) == (1, 0, 2, 3)
    assert listed(films) == {"a": ("ana", "test"), "b": ("bob", "train"), "c": ("ana", "train")}
    again = run(of(films, "c", split="val"), films, keep_others=True)
    assert (again.packed, again.others) == (0, 2)
    assert listed(films) == {"a": ("ana", "test"), "b": ("bob", "train"), "c": ("ana", "val")}


def test_what_is_no_longer_listed_is_no_longer_there(films: Path) -> None:
    run(of(films, "abc"), films)
    result = run(of(films, "bc"), films)
    assert (result.packed, result.kept, result.videos, result.others) == (0, 2, 2, 1)
    # What was withdrawn does not come back with others, and comes back without decoding when it is listed again.
    assert run(of(films, "c"), films, keep_others=True).others == 1
    assert listed(films).keys() == {"b", "c"}
    assert run(of(films, "abc"), films).kept == 3


def test_a_video_moved_to_another_split_is_there_once(films: Path) -> None:
    run(of(films, "a"), films)
    (films / "TEST").mkdir()
    moved = (films / "ana" / "a.mp4").rename(films / "TEST" / "a.mp4")
    assert run([record(moved, "ana", "test")], films).others == 1
    assert listed(films) == {"a": ("ana", "test")}


def test_failures_are_those_of_what_is_listed(films: Path) -> None:
    (films / "ana" / "b.mp4").write_bytes(b"x" * 100)
    assert len(run(of(films, "ab"), films).failed) == 1
    for keep_others in (True, False):
        assert run(of(films, "a"), films, keep_others).failed == ()
    assert pq.read_table(films.parent / "store" / "failed.parquet").num_rows == 0


def test_old_frames_never_get_new_labels(films: Path) -> None:
    run(of(films, "ab"), films)
    write_video(films / "ana" / "a.mp4", 20, 7)
    write_video(films / "ana" / "b.mp4", 21, 8)

    def stop(told: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(of(films, "ab"), films.parent / "store", contract=CONTRACT, root=films, progress=stop)
    assert listed(films).keys() == {"a"}
    assert run(of(films, "ab"), films).packed == 1


def test_the_same_name_from_another_folder_is_refused(films: Path) -> None:
    other = films.parent / "other"
    for name in "ab":
        write_video(other / "ana" / f"{name}.mp4", 15, 3)
    run(of(films, "ab"), films)
    for keep_others in (False, True):
        with pytest.raises(InputError, match=r"holds ana/a.mp4, ana/b.mp4 already, from another folder"):
            run(of(other, "ab"), other, keep_others)
    # Nor may a file that is missing there give its labels to frames from here.
    (other / "ana" / "a.mp4").unlink()
    with pytest.raises(InputError, match=r"holds ana/a.mp4 already"):
        run(of(other, "a"), other)
    assert listed(films).keys() == {"a", "b"}
    write_video(other / "ben" / "a.mp4", 15, 3)
    run([record(other / "ben" / "a.mp4")], other, keep_others=True)
    store = FrameStore.open(films.parent / "store")
    assert [one.path.as_posix() for one in store.records] == ["ana/a.mp4", "ana/b.mp4", "ben/a.mp4"]
    np.testing.assert_array_equal(store.whole(0).frames[:, 0], load_frames(films / "ana" / "a.mp4", CONTRACT).frames)
    # Each is known by its own folder still.
    with pytest.raises(InputError, match="already"):
        run(of(other, "b"), other, keep_others=True)
    assert run(of(films, "ab"), films, keep_others=True).kept == 2


def test_a_data_set_may_move(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(of(films, "ab"), films)
    moved = films.rename(films.parent / "elsewhere")
    assert run(of(moved, "ab", split="val"), moved).kept == 2
    # Nor need it be there for new labels, once it is known there.
    shutil.rmtree(moved)
    assert run(of(moved, "ab", split="test"), moved).kept == 2
    assert listed(moved) == {"a": ("ana", "test"), "b": ("ana", "test")}


def test_names_without_a_root(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = films.parent / "store", films.parent / "other"
    write_video(other / "ana" / "a.mp4", 15, 3)
    monkeypatch.chdir(films)
    pack([record(Path("ana/a.mp4"))], store, contract=CONTRACT)
    monkeypatch.chdir(other)
    with pytest.raises(InputError, match="from another folder"):
        pack([record(Path("ana/a.mp4"))], store, contract=CONTRACT)
    # An absolute name means one file, whatever the root and the current folder.
    result = pack([record(other / "ana" / "a.mp4")], store, contract=CONTRACT, root=films)
    write_video(other / "ana" / "a.mp4", 16, 3)
    monkeypatch.chdir(films)
    again = pack([record(other / "ana" / "a.mp4")], store, contract=CONTRACT)
    assert (result.packed, again.packed, again.videos) == (1, 1, 1)


def test_stores_that_know_no_roots(films: Path) -> None:
    run(of(films, "ab"), films)
    store = films.parent / "store"
    for path in (store / "index.parquet", store / "shards" / "00000.parquet"):
        pq.write_table(pq.read_table(pa.BufferReader(path.read_bytes())).drop_columns(["root"]), path)
    assert listed(films).keys() == {"a", "b"}
    assert run(of(films, "ab"), films).kept == 2
    assert set(pq.read_table(store / "index.parquet")["root"].to_pylist()) != {None}


def test_others_that_are_lost_are_told(films: Path) -> None:
    run(of(films, "a"), films)
    run(of(films, "b"), films, keep_others=True)
    shard = films.parent / "store" / "shards" / "00000.bin"
    os.truncate(shard, shard.stat().st_size - 1)
    result = run(of(films, "c"), films, keep_others=True)
    assert (result.videos, result.others) == (2, 1)
    ((name, reason),) = result.failed
    assert name == "ana/a.mp4"
    assert "its shard is damaged or missing" in reason


def test_a_damaged_index(films: Path) -> None:
    run(of(films, "ab"), films)
    index = films.parent / "store" / "index.parquet"
    index.write_bytes(index.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"index.parquet: is damaged, so nobody knows"):
        run(of(films, "c"), films, keep_others=True)
    assert run(of(films, "ab"), films).kept == 2
    assert listed(films).keys() == {"a", "b"}
