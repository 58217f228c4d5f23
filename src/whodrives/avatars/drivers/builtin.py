"""Built-in stochastic drivers: people who do not exist, with motion habits that last from one recording to the next.

Three seeds, kept apart on purpose: `seed` is WHO moves (traits), `content_seed` WHAT happens (phrases, pauses, smiles,
glances), `session_seed` the day's FORM (arousal, drift of amplitudes, of co-activation and of the sides). Amounts are
fitted to aggregate population statistics, so that a linear model finds them about as hard to tell apart as real people.
Equations and figures: docs/drivers.md. Source: ours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from whodrives.avatars.conditioning import AU, Conditioning, condition
from whodrives.avatars.drivers import events
from whodrives.avatars.drivers import repertoire as people
from whodrives.avatars.drivers.events import INNER_FPS, Floats
from whodrives.avatars.drivers.sides import bounded, side_channels
from whodrives.avatars.drivers.traits import CONTENT, N_AU, N_BASE, NOISE, SESSION, SPREAD, WANDER, Traits
from whodrives.avatars.tracks import CHANNELS, INDEX, MotionTrack
from whodrives.errors import InputError

__all__ = ["SPREAD", "BuiltinDriver", "Traits"]

CONDITIONING = Conditioning(true_head_pose=True)
MAX_SECONDS = 3600.0
# Seconds played before and after what is shown, so that filters settle and the resampler has its last frame.
LEAD = 2.0
_TRANSLATION = [INDEX["tx"], INDEX["ty"], INDEX["tz"]]


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
        `MotionTrack` of round(seconds * fps) frames, all valid. Side channels stay within the action unit they belong
        to (``|AU12_lr| <= max(AU12, 0)``), ``jaw_x`` and ``mouth_x`` within 1.
        """
        if content_seed < 0 or session_seed < 0:
            raise InputError(f"built-in driver: seeds must be 0 or more, got {content_seed} and {session_seed}")
        if not 1 / INNER_FPS <= seconds <= MAX_SECONDS or not fps > 0:
            raise InputError(f"built-in driver: needs seconds in 0.02..3600 and fps above 0, got {seconds} and {fps}")
        frames = max(1, round(seconds * fps))
        n = int(np.ceil((seconds + 2 * LEAD) * INNER_FPS)) + 2
        raw = np.zeros((n, len(CHANNELS)))
        raw[:, :N_BASE] = self._perform(content_seed, session_seed, n)
        values, valid = condition(raw, None, INNER_FPS, CONDITIONING)
        # The sides share the conditioned motion out, so they need no neutral of their own: at rest they are 0.
        exact = values.astype(np.float64)
        values[:, N_BASE:] = side_channels(self.traits, self.seed, content_seed, session_seed, exact)
        name = f"{self.name}_c{content_seed}_s{session_seed}"
        track = MotionTrack(self.name, name, INNER_FPS, values, valid, "builtin", "Apache-2.0")
        skip = int(LEAD * INNER_FPS)
        track = track.window(skip, n - skip).resample(fps).window(0, frames)
        # Interpolation may pass the bound between two frames by a hair.
        held = track.values.astype(np.float64)
        held[:, N_BASE:] = bounded(held[:, N_BASE:], held)
        return replace(track, values=held.astype(np.float32))

    def _perform(self, content_seed: int, session_seed: int, n: int) -> Floats:
        """Raw base channels (n, 25) at the inner frame rate."""
        t = self.traits
        content = np.random.default_rng([CONTENT, content_seed])
        day = np.random.default_rng([SESSION, self.seed, session_seed])
        noise = np.random.default_rng([NOISE, self.seed, content_seed, session_seed])
        slow = np.random.default_rng([WANDER, self.seed, content_seed, session_seed])
        mood = people.DRIFT_AROUSAL * events.wander(slow, n, people.DRIFT_SECONDS, 1)[:, 0]
        arousal = np.exp(people.AROUSAL_SESSION * day.standard_normal() + mood)
        # Own stream for each kind of content, so that one kind's count does not shift the others.
        streams = content.spawn(5)
        talk, beats, talking = events.speech(t, streams[0], arousal)
        gaze = events.glances(t, streams[2], n)
        lids, dip = events.blinks(t, streams[4], arousal)
        out = np.zeros((n, N_BASE))
        out[:, AU] = talk + events.expressions(t, streams[1], arousal)
        for name, share in zip(("AU01", "AU04", "AU07", "AU09"), t.blink_partners):
            out[:, INDEX[name]] += share * lids
        out[:, [INDEX["gaze_x"], INDEX["gaze_y"]]] = gaze
        out[:, INDEX["gaze_y"]] += t.blink_gaze * dip
        turns = events.head(t, streams[3], arousal, beats, gaze)
        out[:, [INDEX["pitch"], INDEX["yaw"], INDEX["roll"]]] = turns
        tempo = np.exp(people.TEMPO_SESSION * day.standard_normal(N_BASE))
        out += events.restlessness(t, noise, talking, tempo)
        # The spill-over of the moment swings along one direction, drawn for the recording.
        swing = people.DRIFT_COUPLING * events.wander(slow, n, people.DRIFT_SECONDS, 1)
        today = people.COUPLING_SESSION * day.standard_normal(t.coupling.shape)
        out += out @ (t.coupling + today) + swing * (out @ slow.standard_normal(t.coupling.shape))
        # Lids close in a blink, and fall with eyes that look down.
        out[:, INDEX["AU45"]] += 2.2 * lids + t.lid_gaze * np.maximum(gaze[:, 1], 0)
        threshold = t.threshold + people.DRIFT_THRESHOLD * events.wander(slow, n, people.DRIFT_SECONDS, N_AU)
        out[:, AU] = np.maximum(out[:, AU] - threshold, 0.0)
        log_gain = people.LOG_STD_MEAN + t.log_amplitude + people.LOG_STD_SESSION * day.standard_normal(N_BASE)
        log_gain = log_gain + people.DRIFT_AMPLITUDE * events.wander(slow, n, people.DRIFT_SECONDS, N_BASE)
        out *= np.exp(log_gain)
        out = people.LIMIT * np.tanh(out / people.LIMIT)
        out[:, _TRANSLATION] = 0.0  # not rendered from tables either
        return out
