"""One labelled video into memory, whichever way it is kept: a video file or a folder of PNG frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.data.store_folder import FolderFrames
from whodrives.video.contract import PreprocessingContract
from whodrives.video.frames import load_frames


@dataclass(frozen=True, eq=False)
class ReadVideo:
    """frames : uint8 (N, S, S). fps : of these frames, None where a folder of frames states none. scene_cuts : first
    frames of the second, third ... shot."""

    frames: NDArray[np.uint8]
    fps: float | None
    scene_cuts: tuple[int, ...]


def read_video(path: str | Path, contract: PreprocessingContract, folder_fps: float | None = None) -> ReadVideo:
    """All frames of a video under a contract.

    Parameters
    ----------
    path : video file, or folder of PNG frames. folder_fps : frames/s of such a folder, None: not known.

    Raises
    ------
    VideoError, LayoutError
        Missing, damaged or no video, fewer than two frames, or a folder of frames without a rate where the contract
        needs one.
    """
    path = Path(path)
    if path.is_dir():
        folder = FolderFrames(path, contract, folder_fps)
        frames = np.stack(list(folder))
        return ReadVideo(frames, folder.fps, tuple(folder.scene_cuts))
    video = load_frames(path, contract)
    return ReadVideo(video.frames, video.fps, video.scene_cuts)
