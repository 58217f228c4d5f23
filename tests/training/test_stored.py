"""Batches out of a packed frame store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from whodrives.data.record import Record
from whodrives.data.store import FrameStore
from whodrives.data.store_errors import StoreDamageError, StoreError
from whodrives.data.store_pack import pack
from whodrives.errors import InputError
from whodrives.training.stored import StoredSource, random_start, stored_validation
from whodrives.video import PreprocessingContract
from whodrives.video.windows import middle_start

DRIVERS, TAKES, COUNT = 4, 3, 24


def flat_video(path: Path, level: int, count: int = COUNT) -> Path:
    """Frames of grey `level`, with a bright corner that counts them."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.width = stream.height = 32
        stream.pix_fmt = "gray"
        for number in range(count):
            grey = np.full((32, 32), level, np.uint8)
            grey[0, 0] = number
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        out.mux(stream.encode())
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    records = []
    for driver in range(DRIVERS):
        for take in range(TAKES):
            path = flat_video(tmp_path / f"{driver}-{take}.mp4", 20 * driver + 5 * take + 40)
            for_split = "train" if driver < 3 else "val"
            target = f"d{driver}" if take == 0 else "face"
            generator = "mesh" if take == 2 else "warp"
            labels = (f"d{driver}", target, generator, "", f"d{driver}-{take}", for_split, take == 0)
            records.append(Record(path, *labels))
    lonely = flat_video(tmp_path / "lonely.mp4", 10, 6)
    records.append(Record(lonely, "lonely", "face", "warp", "", "l", "train", False))
    pack(records, tmp_path / "store", contract=PreprocessingContract(size=32), shard_bytes=1)
    return tmp_path / "store"


def test_a_batch_is_a_function_of_seed_and_step(place: Path) -> None:
    one = StoredSource(FrameStore.open(place), 8, seed=3)
    many = StoredSource(FrameStore.open(place), 8, seed=3, workers=3)
    assert one.drivers == ["d0", "d1", "d2"]
    assert one.left_out == ("lonely",)
    assert one.pools == [[0, 1, 2]]
    one.batch(0, 2, 2)
    a, b = one.batch(5, 3, 3), many.batch(5, 3, 3)
    assert torch.equal(a.frames, b.frames)
    assert torch.equal(a.driver, b.driver)
    assert a.frames.shape == (9, 8, 1, 32, 32)
    assert a.frames.dtype == torch.uint8
    assert sorted(Counter(a.driver.tolist()).values()) == [3, 3, 3]
    part = many.batch(5, 3, 3, range(4, 7))
    assert torch.equal(part.frames, a.frames[4:7])
    assert torch.equal(part.driver, a.driver[4:7])
    assert not torch.equal(StoredSource(FrameStore.open(place), 8, seed=4).batch(5, 3, 3).frames, a.frames)
    # The clips show who the labels say: recordings of driver d have levels 40 + 20 d + 0, 5, 10.
    levels = a.frames[:, 0, 0, 16, 16].double()
    scaled = torch.tensor([FrameStore.open(place).whole(0).frames[0, 0, 16, 16]]).double()
    assert ((levels - scaled) / (255 / 219 * 20) + 0.1).floor().tolist() == a.driver.tolist()


def test_starts() -> None:
    rng = np.random.default_rng(0)
    assert {random_start(12, (), 8, rng) for _ in range(200)} == set(range(5))
    assert {random_start(5, (), 8, rng) for _ in range(9)} == {0}
    assert {random_start(8, (), 8, rng) for _ in range(9)} == {0}
    # No window across a cut, unless no shot is long enough.
    assert {random_start(30, (10, 14), 8, rng) for _ in range(500)} == {0, 1, 2, *range(14, 23)}
    assert {random_start(12, (6,), 8, rng) for _ in range(200)} == set(range(5))
    assert [middle_start(count, 8) for count in (3, 8, 9, 10, 100)] == [0, 0, 0, 1, 46]


def test_all_of_the_starts_are_drawn(place: Path) -> None:
    source = StoredSource(FrameStore.open(place), 16, seed=0)
    step = 255 / 219
    seen: set[int] = set()
    for number in range(40):
        # Number of the last frame of each clip, out of the corner that counts from 0 (levels up to 16 are black).
        seen |= {round(corner / step) + 16 for corner in source.batch(number, 3, 3).frames[:, -1, 0, 0, 0].tolist()}
    assert seen == set(range(16, COUNT))


