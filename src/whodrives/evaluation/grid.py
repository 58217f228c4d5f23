"""Every motion on every face: rendered clips in which only face and motion differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.avatars.faces import Face
from whodrives.avatars.generator import Generator, load_generator
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.tracks import MotionTrack
from whodrives.errors import InputError


def middle_window(track: MotionTrack, length: int, fps: float) -> NDArray[np.float32]:
    """The middle one of a track's windows of `length` valid frames at `fps`: (length, 33) motion channels.

    Raises InputError when the track has none.
    """
    resampled = track.resample(fps)
    starts = resampled.window_starts(length)
    if not len(starts):
        raise InputError(
            f"motion track {track.recording}: no {length} valid frames in a row at {fps:g} fps; leave it out"
        )
    return resampled.window(int(starts[len(starts) // 2]), length).values.astype(np.float32)


def face_motion_grid(
    generator: str | Generator[Any],
    faces: Sequence[Face],
    tracks: Sequence[MotionTrack],
    length: int = 64,
    fps: float = 25.0,
    nuisance: Nuisance | None = None,
    size: int = 128,
) -> NDArray[np.uint8]:
    """Render every track's middle window on every face, with one nuisance draw for all.

    Parameters
    ----------
    generator : one, or the name of a built-in one. faces, tracks : F faces and M motions, two of each or more for
        what `disentanglement` measures.
    length, fps : T frames a clip at this rate.
    nuisance : the same crop, exposure, noise and flicker in every clip; None: none.
    size : side in pixels.

    Returns
    -------
    uint8 (F, M, T, 1, size, size) grey, 16 KiB a frame of 128 x 128.

    Raises
    ------
    InputError
        No face or no track, a track that is too short, or a face or size that the generator cannot use.
    """
    if not faces or not tracks:
        raise InputError(f"a grid needs faces and motions, got {len(faces)} and {len(tracks)}")
    made = load_generator(generator) if isinstance(generator, str) else generator
    draw = replace(nuisance or Nuisance.none(), fps=fps)
    controls = [torch.from_numpy(middle_window(track, length, fps))[None] for track in tracks]
    out = np.empty((len(faces), len(tracks), length, 1, size, size), np.uint8)
    for row, face in enumerate(faces):
        rig = made.rig(face, size)
        for column, motion in enumerate(controls):
            with torch.no_grad():
                clip = made.render([rig], motion, [draw])[0]
            out[row, column] = (clip.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return out
