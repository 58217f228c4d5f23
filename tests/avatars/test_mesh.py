"""The mesh generator on drawn faces, portraits and meshes: rest, signs and places of the channels, batching."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face, load_portraits
from whodrives.avatars.generator import load_generator
from whodrives.avatars.headmesh import HeadMesh
from whodrives.avatars.mesh import MeshGenerator, MeshRig, build_rig, render
from whodrives.avatars.mesh.camera import project
from whodrives.avatars.mesh.paint import resize
from whodrives.avatars.mesh.photo import photo_head
from whodrives.avatars.mesh.renderer import move_vertices
from whodrives.avatars.mesh.still import draw_still, project_landmarks
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX, SIDE_CHANNELS
from whodrives.errors import InputError

SIZE = 128
STRONG = dict.fromkeys(AU_CHANNELS, 4.0) | {
    "AU45": 2.5, "gaze_x": 0.35, "gaze_y": 0.25, "pitch": 0.25, "yaw": 0.4, "roll": 0.25, "tx": 0.3, "ty": 0.3,
    "tz": 1.0, "AU02_lr": 1.0, "AU04_lr": 1.0, "AU10_lr": 1.0, "AU12_lr": 1.2, "AU14_lr": 1.2, "AU45_lr": 1.2,
    "jaw_x": 0.8, "mouth_x": 0.8,
}  # fmt: skip


def controls(*frames: dict[str, float]) -> torch.Tensor:
    """One video: a resting frame, then one for each set of channels. (1, 1 + n, 33)"""
    values = torch.zeros(1, 1 + len(frames), len(CHANNELS))
    for number, channels in enumerate(frames, 1):
        for name, value in channels.items():
            values[0, number, INDEX[name]] = value
    return values


@pytest.fixture(scope="module")
def face() -> Face:
    return procedural_face(8, 256)


@pytest.fixture(scope="module")
def rig(face: Face) -> MeshRig:
    return build_rig(face, SIZE)


def seen_at(rig: MeshRig, channels: dict[str, float]) -> np.ndarray:
    """Where the vertices are seen, in pixels of the frame: (V, 2)."""
    places, _ = project(move_vertices(rig, controls(channels)[0, 1:]), rig.framing)
    return (places[0].numpy() + 0.5) / rig.finer


def move_of(rig: MeshRig, face: Face, indices: tuple[int, ...], channels: dict[str, float]) -> np.ndarray:
    """Mean displacement (2,) of the skin vertices nearest to landmarks, in pixels of the frame."""
    skin = rig.surface.triangles.unique().numpy()
    rest = seen_at(rig, {})[skin]
    wanted = face.landmarks[list(indices), :2] * (rig.size / face.size)
    nearest = np.linalg.norm(rest[:, None] - wanted, axis=-1).argmin(axis=0)
    return (seen_at(rig, channels)[skin] - rest)[nearest].mean(axis=0)


def eye_window(face: Face, corners: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the opening of an eye in a frame of SIZE pixels."""
    left, right = sorted(face.landmarks[list(corners), :2].tolist())
    x0, x1, y = (v * SIZE / face.size for v in (left[0], right[0], (left[1] + right[1]) / 2))
    half = 0.2 * (x1 - x0)
    return slice(round(y - half), round(y + half)), slice(round(x0 + half), round(x1 - half))


@pytest.mark.parametrize("size", [64, 100, 256])
def test_rest_is_the_still(face: Face, size: int) -> None:
    frames = render([build_rig(face, size)], torch.zeros(1, 3, 33), grey=False)[0]
    assert frames.shape == (3, 3, size, size)
    assert torch.equal(frames[0], frames[2])
    error = float(((frames[0] - resize(face.image, size)) ** 2).mean())
    assert -10 * np.log10(max(error, 1e-12)) > 40


def test_generator_and_its_errors(face: Face, rig: MeshRig) -> None:
    generator = load_generator("mesh")
    assert isinstance(generator, MeshGenerator)
    assert (generator.name, generator.version) == ("mesh", "1")
    assert (rig.name, rig.size, rig.device.type) == (face.name, SIZE, "cpu")
    assert rig.to("cpu") is rig
    with pytest.raises(InputError, match=face.name):
        generator.rig(face, 16)
    with pytest.raises(InputError, match="not finite"):
        render([rig], torch.full((1, 2, 33), torch.nan))
    with pytest.raises(InputError, match="2 rigs"):
        render([rig, rig], torch.zeros(1, 2, 33))
    with pytest.raises(InputError, match="33"):
        render([rig], torch.zeros(1, 2, 32))
    with pytest.raises(InputError, match="sizes"):
        render([rig, build_rig(face, 64)], torch.zeros(2, 1, 33))
    flat = Face("flat", face.image, np.full((478, 3), 40, np.float32))
    with pytest.raises(InputError, match="flat"):
        build_rig(flat, SIZE)


