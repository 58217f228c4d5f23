"""The fingerprint network: standardise, encode every frame, represent motion, embed."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models.backbone import Backbone, NoBackbone
from whodrives.models.config import ModelConfig
from whodrives.models.f5c import F5C
from whodrives.models.head import PooledHead, TemporalHead
from whodrives.models.normalise import at_least_single, standardise
from whodrives.models.representation import REPRESENTATIONS
from whodrives.models.residual import SmallResidual
from whodrives.models.resnet import PooledResNet18, ResNet18
from whodrives.models.series_head import SeriesHead

BACKBONES: dict[str, Callable[[ModelConfig], Backbone]] = {
    "f5c": F5C,
    "resnet18": ResNet18,
    "resnet18_released": PooledResNet18,
    "residual": SmallResidual,
    "none": NoBackbone,
}
FRAME_SIZE = 128


class FingerprintModel(nn.Module):
    """One backbone, one representation, one head (paper Fig. 1).

    `forward` takes (batch, T, 1, 128, 128) and gives (batch, embedding_dim) unit vectors.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = BACKBONES[config.backbone](config)
        self.head: TemporalHead | PooledHead | SeriesHead
        if isinstance(self.backbone, PooledResNet18):
            self.head = PooledHead(self.backbone.channels, config)
        elif config.head == "conv1d":
            self.head = SeriesHead(self.backbone.channels, config)
        else:
            self.head = TemporalHead(self.backbone.channels, config)

    def encode_frames(self, clip: Tensor) -> Tensor:
        """Standardised frames (batch, S, channels, 128, 128) -> features (batch, S, C, 16, 16), without a loop.

        channels : 2 for `concat`, else 1; `flow` has maps (batch, S, 10, 16, 16) in place of frames.
        C : `backbone.channels`. `resnet18_released` gives (batch, S, 512).
        """
        batch, steps = clip.shape[:2]
        features = self.backbone(clip.reshape(batch * steps, *clip.shape[2:]), steps)
        return features.unflatten(0, (batch, steps))

    def represent(self, clip: Tensor, valid: Tensor | None = None) -> Tensor:
        """Raw frames (batch, T, 1, 128, 128) -> the volume that the head sees (batch, C, S, 16, 16).

        `resnet18_released`: (batch, 512, S).
        """
        frames = standardise(clip, self.config.normalisation, valid)
        volume = REPRESENTATIONS[self.config.representation](self.encode_frames, frames)
        return volume.transpose(1, 2)

    def forward(self, clip: Tensor, valid: Tensor | None = None) -> Tensor:
        """Embed clips.

        Parameters
        ----------
        clip : (batch, T, 1, 128, 128), float in 0..1 or uint8, T >= 2 consecutive grey frames.
        valid : (batch,) int64 in 2..T, how many leading frames are real, the rest being repeats of the last;
            their motion is masked. None: treat every frame as real (the paper's behaviour).

        Returns
        -------
        (batch, embedding_dim) float32, rows of Euclidean norm 1.

        Raises
        ------
        InputError
            Wrong shape, T < 2, or `valid` out of range.
        """
        if clip.ndim != 5 or clip.shape[2] != 1 or clip.shape[3:] != (FRAME_SIZE, FRAME_SIZE):
            raise InputError(
                f"clip has shape {tuple(clip.shape)}; expected (batch, T, 1, {FRAME_SIZE}, {FRAME_SIZE}) grey frames"
            )
        if clip.shape[1] < 2:
            raise InputError(f"clip has T = {clip.shape[1]} frames; motion needs at least 2")
        if valid is not None and (
            valid.shape != (clip.shape[0],) or int(valid.min()) < 2 or int(valid.max()) > clip.shape[1]
        ):
            raise InputError(f"valid must hold one number in 2..{clip.shape[1]} for each clip")
        return self.embed(clip, valid)

    def embed(self, clip: Tensor, valid: Tensor | None = None) -> Tensor:
        """`forward` without its checks, which ask for the values of tensors and so have no place in a graph."""
        steps = None
        if valid is not None:
            # A difference is real only when both of its frames are.
            steps = {"raw_feat": valid, "static": None}.get(self.config.representation, valid - 1)
        if valid is not None and self.config.representation == "static":
            # The centre of what is real: one frame each, picked before the backbone runs.
            frames = standardise(clip, self.config.normalisation, valid)
            centre = (valid // 2).view(-1, 1, 1, 1, 1).expand(-1, 1, *clip.shape[2:])
            volume = self.encode_frames(frames.gather(1, centre)).transpose(1, 2)
        else:
            volume = self.represent(clip, valid)
        return self.embed_volume(volume, steps)

    def embed_volume(self, volume: Tensor, steps: Tensor | None = None) -> Tensor:
        """What `represent` gives -> (batch, embedding_dim) unit rows. steps : (batch,) int64 real ones; None: all."""
        return F.normalize(at_least_single(self.head(volume, steps)), dim=1)
