"""The key point renderer: rest, lids, mouth, bottleneck, smoothness, batching, and what it refuses."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from whodrives.avatars import keypoint
from whodrives.avatars.faces import load_portraits
from whodrives.avatars.generator import load_generator
from whodrives.avatars.keypoint import KeypointGenerator, KeypointRig, build_rig, render, renderer
from whodrives.avatars.keypoint.bottleneck import Bottleneck, recolour, soften
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import CHANNELS, INDEX
from whodrives.errors import InputError

SIZE = 128


def controls(*shots: dict[str, float]) -> torch.Tensor:
    """One video with a frame for each shot, (1, T, 33)."""
    values = torch.zeros(1, len(shots), len(CHANNELS))
    for frame, shot in enumerate(shots):
        for name, value in shot.items():
            values[0, frame, INDEX[name]] = value
    return values


@pytest.fixture(scope="module")
def face():
    return procedural_face(8, 256)


@pytest.fixture(scope="module")
def rig(face) -> KeypointRig:
    return build_rig(face, SIZE)


@pytest.fixture(scope="module")
def rigs(rig: KeypointRig) -> list[KeypointRig]:
    return [rig, build_rig(procedural_face(2, 256), SIZE)]


def pixel(face, indices, size: int = SIZE) -> tuple[int, int]:
    """Row and column of the mean of landmarks in a frame."""
    x, y = face.landmarks[list(indices), :2].mean(axis=0) / face.size * size
    return int(y), int(x)


def image_shift(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Sub-pixel shift (down, right) from picture a to b, by the peak of their cross-correlation."""
    spectra = [np.fft.fft2((x - x.mean()).numpy() * np.outer(np.hanning(len(x)), np.hanning(len(x)))) for x in (a, b)]
    surface = np.fft.ifft2(np.conj(spectra[0]) * spectra[1]).real
    peak = np.unravel_index(surface.argmax(), surface.shape)
    out = []
    for axis in (0, 1):
        around = [surface[tuple(np.add(peak, np.eye(2, dtype=int)[axis] * k) % len(a))] for k in (-1, 0, 1)]
        fine = (around[0] - around[2]) / (2 * (around[0] - 2 * around[1] + around[2]))
        out.append((peak[axis] + len(a) / 2) % len(a) - len(a) / 2 + fine)
    return np.array(out)


def test_it_is_a_generator(face) -> None:
    generator = load_generator("keypoint")
    assert isinstance(generator, KeypointGenerator)
    assert (generator.name, generator.version) == ("keypoint", "2")
    rig = generator.rig(face, 64)
    assert (rig.name, rig.size, rig.device) == (face.name, 64, torch.device("cpu"))
    assert rig.to("cpu") is rig
    with pytest.raises(dataclasses.FrozenInstanceError):
        rig.size = 3
    assert torch.equal(generator.render([rig], torch.zeros(1, 1, 33)), render([rig], torch.zeros(1, 1, 33)))


