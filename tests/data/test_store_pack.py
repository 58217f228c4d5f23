"""Packing: resumable, parallel, and honest about what is damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_store import CONTRACT, record, write_video

from whodrives.data import store_shards
from whodrives.data.lock import BusyError
from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_decode import Decoded, DecodeSettings, Job, decode_job
from whodrives.data.store_errors import StoreDamageError, StoreError
from whodrives.data.store_pack import pack
from whodrives.data.store_workers import WORKER_DIED, decode_all
from whodrives.errors import InputError
from whodrives.video import load_frames


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    root = tmp_path_factory.mktemp("source")
    return [record(write_video(root / "ana" / f"{n}.mp4", 20 + n, n)) for n in range(8)]


def shards(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.glob("shards/*"))}


def test_any_number_of_workers_gives_the_same_store(source: list[Record], tmp_path: Path) -> None:
    for workers in (1, 3):
        pack(source, tmp_path / str(workers), contract=CONTRACT, workers=workers, shard_bytes=50_000)
    assert shards(tmp_path / "1") == shards(tmp_path / "3")
    assert len(shards(tmp_path / "1")) > 4
    assert {path.name for path in (tmp_path / "3").iterdir()} == {
        ".lock", "failed.parquet", "index.parquet", "shards", "store.json",
    }  # fmt: skip


def test_a_second_run_decodes_what_is_missing(source: list[Record], tmp_path: Path) -> None:
    pack(source[:3], tmp_path, contract=CONTRACT)
    first = shards(tmp_path)
    result = pack(source[2:5], tmp_path, contract=CONTRACT, keep_others=True)
    assert (result.packed, result.kept, result.videos, result.others) == (2, 1, 5, 2)
    assert first.items() <= shards(tmp_path).items()
    relabelled = [replace(one, split="val") for one in source[:5]]
    result = pack(relabelled, tmp_path, contract=CONTRACT)
    assert (result.packed, result.kept) == (0, 5)
    assert len(FrameStore.open(tmp_path).select(split="val")) == 5


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a" / "1.mp4", 20, 0)
    pack([record(path)], tmp_path / "store", contract=CONTRACT)
    write_video(path, 25, 1)
    assert pack([record(path)], tmp_path / "store", contract=CONTRACT).packed == 1
    store = FrameStore.open(tmp_path / "store")
    np.testing.assert_array_equal(store.whole(0).frames[:, 0], load_frames(path, CONTRACT).frames)
    path.write_bytes(b"")
    result = pack([record(path)], tmp_path / "store", contract=CONTRACT)
    assert (result.videos, len(result.failed)) == (0, 1)
    path.unlink()
    assert "no such file" in pack([record(path)], tmp_path / "store", contract=CONTRACT).failed[0][1]


def test_what_cannot_be_decoded_is_listed_and_not_tried_again(source: list[Record], tmp_path: Path) -> None:
    names = {"empty": b"", "text": b"hello, no video here" * 9, "cut": source[0].path.read_bytes()[:100]}
    for name, data in names.items():
        (tmp_path / f"{name}.mp4").write_bytes(data)
    bad = [record(tmp_path / f"{name}.mp4") for name in (*names, "missing")]
    result = pack([*bad, source[0]], tmp_path / "store", contract=CONTRACT)
    assert (result.packed, result.videos, len(result.failed)) == (1, 1, 4)
    rows = pq.read_table(tmp_path / "store" / "failed.parquet").to_pylist()
    assert {row["kind"] for row in rows} >= {"EmptyFileError", "UnreadableFileError"}
    assert all(Path(row["path"]).name in row["reason"] for row in rows)
    assert json.loads((tmp_path / "store" / "store.json").read_text())["failed"]["EmptyFileError"] == 1
    tried: list[str] = []
    pack(bad, tmp_path / "store", contract=CONTRACT, progress=lambda told: tried.append(told.path.stem))
    assert tried == ["missing"]
    pack(bad, tmp_path / "store", contract=CONTRACT, retry_failed=True, progress=lambda told: tried.append(""))
    assert len(tried) == 5
    write_video(tmp_path / "missing.mp4", 9)
    write_video(tmp_path / "empty.mp4", 9)
    assert pack(bad, tmp_path / "store", contract=CONTRACT).packed == 2


KILLED = """
import sys
from test_store import CONTRACT, record
from pathlib import Path
from whodrives.data.store_pack import pack
def slow(told):
    print(told.done, flush=True)
    if told.done == 5:
        import time
        time.sleep(60)
