"""The warp renderer: rest, signs and places of every channel, batching, and no folding at realistic strengths."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import whodrives.avatars.warp.renderer as warp
from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import load_portraits
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX
from whodrives.avatars.warp import WarpRig, build_rig, render
from whodrives.avatars.warp.edges import LIP_SHAPE
from whodrives.avatars.warp.fields import GRID
from whodrives.avatars.warp.frame import FaceFrame
from whodrives.avatars.warp.units import OPENING, UNITS
from whodrives.errors import InputError

SIZE = 128
# 99.9th percentiles of conditioned conversational tracks, rounded up.
STRONG = {
    "AU01": 3.9, "AU02": 2.9, "AU04": 2.2, "AU05": 2.0, "AU06": 2.2, "AU07": 2.9, "AU09": 1.5, "AU10": 2.4,
    "AU12": 2.6, "AU14": 2.8, "AU15": 3.0, "AU17": 2.8, "AU20": 1.8, "AU23": 2.4, "AU25": 2.9, "AU26": 2.8,
    "AU45": 3.6, "gaze_x": 0.37, "gaze_y": 0.3, "pitch": 0.25, "yaw": 0.5, "roll": 0.3, "tx": 0.3, "ty": 0.3, "tz": 1.0,
    "AU02_lr": 1.5, "AU04_lr": 1.1, "AU10_lr": 1.2, "AU12_lr": 1.3, "AU14_lr": 1.4, "AU45_lr": 1.8,
    "jaw_x": 1.0, "mouth_x": 1.0,
}  # fmt: skip


def controls(**channels: float) -> torch.Tensor:
    """One video: a resting frame, then one with these channels set. (1, 2, 33)"""
    values = torch.zeros(1, 2, len(CHANNELS))
    for name, value in channels.items():
        values[0, 1, INDEX[name]] = value
    return values


@pytest.fixture(scope="module")
def face():
    return procedural_face(2, 256)


@pytest.fixture(scope="module")
def rig(face) -> WarpRig:
    return build_rig(face, SIZE)


@pytest.fixture(scope="module")
def rigs(rig: WarpRig) -> list[WarpRig]:
    return [rig, build_rig(procedural_face(8, 256), SIZE)]


def lookup(rig: WarpRig, **channels: float) -> np.ndarray:
    """Where the expression looks, source minus place, in pixels of the output: (2, G, G)."""
    values = controls(**channels)[0, 1]
    return (values @ rig.basis).view(2, GRID, GRID).numpy() * SIZE / 2


def at(face, index: int) -> tuple[int, int]:
    """Grid cell (row, column) of a landmark."""
    x, y = face.landmarks[index, :2] / face.size * GRID
    return int(y), int(x)


def test_every_channel_has_a_meaning(rig: WarpRig) -> None:
    assert set(UNITS) | set(OPENING) == set(AU_CHANNELS)
    for name in (*AU_CHANNELS, "gaze_x", "gaze_y"):
        assert float(rig.basis[INDEX[name]].abs().max()) > 0, name
    frames = render([rig] * len(CHANNELS), torch.cat([controls(**{n: STRONG[n]}) for n in CHANNELS]))
    change = (frames[:, 1] - frames[:, 0]).abs().amax(dim=(1, 2, 3))
    for name, value in zip(CHANNELS, change.tolist(), strict=True):
        assert value > 0.02, name


def test_output_shape_range_and_grey(rig: WarpRig) -> None:
    values = controls(AU12=2.0, yaw=0.2)
    grey, rgb = render([rig], values), render([rig], values, grey=False)
    assert grey.shape == (1, 2, 1, SIZE, SIZE)
    assert rgb.shape == (1, 2, 3, SIZE, SIZE)
    assert grey.dtype == torch.float32
    assert not grey.requires_grad
    assert 0 <= float(grey.min()) < float(grey.max()) <= 1
    luma = (rgb * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(2, keepdim=True)
    assert float((luma - grey).abs().max()) < 2e-5


def test_rest_is_the_still_picture_in_every_frame(rig: WarpRig, face) -> None:
    frames = render([rig], torch.zeros(1, 40, 33), grey=False)[0]
    assert all(torch.equal(frame, frames[0]) for frame in frames)
    small = face.image.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3)) / 255
    assert np.abs(frames[0].permute(1, 2, 0).numpy() - small).max() < 1e-4


def test_rest_is_constant_under_any_crop_and_photometry(rig: WarpRig) -> None:
    calm = Nuisance(shift_x=0.013, shift_y=-0.007, zoom=1.07, gain=1.1, gamma=0.9, blur=0.5)
    frames = render([rig], torch.zeros(1, 21, 33), [calm])[0]
    assert all(torch.equal(frame, frames[0]) for frame in frames)


def test_batch_and_chunks_do_not_change_the_result(rigs: list[WarpRig], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    scale = torch.tensor([STRONG[name] * 0.5 for name in CHANNELS])
    values = torch.from_numpy(rng.random((5, 7, 33), dtype=np.float32)) * scale
    nuisance = [Nuisance.sample(rng) for _ in range(5)]
    batch = [rigs[0], rigs[1], rigs[0], rigs[1], rigs[0]]
    whole = render(batch, values, nuisance)
    alone = torch.cat([render([r], v[None], [n]) for r, v, n in zip(batch, values, nuisance, strict=True)])
    assert float((whole - alone).abs().max()) < 1e-4
    monkeypatch.setattr(warp, "CPU_PIXELS", 3 * SIZE**2)
    assert float((whole - render(batch, values, nuisance)).abs().max()) < 1e-4
    monkeypatch.setattr(warp, "CPU_PIXELS", 1000 * SIZE**2)
    assert float((whole - render(batch, values, nuisance)).abs().max()) < 1e-4


def test_same_seed_same_video_other_noise_otherwise(rig: WarpRig) -> None:
    values = controls(AU12=1.0)
    first, again = (render([rig], values, [Nuisance(noise=0.01, seed=5)]) for _ in range(2))
    other = render([rig], values, [Nuisance(noise=0.01, seed=6)])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# Expected direction of the SKIN at a landmark of the left half of the image, (right, down); 0 = not tested.
DIRECTIONS = [
    ("AU01", 107, 0, -1), ("AU02", 63, 0, -1), ("AU04", 107, 1, 1), ("AU05", 159, 0, -1), ("AU06", 50, 0, -1),
    ("AU07", 145, 0, -1), ("AU09", 129, 0, -1), ("AU10", 37, 0, -1), ("AU12", 61, -1, -1), ("AU14", 61, -1, 0),
    ("AU15", 61, 0, 1), ("AU17", 18, 0, -1), ("AU20", 61, -1, 0), ("AU23", 61, 1, 0), ("AU25", 17, 0, 1),
    ("AU26", 152, 0, 1), ("AU26", 17, 0, 1), ("gaze_x", 468, 1, 0), ("gaze_y", 468, 0, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "index", "right", "down"), DIRECTIONS)
def test_units_move_the_skin_the_facs_way(rig: WarpRig, face, name: str, index: int, right: int, down: int) -> None:
    dx, dy = lookup(rig, **{name: 1.0})
    row, column = at(face, index)
    if right:
        assert -dx[row, column] * right > 0.05
    if down:
        assert -dy[row, column] * down > 0.05


@pytest.mark.parametrize("name", ["AU01", "AU12", "AU25", "AU26", "AU20"])
def test_units_are_symmetric(rig: WarpRig, face, name: str) -> None:
    dx, dy = lookup(rig, **{name: 2.0})
    for index in (61, 107, 91, 50, 84):
        a, b = at(face, index), at(face, fp.MIRROR[index])
        assert dx[a] == pytest.approx(-dx[b], abs=0.35)
        assert dy[a] == pytest.approx(dy[b], abs=0.35)


def test_one_corner_rises_and_the_other_sinks(rig: WarpRig, face) -> None:
    """The driver's left is the right half of the image."""
    _, dy = lookup(rig, AU12_lr=1.0)
    _, both = lookup(rig, AU12=1.0)
    assert dy[at(face, 291)] == pytest.approx(both[at(face, 291)], rel=0.02)
    assert dy[at(face, 61)] == pytest.approx(-both[at(face, 61)], rel=0.02)
    assert dy[at(face, 291)] > 0.05


