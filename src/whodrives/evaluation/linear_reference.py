"""The linear reference: how well a linear model on the TRUE motion tracks tells people apart.

Not a bound on what a network can reach, but the honest yardstick beside it: no video, no rendering, no deep learning.
Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError

LAGS = (1, 3, 8)
FLAT = 1e-4


def window_features(windows: NDArray[np.floating[Any]], lags: tuple[int, ...] = LAGS) -> NDArray[np.float64]:
    """Log std, autocorrelations at `lags` frames, and correlations of frame differences between channels.

    Parameters
    ----------
    windows : (W, T, C) conditioned motion channels, T > max(lags).

    Returns
    -------
    (W, C * (1 + len(lags)) + C * (C - 1) / 2) float64. A channel that does not move has log std log(1e-4) and
    correlations 0, so that it is finite and plainly different rather than missing.
    """
    if windows.ndim != 3 or windows.shape[1] <= max(lags):
        raise InputError(f"windows must be (W, T > {max(lags)}, C), got {windows.shape}")
    x = np.asarray(windows, dtype=np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    power = (x * x).mean(axis=1)
    features = [0.5 * np.log(power + FLAT**2)]
    for lag in lags:
        features.append((x[:, lag:] * x[:, :-lag]).mean(axis=1) / (power + FLAT**2))
    step = np.diff(x, axis=1)
    step -= step.mean(axis=1, keepdims=True)
    scale = np.sqrt((step * step).mean(axis=1) + FLAT**2)
    correlation = np.einsum("wti,wtj->wij", step, step, optimize=True) / step.shape[1]
    correlation /= scale[:, :, None] * scale[:, None, :]
    upper = np.triu_indices(x.shape[2], k=1)
    return np.concatenate([*features, correlation[:, upper[0], upper[1]]], axis=1)


@dataclass(frozen=True)
class LinearReference:
    """Standardisation and LDA projection, fitted on people who are not scored.

    Parameters
    ----------
    mean, scale : (F,) of the training windows.
    projection : (F, K) on standardised features.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    projection: NDArray[np.float64]

    @classmethod
    def fit(cls, features: NDArray[np.float64], driver: NDArray[Any]) -> LinearReference:
        """LDA with automatic (Ledoit-Wolf) shrinkage of (W, F) features, one class per driver. Needs scikit-learn."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
        model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit((features - mean) / scale, driver)
        return cls(mean, scale, model.scalings_[:, : len(model.classes_) - 1])

    def embed(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(W, F) features -> (W, K) unit vectors; their dot product is the score."""
        out = ((features - self.mean) / self.scale) @ self.projection
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
