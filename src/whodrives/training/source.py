"""Training and validation clips rendered on the fly from motion tracks: no disk round trip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from whodrives.avatars.driver_clips import DriverClips, shown_frames
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.faces import Face, load_portraits
from whodrives.avatars.generator import load_generator
from whodrives.avatars.motion.tables import load_table
from whodrives.avatars.nuisance import sample_nuisance
from whodrives.avatars.online import OnlineAvatars, coded, draw_nuisance
from whodrives.avatars.plan import parse_rate
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import MotionTrack
from whodrives.errors import InputError
from whodrives.training.config import SourceConfig
from whodrives.training.motion import motion_scale

BUILTIN_RECORDINGS = 6
BUILTIN_SECONDS = 24.0
# Built-in seeds from here on are kept for validation, demo and tests; training counts up from 0.
HELD_OUT_SEED = 1_000_000


@dataclass(frozen=True)
class Batch:
    """frames (N, T, 1, 128, 128) float32 in 0..1; driver (N,) int64 index of the training driver.

    motion : float32 (N, T, K), the controls that each frame shows; None where nobody knows them (recorded data).
    valid : int64 (N,) in 2..T, leading real frames, the rest being repeats that are to be masked; None: mask nothing.
    """

    frames: Tensor
    driver: Tensor
    motion: Tensor | None = None
    valid: Tensor | None = None


@dataclass(frozen=True)
class LabelledClips:
    """Fixed evaluation clips: frames uint8 (N, T, 1, 128, 128) and labels (N,) arrays; is_self is bool.

    valid, motion : as in `Batch`.
    """

    frames: Tensor
    driver: np.ndarray
    target: np.ndarray
    recording: np.ndarray
    is_self: np.ndarray
    valid: Tensor | None = None
    motion: Tensor | None = None


class AvatarSource:
    """Batches of rendered clips: P drivers x K windows, each on a face drawn independently of the driver.

    Every batch is a function of (seed, step) alone, so a resumed run sees exactly the clips it would have seen.
    A batch holds either real or built-in drivers, since telling the two kinds apart teaches nothing about people.

    Raises
    ------
    InputError
        Fewer drivers than a batch needs, or none at all.
    """

    def __init__(self, config: SourceConfig, seed: int, device: torch.device | str = "cpu") -> None:
        real = _training_people(config) if config.motion else []
        built = [_builtin_driver(number, config) for number in range(config.builtin_drivers)]
        portraits = load_portraits(config.portraits, split="train") if config.portraits else []
        drawn = [procedural_face(number) for number in range(config.procedural_faces)]
        if not real and not built:
            raise InputError("config [data]: no drivers; set motion or builtin_drivers")
        if not portraits and not drawn:
            raise InputError("config [data]: no faces; set portraits or procedural_faces")
        everybody = range(len(real) + len(built))
        pools = [(everybody[: len(real)], 1 - config.builtin_share), (everybody[len(real) :], config.builtin_share)]
        pools = [(pool, share) for pool, share in pools if pool]
        faces = [(portraits, 1 - config.procedural_share), (drawn, config.procedural_share)]
        faces = [(pool, share) for pool, share in faces if pool]
        self.avatars = OnlineAvatars(
            [*real, *built],
            [face for pool, _ in faces for face in pool],
            generators=config.generators,
            identities=1,
            samples=1,
            length=config.clip_length,
            fps=config.fps,
            source_fps=config.source_fps or None,
            seed=seed,
            device=device,
            codec=config.codec,
            face_weights=[(share if len(faces) > 1 else 1.0) / len(pool) for pool, share in faces for _ in pool],
            pools=[(pool, share if len(pools) > 1 else 1.0) for pool, share in pools],
            # Preparing a face costs as much as a dozen frames on it.
            kept_rigs=min(1024, len(config.generators) * sum(len(pool) for pool, _ in faces)),
        )
        # Labels of batches are places in `drivers`; drivers of one pool may share a batch.
        self.drivers: list[DriverClips] = self.avatars.drivers
        self.pools: list[list[int]] = self.avatars.pools

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        """The batch of optimiser step `step`: `identities` drivers x `samples` windows of clip_length frames.

        rows : the clips of it to render (what one process of several trains on); None: all.
        """
        made = self.avatars.batch(step, identities, samples, rows)
        return Batch(made.frames, made.driver, made.motion)

    def motion_scale(self) -> Tensor:
        """(3, K) how much each control moves in training: `training.motion.motion_scale`, every pool by its share."""
        squares = torch.zeros(())
        for pool, share in zip(self.pools, self.avatars.pool_weights, strict=True):
            tracks = (track.values for number in pool for track in self.drivers[number].tracks)
            squares = squares + share * motion_scale(tracks, self.avatars.length).square()
        return squares.sqrt()


def _real_drivers(config: SourceConfig, split: str) -> list[list[MotionTrack]]:
    """Tracks of everybody with at least two usable recordings."""
    by_person: dict[str, list[MotionTrack]] = {}
    for track in load_table(config.motion, split=split):
        by_person.setdefault(track.driver, []).append(track)
    people = [tracks for _, tracks in sorted(by_person.items())]
    return [tracks for tracks in people if len(DriverClips(tracks, config.fps, config.clip_length)) >= 2]


def _training_people(config: SourceConfig) -> list[list[MotionTrack]]:
    people = _real_drivers(config, "train")[: config.train_drivers or None]
    return [tracks[: config.train_recordings or None] for tracks in people]


def _first_seed(split: str) -> int:
    """First seed of a split's built-in drivers and procedural faces; training counts up from 0."""
    return 0 if split == "train" else HELD_OUT_SEED + 1000 * sum(split.encode())