@pytest.mark.parametrize(("name", "left", "right"), [("AU02", 63, 293), ("AU14", 61, 291), ("AU12", 61, 291)])
def test_with_the_symmetric_unit_one_side_does_it_all(rig: WarpRig, face, name: str, left: int, right: int) -> None:
    moved = np.hypot(*lookup(rig, **{name: 1.0, f"{name}_lr": 1.0}))
    alone = np.hypot(*lookup(rig, **{name: 1.0}))
    assert moved[at(face, left)] < 0.02
    assert moved[at(face, right)] == pytest.approx(2 * alone[at(face, right)], rel=0.05)


def test_jaw_and_mouth_go_sideways_in_their_own_measure(rig: WarpRig, face) -> None:
    unit = FaceFrame.of(face).unit * SIZE / 2
    dx, dy = lookup(rig, jaw_x=1.0)
    assert -dx[at(face, fp.CHIN)] == pytest.approx(0.12 * unit, rel=0.05)
    assert -dx[at(face, 17)] > 2 * -dx[at(face, 0)]  # the lower lip goes along, the upper one less
    assert np.abs(dy).max() < 0.1
    dx, _ = lookup(rig, mouth_x=-1.0)
    assert dx[at(face, 13)] == pytest.approx(0.08 * unit, rel=0.05)
    assert abs(dx[at(face, fp.CHIN)]) < 0.3 * 0.08 * unit
    assert abs(dx[at(face, 105)]) < 0.01


