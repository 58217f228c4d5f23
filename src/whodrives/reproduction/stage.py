"""Every motion on every face through every generator: clips in which nothing else differs, for analyses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.avatars.tracks import AU_CHANNELS, INDEX
from whodrives.errors import InputError
from whodrives.evaluation.grid import face_motion_grid, middle_window
from whodrives.training.config import SourceConfig
from whodrives.training.source import cast_faces, cast_people

POSE = ("roll", "yaw")
# Probes of everything but the driver leave whole drivers out, in four folds.
MIN_PEOPLE = 4


@dataclass(frozen=True, eq=False)
class Stage:
    """clips : uint8 (G, F, M, T, 1, S, S), generators x faces x motions. driver, recording : (M,) whose motion.

    motion : float32 (M, T, channels) as rendered.
    """

    clips: NDArray[np.uint8]
    driver: NDArray[np.str_]
    recording: NDArray[np.str_]
    motion: NDArray[np.float32]
    generators: tuple[str, ...]

    def channels(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """Some channels of the motion: (M, T, len(names))."""
        return self.motion[:, :, [INDEX[name] for name in names]]

    @property
    def pose(self) -> NDArray[np.float32]:
        """Roll and yaw, (M, T, 2)."""
        return self.channels(POSE)

    @property
    def action_units(self) -> NDArray[np.float32]:
        """(M, T, units)."""
        return self.channels(AU_CHANNELS)

    def digest(self) -> str:
        """SHA-256 over all pixels and whose they are."""
        found = hashlib.sha256(self.clips.tobytes())
        names = (self.clips.shape, self.generators, self.driver.tolist(), self.recording.tolist())
        found.update(json.dumps(names).encode())
        return found.hexdigest()

    def flat(self) -> torch.Tensor:
        """All clips, generators outermost, motions innermost: (G * F * M, T, 1, S, S)."""
        return torch.from_numpy(self.clips.reshape(-1, *self.clips.shape[3:]))

    def labels(self) -> dict[str, NDArray[np.str_]]:
        """``driver``, ``recording``, ``target`` and ``generator`` of each clip of `flat`."""
        made, faces, motions = self.clips.shape[:3]
        return {
            "driver": np.tile(self.driver, made * faces),
            "recording": np.tile(np.char.add(np.char.add(self.driver, "/"), self.recording), made * faces),
            "target": np.tile(np.repeat([f"face {n}" for n in range(faces)], motions), made),
            "generator": np.repeat(self.generators, faces * motions),
        }


def set_stage(
    config: SourceConfig, generators: tuple[str, ...], people: int = 12, faces: int = 4, takes: int = 4
) -> Stage:
    """Render test people on test faces.

    Parameters
    ----------
    config : where motion and faces come from, frames/s and T. people : drivers, each with `takes` recordings.

    Raises
    ------
    InputError
        The test split has fewer than `MIN_PEOPLE` such people, or fewer than two faces.
    """
    tracks, chosen = [], 0
    # Real people whose recordings are too short are passed over, so all are asked for.
    for recordings in cast_people(config, "test", None if config.motion else people):
        usable = []
        for track in recordings:
            try:
                middle_window(track, config.clip_length, config.fps)
            except InputError:
                continue  # too short for one clip
            usable.append(track)
        if len(usable) >= takes and chosen < people:
            tracks += usable[:takes]
            chosen += 1
    shown = cast_faces(config, "test", faces)[:faces]
    if chosen < MIN_PEOPLE or len(shown) < 2:
        raise InputError(
            f"test split: {chosen} people with {takes} recordings and {len(shown)} faces; needs {MIN_PEOPLE} and 2"
        )
    motion = np.stack([middle_window(track, config.clip_length, config.fps) for track in tracks])
    clips = np.stack([face_motion_grid(name, shown, tracks, config.clip_length, config.fps) for name in generators])
    return Stage(
        clips,
        np.array([track.driver for track in tracks]),
        np.array([track.recording for track in tracks]),
        motion,
        generators,
    )
