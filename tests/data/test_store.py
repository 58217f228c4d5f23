"""The packed frame store: what goes in comes out, from any place in any process."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_codec import CODECS, load_codec
from whodrives.data.store_errors import StoreDamageError, StoreError
from whodrives.data.store_files import LocalFiles
from whodrives.data.store_pack import PackProgress, pack
from whodrives.errors import InputError
from whodrives.video import PreprocessingContract, load_frames

CONTRACT = PreprocessingContract(size=32)
LENGTHS = {"ana/1.mp4": 40, "ana/2.mp4": 7, "bö/Ж ü.mp4": 16, "bö/2.mp4": 33}


def write_video(path: Path, count: int, seed: int = 0, side: int = 48) -> Path:
    """A noisy grey video of `count` frames at 25 frames per second, lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    base = rng.integers(40, 200, (side, side))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.width = stream.height = side
        stream.pix_fmt = "gray"
        for number in range(count):
            picture = np.roll(base, number, axis=1) + rng.integers(0, 9, (side, side))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="gray")))
        out.mux(stream.encode())
    return path


def record(path: Path, driver: str | None = None, split: str = "train") -> Record:
    """Labels out of a path."""
    driver = driver or path.parent.name
    return Record(path, driver, "face", "warp", "made up", f"{driver}/{path.stem}", split, False, "CC0")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for seed, (name, count) in enumerate(LENGTHS.items()):
        write_video(root / name, count, seed)
    return root


@pytest.fixture(scope="module")
def records(videos: Path) -> list[Record]:
    return [record(videos / name) for name in LENGTHS]


@pytest.fixture(scope="module", params=list(CODECS))
def place(request: pytest.FixtureRequest, records: list[Record], videos: Path, tmp_path_factory) -> Path:
    """A store in several shards, once with each codec."""
    out = tmp_path_factory.mktemp(request.param) / "störe"
    pack(records, out, contract=CONTRACT, codec=request.param, root=videos, shard_bytes=40_000)
    assert len(list(out.glob("shards/*.bin"))) > 1
    return out


@pytest.fixture(scope="module")
def truth(videos: Path) -> dict[str, NDArray[np.uint8]]:
    """What the video room decodes."""
    return {name: load_frames(videos / name, CONTRACT).frames for name in LENGTHS}


def test_round_trip(place: Path, truth: dict[str, NDArray[np.uint8]], records: list[Record]) -> None:
    store = FrameStore.open(place)
    assert [one.path.as_posix() for one in store.records] == sorted(truth)
    assert store.contract == CONTRACT
    assert store.header.frames == sum(LENGTHS.values()) == store.n_frames.sum()
    for number, one in enumerate(store.records):
        name = one.path.as_posix()
        assert one == record(Path(name))
        assert one == store.records[number]
        clip = store.whole(number)
        np.testing.assert_array_equal(clip.frames[:, 0], truth[name])
        assert (clip.start, clip.valid) == (0, LENGTHS[name])
        assert store.index.fps[number] == 25.0
    assert store.records[-1] == store.records[1:][-1]
    assert store.select(driver="ana").tolist() == [0, 1]
    assert store.select(driver="ana", split="val").tolist() == []
    assert store.select(is_self=False, driver="bö").tolist() == [2, 3]
    with pytest.raises(InputError, match="label 'colour'"):
        store.select(colour="red")
    assert store.verify() == ()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("codec", list(CODECS))
def test_a_window_is_a_piece_of_the_whole(codec: str, data: st.DataObject, made: dict[str, FrameStore]) -> None:
    store = made[codec]
    video = data.draw(st.integers(0, len(store) - 1))
    count = int(store.n_frames[video])
    start = data.draw(st.integers(0, count - 1))
    length = data.draw(st.integers(1, 2 * count))
    clip, whole = store.window(video, start, length), store.whole(video).frames
    assert clip.valid == min(length, count - start)
    expected = whole[np.minimum(np.arange(start, start + length), count - 1)]
    np.testing.assert_array_equal(clip.frames, expected)


@pytest.fixture(scope="module")
def made(records: list[Record], videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FrameStore]:
    out = tmp_path_factory.mktemp("both")
    for codec in CODECS:
        pack(records, out / codec, contract=CONTRACT, codec=codec, root=videos, chunk_frames=5)
    return {codec: FrameStore.open(out / codec) for codec in CODECS}


def test_edges(place: Path, truth: dict[str, NDArray[np.uint8]]) -> None:
    store = FrameStore.open(place, check="always")
    for start in (0, 1, 15, 16, 17, 31, 32, 38, 39):
        for length in (1, 2, 15, 16, 17, 40, 64):
            real = truth["ana/1.mp4"][start : start + length]
            clip = store.window(0, start, length)
            assert clip.frames.shape == (length, 1, 32, 32)
            assert clip.valid == len(real)
            np.testing.assert_array_equal(clip.frames[: len(real), 0], real)
            assert (clip.frames[len(real) :, 0] == real[-1]).all()
    for video, start, length, words in (
        (0, 40, 1, "cannot start at 40"),
        (0, -1, 1, "cannot start at -1"),
        (0, 0, 0, "length is 0"),
        (4, 0, 1, "holds 4"),
        (-1, 0, 1, "holds 4"),
    ):
        with pytest.raises(InputError, match=words):
            store.window(video, start, length)


