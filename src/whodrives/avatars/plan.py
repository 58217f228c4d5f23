"""Planning a data set: who drives whose face through which generator, before anything is rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.clips import Clip, cut_clips
from whodrives.avatars.faces import Face
from whodrives.avatars.nuisance import SOURCE_FPS, Nuisance, sample_nuisance
from whodrives.avatars.tracks import MotionTrack
from whodrives.data import avaprintdb, nvfair
from whodrives.data.record import Record
from whodrives.errors import InputError

LAYOUTS = ("nvfair", "avaprintdb")
# Where clips begin when every video has a rate of its own.
GRID_FPS = 25.0
MIN_FPS, MAX_FPS = 12.0, 120.0
# Of a face or a motion whose terms nobody gave.
NOT_STATED = "not stated"


def parse_rate(fps: float | str) -> tuple[float, float]:
    """``25`` -> (25, 25); ``"24-30"`` -> (24, 30), drawn per video.

    Raises
    ------
    InputError
        Neither, or outside 12..120 frames per second (the motion ends near 6 Hz).
    """
    try:
        parts = [float(part) for part in str(fps).split("-")]
    except ValueError:
        parts = []
    low, high = parts if len(parts) == 2 else parts * 2 if len(parts) == 1 else (0.0, 0.0)
    if not MIN_FPS <= low <= high <= MAX_FPS:
        raise InputError(f"fps {fps!r}: give a number or a range such as 24-30, within {MIN_FPS:g}..{MAX_FPS:g}")
    return low, high


def draw_rate(rng: np.random.Generator, rate: tuple[float, float]) -> float:
    """One frame rate of a range: one of those that sources have (24, 25, 29.97, 30) where some lie in it."""
    low, high = rate
    # 29.97 means 30000 / 1001.
    usual = [fps for fps in SOURCE_FPS if low - 0.005 <= fps <= high + 0.005]
    number = rng.random()  # one draw in any case
    if low == high or not usual:
        return low + (high - low) * number
    return usual[int(number * len(usual))]


def stable_seed(*parts: object) -> int:
    """A seed from names: the same on every machine, and different parts are unrelated."""
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest(), "big")


@dataclass(frozen=True)
class PlannedVideo:
    """One video to render.

    Parameters
    ----------
    record : its labels, path relative to the data set.
    clip, face : the motion and the still.
    seconds : length.
    seed : of its nuisance alone, from the data set's seed and the path: a larger plan leaves it as it is.
    rate : (low, high) frames per second; drawn per video where they differ.
    neutral : all motion replaced by the neutral (channels 0), everything else as it is: what remains is appearance.
    crf : strength of the codec; None = drawn per video.
    draw : nuisance in place of the video's own, for audits, but for the frame rate.
    """

    record: Record
    clip: Clip
    face: Face
    seconds: float
    seed: int
    rate: tuple[float, float] = (25.0, 25.0)
    neutral: bool = False
    crf: int | None = None
    draw: Nuisance | None = None

    @property
    def generator(self) -> str:
        """Name of the generator."""
        return self.record.generator

    @cached_property
    def nuisance(self) -> Nuisance:
        """The video's own draw: a function of its seed, never of the traits of driver or target."""
        rng = np.random.default_rng(self.seed)
        draw = self.draw or sample_nuisance(rng)
        return replace(draw, fps=draw_rate(rng, self.rate), crf=draw.crf if self.crf is None else self.crf)

    @property
    def frames(self) -> int:
        """Number of frames at the video's own rate."""
        return round(self.seconds * self.nuisance.fps)

    def controls(self, fps: float | None = None) -> NDArray[np.float32]:
        """Motion channels (T, 33) at `fps` (None: the video's own rate), zeros where the video is neutral."""
        fps = self.nuisance.fps if fps is None else fps
        values = self.clip.controls(fps, round(self.seconds * fps))
        return np.zeros_like(values) if self.neutral else values


