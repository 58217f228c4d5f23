"""Shares of variance, swaps, frame features and rendered grids, where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.errors import InputError
from whodrives.evaluation.disentanglement import swap_pairs, swaps, variance_shares
from whodrives.evaluation.embed_videos import embed_windows
from whodrives.evaluation.frame_features import frame_features
from whodrives.evaluation.grid import face_motion_grid, middle_window
from whodrives.models import build_model
from whodrives.models.normalise import standardise


def test_a_sum_of_face_and_motion_has_no_interaction() -> None:
    rng = np.random.default_rng(0)
    a, mu = rng.normal(size=(4, 1, 7)), rng.normal(size=(1, 6, 7))
    shares = variance_shares(a + mu + 100)
    assert shares.interaction == pytest.approx(0, abs=1e-12)
    assert shares.face + shares.motion == pytest.approx(1)
    assert variance_shares(np.broadcast_to(a, (4, 6, 7))).face == pytest.approx(1)
    # Differences in time lose the face altogether.
    steps = np.diff(a[:, :, None] + rng.normal(size=(1, 6, 5, 7)), axis=2)
    assert variance_shares(steps).motion == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(1, 4), st.integers(0, 1000))
def test_shares_equal_loops(faces: int, motions: int, size: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(faces, motions, size))
    shares, parts = variance_shares(x), np.zeros(3)
    for d in range(size):
        mean = x[:, :, d].mean()
        for f in range(faces):
            for m in range(motions):
                face, motion = x[f, :, d].mean() - mean, x[:, m, d].mean() - mean
                parts += [face**2, motion**2, (x[f, m, d] - mean - face - motion) ** 2]
    assert [shares.face, shares.motion, shares.interaction] == pytest.approx(parts / parts.sum())


def test_noise_has_adjusted_shares_near_zero() -> None:
    shares = variance_shares(np.random.default_rng(0).normal(size=(4, 8, 5000)))
    assert shares.face == pytest.approx(3 / 31, abs=0.01)
    assert shares.face_adjusted == pytest.approx(0, abs=0.01)
    assert shares.motion_adjusted == pytest.approx(0, abs=0.01)


def test_grids_that_say_nothing_are_refused() -> None:
    for grid, word in (
        (np.zeros((1, 3, 2)), "faces >= 2"),
        (np.zeros((3, 3)), "got"),
        (np.ones((2, 2, 2)), "no variance"),
        (np.full((2, 2, 2), np.nan), "not finite"),
    ):
        with pytest.raises(InputError, match=word):
            variance_shares(grid)


def test_swap_pairs_are_the_loops() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    driver = np.array(["a", "a", "b", "c", "b"])
    pairs, expected = swap_pairs(x, driver), []

    def cosine(u: np.ndarray, v: np.ndarray) -> float:
        return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))

    for f in range(3):
        for g in range(f + 1, 3):
            expected += [(cosine(x[f, m], x[g, m]), True, driver[m], driver[m]) for m in range(5)]
    for f in range(3):
        for m in range(5):
            for n in range(m + 1, 5):
                if driver[m] != driver[n]:
                    expected.append((cosine(x[f, m], x[f, n]), False, driver[m], driver[n]))
    assert pairs.score == pytest.approx([row[0] for row in expected])
    assert list(zip(pairs.genuine, pairs.first, pairs.second)) == [row[1:] for row in expected]


def test_swaps_tell_motion_from_face() -> None:
    rng = np.random.default_rng(0)
    face, motion = rng.normal(size=(4, 1, 32)), rng.normal(size=(1, 6, 32))
    driver = np.arange(6)
    of_motion, of_face = (swaps(a * face + b * motion, driver, 50) for a, b in ((0.3, 1), (1, 0.3)))
    assert of_motion.auc.value == 1
    assert of_motion.appearance > 0.8 > of_motion.motion
    assert of_face.auc.value == 0
    assert of_face.auc.low <= of_face.auc.high <= 1e-3
    for wrong in (driver[:5], np.zeros(6)):
        with pytest.raises(InputError, match="two drivers or more"):
            swap_pairs(face + motion, wrong)


@pytest.mark.parametrize("backbone", ["f5c", "resnet18_released"])
@pytest.mark.parametrize("representation", ["feat_diff", "pixel_diff"])
def test_frame_features_are_those_of_the_backbone(backbone: str, representation: str) -> None:
    torch.manual_seed(0)
    model = build_model("paper", backbone=backbone, representation=representation, neighbours=1).eval()
    clips = torch.rand(2, 4, 1, 128, 128)
    found = frame_features(model, clips, (2, 0))
    size = 512 if backbone == "resnet18_released" else 2048
    assert found.f.shape == found.d.shape == (2, 2, size)
    x = standardise(clips, "clip")

    def pooled(frame: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            h = model.backbone(frame[None])
        return (h if h.ndim == 2 else torch.nn.functional.adaptive_avg_pool2d(h, 4)).flatten().numpy()

    for clip in range(2):
        for number, t in enumerate((2, 0)):
            f = pooled(x[clip, t])
            step = pooled(x[clip, t + 1] - x[clip, t]) if representation == "pixel_diff" else pooled(x[clip, t + 1]) - f
            np.testing.assert_allclose(found.f[clip, number], f, atol=1e-4)
            np.testing.assert_allclose(found.d[clip, number], step, atol=1e-4)


def test_frame_features_need_frames() -> None:
    with pytest.raises(InputError, match=r"0\.\.1"):
        frame_features(build_model("paper"), torch.rand(1, 3, 1, 128, 128), (2,))
    with pytest.raises(InputError, match="concat"):
        frame_features(build_model("paper", representation="concat"), torch.rand(1, 3, 1, 128, 128), (0,))
    with pytest.raises(InputError, match="place"):
        frame_features(build_model("paper"), torch.rand(1, 3, 1, 128, 128), ())


def test_a_grid_changes_one_thing_at_a_time() -> None:
    faces = [procedural_face(n) for n in (0, 1)]
    tracks = [BuiltinDriver(n).recording(n, 0, 4.0, 25.0) for n in (0, 1, 2)]
    grid = face_motion_grid("warp", faces, tracks, length=3)
    assert grid.shape == (2, 3, 3, 1, 128, 128)
    assert grid.dtype == np.uint8
    again = face_motion_grid("warp", faces[::-1], tracks[1:], length=3)
    np.testing.assert_array_equal(again[::-1], grid[:, 1:])
    still = [replace(track, values=np.zeros_like(track.values)) for track in tracks[:2]]
    noisy = face_motion_grid("warp", faces, still, length=3, nuisance=Nuisance(noise=0.02, seed=3))
    np.testing.assert_array_equal(noisy[:, 0], noisy[:, 1])
    assert (noisy[:, 0] != face_motion_grid("warp", faces, still[:1], length=3)[:, 0]).any()
    embeddings = embed_windows(build_model("paper"), grid[:, :, :, 0])
    assert swaps(embeddings, np.array([t.driver for t in tracks]), 10).auc.rounds > 0


def test_grids_need_frames() -> None:
    track = BuiltinDriver(0).recording(0, 0, 2.0, 25.0)
    assert middle_window(track, 10, 25.0).shape == (10, 33)
    np.testing.assert_array_equal(middle_window(track, len(track), 25.0), track.values)
    with pytest.raises(InputError, match="no 500 valid frames"):
        middle_window(track, 500, 25.0)
    with pytest.raises(InputError, match="faces and motions"):
        face_motion_grid("warp", [], [track])