def test_damage_is_drawn_again(place: Path) -> None:
    whole = StoredSource(FrameStore.open(place), 8, seed=3)
    before = [whole.batch(step, 3, 3) for step in range(6)]
    store = FrameStore.open(place)
    lost = [number for number, one in enumerate(store.records) if one.recording == "d1-2"]
    (place / "shards" / f"{store.index.shard[lost[0]]:05d}.bin").write_bytes(b"")
    source = StoredSource(store, 8, seed=3)
    after = [source.batch(step, 3, 3) for step in range(6)]
    assert list(store.damaged) == lost
    assert source.redrawn == sum(int((a.frames != b.frames).flatten(1).any(1).sum()) for a, b in zip(before, after))
    assert source.redrawn >= 6
    assert all(torch.equal(a.driver, b.driver) for a, b in zip(before, after))
    again = StoredSource(FrameStore.open(place), 8, seed=3, workers=2)
    assert all(torch.equal(again.batch(step, 3, 3).frames, after[step].frames) for step in (4, 1))
    for shard in set(store.index.shard[store.select(driver="d1")]):
        (place / "shards" / f"{shard:05d}.bin").unlink(missing_ok=True)
    with pytest.raises(StoreError, match=r"no video of driver d1 can be read back; the first: .*\.bin"):
        StoredSource(FrameStore.open(place), 8, seed=3).batch(0, 3, 3)


def test_validation_clips(place: Path) -> None:
    store = FrameStore.open(place)
    clips = stored_validation(store, 8)
    assert clips.frames.shape == (TAKES, 8, 1, 32, 32)
    assert clips.driver.tolist() == ["d3"] * TAKES
    assert clips.is_self.tolist() == [True, False, False]
    assert clips.target.tolist() == ["d3", "face", "face"]
    middle = store.window(int(store.select(split="val")[0]), 8, 8).frames
    assert torch.equal(clips.frames[0], torch.from_numpy(middle))
    few = stored_validation(store, 8, most=2)
    assert sorted(few.is_self.tolist()) == [False, True]
    assert stored_validation(store, 8, generators=("mesh",)).recording.tolist() == ["d3-2"]
    short = stored_validation(store, 64, most=1).frames
    assert (short[0, COUNT:] == short[0, COUNT - 1]).all()
    with pytest.raises(InputError, match="split 'test'"):
        stored_validation(store, 8, "test")
    for shard in set(store.index.shard[store.select(split="val")]):
        (place / "shards" / f"{shard:05d}.bin").unlink()
    with pytest.raises(StoreDamageError):
        stored_validation(FrameStore.open(place), 8)


def test_batches_tell_real_frames_where_padding_is_masked(place: Path) -> None:
    store = FrameStore.open(place)
    assert StoredSource(store, 32, seed=3).batch(0, 3, 3).valid is None
    for length, valid in ((8, 8), (COUNT, COUNT), (32, COUNT)):
        source = StoredSource(store, length, seed=3, workers=2, mask_padding=True)
        batch = source.batch(0, 3, 3)
        assert batch.valid is not None
        assert batch.valid.dtype == torch.int64
        assert batch.valid.tolist() == [valid] * 9
        part = source.batch(0, 3, 3, range(4, 7)).valid
        assert part is not None
        assert len(part) == 3
        clips = stored_validation(store, length, mask_padding=True)
        assert clips.valid is not None
        assert clips.valid.tolist() == [valid] * TAKES
    assert stored_validation(store, 32).valid is None


def test_nobody_to_train_on(place: Path) -> None:
    store = FrameStore.open(place)
    with pytest.raises(InputError, match="split 'test' has no driver with two recordings"):
        StoredSource(store, 8, 0, split="test")
    with pytest.raises(InputError, match="whole store has no driver"):
        StoredSource(store, 8, 0, split="", generators=("keypoint",))
    with pytest.raises(InputError, match="workers is 0"):
        StoredSource(store, 8, 0, workers=0)
    assert len(StoredSource(store, 8, 0, split="").drivers) == DRIVERS
    with pytest.raises(InputError, match="batches of 9 drivers"):
        StoredSource(store, 8, 0).batch(0, 9, 1)


def test_fewer_drivers_and_recordings(tmp_path: Path) -> None:
    from whodrives.training.stored import _fewer

    records = [
        Record(f"{d}{r}.mp4", f"d{d}", "t", "warp", "", f"r{r}", "train", False) for d in range(3) for r in range(4)
    ]
    chosen = list(enumerate(records))
    assert _fewer(chosen, 0, 0) == chosen
    kept = _fewer(chosen, 2, 3)
    assert sorted({(record.driver, record.recording) for _, record in kept}) == [
        (f"d{d}", f"r{r}") for d in range(2) for r in range(3)
    ]