def test_every_channel_shows_and_nothing_is_left_open(rig: MeshRig) -> None:
    frames = render([rig], controls(*({name: STRONG[name]} for name in CHANNELS)))[0]
    change = (frames[1:] - frames[0]).abs().amax(dim=(1, 2, 3))
    for name, value in zip(CHANNELS, change.tolist(), strict=True):
        assert value > 0.02, name
    assert float(frames.min()) >= 0
    assert float(frames.max()) <= 1


def test_grey_is_the_luma_of_colour(rig: MeshRig) -> None:
    values = controls({"AU12": 2.0, "yaw": 0.2, "AU26": 2.0})
    nuisance = [Nuisance(gain=0.9, shift_x=0.01)]
    grey, colour = render([rig], values, nuisance), render([rig], values, nuisance, grey=False)
    luma = (colour * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(2, keepdim=True)
    assert float((luma - grey).abs().max()) < 2 / 255


def test_a_video_does_not_depend_on_its_batch(rig: MeshRig) -> None:
    rng = np.random.default_rng(1)
    scale = torch.tensor([0.5 * STRONG[name] for name in CHANNELS])
    values = torch.from_numpy(rng.random((3, 5, 33), dtype=np.float32)) * scale
    nuisance = [Nuisance.sample(rng) for _ in range(3)]
    rigs = [rig, build_rig(procedural_face(2), SIZE), rig]
    whole = render(rigs, values, nuisance)
    for number in range(3):
        alone = render([rigs[number]], values[number : number + 1], [nuisance[number]])
        assert torch.equal(whole[number], alone[0])
    again = render(rigs, values, nuisance)
    assert torch.equal(whole, again)


def test_the_head_turns_as_a_solid(rig: MeshRig, face: Face) -> None:
    nose, ears = (fp.NOSE_TIP,), (fp.OVAL[8], fp.OVAL[28])
    turned = {"yaw": 0.25}
    assert move_of(rig, face, nose, turned)[0] < -2
    assert abs(move_of(rig, face, ears, turned)[0]) < 0.5 * abs(move_of(rig, face, nose, turned)[0])
    assert move_of(rig, face, nose, {"pitch": 0.2})[1] > 1.5
    assert move_of(rig, face, nose, {"tx": 0.2})[0] == pytest.approx(0.2 * rig.framing.unit / rig.finer, rel=0.1)
    assert move_of(rig, face, nose, {"ty": 0.2})[1] > 3
    far = seen_at(rig, {"tz": 2.0})[rig.eye_of.numpy() >= 0]
    near = seen_at(rig, {})[rig.eye_of.numpy() >= 0]
    assert np.ptp(far[:, 0]) == pytest.approx(np.ptp(near[:, 0]) * 12 / 14, rel=0.03)


def test_roll_turns_clockwise_by_its_angle(rig: MeshRig) -> None:
    balls = [rig.eye_of.numpy() == number for number in range(2)]

    def angle(channels: dict[str, float]) -> float:
        places = seen_at(rig, channels)
        dx, dy = places[balls[1]].mean(axis=0) - places[balls[0]].mean(axis=0)
        return float(np.arctan2(dy, dx))

    assert angle({"roll": 0.2}) - angle({}) == pytest.approx(0.2, abs=0.005)


def test_muscles_pull_where_they_should(rig: MeshRig, face: Face) -> None:
    unit = rig.framing.unit / rig.finer
    millimetre = unit / 62
    for corner, sign in ((61, -1), (291, 1)):
        out, down = move_of(rig, face, (corner,), {"AU12": 5.0}) / millimetre
        assert sign * out > 3
        assert down < -4
        assert 9 < np.hypot(out, down) < 14
        assert move_of(rig, face, (corner,), {"AU15": 5.0})[1] > 3 * millimetre
        assert sign * move_of(rig, face, (corner,), {"AU20": 5.0})[0] > 4 * millimetre
    inner = move_of(rig, face, (107, 336), {"AU01": 5.0}) / millimetre
    assert -8.5 < inner[1] < -4
    assert abs(inner[0]) < 1
    assert move_of(rig, face, (70, 300), {"AU02": 5.0})[1] < -2 * millimetre
    assert move_of(rig, face, (107, 336), {"AU04": 5.0})[1] > 2 * millimetre
    chin = move_of(rig, face, (fp.CHIN_BOSS,), {"AU26": 5.0}) / millimetre
    assert 14 < chin[1] < 22
    assert abs(move_of(rig, face, (0,), {"AU26": 5.0})[1]) < 1.5 * millimetre
    assert move_of(rig, face, (fp.CHIN_BOSS,), {"jaw_x": 1.0})[0] > 3 * millimetre
    assert move_of(rig, face, (0, 17), {"mouth_x": 1.0})[0] > 2 * millimetre


def test_sides_do_different_things(rig: MeshRig, face: Face) -> None:
    for name, left, right in (("AU12", 61, 291), ("AU02", 70, 300), ("AU04", 107, 336), ("AU14", 61, 291)):
        both, more = {name: 2.0}, {name: 2.0, f"{name}_lr": 1.0}
        at_left = [np.hypot(*move_of(rig, face, (left,), c)) for c in (both, more)]
        at_right = [np.hypot(*move_of(rig, face, (right,), c)) for c in (both, more)]
        assert at_right[1] > 1.2 * at_right[0], name
        assert at_left[1] < 0.8 * at_left[0], name
    assert set(SIDE_CHANNELS) <= set(CHANNELS)


def test_no_triangle_folds_under_one_channel(rig: MeshRig) -> None:
    triangles = rig.surface.triangles.numpy()
    for name in (*AU_CHANNELS, "jaw_x", "mouth_x"):
        for strength in (1.0, 0.5):
            a, b, c = (seen_at(rig, {name: strength * STRONG[name]})[triangles[:, k]] for k in range(3))
            area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
            # Slivers along the rims may turn over by less than anyone can see.
            assert area[area > 0].sum() < 1.0, name


def test_the_jaw_opens_a_dark_mouth(rig: MeshRig, face: Face) -> None:
    frames = render([rig], controls({"AU26": 4.0}))[0, :, 0]
    x, y = (face.landmarks[[13, 14], :2].mean(axis=0) * SIZE / face.size).round().astype(int)
    inside = frames[1, y + 3 : y + 6, x - 3 : x + 4]
    assert float(inside.mean()) < 0.5 * float(frames[0, y + 12 : y + 16, x - 3 : x + 4].mean())
    assert float(inside.max()) < 0.35


def test_closed_eyes_look_like_skin(rig: MeshRig, face: Face) -> None:
    frames = render([rig], controls({"AU45": 2.5}, {"AU45": 5.0}, {"AU45": 1.3, "AU45_lr": 1.2}), grey=False)[0]
    for corners in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS):
        rows, columns = eye_window(face, corners)
        was, shut = frames[0, :, rows, columns], frames[1, :, rows, columns]
        # Neither white nor pupil: colours vary less, and are red before blue as skin is.
        assert float(shut.std(dim=(1, 2)).mean()) < 0.8 * float(was.std(dim=(1, 2)).mean())
        assert float((shut[0] - shut[2]).mean()) > float((was[0] - was[2]).mean())
        assert float((frames[2, :, rows, columns] - shut).abs().max()) < 1e-5
    # Only the driver's left eye, which is on the right of the image.
    rows, columns = eye_window(face, fp.EYE_RIGHT_CORNERS)
    assert float((frames[3, :, rows, columns] - frames[1, :, rows, columns]).abs().mean()) < 0.01
    rows, columns = eye_window(face, fp.EYE_LEFT_CORNERS)
    assert float((frames[3, :, rows, columns] - frames[1, :, rows, columns]).abs().mean()) > 0.04