if __name__ == "__main__":
    source = [record(path) for path in sorted(Path(sys.argv[1]).iterdir())]
    pack(source, sys.argv[2], contract=CONTRACT, workers=int(sys.argv[3]), shard_bytes=50_000, progress=slow)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_the_middle(source: list[Record], tmp_path: Path, workers: int) -> None:
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    store = tmp_path / "store"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    words = [sys.executable, str(script), str(source[0].path.parent), str(store), str(workers)]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    assert run.stdout is not None
    for line in run.stdout:
        if int(line) == 5:
            break
    with pytest.raises(BusyError, match="another run is writing"):
        pack(source, store, contract=CONTRACT)
    run.send_signal(signal.SIGKILL)
    run.wait()
    finished = sorted(store.glob("shards/*.parquet"))
    half = list(store.glob("shards/.*.part"))
    assert finished
    assert half
    with pytest.raises(StoreError, match="pack has not ended"):
        FrameStore.open(store)
    before = {path.name: path.read_bytes() for path in store.glob("shards/*.bin")}
    stored = sum(pq.read_metadata(path).num_rows for path in finished)
    result = pack(source, store, contract=CONTRACT, shard_bytes=50_000)
    assert (result.kept, result.packed) == (stored, len(source) - stored)
    assert before.items() <= shards(store).items()
    reference = tmp_path / "reference"
    pack(source, reference, contract=CONTRACT, shard_bytes=50_000)
    assert shards(store) == shards(reference)
    assert not list(store.glob("shards/.*"))


def dies(job: Job, settings: DecodeSettings) -> Decoded:
    """A decoder that takes its process along on the second video."""
    if job.number == 1:
        os._exit(7)
    return decode_job(job, settings)


def dies_always(job: Job, settings: DecodeSettings) -> Decoded:
    os._exit(7)


def test_a_process_that_dies_costs_one_video(source: list[Record], tmp_path: Path) -> None:
    settings = DecodeSettings(CONTRACT, "delta", 16, None, tmp_path)
    jobs = [Job(number, one.path) for number, one in enumerate(source)]
    results = list(decode_all(jobs, settings, 2, dies))
    assert [result.number for result in results] == list(range(8))
    assert [result.number for result in results if result.kind] == [1]
    assert results[1].kind == WORKER_DIED
    assert "exit code 7" in results[1].reason
    with pytest.raises(StoreError, match="keep ending"):
        list(decode_all(jobs, settings, 2, dies_always))


def test_workers_end_with_their_parent(source: list[Record], tmp_path: Path) -> None:
    """Nobody is left behind by a killed run."""
    (tmp_path / "run.py").write_text(KILLED)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    words = [sys.executable, str(tmp_path / "run.py"), str(source[0].path.parent), str(tmp_path / "store"), "2"]
    environment = {**os.environ, "PYTHONPATH": path, "WHODRIVES_TEST_MARK": str(tmp_path)}
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert run.stdout is not None
    assert run.stdout.readline() == "1\n"
    run.send_signal(signal.SIGKILL)
    run.wait()
    mark = f"WHODRIVES_TEST_MARK={tmp_path}".encode()
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc")

    def left() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.append(process.name)
            except OSError:
                continue
        return found

    until = time.monotonic() + 10
    while left() and time.monotonic() < until:
        time.sleep(0.05)
    assert left() == []


