"""Windows of a video to rows, sharing frames between overlapping windows where the weights allow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.fused import fused
from whodrives.models.sliding import SlidingWindows, is_streamable
from whodrives.video.windows import Window

Cut = tuple[Window, NDArray[np.uint8]]
# Frames encoded in one pass: enough to fill the cores, few enough for the cache.
CHUNK = 64


class Forward(Protocol):
    """Embeds the windows of one video, batch after batch, in the order of their starts."""

    def __call__(self, batch: Sequence[Cut]) -> NDArray[np.float32]:
        """Windows with their frames uint8 (length, H, W) -> float32 (windows, D) unit rows."""


def window_forward(network: nn.Module, length: int, hop: int, device: torch.device) -> Forward:
    """The cheapest way to embed the windows of ONE video: shared frames where normalisation allows, else one by one.

    length, hop : of the windows, frames.
    """
    if hop < length and isinstance(network, FingerprintModel) and is_streamable(network):
        return SharedForward(network, length, hop, device)
    return PlainForward(network, device)


def quick(network: nn.Module, device: torch.device, compile: bool = False) -> nn.Module:
    """The network in the form that embeds fastest on this device, the same up to rounding (`models.fused`).

    compile : with `torch.compile`. Raises InputError where there is no GPU, and for what is no network of ours.
    """
    if compile:
        if device.type != "cuda" or not isinstance(network, FingerprintModel):
            raise InputError(f"compile is for weights on a GPU, not on {device.type}; leave it out")
        # In place, so that it stays a FingerprintModel: windows that share frames go by its uncompiled parts.
        network.compile()
        return network
    if device.type == "cpu" and isinstance(network, FingerprintModel):
        return fused(network)
    return network


class PlainForward:
    """Every window by itself."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network, self.device = network, device

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Cut]) -> NDArray[np.float32]:
        """As `Forward`."""
        clips = torch.from_numpy(np.stack([frames for _, frames in batch])[:, :, None]).to(self.device)
        valid = None
        if any(window.valid < window.length for window, _ in batch):
            valid = torch.tensor([window.valid for window, _ in batch], device=self.device)
        rows = self.network(clips, valid)
        return np.asarray(rows.float().cpu().numpy(), dtype=np.float32)


class SharedForward:
    """Each frame encoded once (`models.sliding`); padded windows by themselves."""

    def __init__(self, network: FingerprintModel, length: int, hop: int, device: torch.device) -> None:
        self.sliding = SlidingWindows(network, length, hop)
        self.plain = PlainForward(network, device)
        self.device = device
        self.shot, self.begin, self.end = -1, 0, 0

    def __call__(self, batch: Sequence[Cut]) -> NDArray[np.float32]:
        """As `Forward`."""
        rows: dict[int, NDArray[np.float32]] = {}
        new: list[NDArray[np.uint8]] = []
        for number, (window, frames) in enumerate(batch):
            if window.valid < window.length:
                rows[number] = self.plain([(window, frames)])[0]
                continue
            if window.shot != self.shot:
                self._push(batch, new, rows)
                self.sliding.reset()
                self.shot, self.begin, self.end = window.shot, window.start, window.start
            new.append(frames[self.end - window.start :])
            self.end = window.start + window.length
        self._push(batch, new, rows)
        return np.stack([rows[number] for number in range(len(batch))])

    def _push(self, batch: Sequence[Cut], new: list[NDArray[np.uint8]], rows: dict[int, NDArray[np.float32]]) -> None:
        """Encode the waiting frames, which are all of one shot, and fill in the rows of the windows they complete."""
        if not new:
            return
        place = {window.start: number for number, (window, _) in enumerate(batch) if window.shot == self.shot}
        for part in torch.from_numpy(np.concatenate(new)[:, None]).split(CHUNK):
            starts, found = self.sliding.push(part.to(self.device))
            for start, row in zip(starts, found.float().cpu().numpy()):
                rows[place[self.begin + start]] = row
        new.clear()
