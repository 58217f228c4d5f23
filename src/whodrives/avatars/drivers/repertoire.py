"""What people in general do with their faces: the population that built-in drivers vary around.

Aggregates only: means and spreads over many people, no value of any one person. Source: ours; amounts fitted to
statistics of conditioned OpenFace tracks of 48 people talking to a camera (`benchmarks/driver_variance.py` compares),
except where a comment says otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.tracks import AU_CHANNELS, GAZE_CHANNELS, POSE_CHANNELS, SIDE_CHANNELS

# What both sides of the face share. The side channels follow from these (`whodrives.avatars.drivers.sides`).
BASE_CHANNELS = AU_CHANNELS + GAZE_CHANNELS + POSE_CHANNELS


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
    "AU01": (-0.97, 0.04, 0.04),
    "AU02": (-1.43, 0.04, 0.04),
    "AU04": (-1.45, 0.47, 0.30),
    "AU05": (-1.53, 0.04, 0.04),
    "AU06": (-1.64, 0.50, 0.30),
    "AU07": (-1.07, 0.48, 0.30),
    "AU09": (-1.72, 0.04, 0.04),
    "AU10": (-1.15, 0.30, 0.30),
    "AU12": (-1.55, 0.29, 0.30),
    "AU14": (-1.26, 0.50, 0.30),
    "AU15": (-1.45, 0.04, 0.04),
    "AU17": (-1.53, 0.13, 0.04),
    "AU20": (-1.47, 0.04, 0.04),
    "AU23": (-1.19, 0.04, 0.04),
    "AU25": (-0.96, 0.09, 0.05),
    "AU26": (-1.11, 0.14, 0.05),
    "AU45": (-0.31, 0.11, 0.04),
    "gaze_x": (-3.15, 0.28, 0.05),
    "gaze_y": (-3.19, 0.16, 0.04),
    "pitch": (-3.42, 0.20, 0.05),
    "yaw": (-2.47, 0.24, 0.06),
    "roll": (-3.66, 0.22, 0.12),
}
_NOT_SHOWN = (0.0, 0.0, 0.0)  # translation
_ROWS = np.array([_LOG_STD.get(name, _NOT_SHOWN) for name in BASE_CHANNELS])
LOG_STD_MEAN, LOG_STD_PERSON, LOG_STD_SESSION = _ROWS.T
# Softly approached limits: the top of the intensity scale; radians that eyes and heads facing a camera hardly pass.
LIMIT = np.array([5.0] * len(AU_CHANNELS) + [0.6] * len(GAZE_CHANNELS) + [0.9] * len(POSE_CHANNELS))


# Spill-over that most people share: (from, to) -> share of the activity.
_COUPLINGS = {
    ("AU25", "AU17"): -1.0,
    ("AU25", "AU23"): -0.7,
    ("AU25", "AU15"): -0.2,
    ("AU25", "AU20"): -0.3,
    ("AU26", "AU12"): -0.3,
    ("AU12", "AU17"): -0.15,
    ("AU06", "AU17"): -0.15,
    ("AU06", "AU23"): -0.15,
    ("AU12", "AU15"): -0.15,
    ("AU12", "AU23"): -0.15,
    ("AU01", "AU02"): 0.45,
    ("AU02", "AU01"): 0.3,
    ("AU06", "AU12"): 0.25,
    ("AU12", "AU06"): 0.25,
    ("AU06", "AU07"): 0.2,
    ("AU06", "AU10"): 0.15,
    ("AU10", "AU06"): 0.15,
    ("AU10", "AU14"): 0.15,
    ("AU10", "AU12"): 0.15,
    ("AU12", "AU14"): 0.15,
    ("AU10", "AU20"): -0.15,
    ("gaze_y", "AU01"): 0.25,
    ("gaze_y", "AU04"): 0.1,
    ("gaze_x", "yaw"): -0.15,
    ("gaze_x", "roll"): -0.3,
}
COUPLING = np.zeros((len(BASE_CHANNELS), len(BASE_CHANNELS)))
for (_source, _into), _share in _COUPLINGS.items():
    COUPLING[BASE_CHANNELS.index(_source), BASE_CHANNELS.index(_into)] = _share
# Spread of a person's own spill-over from one channel into another, and of its change from session to session: wide
# inside a region of the face (lids and brows, cheeks, mouth, head), narrow between regions.
_REGIONS = (
    ("AU01", "AU04", "AU07", "AU45", "gaze_y"),
    ("AU06", "AU07", "AU10", "AU12", "AU14"),
    ("AU10", "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26"),
    ("gaze_x", "gaze_y", "pitch", "yaw", "roll"),
)
_NEAR, _FAR = 0.165, 0.025
COUPLING_PERSON = np.full(COUPLING.shape, _FAR)
for _region in _REGIONS:
    _members = [BASE_CHANNELS.index(name) for name in _region]
    COUPLING_PERSON[np.ix_(_members, _members)] = _NEAR
# Lids pull others along, but little besides blinks and gaze closes them: blinks keep their depth.
COUPLING_PERSON[:, BASE_CHANNELS.index("AU45")] = 2 * _FAR
COUPLING_SESSION = 0.03

# Restless activity beside the events; the mouth is never quite still, brows and nose nearly are.
_IDLE = {"AU17": 1.2, "AU25": 0.8, "AU26": 0.9, "AU12": 0.6, "yaw": 0.9, "gaze_x": 0.6, "gaze_y": 0.6, "AU45": 0.2}
IDLE = np.array([_IDLE.get(name, 0.45) for name in BASE_CHANNELS])

# action unit: how much activity it takes to show, and how much people differ in that: some never move the dormant
# ones. Below 0 the unit rests half drawn, so that it can relax as well.
_THRESHOLD = {
    "AU01": (0.55, 0.02),
    "AU02": (0.81, 0.02),
    "AU04": (0.00, 1.30),
    "AU05": (0.71, 0.02),
    "AU06": (0.21, 1.50),
    "AU07": (-0.27, 1.25),
    "AU09": (0.67, 0.02),
    "AU10": (0.45, 1.40),
    "AU12": (-0.77, 1.22),
    "AU14": (-0.34, 1.50),
    "AU15": (-0.21, 0.02),
    "AU17": (-1.60, 0.07),
    "AU20": (-0.01, 0.02),
    "AU23": (0.15, 0.02),
    "AU25": (-1.02, 0.11),
    "AU26": (-0.99, 0.13),
    "AU45": (0.16, 0.06),
}
THRESHOLD, THRESHOLD_PERSON = np.array([_THRESHOLD[name] for name in AU_CHANNELS]).T

# Spread of the log of arousal between sessions.
AROUSAL_SESSION = 0.15
# Spread of the log of the restless activity's correlation time between sessions.
TEMPO_SESSION = 0.15
# How a recording wanders while it runs: amplitudes of all channels (spread of the log), thresholds, and arousal (of the
# log); seconds between the knots of a smooth curve.
DRIFT_AMPLITUDE, DRIFT_THRESHOLD, DRIFT_COUPLING, DRIFT_AROUSAL, DRIFT_SECONDS = 0.2, 0.45, 0.03, 0.1, 7.0

# Left/right: half the difference of the sides as a share of the activity. Spread between people, between a person's
# sessions, and from moment to moment. NOT fitted, as no table at hand tells the sides apart: weak, so that people are
# not easier to tell apart by it than real people are without.
_SIDES = {
    "AU02_lr": (0.10, 0.05, 0.12),
    "AU04_lr": (0.08, 0.04, 0.10),
    "AU10_lr": (0.08, 0.04, 0.10),
    "AU12_lr": (0.10, 0.05, 0.12),
    "AU14_lr": (0.12, 0.06, 0.15),
    "AU45_lr": (0.05, 0.02, 0.05),
    "jaw_x": (0.10, 0.05, 0.15),
    "mouth_x": (0.10, 0.05, 0.15),
}
SIDE_PERSON, SIDE_SESSION, SIDE_MOMENT = np.array([_SIDES[name] for name in SIDE_CHANNELS]).T
# The corners, dimples and lip of one side go together in part, and so do the brows.
SIDE_GROUP = np.array([0 if name in ("AU02_lr", "AU04_lr", "AU45_lr") else 1 for name in SIDE_CHANNELS])
# Spread of the time by which one lid leads the other, seconds. Not fitted either.
BLINK_LAG = 0.006
