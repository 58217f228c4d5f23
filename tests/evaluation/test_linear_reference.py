"""The linear reference: features against naive loops, LDA on people it has not seen."""

import numpy as np
import pytest

from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.errors import InputError
from whodrives.evaluation.linear_reference import LAGS, LinearReference, window_features


def test_features_match_naive_loops() -> None:
    windows = np.cumsum(np.random.default_rng(0).standard_normal((3, 40, 4)), axis=1)
    features = window_features(windows)
    assert features.shape == (3, 4 * (1 + len(LAGS)) + 6)
    for w, window in enumerate(windows):
        row = [float(np.log(window[:, c].std())) for c in range(4)]
        for lag in LAGS:
            for c in range(4):
                x = window[:, c] - window[:, c].mean()
                row.append(float(np.mean([x[t] * x[t + lag] for t in range(40 - lag)]) / x.var()))
        step = np.diff(window, axis=0)
        row += [float(np.corrcoef(step[:, a], step[:, b])[0, 1]) for a in range(4) for b in range(a + 1, 4)]
        np.testing.assert_allclose(features[w], row, atol=1e-6)


def test_still_channels_stay_finite_and_short_windows_are_refused() -> None:
    assert np.isfinite(window_features(np.zeros((2, 64, 3)))).all()
    with pytest.raises(InputError, match="windows"):
        window_features(np.zeros((2, 8, 3)))


def test_it_tells_unseen_people_apart() -> None:
    pytest.importorskip("sklearn")

    def features(seeds: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        windows, driver, recording = [], [], []
        for seed in seeds:
            for number in range(3):
                track = BuiltinDriver(seed).recording(seed * 100 + number, number, 12.0)
                for start in track.window_starts(64, 64):
                    windows.append(track.values[start : start + 64, :17])
                    driver.append(seed)
                    recording.append(number)
        return window_features(np.stack(windows)), np.array(driver), np.array(recording)

    x, driver, _ = features(range(24))
    model = LinearReference.fit(x, driver)
    x, driver, recording = features(range(100, 112))
    embedding = model.embed(x)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1)
    score = embedding @ embedding.T
    same = driver[:, None] == driver
    genuine = score[same & (recording[:, None] != recording)]
    impostor = score[~same]
    assert (genuine[:, None] > impostor).mean() > 0.6
