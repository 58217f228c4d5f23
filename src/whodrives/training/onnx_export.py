"""From weights to an ONNX file that stands alone: the graph, and the card in its metadata (extra `onnx`)."""

from __future__ import annotations

import copy
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import whodrives
from whodrives.errors import WhodrivesError
from whodrives.models import FingerprintModel
from whodrives.models.fused import fused
from whodrives.training.onnx_weights import CARD, INSTALL, SUFFIX, MissingRuntimeError, load_onnx, seal
from whodrives.training.weights import Weights

if TYPE_CHECKING:
    import onnx

# The oldest operator set that torch's exporter writes without translation; ONNX Runtime 1.14 and later read it.
OPSET = 18
# Distance of the file's embeddings from the network's own, in parts of the distance between different clips (cosines
# alone would not do: all embeddings of a network may lie close together). Most clips differ by rounding, 1e-5 parts; a
# clip where rounding swaps two near neighbours of the k-NN graph differs by more, 0.06 at most in what was tried. Where
# many clips have such a swap (untrained networks), but some have none, what single precision does to the network itself
# is the measure.
MOST_CLOSE, ALL_CLOSE, AS_ROUNDING = 0.001, 0.15, 2.0


class ExportError(WhodrivesError):
    """The network could not be exported, or the exported one does not embed the same."""


@dataclass(frozen=True)
class Exported:
    """path; size in bytes; digest : of the weights; opset.

    difference, largest : median and largest Euclidean distance of the file's embeddings from the network's own.
    spread : median distance of the network's embeddings of different clips.
    """

    path: Path
    size: int
    digest: str
    opset: int
    difference: float
    largest: float
    spread: float


class Graph(nn.Module):
    """`FingerprintModel.embed` in its fused form, as torch's exporter wants it: tensors only, `valid` always there."""

    def __init__(self, model: FingerprintModel) -> None:
        super().__init__()
        self.network = fused(model)

    def forward(self, clip: Tensor, valid: Tensor) -> Tensor:
        """uint8 (batch, T, 1, 128, 128) and int64 (batch,) -> (batch, embedding_dim) unit rows."""
        return self.network.embed(clip, valid)


