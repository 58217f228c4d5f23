"""Auxiliary regression of the true motion: the simulator knows what every frame shows (ours, not the paper's).

The contrastive loss gives one label a clip; this gives the backbone one target a step and channel, from the same
features that the head embeds. Under the paper's head it is used in training only, and nothing of it is part of the
network; a `SeriesHead` begins with the layer that is learned here (or fitted in `training.reader`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.normalise import at_least_single
from whodrives.models.series_head import SeriesHead, StepReader
from whodrives.training.config import TrainConfig

# Representations that show what changes from frame to frame.
CHANGES = ("feat_diff", "pixel_diff", "flow")


@runtime_checkable
class KnownMotion(Protocol):
    """A source that tells the true motion in `Batch.motion`."""

    def motion_scale(self) -> Tensor:
        """(3, K) what `motion_scale` gives; 0: a control never changes."""


def spans(motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Controls (N, T, K) -> their change over one step, over a quarter of the clip, and their course about its mean.

    Small steps are what tells people apart, but large changes are what a network can see first.
    """
    apart = max(1, motion.shape[1] // 4)
    centred = motion - motion.mean(dim=1, keepdim=True)
    return motion[:, 1:] - motion[:, :-1], motion[:, apart:] - motion[:, :-apart], centred


def motion_scale(tracks: Iterable[NDArray[np.floating]], length: int) -> Tensor:
    """Root mean squares (3, K) of `spans` over all windows of `length` frames, half a window apart; 0: never moves.

    tracks : controls (frames, K) of each recording, all of them at least `length` long.

    Raises
    ------
    ValueError
        No tracks.
    """
    totals: Tensor | None = None
    count = 0
    for values in tracks:
        windows = torch.from_numpy(values).unfold(0, length, max(1, length // 2)).transpose(1, 2)
        squares = torch.stack([part.square().mean(dim=(0, 1)) for part in spans(windows)]) * len(windows)
        totals, count = squares if totals is None else totals + squares, count + len(windows)
    if totals is None:
        raise ValueError("no tracks")
    return (totals / count).sqrt().float()


class MotionReadout(nn.Module):
    """Reads the change of the motion controls off each step of the head's volume, linearly.

    Parameters
    ----------
    channels : of the volume. scale : float (3, K), what `motion_scale` gives; controls that never change (0) count
        for nothing. reader : the layer that reads, that of a `SeriesHead`; None: a new one.

    Raises
    ------
    ValueError
        `reader` reads another number of controls.
    """

    scale: Tensor

    def __init__(self, channels: int, scale: Tensor, reader: StepReader | None = None) -> None:
        super().__init__()
        self.register_buffer("scale", scale.float())
        self.reader = StepReader(channels, scale.shape[1]) if reader is None else reader
        if self.reader.read.out_features != scale.shape[1]:
            raise ValueError(
                f"the layer reads {self.reader.read.out_features} controls, the source has {scale.shape[1]}"
            )

    def forward(self, volume: Tensor) -> Tensor:
        """volume (N, channels, S, 16, 16) -> changes (N, S, K) in units of `scale[0]`."""
        changes: Tensor = self.reader(volume)
        return changes

    def errors(self, changes: Tensor, motion: Tensor) -> Tensor:
        """Squared error of `forward`'s changes (N, T - 1, K) for controls (N, T, K), in units of the scale: (3, K).

        One row for each of `spans`; 0 where nothing moves, about 1 for changes of zero.
        """
        read = at_least_single(changes) * self.scale[0]
        course = torch.cat((torch.zeros_like(read[:, :1]), read.cumsum(dim=1)), dim=1)
        found = []
        for scale, seen, told in zip(self.scale, spans(course), spans(motion), strict=True):
            unit = torch.where(scale > 0, scale, 1.0)
            found.append(((seen - told) / unit).square().mean(dim=(0, 1)) * (scale > 0))
        return torch.stack(found)

    def loss(self, changes: Tensor, motion: Tensor) -> Tensor:
        """Mean of `errors` over `spans` and the controls that move in training: scalar >= 0.

        For changes of zero about 1 on average over all training motion, less where people move less.
        """
        return self.errors(changes, motion)[:, self.scale[0] > 0].mean()


def motion_readout(
    config: TrainConfig, model: FingerprintModel, source: object, device: torch.device
) -> MotionReadout | None:
    """What a run needs to learn the motion of `source`, the layer of a `SeriesHead` in it; None without motion_weight.

    Raises
    ------
    InputError
        Nothing is learned at all, or options that do not go with motion.
    """
    recipe = config.train
    if recipe.motion_weight == 0:
        if not recipe.learns_drivers:
            raise InputError("config: nothing is learned; set contrastive_, cross_entropy_ or motion_weight of [train]")
        return None
    key = "config: train.motion_weight"
    shown, backbone = config.model.representation, config.model.backbone
    if shown not in CHANGES or backbone == "resnet18_released":
        raise InputError(f"{key} needs changes: {', '.join(CHANGES)}, and no resnet18_released")
    if recipe.piece_clips or recipe.compile:
        raise InputError(f"{key} needs the whole batch at once; set piece_clips = 0 and compile = false")
    if not isinstance(source, KnownMotion):
        raise InputError(f"{key} needs simulated clips, whose motion is known")
    if backbone == "none" and not (recipe.learns_drivers or isinstance(model.head, SeriesHead)):
        raise InputError(
            f"{key} alone teaches backbone = 'none' nothing that is kept; set head = 'conv1d', or contrastive_weight"
        )
    if recipe.ema and not recipe.learns_drivers:
        raise InputError("config: train.ema averages what embeds drivers; set it to 0 where motion alone is learned")
    reader = model.head.reader if isinstance(model.head, SeriesHead) else None
    readout = MotionReadout(model.backbone.channels, source.motion_scale(), reader).to(device)
    if reader is not None and not recipe.learns_drivers:
        # What never moves is never learned; left at random, BatchNorm would make it as loud as real motion.
        with torch.no_grad():
            reader.read.weight[readout.scale[0] == 0] = 0.0
    return readout