def test_it_shares_no_motion_code_with_the_other_families() -> None:
    for path in Path(keypoint.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "avatars.warp" not in text, path.name
        assert "avatars.mesh" not in text, path.name


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_rest_resembles_the_still_and_lies_exactly_on_it(rigs: list[KeypointRig], seed: int) -> None:
    for rig in rigs:
        frames = render([rig], torch.zeros(1, 3, 33), [Nuisance(look=seed)], grey=False)[0]
        assert torch.equal(frames[0], frames[1])
        still = rig.stills[0]
        error = float((frames[0] - still).square().mean())
        assert 10 * np.log10(1 / error) > 24
        assert np.abs(image_shift(still.mean(0), frames[0].mean(0))).max() < 0.1


def test_crop_nuisance_moves_and_enlarges_the_frame(rig: KeypointRig) -> None:
    plain, moved = (render([rig], torch.zeros(1, 1, 33), [n])[0, 0, 0] for n in (Nuisance(), Nuisance(shift_x=0.02)))
    # The crop goes right, what it shows goes left.
    assert image_shift(plain, moved) == pytest.approx([0.0, -0.02 * SIZE], abs=0.15)


def dot_step(rig: KeypointRig, face, index: int, **channels: float) -> np.ndarray:
    """How far (right, down), in pixels, a dot painted on the still at a landmark goes."""
    x, y = face.landmarks[index, :2] / face.size * SIZE
    row, column = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    dot = torch.exp(-0.5 * ((column - x) ** 2 + (row - y) ** 2) / 2.0**2)
    places = []
    for shot in ({}, channels):
        lit, dark = (
            render([dataclasses.replace(rig, stills=picture, mouth=torch.zeros(2, 3))], controls(shot))[0, 0, 0]
            for picture in (dot.expand(2, 3, SIZE, SIZE) * 0.5 + 0.2, torch.full((2, 3, SIZE, SIZE), 0.2))
        )
        seen = (lit - dark).clamp(min=0.0)
        places.append(np.array([float((seen * column).sum()), float((seen * row).sum())]) / float(seen.sum()))
    return places[1] - places[0]


def test_pixels_go_where_the_head_goes(rig: KeypointRig, face) -> None:
    unit = float(torch.linalg.det(rig.to_image).sqrt()) * SIZE / 2
    assert dot_step(rig, face, 1, tx=0.2) == pytest.approx([0.2 * unit, 0.0], abs=0.4)
    assert dot_step(rig, face, 1, ty=0.15) == pytest.approx([0.0, 0.15 * unit], abs=0.4)
    nose, cheek = dot_step(rig, face, 1, yaw=0.15), dot_step(rig, face, 234, yaw=0.15)
    assert nose[0] < cheek[0] - 1.5 < 0
    assert dot_step(rig, face, 1, pitch=0.15)[1] > 2.0
    left, right = dot_step(rig, face, 33, roll=0.1), dot_step(rig, face, 263, roll=0.1)
    assert left[1] < -0.5 < 0.5 < right[1]
    assert min(left[0], right[0]) > 1.0
    assert dot_step(rig, face, 50, tz=-1.0)[0] < -0.5 < 0.5 < dot_step(rig, face, 280, tz=-1.0)[0]


def test_pixels_go_where_the_skin_goes(rig: KeypointRig, face) -> None:
    assert dot_step(rig, face, 107, AU01=3.0)[1] < -1.0
    assert dot_step(rig, face, 61, AU12=3.0) @ [-1, -1] > 3.0
    assert dot_step(rig, face, 61, AU15=3.0)[1] > 1.0
    assert dot_step(rig, face, 152, AU26=3.0)[1] > 2.0
    smirk = {"AU12": 1.5, "AU12_lr": 1.5}
    assert np.hypot(*dot_step(rig, face, 291, **smirk)) > 5 * np.hypot(*dot_step(rig, face, 61, **smirk))


def test_lids_close_and_wink(rig: KeypointRig, face) -> None:
    shots = controls({}, {"AU45": 1.25}, {"AU45": 2.5}, {"AU45": 1.25, "AU45_lr": 1.25}, {"AU45": 4.0})
    frames = render([rig], shots)[0, :, 0]
    skin = frames[0][pixel(face, (151,))]
    for iris, winks in (((468,), False), ((473,), True)):
        at = pixel(face, iris)
        opened, half, closed, wink, tight = (float(frame[at]) for frame in frames)
        assert opened < 0.6 * float(skin)
        assert closed > opened + 0.6 * (float(skin) - opened)
        assert opened - 0.02 <= half <= closed + 0.02
        assert tight == pytest.approx(closed, abs=0.02)
        assert wink == pytest.approx(closed if winks else opened, abs=0.02)


def test_open_mouth_shows_what_the_still_does_not(rig: KeypointRig, face) -> None:
    opening = [0.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    for name in ("AU25", "AU26"):
        frames = render([rig], controls(*({name: value} for value in opening)))[0, :, 0]
        row, column = pixel(face, (13, 14))
        below = frames[:, row - 2 : row + 8, column - 3 : column + 4]
        assert float(below[-1].min()) < 0.7 * float(below[0].min())
        change = (frames - frames[:1]).abs().mean(dim=(1, 2))
        assert (change.diff() > 0).all()
    # Lips that stay together show nothing of it, whatever else they do.
    plain = dataclasses.replace(rig, mouth=torch.zeros(2, 3))
    shots = controls({}, {"AU12": 4.0}, {"AU17": 4.0}, {"AU23": 3.0}, {"AU15": 3.0})
    assert torch.equal(render([rig], shots), render([plain], shots))


@pytest.mark.parametrize("name", ["yaw", "roll", "tx", "AU12", "AU25", "AU26", "AU45", "gaze_x"])
def test_slow_motion_is_smooth(rig: KeypointRig, name: str) -> None:
    """Frame differences are proportional to speed and do not pulse as details cross pixels."""
    # The corner of a mouth or the nose goes about a tenth of a pixel in a frame.
    speed = {"yaw": 0.0025, "roll": 0.002, "tx": 0.004, "gaze_x": 0.01}.get(name, 0.05)
    start = 1.0 if name.startswith("AU") else 0.02
    slow, fast = (
        render([rig], controls(*({name: start + k * speed * factor} for k in range(13))))[0].diff(dim=0)
        for factor in (1.0, 2.0)
    )
    steps = slow.square().mean(dim=(1, 2, 3)).sqrt()
    assert float((steps[1:] / steps[:-1]).log().abs().max()) < 0.3
    ratio = fast[:6].square().mean().sqrt() / slow.square().mean().sqrt()
    assert float(ratio) == pytest.approx(2.0, abs=0.15)


def test_batch_and_chunks_do_not_change_the_result(rigs: list[KeypointRig], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.random((5, 7, 33), dtype=np.float32)) * 0.3
    nuisance = [Nuisance.sample(rng) for _ in range(5)]
    batch = [rigs[0], rigs[1], rigs[0], rigs[1], rigs[0]]
    whole = render(batch, values, nuisance)
    alone = torch.cat([render([r], v[None], [n]) for r, v, n in zip(batch, values, nuisance, strict=True)])
    assert float((whole - alone).abs().max()) < 1e-4
    assert torch.equal(whole, render(batch, values, nuisance))
    for frames in (3, 1000):
        monkeypatch.setattr(renderer, "CPU_FRAMES", frames)
        assert float((whole - render(batch, values, nuisance)).abs().max()) < 1e-4


def test_grey_is_the_luma_of_colour(rig: KeypointRig) -> None:
    values = controls({}, {"AU12": 2.0, "yaw": 0.2}, {"AU26": 3.0, "AU45": 2.0})
    nuisance = [Nuisance(shift_x=0.01, zoom=1.06, gain=1.1, gamma=0.9, blur=0.4, seed=3)]
    grey, rgb = render([rig], values, nuisance), render([rig], values, nuisance, grey=False)
    assert grey.shape == (1, 3, 1, SIZE, SIZE)
    assert rgb.shape == (1, 3, 3, SIZE, SIZE)
    assert grey.dtype == rgb.dtype == torch.float32
    assert 0 <= float(rgb.min()) < float(rgb.max()) <= 1
    luma = (rgb * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(2, keepdim=True)
    assert float((luma - grey).abs().max()) < 2 / 255


@pytest.mark.parametrize("size", [33, 64, 100, 256])
def test_any_size_shows_the_same_picture(face, size: int) -> None:
    rig = build_rig(face, size)
    frames = render([rig], controls({}, {"AU12": 2.0, "yaw": 0.15}), grey=False)
    assert frames.shape == (1, 2, 3, size, size)
    assert float((frames[0, 0] - rig.stills[0]).abs().mean()) < 0.05
    assert float((frames[0, 1] - frames[0, 0]).abs().mean()) > 0.004


def test_the_look_alone_draws_the_bottleneck(rig: KeypointRig) -> None:
    def calm(look: int, seed: int = 0) -> torch.Tensor:
        return render([rig], torch.zeros(1, 1, 33), [Nuisance(look=look, seed=seed)], grey=False)

    assert torch.equal(calm(5), calm(5, seed=9))
    assert 1e-3 < float((calm(5) - calm(6)).abs().mean()) < 0.08
    draws = [Bottleneck.draw(seed) for seed in range(200)]
    assert 0.6 <= min(d.blur for d in draws) < max(d.blur for d in draws) <= 1.1
    colours = np.stack([d.colour for d in draws])
    assert np.abs(colours.mean(axis=0) - np.eye(3, 4)).max() < 0.01
    assert np.abs(colours - np.eye(3, 4)).max() < 0.12


def test_bottleneck_numbers_by_hand() -> None:
    picture = torch.rand(1, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    one = Bottleneck(0.9, np.array([[1.1, 0, 0, 0.01], [0, 0.9, 0.1, 0], [0, 0, 1, -0.02]], dtype=np.float32))
    changed = recolour(picture, [one])[0, 0]
    r, g, b = picture[0, 0]
    assert torch.allclose(changed, torch.stack([1.1 * r + 0.01, 0.9 * g + 0.1 * b, b - 0.02]).clamp(0, 1), atol=1e-6)
    point = torch.zeros(1, 1, 1, 128, 128)
    point[..., 64, 64] = 1.0
    blurred = soften(point, [one])[0, 0, 0]
    steps = torch.arange(128) - 64.0
    assert float((blurred.sum(0) * steps**2).sum()) == pytest.approx(0.81, rel=0.02)
    assert torch.allclose(soften(torch.full((1, 1, 1, 9, 9), 0.3), [one]), torch.tensor(0.3), atol=1e-6)


def test_noise_is_seeded_and_of_its_level(rig: KeypointRig) -> None:
    values = torch.zeros(1, 6, 33)
    clean, noisy, again = (render([rig], values, [Nuisance(noise=s, seed=5)]) for s in (0.0, 0.01, 0.01))
    assert torch.equal(noisy, again)
    inside = (clean > 0.05) & (clean < 0.95)
    assert float((noisy - clean)[inside].std()) == pytest.approx(0.01, rel=0.05)
    assert not torch.equal(noisy[0, 0], noisy[0, 1])


def test_background_is_asked_for_only_with_seed_and_matte(face, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def with_background(pictures: torch.Tensor, matte: torch.Tensor, seed: int) -> torch.Tensor:
        asked.append((tuple(pictures.shape), tuple(matte.shape), float(matte.max()), seed))
        return pictures * matte

    monkeypatch.setattr(renderer, "with_background", with_background)
    matte = np.zeros(face.image.shape[:2], dtype=np.uint8)
    matte[64:] = 255
    plain, cut = (build_rig(dataclasses.replace(face, matte=one), 64) for one in (None, matte))
    nuisance = [Nuisance(background=4), Nuisance(background=4), Nuisance()]
    frames = render([plain, cut, cut], torch.zeros(3, 1, 33), nuisance)
    assert asked == [((2, 3, 64, 64), (64, 64), 1.0, 4)]
    assert torch.equal(frames[0], frames[2])
    assert float(frames[1, 0, 0, :12].max()) < 0.1


def test_another_background_changes_only_the_background(face) -> None:
    pytest.importorskip("whodrives.avatars.background")
    matte = np.zeros(face.image.shape[:2], dtype=np.uint8)
    matte[64:, 64:192] = 255
    rig = build_rig(dataclasses.replace(face, matte=matte), SIZE)
    own, other, more = (
        render([rig], torch.zeros(1, 1, 33), [Nuisance(background=seed)], grey=False)[0, 0] for seed in (None, 1, 2)
    )
    assert float((own - other)[:, 40:120, 40:88].abs().max()) < 0.02
    assert float((own - other)[:, :24].abs().mean()) > 0.02
    assert float((more - other)[:, :24].abs().mean()) > 0.02


def test_negative_units_are_harmless(rig: KeypointRig) -> None:
    frames = render([rig], controls({}, dict.fromkeys(CHANNELS[:17], -0.2)))[0]
    assert float((frames[1] - frames[0]).abs().mean()) < 0.02


def test_bad_arguments_are_named(rig: KeypointRig, face) -> None:
    with pytest.raises(InputError, match="controls must be"):
        render([rig], torch.zeros(1, 4, 19))
    with pytest.raises(InputError, match="controls must be"):
        render([rig], torch.zeros(1, 0, 33))
    with pytest.raises(InputError, match="2 rigs"):
        render([rig, rig], torch.zeros(1, 4, 33))
    with pytest.raises(InputError, match="different sizes"):
        render([rig, build_rig(face, 64)], torch.zeros(2, 4, 33))
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="not finite"):
            render([rig], torch.full((1, 4, 33), value))
    with pytest.raises(InputError, match="at least 32"):
        build_rig(face, 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_renders_the_same(rigs: list[KeypointRig]) -> None:
    values = torch.rand(2, 9, 33, generator=torch.Generator().manual_seed(0)) * 0.3
    nuisance = [Nuisance(shift_x=0.01, zoom=1.05, blur=0.4, gain=1.1)] * 2
    assert float((render(rigs, values.cuda(), nuisance).cpu() - render(rigs, values, nuisance)).abs().max()) < 2e-3


def test_real_portraits_rig_and_move(shared: Path) -> None:
    faces = load_portraits(shared / "portraits" / "cremad", split="val")[:4]
    rigs = [build_rig(face) for face in faces]
    values = torch.cat([controls({}, {"AU12": 2.0, "AU25": 1.5, "AU45": 2.5, "yaw": 0.2, "roll": -0.1})] * 4)
    frames = render(rigs, values, grey=False)
    assert ((frames[:, 1] - frames[:, 0]).abs().mean(dim=(1, 2, 3)) > 0.01).all()
    for rig, frame in zip(rigs, frames[:, 0], strict=True):
        assert 10 * np.log10(1 / float((frame - rig.stills[0]).square().mean())) > 24
        assert np.abs(image_shift(rig.stills[0].mean(0), frame.mean(0))).max() < 0.1
