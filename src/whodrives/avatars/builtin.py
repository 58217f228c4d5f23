"""Built-in stochastic drivers: people who do not exist, with motion habits that last from one recording to the next.

Three seeds, kept apart on purpose: `seed` is WHO moves (traits), `content_seed` WHAT happens (phrases, pauses, smiles,
glances), `session_seed` the day's FORM (arousal, drift of amplitudes). Amounts are fitted to aggregate population
statistics, so that a linear model finds them about as hard to tell apart as real people. Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from whodrives.avatars.conditioning import AU, Conditioning, condition
from whodrives.avatars.repertoire import (
    COUPLING,
    EXPRESSIONS,
    IDLE,
    LOG_STD_MEAN,
    LOG_STD_PERSON,
    LOG_STD_SESSION,
    THRESHOLD,
    THRESHOLD_SPREAD,
    VISEMES,
)
from whodrives.avatars.tracks import CHANNELS, INDEX, MotionTrack
from whodrives.errors import InputError

Floats = NDArray[np.float64]

# Inner rate: a blink lasts a few frames here, and the output is band-limited well under every usual frame rate.
INNER_FPS = 50.0
# Tags keep the random streams of the different seeds apart; new streams get new numbers, old ones never change.
TRAITS, CONTENT, SESSION, NOISE = 11, 12, 13, 14
# One knob for how different people are, set so that the linear reference tells built-in people apart as well as real
# ones over four windows, and a little worse from one (`benchmarks/linear_reference.py`).
SPREAD = 1.1
CONDITIONING = Conditioning(true_head_pose=True)
N_AU = AU.stop
# Spread of a person's own spill-over from any channel into any other.
COUPLING_SPREAD = 0.12
# How much that changes from day to day.
COUPLING_DRIFT = 0.07
MAX_SECONDS = 3600.0


@dataclass(frozen=True)
class Traits:
    """What stays with a driver. Times in seconds, rates per second, factors around 1.

    Parameters
    ----------
    log_amplitude : (25,) person's deviation of the log standard deviation of every channel.
    visemes, expressions : (5, 17) and (10, 17) action-unit vectors, the population's bent to the person's taste.
    expression_rate : (10,) events per second of each expression.
    onset, release : factors on the time an event needs to come and to go.
    coupling : (25, 25) how much of one channel's activity (row) spills into another (column).
    threshold : (17,) activity under which an action unit does not show.
    idle : (25,) share of restless activity beside the events; idle_time (25,) its correlation time.
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
    blink_double: float
    blink_partners: Floats
    blink_gaze: float
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

    @classmethod
    def draw(cls, seed: int, spread: float = SPREAD) -> Traits:
        """The traits of driver `seed`; `spread` scales every deviation from the population."""
        rng = np.random.default_rng([TRAITS, seed])

        def factor(sd: float, size: int | tuple[int, ...] | None = None) -> Floats:
            return np.exp(spread * sd * rng.standard_normal(size))

        def around(mean: float, sd: float) -> float:
            return float(mean * factor(sd))

        # Lively people are lively in most channels: a part of the amplitude deviation is common.
        common = rng.standard_normal(3)
        shared = np.concatenate([np.full(N_AU, common[0]), np.full(2, common[1]), np.full(6, common[2])])
        own = rng.standard_normal(len(CHANNELS))
        return cls(
            log_amplitude=spread * LOG_STD_PERSON * (0.45 * shared + 0.89 * own),
            visemes=VISEMES * factor(0.4, VISEMES.shape),
            expressions=EXPRESSIONS * factor(0.5, EXPRESSIONS.shape),
            expression_rate=0.07 * factor(0.4, len(EXPRESSIONS)),
            expression_seconds=around(1.1, 0.35),
            onset=around(1.0, 0.3),
            release=around(1.0, 0.3),
            coupling=COUPLING + spread * COUPLING_SPREAD * rng.standard_normal(COUPLING.shape),
            threshold=THRESHOLD * np.exp(spread * THRESHOLD_SPREAD * rng.standard_normal(N_AU)),
            idle=IDLE * factor(0.3, len(CHANNELS)),
            idle_time=0.14 * factor(0.35, len(CHANNELS)),
            syllable_rate=around(4.2, 0.15),
            syllable_regularity=around(0.35, 0.3),
            phrase_seconds=around(2.6, 0.35),
            pause_seconds=around(0.6, 0.4),
            blink_rate=around(0.45, 0.4),
            blink_seconds=around(0.32, 0.25),
            blink_double=float(np.clip(0.15 * factor(0.7), 0, 0.6)),
            blink_partners=np.abs(0.25 * factor(0.7, 4)),
            blink_gaze=around(1.5, 0.4),
            gaze_dwell=around(0.8, 0.35),
            gaze_home=float(np.clip(0.45 * factor(0.3), 0, 0.9)),
            gaze_bias=spread * 0.5 * rng.standard_normal(2),
            head_dwell=around(1.0, 0.3),
            head_move=around(0.5, 0.25),
            gesture_rate=around(0.2, 0.45),
            gesture_mix=rng.dirichlet([2.0, 1.5, 1.5]),
            gesture_hz=around(1.4, 0.2),
            gesture_cycles=around(2.0, 0.3),
            speech_head=0.5 * spread * rng.standard_normal(3) + 0.3,
            roll_of_yaw=float(1.2 + 0.6 * spread * rng.standard_normal()),
            roll_of_gaze=float(-0.2 + 0.15 * spread * rng.standard_normal()),
        )


