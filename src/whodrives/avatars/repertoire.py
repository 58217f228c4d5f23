"""What people in general do with their faces: the population that built-in drivers vary around.

Aggregates only: means and spreads of log standard deviations over many people, no value of any one person.
Source: ours; amounts fitted to statistics of conditioned OpenFace tracks of people talking to a camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS


def _vectors(rows: tuple[dict[str, float], ...]) -> NDArray[np.float64]:
    return np.array([[row.get(name, 0.0) for name in AU_CHANNELS] for row in rows])


# Mouth shapes of speech: open, spread, rounded, closed, teeth shown.
VISEMES = _vectors(
    (
        {"AU25": 1.0, "AU26": 1.1, "AU10": 0.3},
        {"AU25": 0.9, "AU20": 0.8, "AU12": 0.5, "AU14": 0.5, "AU10": 0.4, "AU26": 0.7},
        {"AU25": 0.5, "AU26": 0.6, "AU23": 0.5, "AU17": 0.3},
        {"AU17": 1.2, "AU23": 0.9, "AU15": 0.8, "AU14": 0.3},
        {"AU25": 1.0, "AU10": 0.8, "AU12": 0.4, "AU09": 0.4, "AU06": 0.3, "AU26": 0.5},
    )
)

# Expressions: smile, brow raise, frown, lip press, nose wrinkle, mouth shrug, dimple, squint, wide eyes, lip stretch.
EXPRESSIONS = _vectors(
    (
        {"AU12": 1.5, "AU06": 1.5, "AU07": 0.7, "AU10": 1.0, "AU14": 1.0, "AU25": 0.6},
        {"AU01": 2.0, "AU02": 2.0, "AU05": 0.8},
        {"AU04": 1.8, "AU07": 0.9, "AU09": 0.5},
        {"AU23": 1.4, "AU17": 0.9, "AU14": 0.6, "AU15": 0.4},
        {"AU09": 1.8, "AU10": 0.9, "AU04": 0.5, "AU07": 0.4},
        {"AU15": 1.5, "AU17": 1.2, "AU01": 0.4},
        {"AU14": 1.5, "AU12": 0.5, "AU20": 0.4},
        {"AU07": 1.6, "AU06": 0.8, "AU04": 0.4},
        {"AU05": 1.8, "AU01": 0.8, "AU02": 0.9},
        {"AU20": 1.6, "AU14": 0.6, "AU25": 0.4},
    )
)

# channel: log of the typical gain, spread between people, spread between a person's sessions.
_LOG_STD = {
    "AU01": (-0.86, 0.08, 0.06),
    "AU02": (-1.63, 0.08, 0.05),
    "AU04": (-1.65, 0.44, 0.05),
    "AU05": (-1.70, 0.08, 0.05),
    "AU06": (-1.34, 0.59, 0.50),
    "AU07": (-1.00, 0.36, 0.42),
    "AU09": (-2.04, 0.08, 0.05),
    "AU10": (-1.06, 0.13, 0.09),
    "AU12": (-1.40, 0.14, 0.13),
    "AU14": (-1.14, 0.19, 0.13),
    "AU15": (-1.49, 0.08, 0.05),
    "AU17": (-1.28, 0.19, 0.05),
    "AU20": (-1.65, 0.08, 0.05),
    "AU23": (-1.23, 0.08, 0.05),
    "AU25": (-0.98, 0.08, 0.05),
    "AU26": (-1.00, 0.11, 0.05),
    "AU45": (-0.35, 0.18, 0.08),
    "gaze_x": (-3.14, 0.30, 0.14),
    "gaze_y": (-3.29, 0.15, 0.08),
    "pitch": (-3.42, 0.20, 0.05),
    "yaw": (-2.64, 0.20, 0.05),
    "roll": (-3.32, 0.25, 0.28),
    "tx": (-0.80, 0.30, 0.20),
}
_DEFAULT = (-0.8, 0.3, 0.2)
_ROWS = np.array([_LOG_STD.get(name, _DEFAULT) for name in CHANNELS])
LOG_STD_MEAN, LOG_STD_PERSON, LOG_STD_SESSION = _ROWS.T


# Spill-over that most people share: (from, to) -> share of the activity.
_COUPLINGS = {
    ("AU25", "AU17"): -0.7,
    ("AU25", "AU23"): -0.4,
    ("AU12", "AU17"): -0.15,
    ("AU06", "AU17"): -0.1,
    ("AU01", "AU02"): 0.35,
    ("AU02", "AU01"): 0.2,
    ("AU06", "AU12"): 0.2,
    ("AU12", "AU06"): 0.2,
    ("AU10", "AU12"): 0.15,
    ("AU12", "AU14"): 0.15,
    ("AU25", "AU20"): -0.15,
    ("AU10", "AU20"): -0.15,
    ("gaze_y", "AU01"): 0.25,
    ("gaze_y", "AU04"): 0.1,
    ("gaze_x", "yaw"): -0.15,
    ("AU25", "AU04"): 0.12,
}
COUPLING = np.zeros((len(CHANNELS), len(CHANNELS)))
for (_source, _into), _share in _COUPLINGS.items():
    COUPLING[CHANNELS.index(_source), CHANNELS.index(_into)] = _share

# Restless activity beside the events; the mouth is never quite still, brows and nose nearly are.
_IDLE = {"AU17": 1.2, "AU25": 0.8, "AU26": 0.9, "AU12": 0.6, "yaw": 0.9, "gaze_x": 0.6, "gaze_y": 0.6, "AU45": 0.45}
IDLE = np.array([_IDLE.get(name, 0.45) for name in CHANNELS])

# How much activity it takes for an action unit to show, and how much people differ in that: some never
# move the dormant ones. Below 0 the unit rests half drawn, so that it can relax as well.
_EAGER = {"AU17": -0.6, "AU25": 0.05, "AU26": -0.3, "AU12": 0.1, "AU15": 0.15, "AU23": 0.3, "AU45": 0.2}
THRESHOLD = np.array([_EAGER.get(name, 0.4) for name in AU_CHANNELS])
_DORMANT = ("AU04", "AU06", "AU07", "AU10", "AU14")
THRESHOLD_SPREAD = np.array([1.2 if name in _DORMANT else 0.25 for name in AU_CHANNELS])
