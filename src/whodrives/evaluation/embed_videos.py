"""Windows of labelled videos as embeddings, through the same decoding as every user's video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.video.contract import DEFAULT_CONTRACT, PreprocessingContract
from whodrives.video.frames import load_frames


def load_windows(
    paths: Sequence[str | Path],
    windows: int,
    length: int = 64,
    contract: PreprocessingContract = DEFAULT_CONTRACT,
    on_video: Callable[[], Any] | None = None,
) -> NDArray[np.uint8]:
    """The first `windows` windows of each video, one after the other, without overlap.

    Returns
    -------
    uint8 (V, windows, length, 128, 128).

    Raises
    ------
    InputError
        A video has fewer than windows * length frames under the contract: results over videos of unlike length would
        not be comparable. Errors of decoding pass through.
    """
    out = np.empty((len(paths), windows, length, contract.size, contract.size), dtype=np.uint8)
    for number, path in enumerate(paths):
        frames = load_frames(path, contract).frames
        if len(frames) < windows * length:
            raise InputError(
                f"{path}: {len(frames)} frames, needs {windows} windows of {length}; ask for fewer windows"
            )
        out[number] = frames[: windows * length].reshape(windows, length, *frames.shape[1:])
        if on_video is not None:
            on_video()
    return out


@torch.inference_mode()
def embed_windows(
    model: FingerprintModel,
    windows: NDArray[np.uint8],
    batch_size: int = 4,
    on_video: Callable[[], Any] | None = None,
) -> NDArray[np.float32]:
    """uint8 (V, W, T, H, W) -> float32 (V, W, D) unit vectors, in fp32 and evaluation mode."""
    was_training = model.training
    model.eval()
    out = []
    for video in windows:
        clips = torch.from_numpy(video)[:, :, None]
        out.append(np.concatenate([model(part).float().numpy() for part in clips.split(batch_size)]))
        if on_video is not None:
            on_video()
    model.train(was_training)
    return np.stack(out)
