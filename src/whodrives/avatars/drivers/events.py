"""What happens in a recording: phrases, expressions, blinks, glances, postures, gestures, and restless activity.

Every function plays a script (its random stream) in the manner of a driver (`Traits`) and returns curves at the inner
frame rate. `arousal` (n,) is the form of the day and of the moment: it speeds speech up and makes events more frequent.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from whodrives.avatars.drivers.traits import N_AU, Traits

Floats = NDArray[np.float64]

# Inner rate: a blink lasts a few frames here, and the output is band-limited well under every usual frame rate.
INNER_FPS = 50.0


def add_event(into: Floats, start: float, rise: float, hold: float, fall: float, vector: Floats) -> None:
    """Add one event to `into` (n, C): smooth rise, plateau and fall (seconds) times `vector` (C,)."""
    first = int(np.ceil(start * INNER_FPS))
    last = int(np.floor((start + rise + hold + fall) * INNER_FPS))
    lo, hi = max(first, 0), min(last + 1, len(into))
    if hi <= lo:
        return
    time = np.arange(lo, hi) / INNER_FPS - start
    up = np.clip(time / rise, 0.0, 1.0)
    down = np.clip((rise + hold + fall - time) / fall, 0.0, 1.0)
    ramp = np.minimum(up, down)
    into[lo:hi] += (ramp * ramp * (3 - 2 * ramp))[:, None] * vector


def wander(rng: Generator, n: int, seconds: float, columns: int) -> Floats:
    """Slow smooth curves (n, columns) of about unit variance through independent knots every `seconds`."""
    knots = int(np.ceil(n / INNER_FPS / seconds)) + 3
    return CubicSpline(np.arange(knots), rng.standard_normal((knots, columns)))(1 + np.arange(n) / INNER_FPS / seconds)


def smooth_noise(rng: Generator, n: int, seconds: Floats) -> Floats:
    """Unit-variance Gaussian noise (n, C), column c smoothed by a Gaussian of standard deviation seconds[c]."""
    white = rng.standard_normal((n, len(seconds)))
    out = np.empty_like(white)
    for column, sigma in enumerate(seconds * INNER_FPS):
        out[:, column] = gaussian_filter1d(white[:, column], sigma) * np.sqrt(2 * np.sqrt(np.pi) * sigma)
    return out


def _at(curve: Floats, now: float) -> float:
    return float(curve[min(max(int(now * INNER_FPS), 0), len(curve) - 1)])


def speech(t: Traits, rng: Generator, arousal: Floats) -> tuple[Floats, Floats, Floats]:
    """Articulation (n, 17), head beats (n,) on stressed syllables, and whether somebody speaks (n,)."""
    n = len(arousal)
    into, beats, talking = np.zeros((n, N_AU)), np.zeros(n), np.zeros(n)
    now = -rng.exponential(t.phrase_seconds)
    while now < n / INNER_FPS:
        # A stream for each phrase: how many syllables a driver fits into one must not change the next.
        phrase = rng.spawn(1)[0]
        end = now + t.phrase_seconds * (0.3 + phrase.gamma(2.0, 0.35))
        pause = t.pause_seconds * phrase.gamma(1.5, 0.7)
        talking[max(0, int(now * INNER_FPS)) : max(0, int(end * INNER_FPS))] = 1.0
        while now < end:
            swing = 1 + t.syllable_regularity * phrase.standard_normal()
            length = max(0.08, swing / (t.syllable_rate * _at(arousal, now) ** 0.5))
            kind, size = phrase.integers(len(t.visemes)), phrase.lognormal(0.0, 0.45)
            stressed = phrase.random() < 0.22
            size *= 1.5 if stressed else 1.0
            rise, hold, fall = 0.45 * length * t.onset, 0.3 * length, 0.6 * length * t.release
            add_event(into, now, rise, hold, fall, size * t.visemes[kind])
            if stressed:
                add_event(beats[:, None], now, 0.18 * t.onset, 0.05, 0.35 * t.release, np.array([size]))
            now += length
        now += pause
    return into, beats, talking


def expressions(t: Traits, rng: Generator, arousal: Floats) -> Floats:
    """Smiles, frowns and the like (n, 17): each kind comes at random moments of its own."""
    into = np.zeros((len(arousal), N_AU))
    for kind, stream in enumerate(rng.spawn(len(t.expressions))):
        now = -2.0
        while True:
            now += stream.exponential(1 / (t.expression_rate[kind] * _at(arousal, now)))
            if now >= len(arousal) / INNER_FPS:
                break
            hold = t.expression_seconds * stream.lognormal(-0.3, 0.7)
            size = stream.lognormal(0.3, 0.5)
            add_event(into, now, 0.3 * t.onset, hold, 0.5 * t.release, size * t.expressions[kind])
    return into


def blinks(t: Traits, rng: Generator, arousal: Floats) -> tuple[Floats, Floats]:
    """Lid closure (n,), 1 for a full blink of a typical person, and the dip of the eyes behind the lids (n,)."""
    n = len(arousal)
    lids, dip = np.zeros((n, 1)), np.zeros((n, 1))
    closing, opening = t.blink_closing * t.blink_seconds, (1 - t.blink_closing) * t.blink_seconds
    whole = t.blink_seconds + t.blink_hold
    now = 0.0
    while now < n / INNER_FPS:
        # All of a blink's numbers come before any branch: a partial or double one must not shift the rest.
        wait, jitter, partial, double = rng.exponential(), rng.lognormal(0.0, 0.15), rng.random(), rng.random()
        now += 0.3 + wait / (t.blink_rate * _at(arousal, now))
        depth = jitter * t.blink_depth * (t.blink_partial_depth if partial < t.blink_partial else 1.0)
        for again in range(2 if double < t.blink_double else 1):
            start = now + again * 1.3 * whole
            add_event(lids, start, closing, t.blink_hold, opening, np.array([depth]))
            add_event(dip, start, 1.3 * closing, t.blink_hold, 1.3 * opening, np.array([1.8 * depth]))
    return lids[:, 0], dip[:, 0]


def glances(t: Traits, rng: Generator, n: int) -> Floats:
    """Fixations and saccades (n, 2), in units of the population's standard deviation."""
    gaze = np.zeros((n, 2))
    now, here = 0.0, np.zeros(2)
    while now < n / INNER_FPS:
        stop = now + t.gaze_dwell * rng.gamma(1.2, 0.8)
        gaze[int(now * INNER_FPS) : int(stop * INNER_FPS) + 1] = here
        away = rng.standard_normal(2) * np.array([1.3, 1.1]) + t.gaze_bias
        here = np.zeros(2) if rng.random() < t.gaze_home else away
        now = stop
    return gaussian_filter1d(gaze, 0.03 * INNER_FPS, axis=0)