def test_gaze_moves_the_iris(rig: MeshRig, face: Face) -> None:
    frames = 1 - render([rig], controls({"gaze_x": 0.3}, {"gaze_x": -0.3}, {"gaze_y": 0.2}))[0, :, 0]
    for corners in (fp.EYE_LEFT_CORNERS, fp.EYE_RIGHT_CORNERS):
        rows, columns = eye_window(face, corners)
        dark = (frames[:, rows, columns] - 0.5).clamp(min=0)
        x = (dark * torch.arange(dark.shape[2])).sum((1, 2)) / dark.sum((1, 2))
        assert x[1] > x[0] + 0.5
        assert x[2] < x[0] - 0.5
    front = rig.eye_of.numpy() >= 0
    assert (seen_at(rig, {"gaze_y": 0.2}) - seen_at(rig, {}))[front][:, 1].max() > 0.3


@pytest.mark.parametrize(
    ("channel", "start", "step"),
    [("tx", 0.0, 0.002), ("yaw", 0.1, 0.002), ("AU25", 0.0, 0.02), ("AU45", 0.3, 0.02), ("gaze_x", 0.0, 0.005)],
)
def test_motion_below_a_pixel_is_smooth(rig: MeshRig, channel: str, start: float, step: float) -> None:
    values = torch.zeros(1, 33, 33)
    values[0, :, INDEX[channel]] = start + step * torch.arange(33)
    frames = render([rig], values)[0]
    change = frames[1:] - frames[:-1]
    bend = change[1:] - change[:-1]
    assert float(bend.square().mean().sqrt()) < 0.45 * float(change.square().mean().sqrt())
    # Twice the step, twice the difference; nothing pops.
    double = frames[2:] - frames[:-2]
    ratio = double.square().mean((1, 2, 3)).sqrt() / change[1:].square().mean((1, 2, 3)).sqrt()
    assert 1.6 < float(ratio.min()) <= float(ratio.max()) < 2.4
    assert float(change.abs().max()) < 0.1


