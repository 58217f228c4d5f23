"""Labelled data sets of avatar videos: who drives whose face, planned first, then rendered to NVFAIR's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from whodrives.avatars.encode import write_mp4
from whodrives.avatars.faces import Face
from whodrives.avatars.nuisance import Nuisance, sample_nuisance
from whodrives.avatars.tracks import MotionTrack
from whodrives.avatars.warp import WarpRig, build_rig, render
from whodrives.data.manifest import write_manifest
from whodrives.data.nvfair import video_path
from whodrives.data.record import Record
from whodrives.errors import InputError

GENERATOR = "warp"


@dataclass(frozen=True)
class Clip:
    """A stretch of a driver's motion: `track` (already at the data set's rate), frames start .. start + length - 1."""

    name: str
    track: MotionTrack
    start: int
    length: int


@dataclass(frozen=True)
class PlannedVideo:
    """One video to render. record : its labels, path relative to the data set. seed : of its nuisance alone."""

    record: Record
    clip: Clip
    face: Face
    seed: tuple[int, ...]

    @property
    def nuisance(self) -> Nuisance:
        """The video's own draw: a function of (data-set seed, number of the video), never of driver or target."""
        return sample_nuisance(np.random.default_rng(self.seed))


def cut_clips(tracks: Sequence[MotionTrack], clips: int, length: int, fps: float) -> dict[str, list[Clip]]:
    """Driver -> `clips` stretches of `length` frames, spread evenly over its recordings and within each.

    Raises
    ------
    InputError
        A driver has no recording with `length` frames of which 90% are valid, or too few for different clips.
    """
    takes: dict[str, list[tuple[MotionTrack, np.ndarray]]] = {}
    for track in tracks:
        track = track.resample(fps)
        starts = track.window_starts(length)
        own = takes.setdefault(track.driver, [])
        if len(starts):
            own.append((track, starts))
    out: dict[str, list[Clip]] = {}
    for driver, recordings in sorted(takes.items()):
        if not recordings:
            raise InputError(
                f"driver {driver}: no recording has {length} usable frames at {fps:g} fps; ask for shorter videos"
            )
        counts = [len(range(number, clips, len(recordings))) for number in range(len(recordings))]
        picks = [
            starts[np.linspace(0, len(starts) - 1, count + 2).astype(int)[1:-1]]
            for (_, starts), count in zip(recordings, counts, strict=True)
        ]
        if any(len(set(chosen.tolist())) < len(chosen) for chosen in picks):
            raise InputError(
                f"driver {driver}: the recordings are too short for {clips} different clips of {length} frames; "
                "ask for fewer or shorter ones"
            )
        out[driver] = []
        for number in range(clips):
            turn, take = divmod(number, len(recordings))
            track, start = recordings[take][0], int(picks[take][turn])
            name = track.recording.replace("/", "_").replace("--", "-")
            out[driver].append(Clip(f"{name}-f{start}", track, start, length))
    return out


