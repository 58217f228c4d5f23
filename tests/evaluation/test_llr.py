"""Calibration to log-likelihood ratios, Cllr and minCllr: by hand, against scikit-learn and by their theorems."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from whodrives.errors import InputError
from whodrives.evaluation.llr import (
    RIDGE,
    LogisticLlr,
    cllr,
    fit_isotonic_llr,
    fit_logistic_llr,
    min_cllr,
)

SCORES = st.lists(st.integers(-20, 20), min_size=1, max_size=30)
FEW = settings(max_examples=60, deadline=None)


def normals(seed: int, genuine: int = 200, impostor: int = 600, apart: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(apart, 1, genuine), rng.normal(0, 1, impostor)


def penalty(scale: float, genuine: list[int], impostor: list[int]) -> float:
    """The ridge term of a slope on raw scores at prior 0.5, in bits of Cllr."""
    g, i = np.array(genuine, dtype=float), np.array(impostor, dtype=float)
    centre = (g.mean() + i.mean()) / 2
    variance = (((g - centre) ** 2).mean() + ((i - centre) ** 2).mean()) / 2
    return float(RIDGE / 2 * scale**2 * variance / math.log(2))


def test_cllr_by_hand() -> None:
    assert cllr([0.0], [0.0]) == pytest.approx(1, abs=1e-15)
    assert cllr(np.zeros(7), np.zeros(3)) == pytest.approx(1, abs=1e-15)
    # Likelihood ratios 3 and 1/3: log2(4 / 3) on both sides.
    assert cllr([math.log(3)], [-math.log(3)]) == pytest.approx(math.log2(4 / 3))
    assert cllr([math.log(3), 0], [-math.log(3)]) == pytest.approx((math.log2(4 / 3) / 2 + 0.5 + math.log2(4 / 3)) / 2)
    assert cllr([math.inf], [-math.inf]) == 0
    assert cllr([-math.inf], [0.0]) == math.inf
    assert cllr([1000.0], [1000.0]) == pytest.approx(500 / math.log(2))


def test_min_cllr_by_hand() -> None:
    assert min_cllr([1, 2], [-1, 0]) == 0
    assert min_cllr([0], [0]) == 1
    assert min_cllr([-1], [1]) == 1
    # Blocks: {impostor}, {genuine, impostor}, {genuine}; the middle one has LLR 0 and costs half of the trials 1 bit.
    assert min_cllr([1, 2], [0, 1]) == pytest.approx(0.5)
    # Blocks of 1 genuine + 2 impostor, then 1 genuine: log2(3) ... by the definition.
    expected = (0.5 * math.log2(1 + 2) + math.log2(1 + 0.5)) / 2
    assert min_cllr([0, 1], [0, 0]) == pytest.approx(expected)


@given(SCORES, SCORES)
def test_min_cllr_is_isotonic_regression_of_scikit_learn(genuine: list[int], impostor: list[int]) -> None:
    scores, labels = np.array(genuine + impostor, dtype=float), np.array([1.0] * len(genuine) + [0.0] * len(impostor))
    p = IsotonicRegression(y_min=0, y_max=1).fit(scores, labels).predict(scores)
    # Rounding of the regression must not turn 0 and 1 into something between.
    p = np.where(p < 1e-9, 0, np.where(p > 1 - 1e-9, 1, p))
    with np.errstate(divide="ignore"):
        llr = np.log(p) - np.log1p(-p) - math.log(len(genuine) / len(impostor))
    assert min_cllr(genuine, impostor) == pytest.approx(cllr(llr[labels == 1], llr[labels == 0]), abs=1e-9)


@given(SCORES, SCORES)
def test_min_cllr_is_a_lower_bound_and_ignores_rising_maps_and_order(genuine: list[int], impostor: list[int]) -> None:
    least = min_cllr(genuine, impostor)
    assert 0 <= least <= 1
    assert cllr(genuine, impostor) >= least - 1e-12
    bent = [np.exp(np.array(side) / 7.0) - 2.5 for side in (genuine, impostor)]
    assert min_cllr(*bent) == least
    assert min_cllr(genuine[::-1], sorted(impostor)) == least
    # The number of trials of a kind carries no weight.
    assert min_cllr(genuine * 3, impostor) == pytest.approx(least, abs=1e-12)


@FEW
@given(SCORES, SCORES)
def test_calibration_keeps_or_improves_cllr_on_its_own_trials(genuine: list[int], impostor: list[int]) -> None:
    model = fit_logistic_llr(genuine, impostor)
    after = cllr(model.llr(genuine), model.llr(impostor))
    # The minimum with the ridge lies below the loss with the ridge of the raw scores taken as LLRs ...
    charged = after + penalty(model.scale, genuine, impostor)
    assert charged <= cllr(genuine, impostor) + penalty(1.0, genuine, impostor) + 1e-9
    # ... and below that of LLR 0 throughout.
    assert charged <= 1 + 1e-9
    assert after >= min_cllr(genuine, impostor) - 1e-9


@FEW
@given(SCORES, SCORES, st.sampled_from([0.01, 0.5, 0.9]))
def test_logistic_map_rises_is_finite_and_ignores_units_and_order(
    genuine: list[int], impostor: list[int], prior: float
) -> None:
    model = fit_logistic_llr(genuine, impostor, prior)
    line = np.array([-math.inf, -1e300, *range(-25, 26), 1e300, math.inf])
    llr = model.llr(line)
    assert np.isfinite(llr).all()
    assert (np.diff(llr) >= 0).all()
    moved = fit_logistic_llr(np.array(genuine) * 0.037 - 4, np.array(impostor) * 0.037 - 4, prior)
    np.testing.assert_allclose(moved.llr(line * 0.037 - 4), llr, atol=1e-6)
    shuffled = fit_logistic_llr(genuine[::-1], sorted(impostor), prior)
    # Sums in another order: the solver stops where rounding hides further descent.
    np.testing.assert_allclose(shuffled.llr(line), llr, atol=1e-6)
    if np.mean(genuine) <= np.mean(impostor):
        assert (llr == 0).all()


@pytest.mark.parametrize("prior", [0.05, 0.5, 0.8])
def test_logistic_is_scikit_learn_where_the_ridge_is_negligible(prior: float) -> None:
    genuine, impostor = normals(0)
    model = fit_logistic_llr(genuine, impostor, prior, ridge=1e-12)
    weights = np.r_[np.full(200, prior / 200), np.full(600, (1 - prior) / 600)]
    x, y = np.r_[genuine, impostor][:, None], np.r_[np.ones(200), np.zeros(600)]
    reference = LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(x, y, weights)
    assert model.scale == pytest.approx(reference.coef_[0, 0], rel=1e-5)
    assert model.offset == pytest.approx(reference.intercept_[0] - math.log(prior / (1 - prior)), abs=1e-5)


@pytest.mark.parametrize("prior", [0.01, 0.5, 0.9])
@pytest.mark.parametrize("apart", [-1.0, 0.0, 0.3, 2.0, 50.0])
def test_logistic_is_the_minimum_of_its_documented_loss(prior: float, apart: float) -> None:
    """A loss written anew and a general minimiser with the bound a >= 0."""
    genuine, impostor = normals(1, 15, 40, apart)
    centre = (genuine.mean() + impostor.mean()) / 2
    spread = math.sqrt((((genuine - centre) ** 2).mean() + ((impostor - centre) ** 2).mean()) / 2)
    t = math.log(prior / (1 - prior))

    def loss(at: np.ndarray) -> float:
        own, other = (at[0] * (side - centre) / spread + at[1] + t for side in (genuine, impostor))
        data = prior * np.logaddexp(0, -own).mean() + (1 - prior) * np.logaddexp(0, other).mean()
        return float(data + 2 * prior * (1 - prior) * RIDGE * at[0] ** 2)

    model = fit_logistic_llr(genuine, impostor, prior)
    ours = np.array([model.scale * spread, model.offset + model.scale * centre])
    found = min(
        (
            minimize(loss, start, bounds=[(0, None), (None, None)], options={"ftol": 1e-15, "gtol": 1e-10})
            for start in ([0.0, 0.0], [3.0, 0.0], ours)
        ),
        key=lambda result: result.fun,
    )
    assert loss(ours) <= found.fun + 1e-10
    assert ours == pytest.approx(found.x, abs=2e-2)


def test_true_likelihood_ratios_are_recovered() -> None:
    """Normals of variance 1 with means 1.5 and 0: the LLR is 1.5 s - 1.125 whatever the numbers of trials."""
    model = fit_logistic_llr(*normals(2, 20_000, 60_000))
    assert model.scale == pytest.approx(1.5, abs=0.05)
    assert model.offset == pytest.approx(-1.125, abs=0.05)
    assert model.llr([[0.0, 1.0]]).shape == (1, 2)
    assert isinstance(model, LogisticLlr)


def test_separated_scores_stay_finite_and_the_ends_hold() -> None:
    model = fit_logistic_llr([0.8, 0.9], [0.1, 0.2])
    assert 0 < model.scale < math.inf
    assert model.llr(0.8) > 3
    assert model.llr(0.2) < -3
    assert (model.low, model.high) == (0.1, 0.9)
    assert model.llr(5.0) == model.llr(math.inf) == model.llr(0.9)
    assert model.llr(-1.0) == model.llr(0.1)
    one = fit_logistic_llr([1.0], [0.0])
    assert one.llr(1.0) == pytest.approx(-one.llr(0.0), abs=1e-9)


@given(SCORES, SCORES)
def test_staircase_rises_is_finite_and_ignores_rising_maps(genuine: list[int], impostor: list[int]) -> None:
    stairs = fit_isotonic_llr(genuine, impostor)
    line = np.array([-math.inf, *range(-25, 26), math.inf])
    llr = stairs.llr(line)
    assert np.isfinite(llr).all()
    assert (np.diff(llr) >= 0).all()
    bent = fit_isotonic_llr(np.exp(np.array(genuine) / 7.0), np.exp(np.array(impostor) / 7.0))
    np.testing.assert_array_equal(bent.llr(np.exp(line / 7.0)), llr)
    assert cllr(stairs.llr(genuine), stairs.llr(impostor)) >= min_cllr(genuine, impostor) - 1e-12


def test_staircase_ends_by_the_documented_convention() -> None:
    stairs = fit_isotonic_llr([1, 2], [-2, -1, 0])
    n, m = 2, 3
    assert stairs.llr([-9, 0, 0.5]) == pytest.approx([math.log((m + 2) / ((m + 1) * (n + 2)))] * 3)
    assert stairs.llr([1, 9]) == pytest.approx([math.log((n + 1) * (m + 2) / (n + 2))] * 2)
    # With many trials the pseudo-trials vanish and the staircase reaches minCllr.
    genuine, impostor = normals(3, 3000, 3000)
    stairs = fit_isotonic_llr(genuine, impostor)
    assert cllr(stairs.llr(genuine), stairs.llr(impostor)) == pytest.approx(min_cllr(genuine, impostor), abs=0.01)


def test_awkward_trials() -> None:
    constant = fit_logistic_llr([0.3, 0.3], [0.3])
    assert constant.llr([0.0, 0.3, 1.0]).tolist() == [0, 0, 0]
    nearly = fit_logistic_llr([1e9, 1e9 + 1e-7], [1e9])
    # A difference of the size of rounding is no evidence.
    assert nearly.llr([0.0, 1e9, 1e9 + 1e-7]).tolist() == [0, 0, 0]
    assert np.isfinite(fit_logistic_llr([1.0, 1e100], [0.0, -1e100]).llr([0.5])).all()
    for function in (fit_logistic_llr, fit_isotonic_llr, min_cllr):
        with pytest.raises(InputError, match="no genuine"):
            function([], [1.0])
        with pytest.raises(InputError, match="NaN or infinite"):
            function([1.0], [math.nan])
    with pytest.raises(InputError, match="at least one"):
        cllr([], [0.0])
    with pytest.raises(InputError, match="1 of 2 impostor LLRs are NaN"):
        cllr([0.0], [math.nan, 0.0])
    for model in (constant, fit_isotonic_llr([1], [0])):
        with pytest.raises(InputError, match="NaN"):
            model.llr([0.0, math.nan])
    with pytest.raises(InputError, match="prior"):
        fit_logistic_llr([1.0], [0.0], prior=1.0)
    with pytest.raises(InputError, match="ridge"):
        fit_logistic_llr([1.0], [0.0], ridge=0.0)
    with pytest.raises(InputError, match="scale them up"):
        fit_logistic_llr([1e-320], [0.0])


@pytest.mark.parametrize("size", [1e-300, 1e-100, 1e100, 1e300])
def test_size_of_scores_does_not_matter(size: float) -> None:
    genuine, impostor = normals(4)
    expected = fit_logistic_llr(genuine, impostor).llr(genuine)
    np.testing.assert_allclose(
        fit_logistic_llr(genuine * size, impostor * size).llr(genuine * size), expected, atol=1e-6
    )