def plan_dataset(
    tracks: Sequence[MotionTrack],
    faces: Sequence[Face],
    *,
    clips: int = 4,
    cross_clips: int | None = None,
    seconds: float = 5.0,
    fps: float | str = 25.0,
    seed: int = 0,
    split: str = "test",
    generators: Sequence[str] = ("warp",),
    layout: str = "nvfair",
    own_face_seed: int | None = None,
    neutral: bool = False,
    crf: int | None = None,
) -> list[PlannedVideo]:
    """Every driver on every face, through every generator: which clip moves which still.

    A driver's own face is a random assignment by `own_face_seed`: its videos there are its self-reenactments, all
    others cross-reenactments. Self and cross take the same path with the same law of nuisance, and each clip that a
    face gets is shown there by every generator. All draws hang on names, so that with more drivers, generators or
    clips lent what was planned before stays (more faces may move a few own faces; more clips per driver are others).

    Parameters
    ----------
    tracks : conditioned motion, any rates; at least one usable recording for each driver.
    faces : targets; where there are fewer than drivers, some drivers have no own face.
    clips : clips of each driver, all shown on its own face.
    cross_clips : how many of them on each other face (None: all), at random, all used alike.
    seconds, fps : length and rate of the videos, see `parse_rate`. seed : lending and nuisance. split : label.
    generators : names. layout : ``nvfair`` or ``avaprintdb``.
    own_face_seed : of the own faces alone; None = `seed`. neutral, crf : see `PlannedVideo`.

    Returns
    -------
    list of PlannedVideo in order of (driver, face, clip, generator).

    Raises
    ------
    InputError
        Empty input, recordings that are too short, or names that the layout cannot hold or that two videos share.
    """
    if not tracks or not faces or not generators:
        raise InputError("a data set needs at least one motion track, one face and one generator")
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}; there are {', '.join(LAYOUTS)}")
    rate = parse_rate(fps)
    if round(seconds * rate[0]) < 2 or clips < 1:
        raise InputError(f"{clips} clips of {seconds:g} s at {fps} fps: need at least one clip of two frames")
    grid = rate[0] if rate[0] == rate[1] else GRID_FPS
    # Two spare frames: at a higher rate the last frame lies later.
    cut = cut_clips(tracks, clips, round(seconds * grid) + (0 if rate[0] == rate[1] else 2), grid)
    in_order = list(dict.fromkeys(track.driver for track in tracks))
    owned = own_faces(in_order, faces, seed if own_face_seed is None else own_face_seed)
    lent = clips if cross_clips is None else min(cross_clips, clips)
    plan: list[PlannedVideo] = []
    for driver in sorted(cut):
        lending = _lend(seed, driver, faces, clips, lent)
        for face in faces:
            is_self = owned.get(driver) == face.name
            for turn in range(clips) if is_self else lending[face.name]:
                for generator in generators:
                    record = _record(cut[driver][turn], face, generator, driver, split, is_self, layout)
                    one = stable_seed(seed, record.path.as_posix())
                    plan.append(PlannedVideo(record, cut[driver][turn], face, seconds, one, rate, neutral, crf))
    _check_paths(plan)
    return plan


def own_faces(drivers: Sequence[str], faces: Sequence[Face], seed: int) -> dict[str, str]:
    """Driver -> name of its own face, each face at most once; drivers in the order given, as far as faces last."""
    free = [face.name for face in faces]
    owned = {}
    for driver in drivers[: len(free)]:
        # A new draw for each pair, not a shuffle: drivers that come later change nothing for those before.
        owned[driver] = min(free, key=lambda face: stable_seed("own", seed, driver, face))
        free.remove(owned[driver])
    return owned


def _lend(seed: int, driver: str, faces: Sequence[Face], clips: int, lent: int) -> dict[str, list[int]]:
    """Which `lent` different clips each face gets, all used alike; random, for a rule would tie recording to face."""
    used = np.zeros(clips)
    out: dict[str, list[int]] = {}
    for face in faces:
        rng = np.random.default_rng(stable_seed("lend", seed, driver, face.name))
        chosen = np.lexsort((rng.random(clips), used))[:lent]
        used[chosen] += 1
        out[face.name] = sorted(chosen.tolist())
    return out


def clip_file(driver: str, clip: Clip) -> str:
    """What stands for the driving video's path: AVAPrintDB derives its ids from that."""
    return f"{driver}/{clip.name}.mp4"


def _record(clip: Clip, face: Face, generator: str, driver: str, split: str, is_self: bool, layout: str) -> Record:
    source = face.source or "faces"
    path: Path
    if layout == "nvfair":
        path = nvfair.video_path(source, generator, face.name, clip.name, driver)
    else:
        path = avaprintdb.video_path(split, generator, face.name, driver, avaprintdb.clip_uuid(clip_file(driver, clip)))
    licence = f"face: {face.licence or NOT_STATED}; motion: {clip.track.licence or NOT_STATED}"
    return Record(path, driver, face.name, generator, source, clip.track.recording, split, is_self, licence)


def _check_paths(plan: Sequence[PlannedVideo]) -> None:
    seen: set[Path] = set()
    for video in plan:
        if video.record.path in seen:
            raise InputError(
                f"{video.record.path}: two videos would have this name; give faces, drivers and recordings names that "
                "differ in more than '/' and '--'"
            )
        seen.add(video.record.path)
