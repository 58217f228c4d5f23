"""Linear probes: what can be read off features by closed-form ridge regression, on groups that it was not fitted on.

Who drives, whose face, which generator (one ridge per class, the largest wins), and pose and action units (R^2). Each
stands beside chance and beside the same probe on exchanged labels. A probe says what is linearly there, not what the
network uses. The paper names such an analysis as open; ours.

A probe of the driver is fitted on some recordings and tested on others: ``deal_folds(recording, within=driver)``; of
the target or the generator, on some drivers and tested on others: ``deal_folds(driver)``. Use a design in which every
driver is shown on every face alike: where drivers have faces of their own, the face gives the driver away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError

Floats = NDArray[np.float64]
# Multiples of the mean eigenvalue of the training features; one is chosen within the training folds.
RIDGES = (0.01, 0.1, 1.0, 10.0)
FOLDS, ROUNDS = 5, 20


@dataclass(frozen=True, eq=False)
class ClassProbe:
    """accuracy : share of held-out rows that are right, 0..1. chance : share of the commonest label.

    permuted : (rounds,) accuracies on exchanged labels. correct : bool (N,), for intervals over people.
    """

    accuracy: float
    chance: float
    permuted: Floats
    correct: NDArray[np.bool_]

    @property
    def p_value(self) -> float:
        """Share of labelings, the true one among them, on which the probe is at least as good."""
        return float((1 + (self.permuted >= self.accuracy).sum()) / (1 + len(self.permuted)))


@dataclass(frozen=True, eq=False)
class ValueProbe:
    """r2 : (K,) of held-out rows against the mean of the training rows, at most 1, negative when worse than that mean.

    NaN for a channel that never changes. permuted : (rounds, K) on exchanged values. predicted : (N, K).
    """

    r2: Floats
    permuted: Floats
    predicted: Floats


def deal_folds(
    group: NDArray[Any], folds: int = FOLDS, seed: int = 0, within: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Whole groups into folds, at random and as evenly as can be.

    Parameters
    ----------
    group : (N,) rows of one group stay together; names must be unique (driver and recording, not recording alone).
    within : (N,) a label of each group; the groups of a label are dealt to different folds in turn, so that none
        misses in the rows outside a fold.

    Returns
    -------
    int64 (N,) in 0..folds-1.

    Raises
    ------
    InputError
        Fewer than three folds (one is tested, one chooses the ridge), fewer groups than folds, a label with a single
        group, or a group with two labels.
    """
    names, code = np.unique(group, return_inverse=True)
    if folds < 3 or len(names) < folds:
        raise InputError(f"{len(names)} groups cannot make {folds} folds; folds are 3 or more, with a group each")
    rng = np.random.default_rng(seed)
    if within is None:
        return (rng.permutation(len(names)) % folds)[code]
    labels, label_code = np.unique(within, return_inverse=True)
    out, seat = np.full(len(names), -1), 0
    for number in rng.permutation(len(labels)):
        own = np.unique(code[label_code == number])
        if len(own) < 2:
            raise InputError(
                f"{labels[number]!r} has one group only, so it cannot be both learned and tested; leave it out"
            )
        if (out[own] >= 0).any():
            raise InputError(
                f"group {names[own[out[own] >= 0][0]]!r} has two labels; give every group a name of its own"
            )
        # Going on where the label before stopped keeps the folds even.
        out[rng.permutation(own)] = (seat + np.arange(len(own))) % folds
        seat += len(own)
    return out[code]