def test_the_open_mouth_goes_aside_with_the_lips(rig: WarpRig) -> None:
    values = torch.zeros(1, 3, 33)
    values[..., INDEX["AU25"]] = 2.5
    values[0, :, INDEX["mouth_x"]] = torch.tensor([-1.0, 0.0, 1.0])
    bright = WarpRig(**{**vars(rig), "stills": torch.zeros_like(rig.stills), "mouth": torch.ones(2, 3)})
    frames = render([bright], values)[0, :, 0]
    columns = (frames.sum(dim=1) * torch.arange(SIZE)).sum(dim=1) / frames.sum(dim=(1, 2))
    shift = 0.08 * float(rig.unit) * SIZE / 2
    assert columns.diff().tolist() == pytest.approx([shift, shift], rel=0.1)


@pytest.mark.parametrize(("side", "closes"), [(1.3, 473), (-1.3, 468)])
def test_wink_closes_one_eye_and_leaves_the_other(rig: WarpRig, face, side: float, closes: int) -> None:
    frames = render([rig], controls(AU45=1.3, AU45_lr=side))[0, :, 0]
    both = render([rig], controls(AU45=2.6))[0, :, 0]
    for iris in (468, 473):
        x, y = (face.landmarks[iris, :2] / 2).astype(int)
        eye = (slice(y - 2, y + 3), slice(x - 2, x + 3))
        wanted = both[1] if iris == closes else frames[0]
        assert float((frames[1] - wanted)[eye].abs().max()) < 0.01


def test_layers_in_their_boxes_alone_are_the_whole_picture(rigs: list[WarpRig], monkeypatch) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(2, 6, 33, generator=generator) * torch.tensor([STRONG[name] for name in CHANNELS])
    boxed = render(rigs, values)
    everywhere = slice(0, SIZE), slice(0, SIZE)
    monkeypatch.setattr(warp._Batch, "_box", lambda *_: everywhere)
    assert float((boxed - render(rigs, values)).abs().max()) < 1e-5


def test_another_background_stays_behind_the_person(rig: WarpRig, face) -> None:
    draws = [Nuisance(background=seed) for seed in (None, 1, 2)]
    own, first, second = render([rig] * 3, torch.zeros(3, 1, 33), draws, grey=False)[:, 0]
    person, wall = rig.matte > 0.999, rig.matte < 0.001
    assert float((own - first).abs().amax(dim=0)[person].max()) < 2e-3
    for one, other in ((own, first), (first, second)):
        assert float((one - other).abs().mean(dim=0)[wall].mean()) > 0.03
    bare = build_rig(dataclasses.replace(face, matte=None), SIZE)
    assert bare.matte is None
    assert torch.equal(render([bare], torch.zeros(1, 1, 33), draws[1:2], grey=False)[0, 0], own)


def test_brow_units_leave_the_mouth_and_mouth_units_the_brows(rig: WarpRig, face) -> None:
    upper, lower = (("AU01", "AU02", "AU04"), (61, 0, 17, 152)), (("AU12", "AU25", "AU26"), (105, 107, 159, 10))
    for names, indices in (upper, lower):
        for name in names:
            moved = np.hypot(*lookup(rig, **{name: 1.0}))
            assert max(moved[at(face, index)] for index in indices) < 0.08, name


def test_gaze_moves_nothing_outside_the_eyes(rig: WarpRig, face) -> None:
    frames = render([rig], controls(gaze_x=0.3, gaze_y=0.2))[0, :, 0]
    moved = ((frames[1] - frames[0]).abs() > 1e-4).numpy()
    assert moved.any()
    points = face.landmarks[:, :2] / 2
    allowed = np.zeros_like(moved)
    for upper, lower in ((fp.EYE_LEFT_UPPER, fp.EYE_LEFT_LOWER), (fp.EYE_RIGHT_UPPER, fp.EYE_RIGHT_LOWER)):
        eye = points[list(upper + lower)]
        x0, y0 = np.floor(eye.min(0)).astype(int) - 4
        x1, y1 = np.ceil(eye.max(0)).astype(int) + 4
        allowed[y0:y1, x0:x1] = True
    assert not (moved & ~allowed).any()