def head(t: Traits, rng: Generator, arousal: Floats, beats: Floats, gaze: Floats) -> Floats:
    """Pitch, yaw, roll (n, 3) in units of the population's standard deviation: postures, gestures, speech beats."""
    n = len(arousal)
    postures, gestures = rng.spawn(2)
    out = np.zeros((n, 3))
    now, here = 0.0, np.zeros(3)
    while now < n / INNER_FPS:
        stop = now + t.head_dwell * postures.gamma(1.5, 0.7)
        out[int(now * INNER_FPS) : int(stop * INNER_FPS) + 1] = here
        here = 0.6 * here + 0.8 * postures.standard_normal(3)
        now = stop
    out = gaussian_filter1d(out, 0.4 * t.head_move * INNER_FPS, axis=0)
    now = 0.0
    while True:
        now += 0.5 + gestures.exponential(1 / (t.gesture_rate * _at(arousal, now)))
        if now >= n / INNER_FPS:
            break
        axis = gestures.choice(3, p=t.gesture_mix)
        cycles = t.gesture_cycles * gestures.gamma(4.0, 0.25)
        size = 1.4 * gestures.lognormal(0.0, 0.4)
        start = int(now * INNER_FPS)
        count = min(n - start, int(cycles / t.gesture_hz * INNER_FPS))
        swing = np.sin(2 * np.pi * t.gesture_hz * np.arange(count) / INNER_FPS) * np.hanning(max(count, 1))
        out[start : start + count, axis] += size * swing
    out += 0.8 * beats[:, None] * t.speech_head
    out[:, 2] += t.roll_of_yaw * out[:, 1] + t.roll_of_gaze * gaze[:, 0]
    return out


def restlessness(t: Traits, rng: Generator, talking: Floats, tempo: Floats) -> Floats:
    """Restless activity (n, 25): smooth noise that comes and goes, more while speaking; `tempo` (25,) is the day's."""
    noise = smooth_noise(rng, len(talking), t.idle_time * tempo)
    swell = np.exp(0.6 * smooth_noise(rng, len(talking), np.array([1.0]))[:, 0])
    return noise * t.idle * (swell * (0.6 + 0.5 * talking))[:, None]
