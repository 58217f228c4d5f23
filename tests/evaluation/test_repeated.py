"""Several windows as evidence, against the joint Gaussian likelihood and simulated calls."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from whodrives.errors import InputError
from whodrives.evaluation.llr import LogisticLlr
from whodrives.evaluation.repeated import RepeatedLlr, fit_repeated_llr, variance_parts, wald_bounds

BETWEEN, WITHIN, APART = 0.3, 0.7, 1.5  # variances, and the distance of the means


def exact() -> RepeatedLlr:
    """One window's Gaussian LLR: linear with slope distance / variance, 0 half way between the means 0 and APART."""
    slope = APART / (BETWEEN + WITHIN)
    one = LogisticLlr(slope, -slope * APART / 2, -1e9, 1e9, 0.5, 1e-4, 1, 1)
    return RepeatedLlr(one, BETWEEN / (BETWEEN + WITHIN))


def calls(rng: np.random.Generator, count: int, windows: int, mean: float) -> np.ndarray:
    trial = rng.normal(0, BETWEEN**0.5, (count, 1))
    return mean + trial + rng.normal(0, WITHIN**0.5, (count, windows))


@pytest.mark.parametrize("windows", [1, 2, 7])
def test_llr_is_that_of_the_joint_gaussian(windows: int) -> None:
    scores = calls(np.random.default_rng(0), 5, windows, 0.4)
    covariance = np.full((windows, windows), BETWEEN) + WITHIN * np.eye(windows)
    kinds = [multivariate_normal(np.full(windows, mean), covariance).logpdf(scores) for mean in (APART, 0.0)]
    assert exact().llr(scores.mean(axis=1), windows) == pytest.approx(kinds[0] - kinds[1])


def test_variances_and_calibration_are_recovered() -> None:
    rng = np.random.default_rng(1)
    genuine, impostor = calls(rng, 4000, 4, APART), calls(rng, 6000, 4, 0.0)
    assert variance_parts(genuine) == pytest.approx((BETWEEN, WITHIN), abs=0.04)
    fitted = fit_repeated_llr(genuine, impostor)
    assert fitted.correlation == pytest.approx(0.3, abs=0.03)
    middle = np.array([-0.5, 0.5, 1.5])
    assert fitted.llr(middle, 4) == pytest.approx(exact().llr(middle, 4), abs=0.15)


def test_wald_bounds_hold_however_often_one_looks() -> None:
    rng = np.random.default_rng(2)
    far, frr = 0.02, 0.05
    low, high = wald_bounds(far, frr)
    counts = np.arange(1, 41)
    for mean, bound, sign in ((0.0, high, 1), (APART, -low, -1)):
        scores = calls(rng, 20_000, 40, mean)
        path = sign * exact().llr(np.cumsum(scores, axis=1) / counts, counts)
        crossed = (path >= bound).any(axis=1).mean()
        limit = far / (1 - frr) if sign == 1 else frr / (1 - far)
        assert crossed <= limit + 3 * (limit / 20_000) ** 0.5
        # Were windows taken for independent, the bound would not hold.
        naive = RepeatedLlr(exact().one, 0.0)
        assert (sign * naive.llr(np.cumsum(scores, axis=1) / counts, counts) >= bound).any(axis=1).mean() > 2 * limit


@given(st.floats(0, 1), st.floats(0.01, 1000), st.floats(0.01, 1000))
def test_more_windows_are_worth_more_but_level_off(correlation: float, some: float, more: float) -> None:
    model = dataclasses.replace(exact(), correlation=correlation)
    few, many = sorted((some, more))
    one, two = model.effective(few), model.effective(many)
    assert one <= two * (1 + 1e-12)
    assert one <= few * (1 + 1e-12)
    if correlation:
        assert two <= 1 / correlation * (1 + 1e-9)


def test_wrong_numbers_are_told() -> None:
    with pytest.raises(InputError, match="2 windows or more"):
        variance_parts(np.zeros((3, 1)))
    with pytest.raises(InputError, match="more than 0"):
        exact().llr(0.1, 0)
    with pytest.raises(InputError, match="correlation"):
        RepeatedLlr(exact().one, 1.5)
    for rates in ((0.0, 0.1), (0.6, 0.5)):
        with pytest.raises(InputError, match="error rates"):
            wald_bounds(*rates)
    assert fit_repeated_llr(np.full((3, 2), 0.9), np.full((3, 2), 0.1)).correlation == 1.0