def test_the_native_rate_is_a_choice_of_its_own(records: list[Record], tmp_path: Path) -> None:
    native = PreprocessingContract(size=32, fps=None)
    pack(records[:1], tmp_path / "native", contract=native)
    store = FrameStore.open(tmp_path / "native")
    assert store.header.frame_rate == "native"
    assert store.contract == native
    half = PreprocessingContract(size=32, fps=12.5)
    pack(records[:1], tmp_path / "half", contract=half)
    store = FrameStore.open(tmp_path / "half")
    assert (store.header.frame_rate, store.n_frames[0], store.index.fps[0]) == ("contract", 20, 12.5)
    with pytest.raises(StoreError, match="packed with contract"):
        pack(records[:1], tmp_path / "half", contract=native)
    with pytest.raises(StoreError, match="packed with codec"):
        pack(records[:1], tmp_path / "half", contract=half, codec="raw")


def test_scene_cuts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "gray"
        rng = np.random.default_rng(0)
        for _ in range(2):
            blocks = np.kron(rng.integers(0, 255, (8, 8)), np.ones((8, 8)))
            for shift in range(20):
                grey = np.roll(blocks, shift % 2, axis=0).astype(np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        out.mux(stream.encode())
    pack([record(path)], tmp_path / "store", contract=CONTRACT)
    assert FrameStore.open(tmp_path / "store").scene_cuts(0) == load_frames(path, CONTRACT).scene_cuts == (20,)


def frames_folder(root: Path, count: int, side: int = 32, mode: str = "L") -> NDArray[np.uint8]:
    """PNG files with padded numbers."""
    root.mkdir(parents=True)
    grey = np.random.default_rng(count).integers(0, 255, (count, side, side)).astype(np.uint8)
    names = [f"{number:03d}.png" for number in range(count)]
    for name, frame in zip(names, grey):
        Image.fromarray(frame).convert(mode).save(root / name)
    (root / "notes.txt").write_text("no frame")
    return grey


def test_folders_of_frames(tmp_path: Path) -> None:
    grey = frames_folder(tmp_path / "a" / "one", 12)
    colour = frames_folder(tmp_path / "a" / "two", 11, mode="RGB")
    frames_folder(tmp_path / "a" / "single", 1)
    odd = tmp_path / "a" / "odd"
    frames_folder(odd, 3)
    Image.new("L", (32, 30)).save(odd / "000.png")
    broken = tmp_path / "a" / "broken"
    frames_folder(broken, 3)
    (broken / "001.png").write_bytes((broken / "001.png").read_bytes()[:200])
    all_of_them = [record(path) for path in sorted((tmp_path / "a").iterdir())]
    unpadded = tmp_path / "a" / "unpadded"
    for number in (9, 10):
        frames_folder(unpadded / str(number), 1)
        (unpadded / str(number) / "000.png").rename(unpadded / f"{number}.png")
    all_of_them.append(record(unpadded))
    native = PreprocessingContract(size=32, fps=None)
    result = pack(all_of_them, tmp_path / "store", contract=native, root=tmp_path)
    reasons = dict(result.failed)
    assert "001.png" in reasons["a/broken"]
    assert "001.png: has 32 x 32 pixels, the first frame 32 x 30" in reasons["a/odd"]
    assert "holds 1 frame" in reasons["a/single"]
    assert "pad numbers with zeros" in reasons["a/unpadded"]
    store = FrameStore.open(tmp_path / "store")
    assert store.header.failed == {"CorruptVideoError": 2, "TooShortError": 1, "LayoutError": 1}
    np.testing.assert_array_equal(store.whole(0).frames[:, 0], grey)
    np.testing.assert_array_equal(store.whole(1).frames[:, 0], colour)
    assert np.isnan(store.index.fps).all()
    # Another rate needs to know the one of the files.
    result = pack(all_of_them[2:3], tmp_path / "unknown", contract=CONTRACT)
    assert "states no frame rate" in result.failed[0][1]
    pack(all_of_them[2:3], tmp_path / "half", contract=CONTRACT, folder_fps=50.0)
    halved = FrameStore.open(tmp_path / "half").whole(0).frames[:, 0]
    assert len(halved) == 6
    assert all((frame == grey).all(axis=(1, 2)).any() for frame in halved)


def read_windows(store: FrameStore, seed: int, queue: multiprocessing.Queue) -> None:
    """In another process: sums of some windows."""
    rng = np.random.default_rng(seed)
    queue.put([int(store.window(int(rng.integers(len(store))), 0, 64).frames.sum()) for _ in range(20)])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes(place: Path, method: str) -> None:
    store = FrameStore.open(place)
    store.window(0, 0, 8)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    processes = [context.Process(target=read_windows, args=(store, 5, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    mine = multiprocessing.get_context("fork").SimpleQueue()
    read_windows(store, 5, mine)
    assert found == [mine.get()] * 2


def test_memory_and_file_urls(place: Path) -> None:
    local = FrameStore.open(place)
    memory = fsspec.filesystem("memory")
    memory.put(str(place), "/stored", recursive=True)
    try:
        remote = FrameStore.open("memory://stored", check="always")
        by_file = FrameStore.open(f"file://{place}")
        for video in range(len(local)):
            for start in (0, 3):
                expected = local.window(video, start, 20).frames
                for _ in range(2):  # the second time out of what was kept
                    np.testing.assert_array_equal(remote.window(video, start, 20).frames, expected)
                np.testing.assert_array_equal(by_file.window(video, start, 20).frames, expected)
        assert remote.verify() == ()
        first = "/stored/shards/00000.bin"
        memory.pipe_file(first, memory.cat_file(first)[:-1])
        damage = FrameStore.open("memory://stored").verify()
        assert damage
        assert "memory://stored/shards/00000.bin" in damage[0].shard
        memory.rm(first)
        assert {one.problem for one in FrameStore.open("memory://stored").verify()} == {"is missing"}
    finally:
        memory.rm("/stored", recursive=True)
    with pytest.raises(StoreError, match="cannot be opened"):
        FrameStore.open("nosuchprotocol://stored")
    with pytest.raises(StoreError, match="no such file"):
        FrameStore.open("memory://nothing")


def test_no_store(tmp_path: Path, records: list[Record]) -> None:
    with pytest.raises(StoreError, match="no such file; give the folder"):
        FrameStore.open(tmp_path)
    pack(records[:1], tmp_path, contract=CONTRACT)
    with pytest.raises(InputError, match="check 'often'"):
        FrameStore.open(tmp_path, check="often")
    shutil.move(tmp_path / "index.parquet", tmp_path / "kept")
    with pytest.raises(StoreError, match="pack has not ended"):
        FrameStore.open(tmp_path)
    (tmp_path / "index.parquet").write_bytes((tmp_path / "kept").read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"index\.parquet: is damaged"):
        FrameStore.open(tmp_path)
    header = (tmp_path / "store.json").read_text()
    (tmp_path / "store.json").write_text(header.replace('"version": 1', '"version": 9', 1))
    with pytest.raises(StoreError, match="of version 9"):
        FrameStore.open(tmp_path)
    for text in ("", "[]", "{}", header.replace("whodrives-frame-store", "x"), header.replace('"size"', '"sighs"')):
        (tmp_path / "store.json").write_text(text)
        with pytest.raises(StoreError, match="not the header"):
            FrameStore.open(tmp_path)


def test_nothing_to_pack(tmp_path: Path) -> None:
    result = pack([], tmp_path, contract=CONTRACT)
    assert (result.videos, result.packed, result.failed) == (0, 0, ())
    store = FrameStore.open(tmp_path)
    assert len(store) == len(store.records) == 0
    assert list(store.records) == []
    assert store.select(split="train").tolist() == []
    assert store.verify() == ()


@pytest.mark.parametrize("name", list(CODECS))
def test_codecs_on_noise_and_flat_frames(name: str) -> None:
    codec = load_codec(name)
    noise = np.random.default_rng(0).integers(0, 256, (9, 24, 24)).astype(np.uint8)
    for frames in (noise, np.zeros_like(noise), np.full_like(noise, 255), noise[:1]):
        data = memoryview(codec.encode(frames))
        for first in range(len(frames)):
            out = np.empty((len(frames) - first, 24, 24), np.uint8)
            codec.decode(data, len(frames), first, out)
            np.testing.assert_array_equal(out, frames[first:])
        with pytest.raises(ValueError):
            codec.decode(data[:-5], len(frames), 0, np.empty_like(frames))
    with pytest.raises(StoreError, match="codec 'gif'"):
        load_codec("gif")


def test_progress_is_told(records: list[Record], tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing of the kind")
    told: list[PackProgress] = []
    both = [record(tmp_path / "no.mp4"), records[1]]
    pack(both, tmp_path / "store", contract=CONTRACT, progress=told.append)
    assert [(one.done, one.total, one.failed, bool(one.reason)) for one in told] == [(1, 2, 1, True), (2, 2, 1, False)]


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), PermissionError(13, "Permission denied"), TimeoutError()]
)
def test_what_cannot_be_read_now_is_not_damaged(place: Path, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FrameStore.open(place, check="always")

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(LocalFiles, "read_into", refuse)
    for call in (lambda: store.window(0, 0, 4), store.verify):
        with pytest.raises(StoreError, match=r"\.bin: cannot be read now \(.+\), .*try again") as caught:
            call()
        assert not isinstance(caught.value, StoreDamageError)
        assert "Delete" not in str(caught.value)
    assert store.damaged == {}
    monkeypatch.undo()
    assert store.window(0, 0, 4).valid == 4
