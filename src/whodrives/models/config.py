"""The description of a network: every point where the paper and its released code differ is a field."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from whodrives.errors import InputError

Representation = Literal["feat_diff", "pixel_diff", "raw_feat", "static", "concat", "flow"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "representation": ("feat_diff", "pixel_diff", "raw_feat", "static", "concat", "flow"),
    "backbone": ("f5c", "resnet18", "resnet18_released", "residual", "none"),
    "fusion": ("conv1x1", "none"),
    "aggregation": ("max", "edge_conv"),
    "head": ("conv3d", "conv1d"),
    "halved_axis": ("H", "W"),
    "batchnorm": ("flattened", "per_frame_step"),
    "normalisation": ("clip", "frame", "fixed"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of a fingerprint network (paper Sec. III; defaults are the preset ``paper``).

    Parameters
    ----------
    representation : what the temporal head sees: ``feat_diff`` (f_{t+1} - f_t), ``pixel_diff`` (the backbone
        applied to x_{t+1} - x_t), ``raw_feat`` (f_t), ``static`` (only frame T // 2), ``concat`` (the backbone
        applied to both frames as two channels; ours) or ``flow`` (optical flow from x_t to x_{t+1}; ours).
    backbone : ``f5c`` (the paper's), ``resnet18`` (in its place, under the same head), ``resnet18_released``
        (what Table VIII measured: pooled features averaged over time, under an MLP of its own), ``residual`` (a small
        residual network; ours) or ``none``, which goes with ``flow`` and nothing else.
    fusion to include_self, dead_params : of ``f5c``; the other backbones have no fcc and no ccc.
    fusion : how fcc joins its two branches: ``conv1x1`` (concatenation + 1x1 convolution, as the paper says) or
        ``none`` (concatenation only, as released).
    fcc_positions, fcc_norm, fcc_bias, fcc_residual : the parts of fcc that only the released code has.
    aggregation : ccc by the parameter-free differential ``max`` or by a learned ``edge_conv``.
    neighbours : k of the k-NN graph over the 256 positions.
    include_self : whether a position counts as its own nearest neighbour (released: yes).
    head : ``conv3d`` (paper: two 3-D convolutions) or ``conv1d`` (ours, `series_head`: every step through one linear
        layer, two convolutions over time).
    halved_axis : spatial axis that each 3-D convolution of the head halves, ``H`` (paper) or ``W`` (released); `conv1d`
        has none.
    batchnorm : training statistics over batch and time at once (``flattened``) or for each time step by itself
        (``per_frame_step``). Evaluation is the same.
    normalisation : input standardisation over the whole ``clip``, over each ``frame``, or ``fixed``
        ((x - 0.5) / 0.25); only the last two give a frame the same features in every window.
    dead_params : keep the 128x128 linear layer that the released ccc declares and never calls.
    dropout : probability in the head's MLP.
    embedding_dim, hidden_dim : sizes of the MLP 512 -> hidden -> embedding (128 -> hidden -> embedding of `conv1d`);
        `resnet18_released` has 512 hidden units whatever hidden_dim says.
    """

    representation: Representation = "feat_diff"
    backbone: str = "f5c"
    fusion: str = "conv1x1"
    fcc_positions: bool = True
    fcc_norm: bool = True
    fcc_bias: bool = True
    fcc_residual: bool = True
    aggregation: str = "max"
    neighbours: int = 4
    include_self: bool = True
    head: str = "conv3d"
    halved_axis: str = "H"
    batchnorm: str = "flattened"
    normalisation: str = "clip"
    dead_params: bool = False
    dropout: float = 0.3
    embedding_dim: int = 256
    hidden_dim: int = 256

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, wanted = getattr(self, item.name), type(item.default)
            fits = type(value) in (int, float) if wanted is float else type(value) is wanted
            if not fits:
                raise InputError(f"model config: {item.name} = {value!r} must be {wanted.__name__}")
        for field, allowed in _CHOICES.items():
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(f"model config: {field} = {value!r} is unknown; choose one of {', '.join(allowed)}")
        if not 1 <= self.neighbours <= 255:
            raise InputError(f"model config: neighbours = {self.neighbours}, but must lie in 1..255")
        if self.head != "conv3d" and self.backbone == "resnet18_released":
            raise InputError("model config: backbone = 'resnet18_released' has a head of its own; leave out head")
        if (self.backbone == "none") != (self.representation == "flow"):
            raise InputError(
                f"model config: representation = {self.representation!r} with backbone = {self.backbone!r}; "
                "'flow' goes with 'none' and nothing else does"
            )
        if self.embedding_dim < 1 or self.hidden_dim < 1:
            raise InputError("model config: embedding_dim and hidden_dim must be at least 1")
        if not 0.0 <= self.dropout < 1.0:
            raise InputError(f"model config: dropout = {self.dropout}, but must lie in [0, 1)")

    @property
    def input_channels(self) -> int:
        """Grey frames that the backbone sees at once."""
        return 2 if self.representation == "concat" else 1

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values (for JSON)."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`. Raises InputError on an unknown field."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            import difflib

            near = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"model config: unknown field {unknown[0]!r}{hint}")
        return cls(**values)
