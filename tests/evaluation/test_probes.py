"""Linear probes where the answer is known: folds, ridge against scikit-learn, signal, leaks and no signal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.evaluation.probes import _exchanged, _ridge, classify, deal_folds, regress


def design(drivers: int, recordings: int, targets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """driver, recording (unique names) and target of every driver's every recording on every target."""
    grid = np.stack(np.meshgrid(range(drivers), range(recordings), range(targets), indexing="ij"), -1).reshape(-1, 3)
    return grid[:, 0], np.array([f"{d}/{r}" for d, r, _ in grid]), grid[:, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(3, 5), st.integers(2, 6), st.integers(0, 100))
def test_folds_keep_groups_whole_and_labels_spread(drivers: int, folds: int, recordings: int, seed: int) -> None:
    driver, recording, _ = design(drivers, recordings, 2)
    if drivers * recordings < folds:
        return
    fold = deal_folds(recording, folds, seed, within=driver)
    for name in np.unique(recording):
        assert len(np.unique(fold[recording == name])) == 1
    for name in range(drivers):
        assert len(np.unique(fold[driver == name])) == min(folds, recordings)
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 2  # one recording on both targets
    if drivers >= folds:
        apart = deal_folds(driver, folds, seed)
        assert all(len(np.unique(apart[driver == name])) == 1 for name in range(drivers))
        assert len(np.unique(apart)) == folds


def test_folds_that_cannot_be_are_refused() -> None:
    driver, recording, _ = design(3, 2, 1)
    with pytest.raises(InputError, match="3 groups cannot make 5"):
        deal_folds(driver, 5)
    with pytest.raises(InputError, match="3 or more"):
        deal_folds(driver, 2)
    with pytest.raises(InputError, match="one group only"):
        deal_folds(recording[:5], 3, within=driver[:5])
    with pytest.raises(InputError, match="two labels"):
        deal_folds(np.array(["1", "2", "3"] * 2), 3, within=np.repeat([0, 1], 3))


@pytest.mark.parametrize("shape", [(12, 30), (40, 6)])
def test_ridge_is_scikit_learns(shape: tuple[int, int]) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(2, 3, shape), rng.normal(size=(shape[0], 2)), rng.normal(2, 3, (5, shape[1]))
    mean, scale = x.mean(0), x.std(0)
    standard = (x - mean) / scale
    step = np.linalg.eigvalsh(standard @ standard.T if shape[1] > shape[0] else standard.T @ standard).mean()
    for ridge, ours in zip((0.1, 3.0), _ridge(x, y, new, (0.1, 3.0))):
        model = linear.Ridge(alpha=ridge * step).fit(standard, y)
        np.testing.assert_allclose(ours, model.predict((new - mean) / scale), atol=1e-8)


def test_exchanging_stays_within_folds_and_moves_whole_units() -> None:
    fold = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    unit = np.array(["a", "a", "b", "b", "c", "c", "d", "d", "d"])
    order = _exchanged(fold, unit, 30, 0)
    np.testing.assert_array_equal(order[0], np.arange(9))
    np.testing.assert_array_equal(fold[order], np.broadcast_to(fold, order.shape))
    assert {tuple(line[:4]) for line in order} == {(0, 1, 2, 3), (2, 3, 0, 1)}
    assert {tuple(line[4:]) for line in order} == {(4, 5, 6, 7, 8), (6, 7, 4, 5, 4)}


def test_a_driver_in_the_features_is_found_over_recordings() -> None:
    driver, recording, target = design(6, 5, 3)
    rng = np.random.default_rng(0)
    takes = {name: rng.normal(size=40) for name in np.unique(recording)}
    x = rng.normal(size=(6, 40))[driver] + np.array([takes[name] for name in recording]) + 5.0 * target[:, None]
    probe = classify(x, driver, deal_folds(recording, within=driver), unit=recording)
    assert probe.chance == pytest.approx(1 / 6)
    assert probe.accuracy > 0.8
    assert probe.correct.mean() == probe.accuracy
    assert probe.permuted.shape == (20,)
    assert abs(probe.permuted.mean() - 1 / 6) < 0.08
    assert probe.p_value == pytest.approx(1 / 21)


