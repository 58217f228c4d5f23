"""Nuisance: one law, reproducible, and each parameter doing what it says."""

import dataclasses

import numpy as np
import pytest
import torch

from whodrives.avatars.nuisance import Nuisance, SensorNoise, apply_photometry, crop_maps, sample_nuisance

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
    ):  # fmt: skip
        values = np.array([getattr(draw, field) for draw in draws])
        assert low <= values.min() < values.max() <= high, field
        assert values.std() > 0.1 * (high - low) / 2, field


def test_a_draw_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Nuisance.none().gain = 2.0  # type: ignore[misc]


def test_none_changes_nothing() -> None:
    pictures = _pictures()
    assert torch.equal(apply_photometry(pictures, [Nuisance.none()] * 2), pictures)
    assert torch.equal(crop_maps([Nuisance.none()], CPU), torch.tensor([[1.0, 0.0, 0.0]]))
    frames = torch.rand(3, 1, 8, 8)
    assert torch.equal(SensorNoise(Nuisance.none(), CPU).add_(frames.clone()), frames)


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
    whole = SensorNoise(one, CPU).add_(torch.zeros(8, 1, 32, 32))
    assert float(whole.std()) == pytest.approx(0.01, rel=0.03)
    assert not torch.equal(whole[0], whole[1])
    stream = SensorNoise(one, CPU)
    parts = torch.cat([stream.add_(torch.zeros(k, 1, 32, 32)) for k in (3, 5)])
    assert torch.equal(parts, whole)
    other = SensorNoise(dataclasses.replace(one, seed=8), CPU).add_(torch.zeros(8, 1, 32, 32))
    assert not torch.equal(other, whole)
