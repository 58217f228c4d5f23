"""Traits: what stays with a driver from one recording to the next, drawn around the population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.drivers import repertoire as people
from whodrives.avatars.tracks import AU_CHANNELS, SIDE_CHANNELS

Floats = NDArray[np.float64]

# Tags keep the random streams of the different seeds apart; new streams get new numbers, old ones never change.
TRAITS, CONTENT, SESSION, NOISE, BLINK_TRAITS, SIDE_TRAITS, SIDE_SESSION, SIDE_NOISE, WANDER = range(11, 20)
# One knob for how different people are, set so that the linear reference tells built-in people apart about as well as
# real ones (`benchmarks/linear_reference.py`).
SPREAD = 1.05
N_AU, N_BASE, N_SIDES = len(AU_CHANNELS), len(people.BASE_CHANNELS), len(SIDE_CHANNELS)


def _shares(weights: Floats) -> Floats:
    return weights / weights.sum()


@dataclass(frozen=True)
class Traits:
    """What stays with a driver. Times in seconds, rates per second, factors around 1.

    Parameters
    ----------
    log_amplitude : (25,) person's deviation of the log standard deviation of every base channel.
    visemes, expressions : (5, 17) and (10, 17) action-unit vectors, the population's bent to the person's taste.
    expression_rate : (10,) events per second of each expression; expression_seconds : typical hold.
    onset, release : factors on the time an event needs to come and to go.
    coupling : (25, 25) co-activation: how much of one channel's activity (row) spills into another (column).
    threshold : (17,) activity under which an action unit does not show.
    idle : (25,) share of restless activity beside the events; idle_time (25,) its correlation time.
    syllable_rate, syllable_regularity, phrase_seconds, pause_seconds : speech rhythm.
    blink_rate : blinks per second of waiting; blink_seconds : length of a blink's movement; blink_closing : share of it
        spent closing; blink_hold : seconds closed; blink_depth : factor on the closure; blink_partial : probability of
        a partial blink, of depth blink_partial_depth; blink_double : probability of a second one right after.
    blink_partners : (4,) share of AU01, AU04, AU07, AU09 that joins in; blink_gaze : how far the eyes dip;
        lid_gaze : how far the lids follow eyes that look down.
    gaze_dwell, gaze_home, gaze_bias : fixation length, probability of returning to rest, (2,) favoured direction.
    head_dwell, head_move : posture length and time to reach it; gesture_rate, gesture_mix (3,), gesture_hz,
        gesture_cycles : nods, shakes and tilts; speech_head (3,) : head beats on stressed syllables.
    roll_of_yaw, roll_of_gaze : how the head tilts as it or the eyes turn.
    asymmetry : (8,) per side channel, share of the activity by which the driver's left side does more.
    blink_lag : seconds by which the left lid leads.
    """

    log_amplitude: Floats
    visemes: Floats
    expressions: Floats
    expression_rate: Floats
    expression_seconds: float
    onset: float
    release: float
    coupling: Floats
    threshold: Floats
    idle: Floats
    idle_time: Floats
    syllable_rate: float
    syllable_regularity: float
    phrase_seconds: float
    pause_seconds: float
    blink_rate: float
    blink_seconds: float
    blink_closing: float
    blink_hold: float
    blink_depth: float
    blink_partial: float
    blink_partial_depth: float
    blink_double: float
    blink_partners: Floats
    blink_gaze: float
    lid_gaze: float
    gaze_dwell: float
    gaze_home: float
    gaze_bias: Floats
    head_dwell: float
    head_move: float
    gesture_rate: float
    gesture_mix: Floats
    gesture_hz: float
    gesture_cycles: float
    speech_head: Floats
    roll_of_yaw: float
    roll_of_gaze: float
    asymmetry: Floats
    blink_lag: float

    @classmethod
    def draw(cls, seed: int, spread: float = SPREAD) -> Traits:
        """The traits of driver `seed`; `spread` scales every deviation from the population."""
        rng = np.random.default_rng([TRAITS, seed])
        lids = np.random.default_rng([BLINK_TRAITS, seed])
        sides = np.random.default_rng([SIDE_TRAITS, seed])

        def factor(sd: float, size: int | tuple[int, ...] | None = None, rng: np.random.Generator = rng) -> Floats:
            return np.exp(spread * sd * rng.standard_normal(size))

        def around(mean: float, sd: float, rng: np.random.Generator = rng) -> float:
            return float(mean * factor(sd, None, rng))

        # Lively people are lively in most channels: a part of the amplitude deviation is common.
        common = rng.standard_normal(3)
        shared = np.concatenate([np.full(N_AU, common[0]), np.full(2, common[1]), np.full(6, common[2])])
        own = rng.standard_normal(N_BASE)
        # Likewise one half of the face is the stronger one, around the eyes and around the mouth.
        stronger = 0.5 * sides.standard_normal(2)[people.SIDE_GROUP] + 0.87 * sides.standard_normal(N_SIDES)
        return cls(
            log_amplitude=spread * people.LOG_STD_PERSON * (0.45 * shared + 0.89 * own),
            visemes=people.VISEMES * factor(0.3, people.VISEMES.shape),
            expressions=people.EXPRESSIONS * factor(0.4, people.EXPRESSIONS.shape),
            expression_rate=0.07 * factor(0.4, len(people.EXPRESSIONS)),
            expression_seconds=around(1.1, 0.35),
            onset=around(1.0, 0.3),
            release=around(1.0, 0.3),
            coupling=people.COUPLING + spread * people.COUPLING_PERSON * rng.standard_normal(people.COUPLING.shape),
            threshold=people.THRESHOLD + spread * people.THRESHOLD_PERSON * rng.standard_normal(N_AU),
            idle=people.IDLE * factor(0.3, N_BASE),
            idle_time=0.11 * factor(0.2, N_BASE),
            syllable_rate=around(4.2, 0.15),
            syllable_regularity=around(0.35, 0.3),
            phrase_seconds=around(2.6, 0.35),
            pause_seconds=around(0.6, 0.4),
            blink_rate=around(0.41, 0.4),
            blink_seconds=around(0.29, 0.2, lids),
            blink_closing=float(np.clip(around(0.37, 0.2, lids), 0.15, 0.6)),
            blink_hold=around(0.045, 0.3, lids),
            blink_depth=around(1.15, 0.32, lids),
            blink_partial=float(np.clip(around(0.08, 0.6, lids), 0.0, 0.5)),
            blink_partial_depth=float(np.clip(around(0.45, 0.15, lids), 0.2, 0.8)),
            blink_double=float(np.clip(0.15 * factor(0.7), 0, 0.6)),
            blink_partners=np.abs(0.25 * factor(0.7, 4)),
            blink_gaze=around(1.5, 0.4),
            lid_gaze=around(0.7, 0.4, lids),
            gaze_dwell=around(0.8, 0.35),
            gaze_home=float(np.clip(0.45 * factor(0.3), 0, 0.9)),
            gaze_bias=spread * 0.5 * rng.standard_normal(2),
            head_dwell=around(1.0, 0.3),
            head_move=around(0.5, 0.25),
            gesture_rate=around(0.2, 0.45),
            gesture_mix=_shares(np.array([2.0, 1.5, 1.5]) * factor(0.7, 3)),
            gesture_hz=around(1.4, 0.2),
            gesture_cycles=around(2.0, 0.3),
            speech_head=0.5 * spread * rng.standard_normal(3) + 0.3,
            roll_of_yaw=float(2.4 + 1.4 * spread * rng.standard_normal()),
            roll_of_gaze=float(-0.2 + 0.15 * spread * rng.standard_normal()),
            asymmetry=spread * people.SIDE_PERSON * stronger,
            blink_lag=float(spread * people.BLINK_LAG * sides.standard_normal()),
        )