def test_blink_covers_the_pupil_with_skin(rig: WarpRig, face) -> None:
    frames = render([rig], controls(AU45=2.7))[0, :, 0]
    x, y = (face.landmarks[468, :2] / 2).astype(int)
    forehead = frames[0, int(face.landmarks[151, 1] / 2), int(face.landmarks[151, 0] / 2)]
    assert frames[1, y, x] > frames[0, y, x] + 0.3 * (forehead - frames[0, y, x])


def test_blink_grows_with_the_unit(rig: WarpRig) -> None:
    values = torch.zeros(1, 12, 33)
    values[0, :, INDEX["AU45"]] = torch.linspace(0, 2.5, 12)
    frames = render([rig], values)[0]
    change = (frames - frames[:1]).abs().mean(dim=(1, 2, 3))
    assert (change.diff() > 0).all()


def test_open_mouth_is_dark_and_grows(rig: WarpRig, face) -> None:
    values = torch.zeros(1, 6, 33)
    values[0, :, INDEX["AU26"]] = torch.linspace(0, 3, 6)
    frames = render([rig], values)[0, :, 0]
    x, y = face.landmarks[14, :2] / 2
    below = frames[:, int(y) + 1 : int(y) + 6, int(x) - 3 : int(x) + 4].mean(dim=2)
    assert float(below[-1].min()) < 0.7 * float(below[0].min())
    change = (frames - frames[:1]).abs().mean(dim=(1, 2))
    assert (change.diff() > 0).all()


def test_closed_lips_show_no_mouth_layer(rig: WarpRig) -> None:
    upper, lower = rig.lips_rest.view(2, *LIP_SHAPE)
    assert float((upper.clamp(0, 1) * lower.clamp(0, 1)).max()) == 0.0


def track_point(rig: WarpRig, face, index: int, **channels: float) -> np.ndarray:
    """Displacement in output pixels of a dot painted on the still at a landmark."""
    x, y = face.landmarks[index, :2] / face.size * SIZE
    grid_y, grid_x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    dot = torch.exp(-0.5 * ((grid_x - x) ** 2 + (grid_y - y) ** 2) / 2.0**2)
    marked = WarpRig(**{**vars(rig), "stills": dot.expand(2, 3, SIZE, SIZE), "mouth": torch.zeros(2, 3)})
    frames = render([marked], controls(**channels))[0, :, 0]
    mass = frames.sum(dim=(1, 2))
    places = torch.stack([(frames * grid_x).sum((1, 2)) / mass, (frames * grid_y).sum((1, 2)) / mass], dim=1)
    return (places[1] - places[0]).numpy()


def test_translation_is_in_inter_ocular_distances(rig: WarpRig, face) -> None:
    unit = FaceFrame.of(face).unit * SIZE / 2
    for index in (fp.NOSE_TIP, 50, 280):
        assert track_point(rig, face, index, tx=0.2) == pytest.approx([0.2 * unit, 0.0], abs=0.3)
        assert track_point(rig, face, index, ty=-0.15) == pytest.approx([0.0, -0.15 * unit], abs=0.3)


def test_roll_turns_clockwise_about_the_neck(rig: WarpRig, face) -> None:
    frame = FaceFrame.of(face)
    for index in (fp.NOSE_BRIDGE, 50, 280):
        arm = (frame.points[index] - np.array(frame.pivot)) * SIZE / 2
        turned = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]) @ arm
        assert track_point(rig, face, index, roll=0.1) == pytest.approx(turned - arm, abs=0.4)


def test_nose_leads_in_yaw_and_pitch(rig: WarpRig, face) -> None:
    nose, cheek = (track_point(rig, face, index, yaw=0.1) for index in (fp.NOSE_TIP, 234))
    assert nose[0] < -1.5
    assert nose[0] < cheek[0] - 1.0
    assert track_point(rig, face, fp.NOSE_TIP, pitch=0.1)[1] > 1.5


def test_moving_away_makes_the_face_smaller(rig: WarpRig, face) -> None:
    left, right = (track_point(rig, face, index, tz=1.0)[0] for index in (50, 280))
    assert left > 0.3
    assert right < -0.3


def test_expression_rides_on_the_head(rig: WarpRig, face) -> None:
    """A smile on a shifted head is the shifted smile."""
    moved = track_point(rig, face, 61, AU12=2.0, tx=0.3)
    parts = track_point(rig, face, 61, AU12=2.0) + track_point(rig, face, 61, tx=0.3)
    assert moved == pytest.approx(parts, abs=0.25)