@pytest.fixture
def damaged(source: list[Record], tmp_path: Path) -> Path:
    pack(source, tmp_path, contract=CONTRACT, shard_bytes=50_000)
    return tmp_path


@pytest.mark.parametrize("codec", ["delta", "raw"])
def test_one_wrong_byte(source: list[Record], tmp_path: Path, codec: str) -> None:
    pack(source, tmp_path, contract=CONTRACT, codec=codec)
    shard = tmp_path / "shards" / "00000.bin"
    store = FrameStore.open(tmp_path)
    data = bytearray(shard.read_bytes())
    place = int(store.index.offset[3]) + int(store.index.chunk_bytes[store.index.chunk_start[3]]) + 20
    data[place] ^= 1
    shard.write_bytes(data)
    store.window(3, 0, 16)
    for _ in range(2):
        with pytest.raises(StoreDamageError, match=r"00000\.bin: .* are not those that were written.*3\.mp4") as caught:
            store.window(3, 1, 16)
    assert caught.value.video == 3
    assert list(store.damaged) == [3]
    assert [one.video for one in FrameStore.open(tmp_path).verify()] == [3]
    assert "pack the videos again" in str(caught.value)
    for video in (0, 2, 4, 7):
        store.window(video, 0, 64)


def test_when_checksums_are_compared(source: list[Record], tmp_path: Path) -> None:
    pack(source[:1], tmp_path, contract=CONTRACT, codec="raw")
    first, always, never = (FrameStore.open(tmp_path, check=check) for check in ("first", "always", "never"))
    for store in (first, always):
        store.whole(0)
    shard = tmp_path / "shards" / "00000.bin"
    data = bytearray(shard.read_bytes())
    data[3] ^= 1
    shard.write_bytes(data)
    assert first.whole(0).frames[0, 0, 0, 3] == never.whole(0).frames[0, 0, 0, 3]
    with pytest.raises(StoreDamageError):
        always.whole(0)
    assert [one.video for one in never.verify()] == [0]


def test_a_shard_cut_short_and_a_missing_one(source: list[Record], damaged: Path) -> None:
    store = FrameStore.open(damaged)
    files = sorted(damaged.glob("shards/*.bin"))
    os.truncate(files[0], files[0].stat().st_size - 10)
    files[1].unlink()
    lost = {one.video: one for one in store.verify()}
    for video, shard in enumerate(store.index.shard):
        assert (video in lost) == (shard == 1 or (shard == 0 and store.index.shard[video + 1] == 1))
    assert any("ends after" in one.problem for one in lost.values())
    assert any(one.problem == "is missing" and "00001.bin" in one.shard for one in lost.values())
    # Packing again repairs it, and decodes nothing but what the two shards held.
    held = int((store.index.shard < 2).sum())
    result = pack(source, damaged, contract=CONTRACT, shard_bytes=50_000)
    assert (result.packed, result.kept) == (held, len(source) - held)
    store = FrameStore.open(damaged)
    assert store.verify() == ()
    for number, one in enumerate(store.records):
        np.testing.assert_array_equal(store.whole(number).frames[:, 0], load_frames(one.path, CONTRACT).frames)


