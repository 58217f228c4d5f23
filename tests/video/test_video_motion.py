"""Motion gate and scene cuts on frames in memory, and on real clips where present."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from video_media import Writer, picture, talking

from whodrives.errors import InputError
from whodrives.video import MotionGate, load_frames, motion_energy
from whodrives.video.gate import DEFAULT_THRESHOLD
from whodrives.video.resize import area_resize, to_grey8
from whodrives.video.scenes import mark_cuts

CLIPS = ("grid_s1/lrae3s.mpg", "grid_other/pwij3p.mpg", "liveportrait/d0.mp4", "liveportrait/d19.mp4")


def cuts(frames: NDArray[np.uint8]) -> list[int]:
    return [i for i, cut in mark_cuts((i, frame, False) for i, frame in enumerate(frames)) if cut]


def small(seed: int, count: int) -> NDArray[np.uint8]:
    return np.stack(talking(seed, count, 128, 128))


def test_every_pair_of_pictures_is_a_cut() -> None:
    for seed in range(12):
        frames = np.concatenate([small(seed, 9), small(seed + 1, 9)])
        assert cuts(frames) == [9]


def test_no_cut_in_motion_flicker_noise_or_flash() -> None:
    frames = small(0, 60)
    assert cuts(frames) == []
    assert cuts(frames[::4]) == []
    flicker = np.linspace(0.6, 1.1, 7)[np.random.default_rng(0).integers(0, 7, 60), None, None]
    assert cuts((frames * flicker).clip(0, 255).astype(np.uint8)) == []
    noise = np.random.default_rng(0).normal(0, 12, frames.shape)
    assert cuts((frames + noise).clip(0, 255).astype(np.uint8)) == []
    flash = frames.copy()
    flash[30] = picture(9, 128, 128)
    assert cuts(flash) == []
    shake = np.stack([np.roll(f, round(10 * np.sin(i)), axis=1) for i, f in enumerate(frames)])
    assert cuts(shake) == []


def test_slide_show_and_forced_cuts() -> None:
    stills = np.repeat(np.stack([picture(s, 128, 128) for s in range(5)]), 8, axis=0)
    assert cuts(stills) == [8, 16, 24, 32]
    marks = [c for _, c in mark_cuts((i, f, i in (3, 20)) for i, f in enumerate(small(0, 30)))]
    assert np.flatnonzero(marks).tolist() == [3, 20]
    assert list(mark_cuts(iter(()))) == []


def test_energy_of_stills_and_edge_cases() -> None:
    still = np.repeat(picture(0, 128, 128)[None], 64, axis=0)
    assert motion_energy(still) == pytest.approx(0, abs=1e-3)
    assert motion_energy(still[:1]) == 0
    brighter = (still * np.linspace(0.8, 1.0, 64)[:, None, None]).astype(np.uint8)
    assert motion_energy(brighter) < DEFAULT_THRESHOLD / 2
    noisy = (still + np.random.default_rng(0).normal(0, 4, still.shape)).clip(0, 255).astype(np.uint8)
    assert motion_energy(noisy) < DEFAULT_THRESHOLD
    assert motion_energy(small(0, 64)) > DEFAULT_THRESHOLD
    assert motion_energy(small(0, 2)) >= 0
    with pytest.raises(InputError):
        motion_energy(still[0])


def test_gate() -> None:
    assert MotionGate(1.0).passes(1.0)
    assert not MotionGate(1.0).passes(0.99)
    assert MotionGate().threshold == DEFAULT_THRESHOLD


@pytest.mark.parametrize("noise", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("crf", ["18", "30"])
def test_frozen_video_falls_under_the_gate(video: Writer, noise: float, crf: str) -> None:
    rng = np.random.default_rng(0)
    base = talking(1, 1, 256, 256)[0]
    frames = [(base + rng.normal(0, noise, base.shape)).clip(16, 235).astype(np.uint8) for _ in range(64)]
    got = load_frames(video("frozen.mp4", frames, options={"crf": crf, "g": "16"}))
    assert not MotionGate().passes(motion_energy(got.frames))
    assert got.scene_cuts == ()


def test_real_clips_pass_and_their_frozen_copies_do_not(shared: Path, video: Writer) -> None:
    for name in CLIPS:
        clip = load_frames(shared / "video" / name)
        assert MotionGate().passes(motion_energy(clip.frames[:64])), name
        frozen = video("frozen.mp4", [clip.frames[10]] * 40)
        assert not MotionGate().passes(motion_energy(load_frames(frozen).frames)), name


@pytest.mark.slow
def test_cuts_on_real_clips(shared: Path) -> None:
    """No cut inside any of the 29 clips, wild motion included; the joint between any two people is found."""
    clips = [load_frames(path) for path in sorted((shared / "video").glob("*/*.mp*"))]
    assert len(clips) == 29
    assert all(clip.scene_cuts == () for clip in clips)
    people = [clip.frames for clip in clips if "grid_s1" not in str(clip.path)]
    for one in people[::2]:
        for other in people[1::2]:
            assert cuts(np.concatenate([one[20:32], other[5:17]])) == [12]


def test_cut_between_portraits(shared: Path) -> None:
    from PIL import Image

    files = sorted((shared / "portraits/cremad").glob("*.jpg"))[:20]
    faces = [to_grey8(area_resize(np.asarray(Image.open(f).convert("L")), 128)) for f in files]
    for one, other in pairwise(faces):
        assert cuts(np.stack([one] * 5 + [other] * 5)) == [5]