def plan_dataset(
    tracks: Sequence[MotionTrack],
    faces: Sequence[Face],
    *,
    clips: int = 4,
    cross_clips: int | None = None,
    seconds: float = 5.0,
    fps: float = 25.0,
    seed: int = 0,
    split: str = "test",
) -> list[PlannedVideo]:
    """Every driver on every face: which clip moves which still, before anything is rendered.

    A driver's own face is a fixed random assignment by `seed`: its videos there are its self-reenactments, all others
    cross-reenactments. Self and cross take the same path with the same law of nuisance.

    Parameters
    ----------
    tracks : conditioned motion, any rates; at least one usable recording for each driver.
    faces : targets; where there are fewer than drivers, some drivers have no own face.
    clips : clips of each driver, all shown on its own face.
    cross_clips : how many of them on each other face (None: all), in random order, all used alike.
    seconds, fps : length and rate of the videos. seed : assignment and nuisance. split : label.

    Returns
    -------
    list of PlannedVideo in path order of (driver, face). Raises InputError on empty input or too short recordings.
    """
    if not tracks or not faces:
        raise InputError("a data set needs at least one motion track and one face")
    length = round(seconds * fps)
    if length < 2 or clips < 1:
        raise InputError(f"{clips} clips of {seconds:g} s at {fps:g} fps: need at least one clip of two frames")
    cut = cut_clips(tracks, clips, length, fps)
    drivers = sorted(cut)
    own = np.random.default_rng([seed, 1]).permutation(len(faces))
    owned = {driver: int(own[number]) for number, driver in enumerate(drivers) if number < len(faces)}
    lent = clips if cross_clips is None else min(cross_clips, clips)
    plan: list[PlannedVideo] = []
    for order, driver in enumerate(drivers):
        lending = _lend(np.random.default_rng([seed, 3, order]), len(faces), clips, lent)
        for number, face in enumerate(faces):
            is_self = owned.get(driver) == number
            for turn in range(clips) if is_self else lending[number]:
                clip = cut[driver][turn]
                source = face.source or "faces"
                path = video_path(source, GENERATOR, face.name, clip.name, driver)
                licence = "; ".join(part for part in (face.licence, clip.track.licence) if part)
                record = Record(
                    path, driver, face.name, GENERATOR, source, clip.track.recording, split, is_self, licence
                )
                plan.append(PlannedVideo(record, clip, face, (seed, 2, len(plan))))
    return plan


def _lend(rng: np.random.Generator, faces: int, clips: int, lent: int) -> list[list[int]]:
    """Which `lent` different clips each face gets, all used alike; random, for a rule would tie recording to face."""
    used = np.zeros(clips)
    out: list[list[int]] = [[] for _ in range(faces)]
    for face in rng.permutation(faces):
        chosen = np.lexsort((rng.random(clips), used))[:lent]
        used[chosen] += 1
        out[face] = sorted(chosen.tolist())
    return out


def render_video(
    video: PlannedVideo, rig: WarpRig, *, neutral: bool = False, nuisance: Nuisance | None = None
) -> np.ndarray:
    """Frames of one planned video, uint8 (T, S, S, 3) RGB.

    neutral : replace the motion by the neutral (all channels 0), everything else as it is: what remains is appearance.
    nuisance : in place of the video's own draw.
    """
    values = video.clip.track.values[video.clip.start : video.clip.start + video.clip.length]
    controls = torch.from_numpy(np.zeros_like(values) if neutral else values.astype(np.float32))
    with torch.inference_mode():
        frames = render([rig], controls[None], [nuisance or video.nuisance], grey=False)[0]
        return frames.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def render_dataset(
    plan: Sequence[PlannedVideo],
    out: str | Path,
    *,
    size: int = 256,
    fps: float = 25.0,
    neutral: bool = False,
    nuisance: Callable[[PlannedVideo], Nuisance] | None = None,
) -> Iterator[Record]:
    """Render a plan to H.264 files under `out`, one record at a time (for progress bars); the manifest comes last.

    A video that is there already is kept, so that an interrupted run goes on: use a fresh folder for other settings.

    Parameters
    ----------
    plan : from `plan_dataset`. out : root of the NVFAIR tree. size : side in pixels, even. fps : as planned.
    neutral, nuisance : controls for audits; see `render_video`.

    Yields
    ------
    Record with the path under `out`.
    """
    out = Path(out)
    rigs: dict[str, WarpRig] = {}
    records = []
    for video in plan:
        path = out / video.record.path
        record = replace(video.record, path=path)
        if not path.is_file():
            if video.face.name not in rigs:
                rigs[video.face.name] = build_rig(video.face, size)
            draw = nuisance(video) if nuisance is not None else None
            frames = render_video(video, rigs[video.face.name], neutral=neutral, nuisance=draw)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Written aside and moved: a file under its own name is always a whole one.
            partial = path.with_name(f".{path.name}.part")
            write_mp4(partial, frames, fps)
            partial.replace(path)
        records.append(record)
        yield record
    write_manifest(out, records)
