"""Batches straight into tensors: the same sequence for any number of loader workers, drawn without looking."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fake_generator import FakeGenerator, fake_face, fake_track
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.encode import through_codec, write_mp4
from whodrives.avatars.online import AvatarBatch, OnlineAvatars
from whodrives.avatars.procedural import procedural_face
from whodrives.errors import InputError
from whodrives.video.contract import PreprocessingContract
from whodrives.video.frames import load_frames

DRIVERS = [[fake_track(f"d{number}", take) for take in range(3)] for number in range(5)]
FACES = [fake_face(number) for number in range(4)]
FAKES = {name: FakeGenerator(name) for name in ("one", "two")}


def source(**words: object) -> OnlineAvatars:
    settings = {"generators": ("one", "two"), "extra": FAKES, "identities": 3, "samples": 2, "length": 20, "size": 32}
    return OnlineAvatars(DRIVERS, FACES, **(settings | words))


def equal(a: AvatarBatch, b: AvatarBatch) -> bool:
    return all(torch.equal(value, vars(b)[name]) for name, value in vars(a).items())


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_sequence_is_the_same_for_any_number_of_workers(workers: int) -> None:
    drivers = [[BuiltinDriver(d).recording(10 * d + take, take, 2.0) for take in range(2)] for d in range(2)]
    made = OnlineAvatars(
        drivers, [procedural_face(0)], identities=2, samples=1, length=6, size=32, batches=5, source_fps="24-30"
    )
    batches = list(DataLoader(made, batch_size=None, num_workers=workers))
    assert len(batches) == len(made) == 5
    assert all(equal(batch, made.batch(number)) for number, batch in enumerate(batches))
    assert not equal(batches[0], batches[1])


def test_a_sequence_goes_on_where_it_is_told_to() -> None:
    whole, later = source(batches=6), source(batches=4, first=2)
    assert all(equal(a, b) for a, b in zip(list(whole)[2:], later, strict=True))
    with pytest.raises(TypeError, match="no end"):
        len(source())


def test_batches_have_the_labels_of_what_they_show() -> None:
    made = source()
    batch = made.batch(7)
    assert batch.frames.shape == (6, 20, 1, 32, 32)
    assert batch.frames.dtype == torch.float32
    assert len(set(batch.driver.tolist())) == 3
    for row in range(6):
        driver, recording = made.drivers[batch.driver[row]], int(batch.recording[row])
        # Frames of the fake generator are (shade + 0.02 * sum of the controls) * gain.
        value = batch.frames[row, :, 0, 0, 0].double().numpy()
        sums = 0.02 * driver.tracks[recording].values.sum(axis=1).astype(np.float64)
        shade = made.faces[batch.target[row]].image.mean() / 255
        fits = []
        for start in driver.starts[recording]:
            model = shade + sums[start : start + 20]
            gain = (model @ value) / (model @ model)
            fits.append(np.abs(gain * model - value).max())
        assert min(fits) < 1e-4 or value.max() == 1 or value.min() == 0


@pytest.mark.parametrize("rate", [None, 24, "24-30"])
def test_batches_tell_the_motion_that_each_frame_shows(rate: str | float | None) -> None:
    made = source(source_fps=rate, length=40)
    batch = made.batch(3)
    assert batch.motion.shape == (6, 40, 33)
    told = torch.tensor([made.faces[place].image.mean() / 255 for place in batch.target])[:, None]
    told = (told + 0.02 * batch.motion.sum(dim=2)).double()
    seen = batch.frames[:, :, 0, 0, 0].double()
    gain = (told * seen).sum(dim=1) / told.square().sum(dim=1)
    inside = (seen.amin(dim=1) > 0) & (seen.amax(dim=1) < 1)
    assert inside.sum() >= 3
    assert (gain[:, None] * told - seen).abs()[inside].max() < 1e-4


def test_a_driver_shows_as_many_recordings_as_it_has() -> None:
    batch = source(samples=3, identities=2).batch(0)
    for driver in set(batch.driver.tolist()):
        assert sorted(batch.recording[batch.driver == driver].tolist()) == [0, 1, 2]


def test_faces_and_generators_are_drawn_by_weight_whoever_drives() -> None:
    made = source(generators={"one": 3.0, "two": 1.0}, face_weights=[1, 1, 2, 0], length=2)
    batches = [made.batch(number) for number in range(250)]
    kinds = Counter(torch.cat([b.generator for b in batches]).tolist())
    faces = Counter(torch.cat([b.target for b in batches]).tolist())
    assert 0.7 < kinds[0] / 1500 < 0.8
    assert set(faces) == {0, 1, 2}
    assert 0.45 < faces[2] / 1500 < 0.55
    driver, target = (torch.cat([getattr(b, name) for b in batches]).numpy() for name in ("driver", "target"))
    table = np.array([[((driver == d) & (target == f)).sum() for f in range(3)] for d in range(5)])
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    assert ((table - expected) ** 2 / expected).sum() < 26.1  # chi-square, 8 degrees of freedom, once in 1,000


def test_drivers_of_two_pools_share_no_batch() -> None:
    made = source(pools=[([0, 1], 1.0), ([2, 3, 4], 3.0)], identities=2, length=2)
    seen = Counter(frozenset(made.batch(number).driver.tolist()) <= {0, 1} for number in range(200))
    assert all(len({int(d) > 1 for d in made.batch(number).driver}) == 1 for number in range(50))
    assert 25 < seen[True] < 80


def test_a_source_rate_repeats_the_frames_that_the_contract_would() -> None:
    """The same clips, from a source at 24 fps: like a file of 24 fps read under the contract at 25."""
    made = source(source_fps=24, samples=1, length=60, generators=("one",))
    batch = made.batch(0)
    flat = batch.frames[:, :, 0, 0, 0]
    repeats = [torch.nonzero(row[1:] == row[:-1]).flatten().tolist() for row in flat]
    assert all(row == repeats[0] for row in repeats)
    times = np.arange(60) / 25
    nearest = np.ceil(times * 24 - 0.5 - 1e-6).astype(int)  # the earlier one on a tie
    assert repeats[0] == np.flatnonzero(np.diff(nearest) == 0).tolist()
    assert len(repeats[0]) in (2, 3)


def test_drawn_source_rates_change_the_timing_alone() -> None:
    plain, drawn = source(length=40).batch(3), source(length=40, source_fps="24-30").batch(3)
    for name in ("driver", "recording", "target", "generator"):
        assert torch.equal(getattr(plain, name), getattr(drawn, name))
    assert (plain.frames - drawn.frames).abs().max() < 0.15  # half a frame of the fastest wave
    assert not torch.equal(plain.frames, drawn.frames)


def test_the_codec_leaves_its_mark_and_little_else() -> None:
    drivers = [[BuiltinDriver(d).recording(10 * d + take, take, 2.0) for take in range(2)] for d in range(2)]
    words = {"identities": 2, "samples": 1, "length": 8, "size": 64}
    plain, coded = (OnlineAvatars(drivers, [procedural_face(0)], codec=c, **words).batch(0) for c in (False, True))
    assert plain.frames.shape == coded.frames.shape
    assert 0 < (plain.frames - coded.frames).abs().mean() < 0.02
    with pytest.raises(InputError, match="even side"):
        source(codec=True, size=33)


def test_the_codec_in_memory_is_the_one_of_files(tmp_path: object) -> None:
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(40, 200, (8, 8)), np.ones((16, 16)))
    grey = np.stack([np.clip(base + 3 * t + rng.normal(0, 3, base.shape), 0, 255) for t in range(12)]).astype(np.uint8)
    path = f"{tmp_path}/a.mp4"
    write_mp4(path, np.repeat(grey[..., None], 3, axis=3), 25.0, 30)
    read = load_frames(path, PreprocessingContract(fps=None)).frames
    there = through_codec(grey, 25.0, 30)
    assert there.shape == grey.shape
    assert np.abs(read.astype(int) - there).mean() < 1.0
    assert np.abs(grey.astype(int) - there).mean() > 0.5


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="batch of 6 drivers"):
        source(identities=6)
    with pytest.raises(InputError, match="no driver has 500"):
        source(length=500)
    with pytest.raises(InputError, match="weights of generators"):
        source(generators={"one": 0.0})
    with pytest.raises(InputError, match="4 faces have 2 weights"):
        source(face_weights=[1, 1])
    with pytest.raises(InputError, match="at least 1"):
        source(samples=0)
    with pytest.raises(InputError, match="range such as"):
        source(source_fps="fast")


def test_odd_arguments() -> None:
    words = {"identities": 1, "samples": 1, "length": 5}
    with pytest.raises(InputError, match="seed -1"):
        OnlineAvatars([[fake_track("d", 0)]], [fake_face(0)], generators=("fake",), extra={"fake": FakeGenerator()},
                      seed=-1, **words)  # fmt: skip
    made = OnlineAvatars([[fake_track("d", 0)]], [fake_face(0), fake_face(1)], generators="fake",
                         extra={"fake": FakeGenerator()}, face_weights=np.array([0.0, 1.0]), **words)  # fmt: skip
    assert made.batch(0).target.tolist() == [1]