def test_motion_is_linear_and_the_same_for_all_faces_in_their_own_units(rigs: list[WarpRig]) -> None:
    weak, strong = lookup(rigs[0], AU12=1.0), lookup(rigs[0], AU12=4.0)
    assert np.allclose(4 * weak, strong, atol=1e-4)
    faces = [procedural_face(2), procedural_face(8)]
    for name, index in (("AU12", 61), ("AU02", 63), ("AU26", 17), ("AU01", 107)):
        sizes = []
        for face, rig in zip(faces, rigs, strict=True):
            moved = np.hypot(*lookup(rig, **{name: 1.0})) / (FaceFrame.of(face).unit * SIZE / 2)
            row, column = at(face, index)
            sizes.append(moved[row - 1 : row + 2, column - 1 : column + 2].max())
        assert sizes[0] == pytest.approx(sizes[1], rel=0.35), name


def _smallest_stretch(rig: WarpRig, **channels: float) -> float:
    """Smallest Jacobian determinant of place -> source over the picture, mouth opening left out."""
    values = controls(**channels)
    dx, dy = lookup(rig, **channels) / (SIZE / GRID)
    pose = (warp.head_motion(values, rig.unit[None]).transpose(1, 2) @ rig.pose.flatten(2)[None])[0, :, 1]
    px, py = pose.view(2, GRID, GRID).numpy() * GRID / 2
    x, y = dx + px, dy + py
    xx, xy = 1 + np.gradient(x, axis=1), np.gradient(x, axis=0)
    yx, yy = np.gradient(y, axis=1), 1 + np.gradient(y, axis=0)
    return float((xx * yy - xy * yx).min())


@pytest.mark.parametrize("name", [n for n in CHANNELS if n not in OPENING])
def test_nothing_folds_at_strong_motion(rigs: list[WarpRig], name: str) -> None:
    for rig in rigs:
        for sign in (1.0, -1.0) if name not in AU_CHANNELS else (1.0,):
            assert _smallest_stretch(rig, **{name: sign * STRONG[name]}) > 0.02


def test_negative_units_are_harmless(rig: WarpRig) -> None:
    frames = render([rig], controls(**dict.fromkeys(AU_CHANNELS, -0.2)))[0]
    assert float((frames[1] - frames[0]).abs().mean()) < 0.02


def test_sizes_and_resampling(face) -> None:
    for size in (64, 100, 256, 300):
        frames = render([build_rig(face, size)], torch.zeros(1, 1, 33), grey=False)
        assert frames.shape == (1, 1, 3, size, size)
        assert float(frames.mean()) == pytest.approx(face.image.mean() / 255, abs=2e-3)


def test_bad_arguments_are_named(rig: WarpRig, face) -> None:
    with pytest.raises(InputError, match="controls must be"):
        render([rig], torch.zeros(1, 4, 19))
    with pytest.raises(InputError, match="2 rigs"):
        render([rig, rig], torch.zeros(1, 4, 33))
    with pytest.raises(InputError, match="different sizes"):
        render([rig, build_rig(face, 64)], torch.zeros(2, 4, 33))
    with pytest.raises(InputError, match="not finite"):
        render([rig], torch.full((1, 4, 33), float("nan")))
    with pytest.raises(InputError, match="at least 32"):
        build_rig(face, 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_renders_the_same(rigs: list[WarpRig]) -> None:
    values = torch.rand(2, 9, 33, generator=torch.Generator().manual_seed(0)) * 0.3
    nuisance = [Nuisance(shift_x=0.01, zoom=1.05, blur=0.4, gain=1.1)] * 2
    assert float((render(rigs, values.cuda(), nuisance).cpu() - render(rigs, values, nuisance)).abs().max()) < 2e-3


def test_real_portraits_rig_and_move(shared: Path) -> None:
    faces = load_portraits(shared / "portraits" / "cremad", split="val")[:4]
    rigs = [build_rig(face) for face in faces]
    values = torch.cat([controls(AU12=2.0, AU25=1.5, AU45=2.5, yaw=0.2, roll=-0.1)] * 4)
    frames = render(rigs, values)
    assert ((frames[:, 1] - frames[:, 0]).abs().mean(dim=(1, 2, 3)) > 0.01).all()
    for rig in rigs:
        for name in ("yaw", "roll", "pitch", "AU12", "AU04", "AU45"):
            assert _smallest_stretch(rig, **{name: STRONG[name]}) > 0.0, (rig.name, name)
