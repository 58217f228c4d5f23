"""Nuisance: one law, reproducible, and each parameter doing what it says."""

import dataclasses

import numpy as np
import pytest
import torch

from whodrives.avatars.nuisance import FrameNoise, Nuisance, apply_photometry, crop_maps, sample_nuisance

CPU = torch.device("cpu")


def _pictures(b: int = 2) -> torch.Tensor:
    return torch.rand(b, 2, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def test_draws_are_reproducible_and_vary() -> None:
    assert sample_nuisance(np.random.default_rng(4)) == Nuisance.sample(np.random.default_rng(4))
    rng = np.random.default_rng(0)
    draws = [sample_nuisance(rng) for _ in range(300)]
    assert len({draw.seed for draw in draws}) == 300
    for field, low, high in (
        ("shift_x", -0.03, 0.03), ("shift_y", -0.03, 0.03), ("zoom", 0.99, 1.12), ("gain", 0.5, 2.0),
        ("gamma", 0.5, 2.0), ("blur", 0.0, 0.8), ("noise", 0.002, 0.012),
        ("flicker", 0.0, 0.012), ("flicker_seconds", 0.05, 0.5), ("flicker_cells", 6, 24), ("fps", 24, 30),
        ("crf", 17, 28),
    ):  # fmt: skip
        values = np.array([getattr(draw, field) for draw in draws])
        assert low <= values.min() < values.max() <= high, field
        assert values.std() > 0.1 * (high - low) / 2, field
    assert {draw.crf for draw in draws} == set(range(17, 29))
    assert {draw.flicker_cells for draw in draws} == set(range(6, 25))
    assert {round(draw.fps, 2) for draw in draws} == {24.0, 25.0, 29.97, 30.0}
    assert 0.4 < np.mean([draw.background is None for draw in draws]) < 0.6
    assert 0.2 < np.mean([draw.flicker == 0 for draw in draws]) < 0.45


def test_a_draw_takes_as_many_numbers_whatever_it_yields() -> None:
    states = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        # Advancing by the number of draws and back leads to the seed's own state.
        start = rng.bit_generator.state["state"]["state"]
        sample_nuisance(rng)
        twin = np.random.default_rng(seed)
        assert twin.bit_generator.state["state"]["state"] == start
        for steps in range(200):
            if twin.bit_generator.state["state"] == rng.bit_generator.state["state"]:
                states.add(steps)
                break
            twin.bit_generator.advance(1)
        else:
            states.add(-1)
    assert -1 not in states


def test_a_draw_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Nuisance.none().gain = 2.0  # type: ignore[misc]


def test_none_changes_nothing() -> None:
    pictures = _pictures()
    assert torch.equal(apply_photometry(pictures, [Nuisance.none()] * 2), pictures)
    assert torch.equal(crop_maps([Nuisance.none()], CPU), torch.tensor([[1.0, 0.0, 0.0]]))
    frames = torch.rand(3, 1, 8, 8)
    assert torch.equal(FrameNoise(Nuisance.none(), CPU).add_(frames.clone()), frames)


def test_photometry_matches_numbers_by_hand_and_stays_with_its_video() -> None:
    pictures = _pictures()
    one = Nuisance(gain=1.2, gamma=0.8, colour=(1.1, 1.0, 0.9))
    changed = apply_photometry(pictures, [one, Nuisance.none()])
    assert torch.equal(changed[1], pictures[1])
    factor = torch.tensor([1.2 * 1.1, 1.2, 1.2 * 0.9]).view(1, 3, 1, 1)
    assert torch.allclose(changed[0], (pictures[0] * factor).clamp(0, 1) ** 0.8, atol=1e-6)


def test_blur_is_a_gaussian_of_its_own_video() -> None:
    point = torch.zeros(2, 1, 3, 128, 128)
    point[:, :, :, 64, 64] = 1.0
    blurred = apply_photometry(point, [Nuisance(blur=1.5), Nuisance(blur=0.7)])[:, 0, 0]
    steps = torch.arange(128) - 64.0
    for image, sigma in zip(blurred, (1.5, 0.7), strict=True):
        assert float(image.sum()) == pytest.approx(1.0, abs=1e-4)
        assert float((image.sum(0) * steps**2).sum()) == pytest.approx(sigma**2, rel=0.05)
    # A flat picture stays flat up to its borders.
    flat = torch.full((1, 1, 3, 16, 16), 0.4)
    assert torch.allclose(apply_photometry(flat, [Nuisance(blur=2.0)]), flat, atol=1e-6)


def test_crop_shows_less_when_zoomed_in() -> None:
    scale, x, y = crop_maps([Nuisance(zoom=1.25, shift_x=0.01, shift_y=-0.02)], CPU)[0].tolist()
    assert scale == pytest.approx(0.8)
    assert (x, y) == (pytest.approx(0.02), pytest.approx(-0.04))


def test_noise_has_its_level_and_does_not_depend_on_chunks() -> None:
    one = Nuisance(noise=0.01, seed=7)
    whole = FrameNoise(one, CPU).add_(torch.zeros(8, 1, 32, 32))
    assert float(whole.std()) == pytest.approx(0.01, rel=0.03)
    assert not torch.equal(whole[0], whole[1])
    stream = FrameNoise(one, CPU)
    parts = torch.cat([stream.add_(torch.zeros(k, 1, 32, 32)) for k in (3, 5)])
    assert torch.equal(parts, whole)
    other = FrameNoise(dataclasses.replace(one, seed=8), CPU).add_(torch.zeros(8, 1, 32, 32))
    assert not torch.equal(other, whole)


def _patterns(one: Nuisance, frames: int, side: int = 40) -> np.ndarray:
    """The flicker alone, as a share of the brightness: (frames, side, side)."""
    return FrameNoise(one, CPU).add_(torch.ones(frames, 1, side, side))[:, 0].numpy().astype(np.float64) - 1.0


def test_flicker_has_its_level_everywhere_from_the_first_frame() -> None:
    draws = np.stack([_patterns(Nuisance(flicker=0.01, flicker_cells=8, seed=n), 2) for n in range(400)])
    spread = draws.std(axis=0)
    assert spread.mean(axis=(1, 2)) == pytest.approx([0.01, 0.01], rel=0.03)
    assert spread.min() > 0.008
    assert spread.max() < 0.012
    assert np.abs(draws.mean(axis=0)).max() < 0.0025


@pytest.mark.parametrize(("fps", "seconds"), [(25.0, 0.08), (25.0, 0.4), (30.0, 0.2)])
def test_flicker_forgets_at_its_rate_and_is_smooth(fps: float, seconds: float) -> None:
    values = _patterns(Nuisance(flicker=0.01, flicker_seconds=seconds, flicker_cells=20, fps=fps, seed=4), 600)
    for steps in (1, 3):
        together = (values[steps:] * values[:-steps]).mean() / (values**2).mean()
        assert together == pytest.approx(np.exp(-steps / (fps * seconds)), abs=0.05)
    neighbours = (values[:, 1:] * values[:, :-1]).mean() / (values**2).mean()
    assert neighbours > 0.8  # two pixels a cell
    apart = (values[:, 8:] * values[:, :-8]).mean() / (values**2).mean()
    assert abs(apart) < 0.15


def test_flicker_multiplies_and_does_not_depend_on_chunks() -> None:
    one = Nuisance(noise=0.004, flicker=0.01, flicker_cells=7, seed=9)
    frames = torch.rand(9, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    whole = FrameNoise(one, CPU).add_(frames.clone())
    stream = FrameNoise(one, CPU)
    parts = torch.cat([stream.add_(part.clone()) for part in frames.split([1, 5, 3])])
    assert float((whole - parts).abs().max()) < 1e-6
    quiet = dataclasses.replace(one, noise=0.0)
    pattern = FrameNoise(quiet, CPU).add_(torch.ones_like(frames))
    assert torch.allclose(FrameNoise(quiet, CPU).add_(frames.clone()), frames * pattern, atol=1e-6)
    black = FrameNoise(quiet, CPU).add_(torch.zeros(2, 1, 20, 20))
    assert float(black.abs().max()) == 0.0


def test_noise_is_white_and_gaussian() -> None:
    values = FrameNoise(Nuisance(noise=1.0, seed=2), CPU).add_(torch.zeros(6, 1, 96, 96)).numpy()[:, 0]
    assert float((values**4).mean() / (values**2).mean() ** 2) == pytest.approx(3.0, abs=0.15)
    for one, other in (
        (values[:, 1:], values[:, :-1]),
        (values[:, :, 1:], values[:, :, :-1]),
        (values[1:], values[:-1]),
    ):
        assert abs(float((one * other).mean())) < 0.02