def test_nuisance_crops_and_lights_without_motion(rig: MeshRig) -> None:
    calm = Nuisance(shift_x=0.02, shift_y=-0.01, zoom=1.1, gain=1.1, gamma=0.9, blur=0.5)
    frames = render([rig], torch.zeros(1, 4, 33), [calm])[0]
    assert torch.equal(frames[0], frames[3])
    shifted = render([rig], torch.zeros(1, 1, 33), [Nuisance(shift_x=4 / SIZE)])[0, 0, 0]
    still = render([rig], torch.zeros(1, 1, 33))[0, 0, 0]
    # The crop looks further right: the picture moves left.
    torch.testing.assert_close(shifted[:, :-4], still[:, 4:], atol=2e-3, rtol=0)
    noisy = [render([rig], torch.zeros(1, 2, 33), [Nuisance(noise=0.01, seed=s)]) for s in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    # A turned head is lit from a side that the seed draws.
    turned = [render([rig], controls({"yaw": 0.4}), [Nuisance(look=s)])[0, 1] for s in (1, 2)]
    assert not torch.equal(turned[0], turned[1])


def test_another_background_needs_a_matte(face: Face) -> None:
    pytest.importorskip("whodrives.avatars.background")
    y, x = np.mgrid[: face.size, : face.size]
    matte = np.where((x - 128) ** 2 + (y - 128) ** 2 < 100**2, 255, 0).astype(np.uint8)
    cut = build_rig(replace(face, matte=matte), SIZE)
    plain = render([cut], torch.zeros(1, 1, 33), grey=False)[0, 0]
    other = render([cut], torch.zeros(1, 1, 33), [Nuisance(background=4)], grey=False)[0, 0]
    assert float((plain - other)[:, :10, :10].abs().mean()) > 0.02
    assert float((plain - other)[:, 50:70, 50:70].abs().max()) < 0.02
    own = render(
        [build_rig(replace(face, matte=None), SIZE)], torch.zeros(1, 1, 33), [Nuisance(background=4)], grey=False
    )[0, 0]
    torch.testing.assert_close(own, plain, atol=1e-5, rtol=0)


def egg(winding: int = 0) -> HeadMesh:
    """A striped egg with one eyeball, triangles wound at random."""
    rows, columns = 24, 49
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), -np.cos(polar), np.sin(polar) * np.sin(around)], axis=-1)
    skin = (unit * [1.2, 1.6, 1.2] + [0, 0.5, 1.0]).reshape(-1, 3)
    uv = np.stack([around / (2 * np.pi), polar / np.pi], axis=-1).reshape(-1, 2)
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + columns], 1), np.stack([a + 1, a + columns + 1, a + columns], 1)])
    flip = np.random.default_rng(winding).random(len(faces)) < 0.5
    faces = np.where(flip[:, None], faces[:, [0, 2, 1]], faces)
    ball = np.array([[-0.6, -0.1, -0.25], [-0.4, -0.1, -0.25], [-0.5, 0.1, -0.25]])
    faces = np.concatenate([faces, [[len(skin), len(skin) + 1, len(skin) + 2]]])
    vertices = np.concatenate([skin, ball]).astype(np.float32)
    texture = np.full((64, 128, 3), 90, np.uint8)
    texture[:, ::16] = 200
    return HeadMesh(
        vertices=vertices, triangles=faces.astype(np.int32),
        uv=np.concatenate([uv, np.full((3, 2), 0.5)]).astype(np.float32), texture=texture,
        basis=np.zeros((33, len(vertices), 3), np.float32),
        eyes=np.array([[-0.5, 0, 0, 0.2], [0.5, 0, 0, 0.2]], np.float32),
        eye_of=np.append(np.full(len(skin), -1), [0, 0, 0]).astype(np.int8),
        pivot=np.array([0, 1.9, 1.0], np.float32), follow=np.ones(len(vertices), np.float32),
    )  # fmt: skip


