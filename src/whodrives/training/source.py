"""Training and validation clips rendered on the fly from motion tracks: no disk round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whodrives.avatars.builtin import BuiltinDriver
from whodrives.avatars.faces import load_portraits
from whodrives.avatars.nuisance import sample_nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tables import load_table
from whodrives.avatars.tracks import MotionTrack
from whodrives.avatars.warp import WarpRig, build_rig, render
from whodrives.data.sampler import spread
from whodrives.errors import InputError
from whodrives.training.config import SourceConfig

BUILTIN_RECORDINGS = 6
BUILTIN_SECONDS = 24.0
# Built-in seeds from here on are kept for validation, demo and tests; training counts up from 0.
HELD_OUT_SEED = 1_000_000


@dataclass(frozen=True)
class Batch:
    """frames (N, T, 1, 128, 128) float32 in 0..1; driver (N,) int64 index of the training driver."""

    frames: Tensor
    driver: Tensor


@dataclass(frozen=True)
class LabelledClips:
    """Fixed evaluation clips: frames uint8 (N, T, 1, 128, 128) and labels (N,) arrays; is_self is bool."""

    frames: Tensor
    driver: np.ndarray
    target: np.ndarray
    recording: np.ndarray
    is_self: np.ndarray


class _Driver:
    """One person's recordings, ready to cut windows from."""

    def __init__(self, name: str, tracks: Sequence[MotionTrack], fps: float, length: int) -> None:
        self.name = name
        self.recordings: list[tuple[str, np.ndarray, np.ndarray]] = []
        for track in tracks:
            track = track.resample(fps)
            starts = track.window_starts(length)
            if len(starts):
                self.recordings.append((track.recording, track.values.astype(np.float32), starts))

    def windows(self, rng: np.random.Generator, count: int, length: int) -> list[np.ndarray]:
        """`count` windows (length, 25), spread over as many different recordings as there are."""
        out = []
        for number in spread(rng, len(self.recordings), count):
            _, values, starts = self.recordings[number]
            start = int(rng.choice(starts))
            out.append(values[start : start + length])
        return out


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
        self.config, self.seed, self.device = config, seed, torch.device(device)
        real = _real_drivers(config, "train") if config.motion else []
        built = [_builtin_driver(number, config) for number in range(config.builtin_drivers)]
        self.drivers = real + built
        self.pools = [pool for pool in (list(range(len(real))), list(range(len(real), len(self.drivers)))) if pool]
        if not self.pools:
            raise InputError("config [data]: no drivers; set motion or builtin_drivers")
        portraits = load_portraits(config.portraits, split="train") if config.portraits else []
        faces = [procedural_face(number) for number in range(config.procedural_faces)]
        self.face_pools = [[build_rig(face) for face in pool] for pool in (portraits, faces) if pool]
        if not self.face_pools:
            raise InputError("config [data]: no faces; set portraits or procedural_faces")

    def batch(self, step: int, identities: int, samples: int) -> Batch:
        """The batch of optimiser step `step`: `identities` drivers x `samples` windows of clip_length frames."""
        rng = np.random.default_rng([self.seed, step])
        pool = self.pools[0]
        if len(self.pools) > 1 and rng.random() < self.config.builtin_share:
            pool = self.pools[1]
        if len(pool) < identities:
            raise InputError(
                f"config: a batch of {identities} drivers needs as many, but only {len(pool)} have usable tracks"
            )
        chosen = rng.choice(pool, identities, replace=False)
        controls, labels, rigs = [], [], []
        for number in chosen:
            for window in self.drivers[number].windows(rng, samples, self.config.clip_length):
                controls.append(window)
                labels.append(number)
                rigs.append(self._face(rng))
        frames = self._render(rigs, np.stack(controls), rng)
        return Batch(frames, torch.as_tensor(np.array(labels), device=self.device))

    def _face(self, rng: np.random.Generator) -> WarpRig:
        pool = self.face_pools[0]
        if len(self.face_pools) > 1 and rng.random() < self.config.procedural_share:
            pool = self.face_pools[1]
        return pool[rng.integers(len(pool))]

    def _render(self, rigs: list[WarpRig], controls: np.ndarray, rng: np.random.Generator) -> Tensor:
        nuisance = [sample_nuisance(rng) for _ in rigs]
        with torch.no_grad():
            return render(rigs, torch.from_numpy(controls).to(self.device), nuisance)


