"""ONNX files: a network and its card in ONE file, run by ONNX Runtime on a CPU (extra `onnx`).

Written by `whodrives.training.onnx_export`. The card and the digest are those of the weights that the file was made
from: fingerprints of both can be compared.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from whodrives.errors import WhodrivesError
from whodrives.training import weights
from whodrives.training.weights import Weights, WeightsError

if TYPE_CHECKING:
    import onnxruntime

SUFFIX = ".onnx"
CARD = "whodrives.card"
SEAL = "whodrives.sha256"
INSTALL = "pip install 'whodrives[onnx]'"
# Frames in one pass: ONNX Runtime keeps the memory of its largest call.
FRAMES_AT_ONCE = 64


class MissingRuntimeError(WhodrivesError):
    """A package of the extra `onnx` is not installed."""


class OnnxNetwork(nn.Module):
    """What `FingerprintModel` is to `.safetensors`, for embedding alone: a session of ONNX Runtime."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        super().__init__()
        self.session = session

    def forward(self, clip: Tensor, valid: Tensor | None = None) -> Tensor:
        """Embed clips: uint8 (batch, T, 1, 128, 128) and (batch,) int64 in 2..T or None -> float32 (batch, D)."""
        rows = []
        several = max(1, FRAMES_AT_ONCE // clip.shape[1])
        for start in range(0, len(clip), several):
            some = slice(start, start + several)
            feed = {"clip": clip[some].numpy()}
            if valid is not None:
                feed["valid"] = valid[some].numpy()
            rows.append(torch.from_numpy(self.session.run(["embedding"], feed)[0]))
        return torch.cat(rows)


@dataclass(frozen=True)
class OnnxWeights:
    """As `whodrives.training.weights.Weights`; digest : of the weights that were exported."""

    model: OnnxNetwork
    card: dict[str, Any]
    digest: str
    path: Path


def open_weights(source: str | Path = "bundled") -> Weights | OnnxWeights:
    """Weights for embedding: what `load_weights` takes, or an exported `.onnx` file."""
    if Path(source).suffix.lower() == SUFFIX:
        return load_onnx(source)
    return weights.load_weights(source)


def load_onnx(path: str | Path) -> OnnxWeights:
    """Load an exported file; it runs on as many threads as torch is set to.

    Raises
    ------
    MissingRuntimeError
        ONNX Runtime is not installed.
    WeightsError
        The file is missing, damaged, changed since it was exported, or was not exported by whodrives.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot read the file ({error.strerror}); whodrives export MODEL -o FILE.onnx writes one"
        ) from error
    if not is_sealed(data):
        raise WeightsError(f"{path}: damaged, changed since its export or not exported by whodrives; export it again")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingRuntimeError(
            f"{path}: ONNX files need ONNX Runtime: {INSTALL}; .safetensors weights need no extra"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait by spinning would take the cores from decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        card = json.loads(session.get_modelmeta().custom_metadata_map[CARD])
        digest = str(card["digest"])
    except Exception as error:  # ONNX Runtime's own derive from nothing nearer
        raise WeightsError(
            f"{path}: ONNX Runtime {onnxruntime.__version__} cannot use it ({str(error).splitlines()[0]}); update it "
            "or export again"
        ) from error
    return OnnxWeights(OnnxNetwork(session), card, digest, path)


def seal(data: bytes) -> bytes:
    """A serialised ONNX model with its own sha256 as a last entry of its metadata.

    A protobuf message is the join of its parts, so the entry can follow what it vouches for.
    """
    return data + _entry(data)


def is_sealed(data: bytes) -> bool:
    """Whether every byte is as `seal` left it."""
    size = len(_entry(b""))
    return len(data) > size and data[-size:] == _entry(data[:-size])


def _entry(data: bytes) -> bytes:
    """ModelProto's field 14, metadata_props: a message of field 1, key, and field 2, value."""
    parts = [SEAL.encode(), hashlib.sha256(data).hexdigest().encode()]
    pair = b"".join(bytes([number << 3 | 2, len(part)]) + part for number, part in enumerate(parts, 1))
    return bytes([14 << 3 | 2, len(pair)]) + pair