def test_a_mesh_of_any_winding_is_drawn_and_lit() -> None:
    image, matte = draw_still(egg(), 96)
    other, _ = draw_still(egg(1), 96)
    np.testing.assert_array_equal(image, other)
    assert image.shape == (96, 96, 3)
    assert (matte[0] == 0).all()
    inside = matte == 255
    # An ellipse of half axes 1.2 and 1.6 at a distance of 13, 18.7 pixels per unit.
    assert inside.mean() == pytest.approx(np.pi * 1.2 * 1.6 * (0.195 * 12 / 13) ** 2, rel=0.06)
    left, right = image[40:44, 30:34].mean(), image[40:44, 62:66].mean()
    assert left > right  # the studio light stands on the left
    with pytest.raises(InputError):
        draw_still(egg(), 4)


def test_a_face_with_a_mesh_moves_with_its_points() -> None:
    mesh = egg()
    image, matte = draw_still(mesh, 128)
    eyes = project_landmarks(mesh, mesh.eyes[:, :3], 128)
    np.testing.assert_allclose(eyes.mean(axis=0)[:2], [64, 0.43 * 128], atol=1e-3)
    landmarks = np.zeros((478, 3), np.float32)
    for corners, eye in ((fp.EYE_LEFT_CORNERS, eyes[0]), (fp.EYE_RIGHT_CORNERS, eyes[1])):
        landmarks[list(corners)] = eye
    rig = build_rig(Face("egg", image, landmarks, matte=matte, mesh=mesh), SIZE)
    frames = render([rig], controls({"gaze_x": 0.3}, {"tx": 0.3}), grey=False)[0]
    still = torch.from_numpy(image).permute(2, 0, 1) / 255
    assert float((frames[0] - still).square().mean().sqrt()) < 0.02
    ball = rig.eye_of.numpy() == 0
    moved = seen_at(rig, {"gaze_x": 0.3}) - seen_at(rig, {})
    assert (moved[ball][:, 0] > 0.5).all()
    assert np.abs(moved[~ball]).max() < 1e-4
    pytest.importorskip("whodrives.avatars.background")
    other = render([rig], controls(), [Nuisance(background=3)], grey=False)[0, 0]
    assert float((other - frames[0])[:, 0].abs().mean()) > 0.02


def test_photo_heads_are_head_meshes(face: Face) -> None:
    head = photo_head(face)
    mesh = head.mesh
    assert 500 < len(mesh.vertices) < 2500
    assert len(mesh.triangles) < 2500
    assert (
        float(
            np.abs(mesh.basis[[INDEX[n] for n in ("pitch", "yaw", "roll", "tx", "ty", "tz", "gaze_x", "gaze_y")]]).max()
        )
        == 0
    )
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    assert {-1, 0, 1} == set(mesh.eye_of.tolist())
    nose = np.abs(mesh.vertices[: head.skin, :2] - [0, 0.55]).sum(axis=1).argmin()
    assert mesh.vertices[nose, 2] < -0.2  # towards the camera


@pytest.fixture(scope="module")
def portraits(shared: Path) -> list[Face]:
    folder = shared / "portraits" / "cremad"
    if not folder.is_dir():
        pytest.skip("no portraits here")
    return load_portraits(folder)


@pytest.mark.parametrize("number", [0, 1, 5, 40])
def test_portraits_at_rest_and_in_motion(portraits: list[Face], number: int) -> None:
    face = portraits[number]
    rig = build_rig(face, SIZE)
    frames = render([rig], controls({"yaw": 0.4}, {"AU26": 4.0}), grey=False)[0]
    error = float((frames[0] - resize(face.image, SIZE)).square().mean())
    assert -10 * np.log10(max(error, 1e-12)) > 40
    # Nothing that is not in the photo: no holes, no torn triangles.
    assert float((frames[1].amin(0) < 0.02).float().mean()) <= float((frames[0].amin(0) < 0.02).float().mean()) + 0.02
    assert move_of(rig, face, (fp.NOSE_TIP,), {"yaw": 0.4})[0] < -5