def export_onnx(weights: Weights, path: str | Path) -> Exported:
    """Write weights as an ONNX file and compare what it gives with the network.

    The graph has inputs `clip` uint8 (batch, T, 1, 128, 128), T >= 2, and `valid` int64 (batch,) or (1,), how many
    leading frames of a clip are real, which may be left out: all of them. Its output is `embedding` float32
    (batch, embedding_dim), unit rows. Batch and T are free.

    Raises
    ------
    MissingRuntimeError
        The extra `onnx` is not installed.
    ExportError
        The name does not end with .onnx, or what the file gives is not what the network gives.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise ExportError(f"{path}: give the file a name that ends with {SUFFIX}")
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingRuntimeError(f"export needs the package {error.name}: {INSTALL}") from error
    proto = _graph(weights.model)
    _add_default(proto)
    _strip(proto)
    onnx.helper.set_model_props(proto, _metadata(weights))
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name until it is known to be right.
    unproven = path.with_name(f".{path.stem}.{os.getpid()}{SUFFIX}")
    try:
        unproven.write_bytes(seal(proto.SerializeToString()))
        apart, spread = _compare(weights.model, load_onnx(unproven).model)
        difference, largest = float(apart.median()), float(apart.max())
        close = difference <= MOST_CLOSE * spread
        if not close and float(apart.quantile(0.25)) <= MOST_CLOSE * spread:
            close = float(apart.mean()) <= AS_ROUNDING * _rounding(weights.model)
        if not (close and largest <= ALL_CLOSE * spread):
            raise ExportError(
                f"{path}: not written, as it embeds otherwise than the network: {difference:.1e} apart, at most "
                f"{largest:.1e}, where different clips are {spread:.1e} apart; report it with the versions of torch, "
                "onnxscript and onnxruntime"
            )
        unproven.replace(path)
    finally:
        unproven.unlink(missing_ok=True)
    return Exported(path, path.stat().st_size, weights.digest, OPSET, difference, largest, spread)


def _graph(model: FingerprintModel) -> onnx.ModelProto:
    clip = torch.zeros(2, 12, 1, 128, 128, dtype=torch.uint8)
    batch, steps = torch.export.Dim("batch", min=1), torch.export.Dim("T", min=3)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of missing packages that have nothing to do with us
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                Graph(model).eval(),
                (clip, torch.tensor([12, 9])),
                dynamo=True,
                dynamic_shapes=({0: batch, 1: steps}, {0: batch}),
                input_names=["clip", "valid"],
                output_names=["embedding"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter wraps whatever went wrong in types of its own
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        reason = " ".join(str(root).split())[:200]
        raise ExportError(f"torch {torch.__version__} cannot export this network ({reason}); report it") from error
    finally:
        logger.setLevel(level)
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto


def _add_default(proto: onnx.ModelProto) -> None:
    """Let `valid` be left out, and be one number for all clips.

    An input with an initializer of its name is optional. Its value, more than any T, is cut down to T.
    """
    from onnx import TensorProto, helper

    graph = proto.graph
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == "valid":
                node.input[place] = "valid_of_each"
    value = next(value for value in graph.input if value.name == "valid")
    value.type.tensor_type.shape.dim[0].dim_param = "batch_or_1"
    graph.initializer.append(helper.make_tensor("valid", TensorProto.INT64, [1], [2**31 - 1]))
    for number, node in enumerate(
        (
            helper.make_node("Shape", ["clip"], ["clip_batch"], start=0, end=1),
            helper.make_node("Shape", ["clip"], ["clip_T"], start=1, end=2),
            helper.make_node("Min", ["valid", "clip_T"], ["valid_at_most_T"]),
            helper.make_node("Expand", ["valid_at_most_T", "clip_batch"], ["valid_of_each"]),
        )
    ):
        graph.node.insert(number, node)


def _strip(proto: onnx.ModelProto) -> None:
    """Without the exporter's notes on each node, which name files and folders of this machine."""
    for thing in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        thing.ClearField("doc_string")
        thing.ClearField("metadata_props")
    proto.producer_name, proto.producer_version = "whodrives", whodrives.__version__


def _metadata(weights: Weights) -> dict[str, str]:
    """The whole card, and what another language needs of it under keys of its own."""
    card: dict[str, Any] = {**weights.card, "digest": weights.digest}
    contract = card.get("contract") or {}
    short = {
        "name": card.get("name", ""),
        "digest": weights.digest,
        "clip_length": card.get("clip_length", 64),
        "contract": contract,
        "normalisation": weights.model.config.normalisation,
        "thresholds": card.get("thresholds") or {},
        "licence": card.get("licence") or "unstated",
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in short.items()}
    return {CARD: json.dumps(card, ensure_ascii=False), **{f"whodrives.{key}": text for key, text in texts.items()}}


def _clips() -> Iterator[tuple[Tensor, Tensor | None]]:
    """Smooth moving noise to compare on: whole clips and padded ones, several T."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(1, 4, 10, 12, 12, generator=generator)
    clips = F.interpolate(low, size=(40, 128, 128), mode="trilinear").mul(255).byte()[0, :, :, None]
    for length, valid in ((40, None), (7, None), (19, torch.tensor([19, 11, 2, 5])), (2, None)):
        yield clips[:, :length] if length > 2 else clips[:1, :2], valid


@torch.inference_mode()
def _compare(model: FingerprintModel, exported: nn.Module) -> tuple[Tensor, float]:
    """Distance of the file's embedding of each clip from the network's own, and `Exported.spread`."""
    own, other = [], []
    for some, valid in _clips():
        own.append(model(some, valid))
        other.append(exported(some, valid))
    rows = torch.cat(own)
    return (rows - torch.cat(other)).norm(dim=1), float(torch.pdist(rows).median())


@torch.inference_mode()
def _rounding(model: FingerprintModel) -> float:
    """Mean distance of the network's embeddings in single precision from those in double."""
    double = copy.deepcopy(model).double()
    apart = [(model(some, valid) - double(some.double() / 255, valid)).norm(dim=1) for some, valid in _clips()]
    return float(torch.cat(apart).mean())