class BuiltinDriver:
    """A driver made of numbers: `seed` fixes the traits, the same on every machine and in every process.

    Parameters
    ----------
    seed : which driver, 0 or more.
    spread : how far traits stray from the population (default: as hard to tell apart as real people).

    Raises
    ------
    InputError
        A negative seed or spread.
    """

    def __init__(self, seed: int, spread: float = SPREAD) -> None:
        if seed < 0 or spread < 0:
            raise InputError(f"built-in driver: seed and spread must be 0 or more, got {seed} and {spread}")
        self.seed = seed
        self.name = f"builtin-{seed}"
        self.traits = Traits.draw(seed, spread)

    def recording(self, content_seed: int, session_seed: int, seconds: float, fps: float = 25.0) -> MotionTrack:
        """One recording, conditioned like a table (band-limited, neutral removed), pitch shown, translation 0.

        Parameters
        ----------
        content_seed : the script: order and size of phrases, pauses, sounds, expressions, glances and gestures.
            Every driver plays it at an own tempo and in an own manner, so it is not aligned frame by frame.
        session_seed : the day's form; recordings of one sitting share it.
        seconds : length, at most 3600; fps : frame rate of the result.

        Returns
        -------
        `MotionTrack` of round(seconds * fps) frames, all valid.
        """
        if content_seed < 0 or session_seed < 0:
            raise InputError(f"built-in driver: seeds must be 0 or more, got {content_seed} and {session_seed}")
        if not 1 / INNER_FPS <= seconds <= MAX_SECONDS or not fps > 0:
            raise InputError(f"built-in driver: needs seconds in 0.02..3600 and fps above 0, got {seconds} and {fps}")
        frames = max(1, round(seconds * fps))
        # A margin at both ends lets filters settle and gives the resampler its last frame.
        lead = 2.0
        n = int(np.ceil((seconds + 2 * lead) * INNER_FPS)) + 2
        raw = self._perform(content_seed, session_seed, n)
        values, valid = condition(raw, None, INNER_FPS, CONDITIONING)
        name = f"{self.name}_c{content_seed}_s{session_seed}"
        track = MotionTrack(self.name, name, INNER_FPS, values, valid, "builtin", "Apache-2.0")
        skip = int(lead * INNER_FPS)
        return track.window(skip, n - skip).resample(fps).window(0, frames)

    def _perform(self, content_seed: int, session_seed: int, n: int) -> Floats:
        t = self.traits
        content = np.random.default_rng([CONTENT, content_seed])
        day = np.random.default_rng([SESSION, self.seed, session_seed])
        noise = np.random.default_rng([NOISE, self.seed, content_seed, session_seed])
        arousal = np.exp(0.15 * day.standard_normal())
        # Own stream for each kind of content, so that one kind's count does not shift the others.
        streams = content.spawn(6)
        talk, faces = np.zeros((n, N_AU)), np.zeros((n, N_AU))
        beats, talking = self._speech(streams[0], talk, arousal)
        self._expressions(streams[1], faces, arousal)
        gaze = self._gaze(streams[2], n)
        head = self._head(streams[3], n, beats, arousal, gaze)
        lids, blink_gaze = self._blinks(streams[4], n, arousal)
        out = np.zeros((n, len(CHANNELS)))
        out[:, AU] = talk + faces
        for name, share in zip(("AU01", "AU04", "AU07", "AU09"), t.blink_partners):
            out[:, INDEX[name]] += share * lids
        out[:, [INDEX["gaze_x"], INDEX["gaze_y"]]] = gaze
        out[:, INDEX["gaze_y"]] += t.blink_gaze * blink_gaze
        out[:, [INDEX["pitch"], INDEX["yaw"], INDEX["roll"]]] = head
        out += self._idle(noise, n, talking)
        today = COUPLING_DRIFT * day.standard_normal(t.coupling.shape)
        out += out @ (t.coupling + today)
        out[:, [INDEX["tx"], INDEX["ty"], INDEX["tz"]]] = 0.0  # not rendered from tables either
        # Lids fall with the gaze and eyes widen upwards.
        out[:, INDEX["AU45"]] += 2.2 * lids + 0.5 * np.maximum(gaze[:, 1], 0)
        out[:, AU] = np.maximum(out[:, AU] - t.threshold, 0.0)
        drift = day.standard_normal(len(CHANNELS)) * LOG_STD_SESSION
        out *= np.exp(LOG_STD_MEAN + t.log_amplitude + drift)
        out[:, AU] = 5.0 * np.tanh(out[:, AU] / 5.0)
        return out

    def _speech(self, rng: Generator, into: Floats, arousal: float) -> tuple[Floats, Floats]:
        """Add articulation to `into`; return head beats (n,) on stressed syllables and whether somebody speaks (n,)."""
        t = self.traits
        n = len(into)
        beats, talking = np.zeros(n), np.zeros(n)
        now = -rng.exponential(t.phrase_seconds)
        while now < n / INNER_FPS:
            # A stream for each phrase: how many syllables a driver fits into one must not change the next.
            phrase = rng.spawn(1)[0]
            end = now + t.phrase_seconds * (0.3 + phrase.gamma(2.0, 0.35))
            pause = t.pause_seconds * phrase.gamma(1.5, 0.7)
            talking[max(0, int(now * INNER_FPS)) : max(0, int(end * INNER_FPS))] = 1.0
            while now < end:
                swing = 1 + t.syllable_regularity * phrase.standard_normal()
                length = max(0.08, swing / (t.syllable_rate * arousal**0.5))
                kind, size, stressed = (
                    phrase.integers(len(VISEMES)),
                    phrase.lognormal(0.0, 0.45),
                    phrase.random() < 0.22,
                )
                size *= 1.5 if stressed else 1.0
                _add(into, now, 0.45 * length * t.onset, 0.3 * length, 0.6 * length * t.release, size * t.visemes[kind])
                if stressed:
                    _add(beats[:, None], now, 0.18 * t.onset, 0.05, 0.35 * t.release, np.array([size]))
                now += length
            now += pause
        return beats, talking

    def _expressions(self, rng: Generator, into: Floats, arousal: float) -> None:
        t = self.traits
        seconds = len(into) / INNER_FPS
        for kind, stream in enumerate(rng.spawn(len(EXPRESSIONS))):
            now = -2.0
            while True:
                now += stream.exponential(1 / (t.expression_rate[kind] * arousal))
                if now >= seconds:
                    break
                hold = t.expression_seconds * stream.lognormal(-0.3, 0.7)
                size = stream.lognormal(0.3, 0.5)
                _add(into, now, 0.3 * t.onset, hold, 0.5 * t.release, size * t.expressions[kind])

    def _blinks(self, rng: Generator, n: int, arousal: float) -> tuple[Floats, Floats]:
        t = self.traits
        lids, late = np.zeros((n, 1)), np.zeros((n, 1))
        now = 0.0
        while now < n / INNER_FPS:
            now += 0.3 + rng.exponential(1 / (t.blink_rate * arousal))
            size = np.array([rng.lognormal(0.0, 0.25)])
            for again in range(2 if rng.random() < t.blink_double else 1):
                start = now + again * 1.4 * t.blink_seconds
                _add(lids, start, 0.3 * t.blink_seconds, 0.15 * t.blink_seconds, 0.6 * t.blink_seconds, size)
                _add(late, start, 0.4 * t.blink_seconds, 0.15 * t.blink_seconds, 0.8 * t.blink_seconds, 1.8 * size)
        return lids[:, 0], late[:, 0]

    def _gaze(self, rng: Generator, n: int) -> Floats:
        """Fixations and saccades (n, 2), in units of the population's standard deviation."""
        t = self.traits
        gaze = np.zeros((n, 2))
        now, here = 0.0, np.zeros(2)
        while now < n / INNER_FPS:
            stop = now + t.gaze_dwell * rng.gamma(1.2, 0.8)
            gaze[int(now * INNER_FPS) : int(stop * INNER_FPS) + 1] = here
            away = rng.standard_normal(2) * np.array([1.3, 1.1]) + t.gaze_bias
            here = np.zeros(2) if rng.random() < t.gaze_home else away
            now = stop
        return gaussian_filter1d(gaze, 0.03 * INNER_FPS, axis=0)

    def _head(self, rng: Generator, n: int, beats: Floats, arousal: float, gaze: Floats) -> Floats:
        """Pitch, yaw, roll (n, 3) in units of the population's standard deviation."""
        t = self.traits
        postures, gestures = rng.spawn(2)
        head = np.zeros((n, 3))
        now, here = 0.0, np.zeros(3)
        while now < n / INNER_FPS:
            stop = now + t.head_dwell * postures.gamma(1.5, 0.7)
            head[int(now * INNER_FPS) : int(stop * INNER_FPS) + 1] = here
            here = 0.6 * here + 0.8 * postures.standard_normal(3)
            now = stop
        head = gaussian_filter1d(head, 0.4 * t.head_move * INNER_FPS, axis=0)
        now = 0.0
        while True:
            now += 0.5 + gestures.exponential(1 / (t.gesture_rate * arousal))
            if now >= n / INNER_FPS:
                break
            axis = gestures.choice(3, p=t.gesture_mix)
            cycles = t.gesture_cycles * gestures.gamma(4.0, 0.25)
            count = min(n - int(now * INNER_FPS), int(cycles / t.gesture_hz * INNER_FPS))
            phase = np.arange(count) / INNER_FPS
            swing = np.sin(2 * np.pi * t.gesture_hz * phase) * np.hanning(max(count, 1))
            start = int(now * INNER_FPS)
            head[start : start + count, axis] += 1.4 * gestures.lognormal(0.0, 0.4) * swing
        head += beats[:, None] * t.speech_head * 0.8
        head[:, 2] += t.roll_of_yaw * head[:, 1] + t.roll_of_gaze * gaze[:, 0]
        return head

    def _idle(self, rng: Generator, n: int, talking: Floats) -> Floats:
        """Restless activity (n, 25): smooth noise that comes and goes, more of it while speaking."""
        t = self.traits
        white = rng.standard_normal((n, len(CHANNELS)))
        out = np.empty_like(white)
        for channel, time in enumerate(t.idle_time):
            smooth = gaussian_filter1d(white[:, channel], time * INNER_FPS)
            out[:, channel] = smooth * np.sqrt(2 * np.sqrt(np.pi) * time * INNER_FPS)  # unit variance again
        swell = np.exp(0.6 * gaussian_filter1d(rng.standard_normal(n), 1.0 * INNER_FPS) * np.sqrt(3.5 * INNER_FPS))
        out *= t.idle * (swell * (0.6 + 0.5 * talking))[:, None]
        return out


def _add(into: Floats, start: float, rise: float, hold: float, fall: float, vector: Floats) -> None:
    """Add one event to (n, C): smooth rise, plateau and fall (seconds) times `vector` (C,)."""
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
