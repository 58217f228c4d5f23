"""Equal pairs of videos have equal scores, whatever product their scores came out of.

How a matrix product sums depends on its shape: the same two rows score 1 in one tile and 0.99999994 in another. Where
embeddings coincide, as those of a static frame do, an AUC would then be decided by rounding and not by ties. So
products are summed in double precision, whose error (about 1e-15) is far below the steps that scores are put on
afterwards.

Steps have to be small all the same. The embeddings of an untrained network lie so close together that half of its
cosines are within 4e-6 of 1: steps of 2^-20 cost it 0.005 to 0.015 AUC (`benchmarks/score_steps.py`), and an untrained
network is what a trained one is compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Steps of a score, those of single precision below 1. The rounding of an embedding's numbers moves a cosine by 1e-9;
# that of its norm would by 1e-7, and so norms are made 1 again in double precision.
STEP = 2.0**-24
# Rows whose norm is nearer to 1 than this are unit rows; others (a mean of embeddings, say) stay as they are.
_UNIT = 1e-5
# Steps of scores of rows in double precision.
FINE_STEP = 2.0**-40
# Rows of a product summed at once: 4 MiB with columns of a whole tile, which stays in the processor's cache.
_ROWS = 256


def settle(scores: NDArray[np.float64], step: float = STEP) -> NDArray[np.float64]:
    """Round scores within -2..2 to multiples of `step`, a power of two, in place; returns them."""
    # Doubles of this size are themselves multiples of `step`: adding it rounds, and taking it away is exact.
    large = 1.5 * 2.0**52 * step
    scores += large
    scores -= large
    return scores


def _double(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows (N, D) in double precision, unit rows with a norm of 1 to its last digit."""
    exact = rows.astype(np.float64)
    norm = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    exact /= np.where(np.abs(norm - 1) < _UNIT, norm, 1.0)[:, None]
    return exact


def products(
    first: NDArray[np.float32], second: NDArray[np.float32], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Scores (R, C) of every row of `first` (R, D) with every row of `second` (C, D), on multiples of `STEP`.

    out : float32 (R, C) to write to; None: a new array. Rows have norm 1 or less.
    """
    found = np.empty((len(first), len(second)), np.float32) if out is None else out
    columns = _double(second).T
    for start in range(0, len(first), _ROWS):
        rows = slice(start, start + _ROWS)
        found[rows] = settle(_double(first[rows]) @ columns)
    return found


def row_products(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """Scores (P,) of row p of `first` (P, D) with row p of `second`, as `products`."""
    return settle(np.einsum("ij,ij->i", _double(first), _double(second))).astype(np.float32)