def _ridge(x: Floats, y: Floats, new: Floats, ridges: tuple[float, ...]) -> Floats:
    """Predictions (ridges, M, P) for `new` (M, D) after fitting x (N, D) -> y (N, P), all ridges from one spectrum."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-12] = np.inf
    x, new = (x - mean) / scale, (new - mean) / scale
    centre = y.mean(axis=0)
    wide = x.shape[1] > len(x)
    power, basis = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    right = basis.T @ (y - centre if wide else x.T @ (y - centre))
    left = (new @ x.T if wide else new) @ basis
    step = max(float(power.mean()), 1e-12)
    return np.stack([left @ (right / (np.maximum(power, 0) + ridge * step)[:, None]) + centre for ridge in ridges])


def _held_out(
    x: Floats,
    y: Floats,
    fold: NDArray[np.int64],
    ridges: tuple[float, ...],
    quality: Callable[[Floats, NDArray[np.bool_]], Floats],
) -> Floats:
    """Predictions (N, R, K) for y (N, R, K), each row by a fit on the other folds.

    Each of the R labelings has its own ridge, the best on the training folds, each predicted from the rest of them.
    quality : predictions (M, R, K) and which rows they are -> (R,), higher is better.
    """
    out = np.empty_like(y)
    flat, rounds = y.reshape(len(y), -1), np.arange(y.shape[1])
    for tested in np.unique(fold):
        score = np.zeros((len(ridges), y.shape[1]))
        rest = fold != tested
        for inner in np.unique(fold[rest]):
            rows, learned = fold == inner, rest & (fold != inner)
            for number, guess in enumerate(_ridge(x[learned], flat[learned], x[rows], ridges)):
                score[number] += quality(guess.reshape(-1, *y.shape[1:]), rows)
        guesses = _ridge(x[rest], flat[rest], x[~rest], ridges).reshape(len(ridges), -1, *y.shape[1:])
        out[~rest] = guesses[score.argmax(axis=0), :, rounds].swapaxes(0, 1)
    return out


def _exchanged(fold: NDArray[np.int64], unit: NDArray[Any], rounds: int, seed: int) -> NDArray[np.int64]:
    """Row numbers (rounds + 1, N): first as they are, then units handed one another's rows, within each fold.

    Within folds, so that every label keeps its number of learned and tested units.
    """
    rng = np.random.default_rng(seed)
    order = np.tile(np.arange(len(fold)), (rounds + 1, 1))
    for number in np.unique(fold):
        inside = fold == number
        members = [np.flatnonzero(inside & (unit == name)) for name in np.unique(unit[inside])]
        for line in order[1:]:
            for rows, given in zip(members, rng.permutation(len(members))):
                line[rows] = np.resize(members[given], len(rows))
    return order


def _checked(x: NDArray[Any], y: NDArray[Any], fold: NDArray[Any], unit: NDArray[Any] | None) -> tuple[Floats, Any]:
    features = np.asarray(x, np.float64)
    units = np.arange(len(features)) if unit is None else np.asarray(unit)
    if features.ndim != 2 or not len(features) == len(y) == len(fold) == len(units):
        raise InputError(
            f"a probe needs features (N, D) with a label, a fold and a unit for each row, got {features.shape}, "
            f"{len(y)}, {len(fold)}, {len(units)}"
        )
    if not np.isfinite(features).all():
        raise InputError("a feature is not finite; leave such rows out")
    if len(np.unique(fold)) < 3:
        raise InputError("a probe needs three folds or more; use deal_folds")
    return features, units


def classify(
    x: NDArray[Any],
    label: NDArray[Any],
    fold: NDArray[np.int64],
    unit: NDArray[Any] | None = None,
    rounds: int = ROUNDS,
    ridges: tuple[float, ...] = RIDGES,
    seed: int = 0,
) -> ClassProbe:
    """Accuracy of a linear classifier of `label` on held-out folds.

    Parameters
    ----------
    x : (N, D) features, standardised by each training set. label : (N,). fold : (N,) from `deal_folds`.
    unit : (N,) rows that carry one label because they are one thing (the recording, for a probe of the driver; the
        video, for the target); labels are exchanged between units. None: every row on its own.
    rounds : exchanged labelings. ridges : multiples of the features' mean eigenvalue to choose from.

    Raises
    ------
    InputError
        Shapes do not fit, a feature is not finite, fewer than three folds or two labels, a label that occurs in one
        fold only, or folds within which there is nothing to exchange.
    """
    features, units = _checked(x, label, fold, unit)
    names, code = np.unique(label, return_inverse=True)
    counts = np.zeros((len(names), int(np.max(fold)) + 1), dtype=np.int64)
    np.add.at(counts, (code, fold), 1)
    alone = (counts > 0).sum(axis=1) < 2
    if len(names) < 2 or alone.any():
        what = f"{names[alone][0]!r} occurs in one fold only" if alone.any() else "there is one label"
        raise InputError(f"probe: {what}, so it cannot be both learned and tested")
    if rounds and ((counts > 0).sum(axis=0) < 2).all():
        raise InputError("probe: each fold holds one label, so none can be exchanged within folds; take fewer folds")
    codes = code[_exchanged(fold, units, rounds, seed)].T

    def right(guess: Floats, rows: NDArray[np.bool_]) -> Floats:
        return (guess.argmax(axis=2) == codes[rows]).sum(axis=0).astype(np.float64)

    guess = _held_out(features, np.eye(len(names))[codes], fold, ridges, right)
    correct = guess.argmax(axis=2) == codes
    accuracy = correct.mean(axis=0)
    chance = float(counts.sum(axis=1).max() / len(code))
    return ClassProbe(float(accuracy[0]), chance, accuracy[1:], correct[:, 0])


def regress(
    x: NDArray[Any],
    values: NDArray[Any],
    fold: NDArray[np.int64],
    unit: NDArray[Any] | None = None,
    rounds: int = ROUNDS,
    ridges: tuple[float, ...] = RIDGES,
    seed: int = 0,
) -> ValueProbe:
    """R^2 of a linear regression of `values` (N, K), such as pose or action units, on held-out folds.

    Arguments and errors as `classify`; a unit (the clip, for values that change from frame to frame) hands its values
    on in their order. One ridge serves all K channels.
    """
    features, units = _checked(x, values, fold, unit)
    y = np.asarray(values, np.float64)
    if y.ndim != 2 or not np.isfinite(y).all():
        raise InputError(f"values must be finite and (N, K), got {y.shape}")
    middle, scale = y.mean(axis=0), y.std(axis=0)
    moving = scale > 1e-12
    y = ((y - middle) / np.where(moving, scale, 1.0))[_exchanged(fold, units, rounds, seed)].swapaxes(0, 1)

    def closeness(guess: Floats, rows: NDArray[np.bool_]) -> Floats:
        return -((guess - y[rows]) ** 2).sum(axis=(0, 2))

    guess = _held_out(features, y, fold, ridges, closeness)
    trivial = np.empty_like(y)
    for number in np.unique(fold):
        trivial[fold == number] = y[fold != number].mean(axis=0)
    error, spread = ((guess - y) ** 2).sum(axis=0), ((trivial - y) ** 2).sum(axis=0)
    r2 = np.where(moving, 1 - error / np.where(moving, spread, 1.0), np.nan)
    return ValueProbe(r2[0], r2[1:], guess[:, 0] * scale + middle)