def test_recordings_without_a_driver_give_chance() -> None:
    # Rows of one recording are nearly equal, so folds that split recordings would find everybody.
    driver, recording, _ = design(8, 5, 4)
    rng = np.random.default_rng(1)
    takes = {name: rng.normal(size=64) for name in np.unique(recording)}
    x = np.array([takes[name] for name in recording]) + 0.01 * rng.normal(size=(len(driver), 64))
    probe = classify(x, driver, deal_folds(recording, within=driver), unit=recording)
    assert probe.accuracy < 0.3
    assert probe.p_value > 0.05
    leaking = classify(x, driver, rng.integers(0, 5, len(driver)), rounds=0)
    assert leaking.accuracy > 0.95


def test_a_target_is_found_over_drivers() -> None:
    driver, _, target = design(10, 2, 4)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 20))[target] + 0.5 * rng.normal(size=(10, 20))[driver] + rng.normal(size=(len(driver), 20))
    fold = deal_folds(driver, 5)
    assert classify(x, target, fold, rounds=5).accuracy > 0.9
    gone = x - np.stack([x[target == t].mean(0) for t in range(4)])[target]
    assert classify(gone, target, fold, rounds=5).accuracy < 0.3


def test_commonest_label_is_the_chance() -> None:
    rng = np.random.default_rng(0)
    label = np.array([0, 0, 0, 1] * 30)
    probe = classify(rng.normal(size=(120, 3)), label, deal_folds(np.arange(120), 4))
    assert probe.chance == 0.75
    assert probe.accuracy == pytest.approx(0.75, abs=0.1)


def test_values_are_predicted_and_noise_is_not() -> None:
    rng = np.random.default_rng(3)
    driver = np.repeat(np.arange(12), 20)
    hidden = rng.normal(size=(240, 3))
    x = hidden @ rng.normal(size=(3, 50)) + 0.1 * rng.normal(size=(240, 50))
    values = np.stack(
        [2 * hidden[:, 0] + 7, hidden[:, 1] + rng.normal(size=240), rng.normal(size=240), np.ones(240)], 1
    )
    probe = regress(x, values, deal_folds(driver), unit=np.arange(240) // 5)
    assert probe.r2[0] > 0.95
    assert probe.r2[1] == pytest.approx(0.5, abs=0.12)
    assert abs(probe.r2[2]) < 0.1
    assert np.isnan(probe.r2[3])
    assert probe.permuted.shape == (20, 4)
    assert (probe.permuted[:, :3] < 0.1).all()
    assert np.corrcoef(probe.predicted[:, 0], values[:, 0])[0, 1] > 0.95
    np.testing.assert_allclose(probe.predicted[:, 3], 1)


def test_r2_is_the_loop_over_folds() -> None:
    rng = np.random.default_rng(4)
    x, fold = rng.normal(size=(60, 4)), np.arange(60) % 3
    y = x[:, :1] + rng.normal(size=(60, 1))
    probe = regress(x, y, fold, rounds=0, ridges=(0.5,))
    error = spread = 0.0
    for k in range(3):
        train = fold != k
        guess = _ridge(x[train], y[train], x[~train], (0.5,))[0]
        np.testing.assert_allclose(probe.predicted[~train], guess)
        error += float(((guess - y[~train]) ** 2).sum())
        spread += float(((y[train].mean() - y[~train]) ** 2).sum())
    assert probe.r2[0] == pytest.approx(1 - error / spread)


def test_probes_that_cannot_be_are_refused() -> None:
    x, label, fold = np.zeros((6, 2)), np.array([0, 1] * 3), np.arange(6) // 2
    with pytest.raises(InputError, match="one fold only"):
        classify(x, fold, fold)
    with pytest.raises(InputError, match="one label"):
        classify(x, np.zeros(6), fold)
    with pytest.raises(InputError, match="take fewer folds"):
        classify(x, label, np.arange(6))
    with pytest.raises(InputError, match="three folds"):
        classify(x, label, fold // 2)
    with pytest.raises(InputError, match="not finite"):
        classify(x * np.nan, label, fold)
    with pytest.raises(InputError, match="got"):
        classify(x, label[:5], fold)
    with pytest.raises(InputError, match=r"\(N, K\)"):
        regress(x, np.zeros(6), fold)
