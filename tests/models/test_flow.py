"""Optical flow: a loop that solves each window, motion that is known, and what must cancel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.models.flow import CHANNELS, optical_flow
from whodrives.models.normalise import standardise


def texture(dx: float, dy: float, seed: int = 0) -> torch.Tensor:
    """A smooth picture (128, 128), moved by (dx, dy) pixels: waves, so that it can be evaluated anywhere."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128].astype(float)
    waves = rng.uniform(0.05, 0.25, (24, 2)) * rng.choice([-1, 1], (24, 2))
    phases = rng.uniform(0, 2 * np.pi, 24)
    return torch.from_numpy(
        sum(np.cos(kx * (x - dx) + ky * (y - dy) + phase) for (kx, ky), phase in zip(waves, phases, strict=True))
    )


def filtered(values: np.ndarray, taps: list[float], axis: int) -> np.ndarray:
    reach = len(taps) // 2
    width = [(reach, reach) if a == axis else (0, 0) for a in range(values.ndim)]
    padded = np.pad(values, width, mode="edge")
    parts = [np.take(padded, range(k, k + values.shape[axis]), axis) * tap for k, tap in enumerate(taps)]
    return np.sum(parts, axis=0)


def by_loop(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(10, 16, 16) for two standardised pictures (128, 128), window by window."""
    five, three = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], [0.25, 0.5, 0.25]
    one, two = (filtered(filtered(v, five, 1), five, 0) for v in (one, two))
    gx, gy = ((filtered(one, [-0.5, 0, 0.5], axis) + filtered(two, [-0.5, 0, 0.5], axis)) / 2 for axis in (1, 0))
    gt = two - one
    cells = np.stack([gx * gx, gx * gy, gy * gy, gx * gt, gy * gt]).reshape(5, 32, 4, 32, 4).mean(axis=(2, 4))
    near = filtered(filtered(cells, three, 2), three, 1)
    far = near
    for _ in range(2):
        far = filtered(filtered(far, five, 2), five, 1)
    far = far.reshape(5, 16, 2, 16, 2).mean(axis=(2, 4))

    def solve(p: np.ndarray, damping: float) -> np.ndarray:
        matrix = np.array([[p[0], p[1]], [p[1], p[2]]]) + damping * np.eye(2)
        return np.clip(np.linalg.solve(matrix, -p[3:]), -4, 4)

    out = np.zeros((CHANNELS, 16, 16))
    for row in range(16):
        for column in range(16):
            for place, (i, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
                out[[place, 4 + place], row, column] = solve(near[:, 2 * row + i, 2 * column + j], 1e-4)
            out[8:, row, column] = solve(far[:, row, column], 1e-4 / 4)
    return out


def test_equals_a_loop_over_windows() -> None:
    frames = standardise(torch.rand(1, 3, 1, 128, 128, dtype=torch.float64), "frame")
    flow = optical_flow(frames)
    assert flow.shape == (1, 2, CHANNELS, 16, 16)
    for step in range(2):
        expected = by_loop(frames[0, step, 0].numpy(), frames[0, step + 1, 0].numpy())
        assert np.allclose(flow[0, step].numpy(), expected, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 50))
def test_finds_how_far_a_picture_moved(dx: float, dy: float, seed: int) -> None:
    frames = torch.stack([texture(0, 0, seed), texture(dx, dy, seed)])[None, :, None]
    flow = optical_flow(standardise(frames, "frame"))[0, 0]
    # Not at the border, where the picture goes on otherwise than it is continued.
    for maps, told in ((flow[8], dx), (flow[9], dy)):
        assert float((maps[2:-2, 2:-2] - told).abs().mean()) < 0.03 + 0.1 * max(abs(dx), abs(dy))
    for maps, told in ((flow[:4], dx), (flow[4:8], dy)):
        assert float(maps[:, 2:-2, 2:-2].mean() - told) == pytest.approx(0, abs=0.03 + 0.1 * max(abs(dx), abs(dy)))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_rest_is_zero_and_backwards_is_nearly_the_negative(seed: int) -> None:
    clip = torch.rand(2, 4, 1, 128, 128, generator=torch.Generator().manual_seed(seed))
    forth, back = optical_flow(clip), optical_flow(clip.flip(1))
    assert torch.allclose(back.flip(1), -forth, atol=1e-4)
    assert not optical_flow(clip[:, :1].expand(-1, 3, -1, -1, -1)).any()


def test_light_and_contrast_of_the_camera_cancel() -> None:
    clip = torch.rand(1, 3, 1, 128, 128, dtype=torch.float64)
    one = optical_flow(standardise(clip, "frame"))
    assert torch.allclose(one, optical_flow(standardise(0.3 * clip + 0.5, "frame")), atol=1e-4)


def test_a_blank_picture_has_no_flow_instead_of_noise() -> None:
    blank = torch.zeros(1, 2, 1, 128, 128)
    assert not optical_flow(standardise(blank, "frame")).any()
    noisy = 1e-3 * torch.randn(1, 2, 1, 128, 128)
    assert float(optical_flow(noisy).abs().max()) < 0.05


def test_the_hardest_edge_gives_a_number() -> None:
    edge = torch.where(torch.arange(128)[:, None] > torch.arange(128), 1e4, -1e4)
    flow = optical_flow(torch.stack([edge, edge.roll(1, 0)])[None, :, None])
    assert bool(torch.isfinite(flow).all())