def _real_drivers(config: SourceConfig, split: str) -> list[_Driver]:
    by_person: dict[str, list[MotionTrack]] = {}
    for track in load_table(config.motion, split=split):
        by_person.setdefault(track.driver, []).append(track)
    drivers = [_Driver(name, tracks, config.fps, config.clip_length) for name, tracks in sorted(by_person.items())]
    return [driver for driver in drivers if len(driver.recordings) >= 2]


def _builtin_driver(seed: int, config: SourceConfig) -> _Driver:
    person = BuiltinDriver(seed)
    # The content seed is the script. Each driver has scripts of its own, as different people say different things.
    tracks = [
        person.recording(
            content_seed=seed * BUILTIN_RECORDINGS + number,
            session_seed=number // 2,
            seconds=BUILTIN_SECONDS,
            fps=config.fps,
        )
        for number in range(BUILTIN_RECORDINGS)
    ]
    return _Driver(f"builtin-{seed}", tracks, config.fps, config.clip_length)


def evaluation_clips(
    config: SourceConfig, split: str, windows: int = 1, others: int | None = None, seed: int = 0, builtin: int = 12
) -> LabelledClips:
    """Clips of held-out people on held-out faces: every driver on its own face and on `others` more.

    Parameters
    ----------
    config : real tracks and portraits are used when given, else `builtin` held-out built-in drivers on held-out
        procedural faces.
    split : ``val`` or ``test``.
    windows : clips from each recording, spread evenly.
    others : faces besides the driver's own (default: config.validation_others).

    Returns
    -------
    LabelledClips; all recordings of a driver, the same windows on each of its faces, nuisance drawn independently
    of driver and target. The driver's own face (its self-reenactments) is a fixed random assignment.
    """
    rng = np.random.default_rng([seed, sum(split.encode())])
    others = config.validation_others if others is None else others
    if config.motion:
        drivers = _real_drivers(config, split)
    else:
        base = HELD_OUT_SEED + 1000 * sum(split.encode())
        drivers = [_builtin_driver(base + number, config) for number in range(builtin)]
    if config.portraits:
        faces = load_portraits(config.portraits, split=split)
    else:
        faces = [procedural_face(HELD_OUT_SEED + 1000 * sum(split.encode()) + n) for n in range(len(drivers))]
    if len(faces) < len(drivers):
        raise InputError(f"{split}: {len(drivers)} drivers need as many faces, found {len(faces)}")
    own = rng.permutation(len(faces))[: len(drivers)]
    rigs = [build_rig(face) for face in faces]
    frames, driver_names, targets, recordings, is_self = [], [], [], [], []
    for number, driver in enumerate(drivers):
        pool = [face for face in own if face != own[number]]
        shown = [own[number], *rng.choice(pool, min(others, len(pool)), replace=False)]
        for recording, values, starts in driver.recordings:
            picks = starts[np.linspace(0, len(starts) - 1, windows + 2).astype(int)[1:-1]]
            for face in shown:
                for start in picks:
                    controls = torch.from_numpy(values[None, start : start + config.clip_length].copy())
                    with torch.no_grad():
                        clip = render([rigs[face]], controls, [sample_nuisance(rng)])
                    frames.append((clip[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu())
                    driver_names.append(driver.name)
                    targets.append(faces[face].name)
                    recordings.append(recording)
                    is_self.append(face == own[number])
    labels = (np.array(column) for column in (driver_names, targets, recordings, is_self))
    return LabelledClips(torch.stack(frames), *labels)
