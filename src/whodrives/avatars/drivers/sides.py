"""Left and right: what a driver's two halves do differently, as shares of what they do together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.drivers import repertoire as people
from whodrives.avatars.drivers.events import INNER_FPS, smooth_noise
from whodrives.avatars.drivers.traits import N_SIDES, SIDE_NOISE, SIDE_SESSION, Traits
from whodrives.avatars.tracks import INDEX, SIDE_CHANNELS

Floats = NDArray[np.float64]

# A side never does nothing while the other acts: the largest share.
LARGEST = 0.9
# Standard deviation of the smoothing of moment-to-moment changes, seconds: slow beside the band limit, so that a share
# times an action unit stays in its band.
MOMENT_SECONDS = 0.4
# Activity at which the jaw or the mouth would be as far aside as people get, if all of it went to one side.
JAW_REACH, MOUTH_REACH = 3.0, 5.0
_AU45 = SIDE_CHANNELS.index("AU45_lr")


def levels(values: Floats) -> Floats:
    """Activity (n, 8) that each side channel takes its share of, from conditioned channels (n, 33), 0 or more.

    The action unit itself for ``AU.._lr``; AU26 / 3 for ``jaw_x``; (AU12 + AU14 + AU23 + AU25) / 5 for ``mouth_x``.
    """
    active = np.maximum(values, 0.0)
    out = np.empty((len(values), N_SIDES))
    for column, name in enumerate(SIDE_CHANNELS):
        if name == "jaw_x":
            out[:, column] = active[:, INDEX["AU26"]] / JAW_REACH
        elif name == "mouth_x":
            parts = [INDEX[part] for part in ("AU12", "AU14", "AU23", "AU25")]
            out[:, column] = active[:, parts].sum(axis=1) / MOUTH_REACH
        else:
            out[:, column] = active[:, INDEX[name.removesuffix("_lr")]]
    return out


def side_channels(t: Traits, seed: int, content_seed: int, session_seed: int, values: Floats) -> Floats:
    """Side channels (n, 8) for conditioned channels (n, 33) at the inner frame rate; see `bounded` for their range."""
    today = people.SIDE_SESSION * np.random.default_rng([SIDE_SESSION, seed, session_seed]).standard_normal(N_SIDES)
    noise = np.random.default_rng([SIDE_NOISE, seed, content_seed, session_seed])
    moment = people.SIDE_MOMENT * smooth_noise(noise, len(values), np.full(N_SIDES, MOMENT_SECONDS))
    share = LARGEST * np.tanh((t.asymmetry + today + moment) / LARGEST)
    out = share * levels(values)
    # A lid that leads by `lag` is ahead by half of it, the other one behind: half the difference of the two.
    out[:, _AU45] += 0.5 * t.blink_lag * np.gradient(values[:, INDEX["AU45"]], 1 / INNER_FPS)
    return bounded(out, values)


def bounded(sides: Floats, values: Floats) -> Floats:
    """`sides` (n, 8) held within the level of what they belong to in `values` (n, 33), and jaw and mouth within 1."""
    limit = levels(values)
    limit[:, -2:] = np.minimum(limit[:, -2:], 1.0)
    return np.clip(sides, -limit, limit)
