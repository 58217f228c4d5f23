"""Learning-rate schedule: linear warm-up, then cosine to a floor (paper Sec. IV-B)."""

from __future__ import annotations

import math


def learning_rate_factor(step: int, total: int, warmup: int, floor: float = 0.01) -> float:
    """Multiplier of the base learning rate.

    Parameters
    ----------
    step : optimiser steps already taken, 0..total. total, warmup : steps.
    floor : smallest value of the cosine part (released code: 0.01; the paper's plain cosine: 0).

    Returns
    -------
    Linear from 1 / warmup up to 1 over `warmup` steps (the first step is not wasted at 0), then half a cosine
    down to `floor`.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return max(floor, 0.5 * (1.0 + math.cos(math.pi * progress)))