def _builtin_driver(seed: int, config: SourceConfig) -> list[MotionTrack]:
    person = BuiltinDriver(seed)
    # The content seed is the script. Each driver has scripts of its own, as different people say different things.
    return [
        person.recording(
            content_seed=seed * BUILTIN_RECORDINGS + number,
            session_seed=number // 2,
            seconds=BUILTIN_SECONDS,
            fps=config.fps,
        )
        for number in range(BUILTIN_RECORDINGS)
    ]


def cast_people(config: SourceConfig, split: str, most: int | None = None) -> list[list[MotionTrack]]:
    """The drivers of a split, a list of recordings each: real ones where there is motion, else built-in ones.

    split : ``val`` or ``test``; ``train`` gives the training drivers. most : the first so many only; None: all.
    """
    if config.motion:
        return (_training_people(config) if split == "train" else _real_drivers(config, split))[:most]
    count = most or config.validation_drivers
    if split == "train":
        count = min(config.builtin_drivers, most or config.builtin_drivers)
    return [_builtin_driver(_first_seed(split) + number, config) for number in range(count)]


def cast_faces(config: SourceConfig, split: str, count: int) -> list[Face]:
    """The faces of a split: all its portraits, or `count` drawn ones where there are none."""
    if config.portraits:
        return load_portraits(config.portraits, split=split)
    return [procedural_face(_first_seed(split) + number) for number in range(count)]


def evaluation_clips(
    config: SourceConfig,
    split: str,
    windows: int = 1,
    others: int | None = None,
    seed: int = 0,
    people: int | None = None,
) -> LabelledClips:
    """Clips of held-out people on held-out faces: every driver on its own face and on `others` more.

    Parameters
    ----------
    config : real tracks and portraits are used when given, else held-out built-in drivers on held-out procedural
        faces.
    split : ``val`` or ``test``; ``train`` shows the training drivers on training faces.
    people : the first so many drivers only; None: all.
    windows : clips from each recording, spread evenly.
    others : faces besides the driver's own (default: config.validation_others).

    Returns
    -------
    LabelledClips; all recordings of a driver, the same windows on each of its faces, nuisance drawn independently
    of driver and target, generators at rates of config.source_fps, through H.264 with config.codec. The driver's own
    face (its self-reenactments) is a fixed random assignment; generators are drawn by their weights.
    """
    rng = np.random.default_rng([seed, sum(split.encode())])
    others = config.validation_others if others is None else others
    rate = parse_rate(config.source_fps) if config.source_fps else None
    drivers = [DriverClips(tracks, config.fps, config.clip_length) for tracks in cast_people(config, split, people)]
    faces = cast_faces(config, split, len(drivers))
    if len(faces) < len(drivers):
        raise InputError(f"{split}: {len(drivers)} drivers need as many faces, found {len(faces)}")
    own = rng.permutation(len(faces))[: len(drivers)]
    made = [load_generator(name) for name in config.generators]
    weights = np.array(list(config.generators.values())) / sum(config.generators.values())
    rigs = [[generator.rig(face) for face in faces] for generator in made]
    frames, motions, driver_names, targets, recordings, is_self = [], [], [], [], [], []
    for number, driver in enumerate(drivers):
        pool = [face for face in own if face != own[number]]
        shown = [own[number], *rng.choice(pool, min(others, len(pool)), replace=False)]
        for take, (track, starts) in enumerate(zip(driver.tracks, driver.starts, strict=True)):
            picks = starts[np.linspace(0, len(starts) - 1, windows + 2).astype(int)[1:-1]]
            for face in shown:
                for start in picks:
                    kind = int(rng.choice(len(made), p=weights)) if len(made) > 1 else 0
                    # One draw less where no rate is drawn: clips stay what they were before rates could be.
                    nuisance = draw_nuisance(rng, rate) if rate else replace(sample_nuisance(rng), fps=config.fps)
                    seen = shown_frames(nuisance.fps, config.fps, config.clip_length)
                    values = driver.controls_at(take, int(start), int(seen[-1]) + 1, nuisance.fps)
                    motion = torch.from_numpy(values)[None]
                    with torch.no_grad():
                        clip = made[kind].render([rigs[kind][face]], motion, [nuisance])
                    pixels = clip[0].clamp(0, 1)
                    if config.codec:
                        pixels = coded(pixels, nuisance)
                    frames.append((pixels[seen] * 255).round().to(torch.uint8).cpu())
                    motions.append(motion[0, seen])
                    driver_names.append(driver.name)
                    targets.append(faces[face].name)
                    recordings.append(track.recording)
                    is_self.append(face == own[number])
    columns = [np.array(column) for column in (driver_names, targets, recordings, is_self)]
    return LabelledClips(
        torch.stack(frames), columns[0], columns[1], columns[2], columns[3], None, torch.stack(motions)
    )
