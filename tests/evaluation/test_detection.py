"""ROC, DET, TAR at FAR and detection cost against hand-made cases, plain loops and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import det_curve as sk_det_curve
from sklearn.metrics import roc_curve as sk_roc_curve

from whodrives.errors import InputError
from whodrives.evaluation.detection import (
    COST_MODELS,
    CostModel,
    can_show,
    cost_model,
    det_curve,
    detection_cost,
    measured_tar,
    min_detection_cost,
    probit,
    roc_curve,
)
from whodrives.evaluation.metrics import roc_auc

SCORES = st.lists(st.integers(-20, 20), min_size=1, max_size=30)
MODELS = st.sampled_from(sorted(COST_MODELS)).map(cost_model)


def bend(scores: list[int]) -> np.ndarray:
    """A strictly rising map that is far from a line."""
    return np.exp(np.array(scores) / 7.0) - 2.5


def test_roc_by_hand() -> None:
    roc = roc_curve([0.2, 0.6, 0.9], [0.1, 0.6])
    assert roc.threshold.tolist() == [0.1, 0.2, 0.6, 0.9, math.inf]
    assert roc.far.tolist() == [1.0, 0.5, 0.5, 0.0, 0.0]
    assert roc.tar == pytest.approx([1, 1, 2 / 3, 1 / 3, 0])


@given(SCORES, SCORES)
def test_roc_and_det_are_scikit_learn(genuine: list[int], impostor: list[int]) -> None:
    labels, scores = [1] * len(genuine) + [0] * len(impostor), genuine + impostor
    far, tar, threshold = sk_roc_curve(labels, scores, drop_intermediate=False)
    roc = roc_curve(genuine, impostor)
    np.testing.assert_allclose(roc.threshold[::-1], threshold)
    np.testing.assert_allclose(roc.far[::-1], far, atol=1e-12)
    np.testing.assert_allclose(roc.tar[::-1], tar, atol=1e-12)
    assert -np.trapezoid(roc.tar, roc.far) == pytest.approx(roc_auc(genuine, impostor), abs=1e-12)
    det = det_curve(genuine, impostor)
    ours = set(zip(det.far.round(9), det.frr.round(9)))
    false_accept, miss, _ = sk_det_curve(labels, scores)
    assert set(zip(false_accept.round(9), miss.round(9))) <= ours


@given(SCORES, SCORES)
def test_det_axes_are_finite_and_ordered(genuine: list[int], impostor: list[int]) -> None:
    det = det_curve(genuine, impostor)
    assert np.isfinite(det.far_probit).all()
    assert np.isfinite(det.frr_probit).all()
    assert (np.diff(det.far_probit) <= 0).all()
    assert (np.diff(det.frr_probit) >= 0).all()


def test_probit_by_hand() -> None:
    assert probit([0.5, 0.975, 0.025], 1000) == pytest.approx([0, 1.959964, -1.959964], abs=1e-6)
    # No error in 100 trials is drawn where half an error would be.
    assert probit(0.0, 100) == pytest.approx(probit(0.005, 10_000))
    assert probit(1.0, 100) == pytest.approx(-probit(0.0, 100))
    assert probit([0.0, 1.0], 1).tolist() == [0, 0]
    with pytest.raises(InputError, match="at least one"):
        probit(0.5, 0)
    for rate in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="percentages"):
            probit(rate, 10)


def test_a_rate_that_the_trials_cannot_show_is_not_measurable() -> None:
    result = measured_tar([0.9], np.linspace(0, 1, 99), 0.01)
    assert not result.measurable
    assert (result.tar, result.far, result.threshold) == (None, None, None)
    assert result.smallest_far == pytest.approx(1 / 99)
    assert str(result) == "not measurable (smallest FAR 0.01)"
    result = measured_tar([0.5, 0.9], np.arange(100) / 100 * 0.8, 0.01)
    assert result.measurable
    assert (result.tar, result.far, str(result)) == (0.5, 0.01, "0.500")
    assert (result.n_genuine, result.n_impostor) == (2, 100)
    for far in (0.0, 1.0, math.nan):
        with pytest.raises(InputError, match="between 0 and 1"):
            measured_tar([1.0], [0.0], far)


@given(st.integers(1, 2000))
def test_one_over_n_is_measurable_with_n_trials_and_not_with_fewer(n: int) -> None:
    if n > 1:
        assert can_show(1 / n, n)
        assert not can_show(1 / n, n - 1)


@given(SCORES, SCORES, st.floats(0.01, 0.99))
def test_tar_is_the_loop_over_thresholds(genuine: list[int], impostor: list[int], far: float) -> None:
    result = measured_tar(genuine, impostor, far)
    assert result.measurable == (len(impostor) * far >= 1 - 1e-9)
    if result.tar is None or result.far is None:
        return
    allowed = [
        sum(g >= t for g in genuine) / len(genuine)
        for t in [*genuine, *impostor, math.inf]
        if sum(i >= t for i in impostor) <= far * len(impostor) + 1e-9
    ]
    # The promised threshold lies between scores, so it accepts what the best allowed score accepts.
    assert result.tar == pytest.approx(max(allowed), abs=1e-12)
    assert result.far <= far + 1e-9


def test_costs_by_hand() -> None:
    genuine, impostor = [0.2, 0.6, 0.9], [0.1, 0.6]
    balanced = cost_model("balanced")
    best = min_detection_cost(genuine, impostor, balanced)
    assert (best.threshold, best.far, best.frr) == (0.2, 0.5, 0.0)
    assert best.cost == pytest.approx(0.5)
    # 0.01 * 10 against 0.99 * 1: false accepts weigh 9.9 times as much, so all but the highest is refused.
    best = min_detection_cost(genuine, impostor, cost_model("sre08"))
    assert (best.threshold, best.far, best.model) == (0.9, 0.0, "sre08")
    assert best.cost == pytest.approx(2 / 3)
    at = detection_cost(genuine, impostor, cost_model("sre08"), 0.5)
    assert at.cost == pytest.approx(1 / 3 + 9.9 * 0.5)
    assert detection_cost(genuine, impostor, balanced, math.inf).cost == 1
    assert detection_cost(genuine, impostor, balanced, -math.inf).cost == 1


def test_llr_threshold_is_bayes() -> None:
    assert cost_model("balanced").llr_threshold == 0
    assert cost_model("sre08").llr_threshold == pytest.approx(math.log(9.9))
    assert cost_model("sre10").llr_threshold == pytest.approx(math.log(999))
    result = detection_cost([1.0, 3.0], [-1.0, 2.5], cost_model("sre08"))
    assert result.threshold == pytest.approx(math.log(9.9))
    assert (result.frr, result.far) == (0.5, 0.5)


@given(SCORES, SCORES, MODELS)
def test_minimum_is_the_loop_and_a_lower_bound(genuine: list[int], impostor: list[int], model: CostModel) -> None:
    best = min_detection_cost(genuine, impostor, model)
    thresholds = [*genuine, *impostor, math.inf]
    costs = []
    for t in thresholds:
        miss = model.prior * model.miss * sum(g < t for g in genuine) / len(genuine)
        false_accept = (1 - model.prior) * model.false_accept * sum(i >= t for i in impostor) / len(impostor)
        default = min(model.prior * model.miss, (1 - model.prior) * model.false_accept)
        costs.append((miss + false_accept) / default)
    assert best.cost == pytest.approx(min(costs), abs=1e-12)
    assert 0 <= best.cost <= 1
    assert detection_cost(genuine, impostor, model, best.threshold) == best
    assert detection_cost(genuine, impostor, model).cost >= best.cost - 1e-12


@given(SCORES, SCORES, MODELS, st.floats(0.05, 0.95), st.randoms())
def test_rising_maps_and_order_change_nothing(
    genuine: list[int], impostor: list[int], model: CostModel, far: float, random: object
) -> None:
    bent = bend(genuine), bend(impostor)
    assert roc_curve(*bent).far.tolist() == roc_curve(genuine, impostor).far.tolist()
    assert roc_curve(*bent).tar.tolist() == roc_curve(genuine, impostor).tar.tolist()
    assert min_detection_cost(*bent, model).cost == min_detection_cost(genuine, impostor, model).cost
    assert measured_tar(*bent, far).tar == measured_tar(genuine, impostor, far).tar
    shuffled = list(genuine)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert measured_tar(shuffled, impostor[::-1], far) == measured_tar(genuine, impostor, far)
    assert min_detection_cost(shuffled, impostor[::-1], model) == min_detection_cost(genuine, impostor, model)


def test_awkward_trials() -> None:
    balanced = cost_model("balanced")
    assert min_detection_cost([1.0], [0.0], balanced).cost == 0
    assert min_detection_cost([0.0], [0.0], balanced).cost == 1
    assert min_detection_cost([0.0], [1.0], balanced).cost == 1
    assert roc_curve([0.0], [0.0]).far.tolist() == [1, 0]
    for function in (roc_curve, det_curve, lambda g, i: measured_tar(g, i, 0.5)):
        with pytest.raises(InputError, match="no genuine"):
            function([], [1.0])
        with pytest.raises(InputError, match="no impostor"):
            function([1.0], [])
        for bad in (math.nan, math.inf, -math.inf):
            with pytest.raises(InputError, match="1 of 2 impostor scores are NaN or infinite"):
                function([1.0], [bad, 0.0])
    with pytest.raises(InputError, match="threshold is NaN"):
        detection_cost([1.0], [0.0], balanced, math.nan)
    with pytest.raises(InputError, match="balanced, sre08"):
        cost_model("none")
    for prior in (0.0, 1.0, math.nan):
        with pytest.raises(InputError, match="prior"):
            CostModel("mine", prior)
    for cost in (0.0, math.inf, math.nan):
        with pytest.raises(InputError, match="costs"):
            CostModel("mine", 0.5, miss=cost)
