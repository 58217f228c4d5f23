"""What a change of face does to features and embeddings, and what a change of motion does.

The paper splits features as f_t = a + mu_t (Eqs. 2-3: a = appearance of the target, mu_t = motion of the driver), so
that differences d_t lose a, and names a formal analysis as open. Here: a two-way analysis of variance over a grid of
faces x motions, and two swaps. Ours; grids come from `grid.face_motion_grid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.intervals import Interval, pairs_interval
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.ties import FINE_STEP, settle


@dataclass(frozen=True)
class VarianceShares:
    """Where the variance over a grid of faces x motions comes from.

    face, motion, interaction : shares of the total sum of squares, together 1. Interaction is what a sum a + mu does
    not explain: motion that looks different on another face (and noise, of which a grid with one clip a cell cannot
    tell it apart).
    face_adjusted, motion_adjusted : face and motion less what the interaction alone would give them (epsilon squared);
    about 0, perhaps negative, where there is no effect.
    """

    face: float
    motion: float
    interaction: float
    face_adjusted: float
    motion_adjusted: float


def variance_shares(grid: NDArray[Any]) -> VarianceShares:
    """Two-way analysis of variance, summed over feature dimensions (those that vary most weigh most).

    Parameters
    ----------
    grid : (F, M, ...) features of F faces x M motions; frames of several motions may stand side by side in M, since
        mu_t is what the driver does at one instant.

    Raises
    ------
    InputError
        Fewer than two faces or motions, values that are not finite, or features that are all equal.
    """
    x = np.asarray(grid, np.float64)
    if x.ndim < 3 or min(x.shape[:2]) < 2:
        raise InputError(f"a grid is (faces >= 2, motions >= 2, features), got {x.shape}")
    if not np.isfinite(x).all():
        raise InputError("the grid holds a feature that is not finite")
    faces, motions = x.shape[:2]
    x = x.reshape(faces, motions, -1)
    x = x - x.mean(axis=(0, 1))
    by_face, by_motion = x.mean(axis=1), x.mean(axis=0)
    total = float((x * x).sum())
    if total == 0:
        raise InputError("all features of the grid are equal: there is no variance to explain")
    face, motion = motions * float((by_face**2).sum()), faces * float((by_motion**2).sum())
    rest = float(((x - by_face[:, None] - by_motion[None]) ** 2).sum())
    noise = rest / ((faces - 1) * (motions - 1))
    return VarianceShares(
        face / total,
        motion / total,
        rest / total,
        (face - (faces - 1) * noise) / total,
        (motion - (motions - 1) * noise) / total,
    )


@dataclass(frozen=True)
class Swaps:
    """What moves an embedding less: another face (as it should be), or another motion.

    auc : of appearance swaps at fixed motion over motion swaps at fixed face, by cosine; 1 = a swap of the face always
    leaves the embedding nearer, 0.5 = no difference, 0 = the embedding is of the face. With an interval over drivers.
    appearance, motion : mean cosine of the two kinds of pairs.
    """

    auc: Interval
    appearance: float
    motion: float


def swap_pairs(embeddings: NDArray[Any], driver: NDArray[Any]) -> Pairs:
    """Pairs for which "genuine" is one motion on two faces, and "impostor" two drivers' motions on one face.

    Two motions of one driver are left out: they should be alike. Unlike Eq. 1, genuine pairs are of one recording and
    the same frames, so nothing but the rendering differs.

    Parameters
    ----------
    embeddings : (F, M, D) of any norm, faces x motions. driver : (M,) whose motion each column is.

    Raises
    ------
    InputError
        Shapes do not fit, fewer than two faces or drivers, or values that are not finite.
    """
    x, names = np.asarray(embeddings, np.float64), np.asarray(driver)
    if x.ndim != 3 or len(x) < 2 or names.shape != (x.shape[1],) or len(np.unique(names)) < 2:
        raise InputError(
            f"swaps need embeddings (faces >= 2, motions, D) and a driver for each motion, two drivers or more; got "
            f"{x.shape} and {names.shape}"
        )
    if not np.isfinite(x).all():
        raise InputError("an embedding is not finite")
    x = x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-12)
    one, other = np.triu_indices(len(x), 1)
    appearance = np.einsum("pmd,pmd->pm", x[one], x[other])
    first, second = np.triu_indices(len(names), 1)
    strangers = names[first] != names[second]
    first, second = first[strangers], second[strangers]
    motion = np.stack([(face @ face.T)[first, second] for face in x])
    return Pairs(
        settle(np.concatenate((appearance.ravel(), motion.ravel())), FINE_STEP),
        np.repeat([True, False], (appearance.size, motion.size)),
        np.concatenate((np.tile(names, len(one)), np.tile(names[first], len(x)))),
        np.concatenate((np.tile(names, len(one)), np.tile(names[second], len(x)))),
    )


def swaps(embeddings: NDArray[Any], driver: NDArray[Any], rounds: int = 1000, seed: int = 0) -> Swaps:
    """Appearance swaps against motion swaps on a grid; arguments and errors as `swap_pairs` and `pairs_interval`."""
    pairs = swap_pairs(embeddings, driver)
    return Swaps(
        pairs_interval(pairs, rounds, seed),
        float(pairs.score[pairs.genuine].mean()),
        float(pairs.score[~pairs.genuine].mean()),
    )