def test_an_interrupted_run_keeps_what_it_has(source: list[Record], tmp_path: Path) -> None:
    def stop(told: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(source, tmp_path, contract=CONTRACT, progress=stop)
    assert len(FrameStore.open(tmp_path)) == 1
    assert pack(source, tmp_path, contract=CONTRACT).kept == 1


def test_wrong_arguments(source: list[Record], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="named by two records"):
        pack([source[0], source[0]], tmp_path, contract=CONTRACT)
    for wrong in ({"workers": 0}, {"chunk_frames": 0}, {"shard_bytes": 0}, {"folder_fps": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            pack(source, tmp_path, contract=CONTRACT, **wrong)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        pack(source, tmp_path / "file", contract=CONTRACT)
    with pytest.raises(StoreError, match="codec 'gif'"):
        pack(source, tmp_path / "store", contract=CONTRACT, codec="gif")


def test_only_an_empty_folder_becomes_a_store(source: list[Record], tmp_path: Path) -> None:
    precious = tmp_path / "videos" / "work" / "1.mp4"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"mine")
    for folder in (tmp_path, tmp_path / "videos", tmp_path / "videos" / "work"):
        with pytest.raises(StoreError, match="not empty"):
            pack(source[:1], folder, contract=CONTRACT)
    assert precious.read_bytes() == b"mine"


def test_labels_and_reasons_that_are_no_text(source: list[Record], tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9.mp4"
    try:
        odd.write_bytes(b"no video")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    result = pack([replace(source[0], driver="caf\udce9"), record(odd)], tmp_path / "store", contract=CONTRACT)
    assert FrameStore.open(tmp_path / "store").records[0].driver == "caf\\xe9"
    ((path, reason),) = result.failed
    assert path.endswith("caf\\xe9.mp4")
    assert "caf\\xe9.mp4" in reason


class FailsOnce(FileIO):
    """A shard's file that lets half of one write through."""

    calls, error = 0, KeyboardInterrupt()

    def write(self, data: Any) -> int:
        FailsOnce.calls += 1
        if FailsOnce.calls == 3:
            super().write(data[:100])
            raise FailsOnce.error
        return super().write(data)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_half_a_video_in_a_shard(
    source: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(store_shards, "FileIO", FailsOnce)
    monkeypatch.setattr(FailsOnce, "calls", 0)
    monkeypatch.setattr(FailsOnce, "error", error)
    with pytest.raises((KeyboardInterrupt, StoreError)):
        pack(source[:4], tmp_path, contract=CONTRACT)
    store = FrameStore.open(tmp_path)
    assert (len(store), store.verify()) == (2, ())
    monkeypatch.undo()
    result = pack(source[:4], tmp_path, contract=CONTRACT)
    assert (result.kept, result.packed) == (2, 2)
    assert FrameStore.open(tmp_path).verify() == ()


def test_half_of_the_first_video_leaves_no_shard(
    source: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_shards, "FileIO", FailsOnce)
    monkeypatch.setattr(FailsOnce, "calls", 2)
    with pytest.raises(KeyboardInterrupt):
        pack(source[:2], tmp_path, contract=CONTRACT)
    assert shards(tmp_path) == {}


def test_a_work_file_of_another_length(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "0.bin").write_bytes(b"abc")
    writer = store_shards.ShardWriter(tmp_path, 0, 100)
    with pytest.raises(StoreError, match="has 3 bytes, its chunks 4"):
        writer.append(tmp_path / "0.bin", {"chunk_bytes": [2, 2]})
    writer.finish()
    assert list(tmp_path.glob("shards/*")) == []


@pytest.mark.parametrize("moment", ["open", "write", "close"])
def test_a_disk_that_refuses_is_no_bad_video(
    source: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    opened = Path.open

    def refusing(path: Path, *words: Any, **more: Any) -> Any:
        stream = opened(path, *words, **more)
        if path.parent.name.startswith(".whodrives-work") and words == ("wb",):
            if moment == "open":
                stream.close()
                raise OSError(122, "Disk quota exceeded")
            return Refusing(stream, moment)
        return stream

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(StoreError, match=r"Disk quota exceeded.*free space"):
        pack(source[:1], tmp_path, contract=CONTRACT)
    monkeypatch.undo()
    result = pack(source[:1], tmp_path, contract=CONTRACT)
    assert (result.packed, result.failed) == (1, ())


class Refusing:
    """A file on a disk whose quota is used up."""

    def __init__(self, stream: Any, moment: str) -> None:
        self.stream, self.moment = stream, moment

    def write(self, data: bytes) -> None:
        if self.moment == "write":
            raise OSError(122, "Disk quota exceeded")

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        self.stream.close()
        if self.moment == "close":
            raise OSError(122, "Disk quota exceeded")
