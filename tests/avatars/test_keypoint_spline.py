"""Thin-plate splines against loops written out, and the properties that make them the right curve."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.keypoint.spline import evaluate, fit, kernel


def naive(centres: np.ndarray, values: np.ndarray, softness: np.ndarray, places: np.ndarray) -> np.ndarray:
    """One spline by the textbook: (K, 2), (K, D), (K,), (P, 2) -> (P, D)."""
    k = len(centres)

    def u(a: np.ndarray, b: np.ndarray) -> float:
        r = float(np.hypot(*(a - b)))
        return 0.0 if r == 0 else r * r * np.log(r * r)

    system = np.zeros((k + 3, k + 3))
    for i in range(k):
        for j in range(k):
            system[i, j] = u(centres[i], centres[j]) + (softness[i] if i == j else 0.0)
        system[i, k:] = system[k:, i] = [1.0, *centres[i]]
    solved = np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))
    out = np.zeros((len(places), values.shape[1]))
    for p, place in enumerate(places):
        out[p] = solved[k] + solved[k + 1] * place[0] + solved[k + 2] * place[1]
        for i in range(k):
            out[p] += solved[i] * u(place, centres[i])
    return out


def scattered(seed: int, k: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two splines: centres (2, k, 2) at least 0.2 apart, values (2, k, 2), places (2, 2, 20)."""
    rng = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    while len(chosen) < 2 * k:
        point = rng.uniform(-2, 2, 2)
        if all(np.hypot(*(point - other)) > 0.2 for other in chosen):
            chosen.append(point)
    centres = torch.tensor(np.array(chosen), dtype=torch.float32).view(2, k, 2)
    values = torch.from_numpy(rng.normal(0, 0.3, (2, k, 2)).astype(np.float32))
    return centres, values, torch.from_numpy(rng.uniform(-2, 2, (2, 2, 20)).astype(np.float32))


@pytest.mark.parametrize("soft", [0.0, 1e-3, 0.3])
def test_matches_the_loops(soft: float) -> None:
    centres, values, places = scattered(1)
    softness = torch.linspace(0.5, 1.5, 9) * soft
    result = evaluate(fit(centres, values, softness), centres, places)
    for n in range(2):
        expected = naive(*(x.double().numpy() for x in (centres[n], values[n], softness, places[n].T)))
        assert np.abs(result[n].T.numpy() - expected).max() < 2e-4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_hits_its_points_when_not_softened(seed: int) -> None:
    centres, values, _ = scattered(seed)
    at_points = evaluate(fit(centres, values, torch.zeros(9)), centres, centres.transpose(1, 2))
    assert float((at_points.transpose(1, 2) - values).abs().max()) < 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_affine_motion_is_reproduced_everywhere_whatever_the_softness(seed: int, soft: float) -> None:
    centres, _, places = scattered(seed)
    turn = torch.tensor([[0.9, -0.2], [0.3, 1.1]])
    moved = centres @ turn + 0.4
    result = evaluate(fit(centres, moved, torch.full((9,), soft)), centres, places)
    assert torch.allclose(result, (places.transpose(1, 2) @ turn + 0.4).transpose(1, 2), atol=5e-4)


def test_centres_that_coincide_are_bearable_when_softened() -> None:
    centres, values, places = scattered(3)
    centres[:, 1] = centres[:, 0]
    result = evaluate(fit(centres, values, torch.full((9,), 1e-3)), centres, places)
    assert torch.isfinite(result).all()
    assert float(result.abs().max()) < 20 * float(values.abs().max())


def test_one_spline_does_not_see_the_others() -> None:
    centres, values, places = scattered(4)
    both = evaluate(fit(centres, values, torch.zeros(9)), centres, places)
    alone = evaluate(fit(centres[1:], values[1:], torch.zeros(9)), centres[1:], places[1:])
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_kernel_is_zero_at_a_centre_and_at_one() -> None:
    values = kernel(torch.tensor([0.0, 1.0, np.e**2]))
    assert values.tolist() == pytest.approx([0.0, 0.0, 2 * np.e**2], abs=1e-6, rel=1e-5)
