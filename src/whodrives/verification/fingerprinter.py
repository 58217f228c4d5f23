"""Videos in, fingerprints out, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.repeated import read_calibration
from whodrives.verification.decision import Comparison, compare_embeddings
from whodrives.verification.embedding import Embedding, ModelInfo, WindowInfo, window_problem
from whodrives.verification.reading import VideoReading, resolve_crop
from whodrives.video.contract import PreprocessingContract
from whodrives.video.domain import Domain
from whodrives.video.frames import FrameStream
from whodrives.video.gate import DEFAULT_THRESHOLD, MotionGate, motion_energy
from whodrives.video.windows import Window, WindowStream

if TYPE_CHECKING:
    from torch import nn

    from whodrives.verification.forward import Forward

VideoPath = str | PathLike[str]
__all__ = ["Fingerprinter", "LoadedWeights", "VideoPath", "read_contract", "read_model_info", "resolve_crop"]


class LoadedWeights(Protocol):
    """What `whodrives.training.onnx_weights.open_weights` gives."""

    @property
    def model(self) -> nn.Module:
        """uint8 (B, T, 1, 128, 128) and valid (B,) or None -> (B, D) unit rows."""

    @property
    def card(self) -> Mapping[str, Any]:
        """JSON metadata."""

    @property
    def digest(self) -> str:
        """Identity of the weights."""


class Fingerprinter:
    """A network with its weights' card: turns videos into fingerprints and compares them."""

    def __init__(self, weights: LoadedWeights, device: str | None = None, compile: bool = False) -> None:
        import torch

        from whodrives.verification.forward import quick

        wanted = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.device = torch.device(wanted)
            self._network = quick(weights.model.to(self.device).eval(), self.device, compile)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {wanted!r} cannot be used ({str(error).splitlines()[0]}); try 'cpu'") from error
        self.card = dict(weights.card)
        self.model = read_model_info(self.card, weights.digest)
        self.contract = read_contract(self.card)
        self._gate = MotionGate(self.model.motion_gate)

    @classmethod
    def load(cls, model: VideoPath = "bundled", device: str | None = None, compile: bool = False) -> Fingerprinter:
        """Load weights, offline.

        Parameters
        ----------
        model : ``bundled``, the path of a `.safetensors` file with its card beside it, a preset name (untrained), or a
            file that `whodrives export` wrote, for ONNX Runtime on the CPU (extra `onnx`).
        device : ``cpu``, ``cuda`` ...; None takes a GPU when there is one.
        compile : on a GPU, let `torch.compile` make kernels of the network at its first use, which takes a minute and
            pays for many videos. Not yet tried on a GPU.

        Raises
        ------
        WeightsError
            Missing or damaged weights.
        MissingRuntimeError
            An ONNX file, and no ONNX Runtime.
        InputError
            The device cannot be used, or not for this file; or `compile` without a GPU.
        """
        from whodrives.training.onnx_weights import OnnxWeights, open_weights

        weights = open_weights(fspath(model))
        if isinstance(weights, OnnxWeights):
            if device not in (None, "cpu"):
                raise InputError(f"{weights.path} runs on the CPU; for device {device!r} give the .safetensors file")
            device = "cpu"
        return cls(weights, device, compile)

    def embed(
        self, *videos: VideoPath, crop: str | None = None, hop: int | None = None, batch_size: int = 8
    ) -> Embedding:
        """Fingerprint one or more videos of one driver.

        Parameters
        ----------
        videos : paths. crop : ``x,y,w,h`` in pixels of the upright frame, instead of the contract's rule, for all of
            them; ``face`` finds the largest face of each and ``face:2`` the next (extra `landmarks`). hop : frames
            between the starts of windows (default: half a window). batch_size : windows that are embedded, and held in
            memory, at once.

        Returns
        -------
        Embedding. A shot shorter than a window is padded with its last frame and the padding masked.

        Raises
        ------
        VideoError
            A file is missing, damaged, no video, or has fewer than two frames.
        InputError
            No video, or a hop or batch size under 1.
        """
        if not videos:
            raise InputError("no video given; give at least one path")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; give at least 1")
        return Embedding.join([self._embed_one(fspath(path), crop, hop, batch_size) for path in videos])

    def compare(
        self,
        a: VideoPath | Embedding,
        b: VideoPath | Embedding,
        far: float | None = None,
        crop: str | None = None,
        hop: int | None = None,
    ) -> Comparison:
        """Compare the drivers of two videos, given as paths or as fingerprints of these weights.

        Thresholds are those of a video against a template of several recordings; with one video on each side genuine
        scores spread more, so expect more refusals than the card says.

        Raises
        ------
        WeightsMismatchError, ContractMismatchError
            A fingerprint of other weights or of another preprocessing.
        VideoError
            As `embed`.
        """
        sides = [side if isinstance(side, Embedding) else self.embed(side, crop=crop, hop=hop) for side in (a, b)]
        return compare_embeddings(sides[0], sides[1], far)

    def blank(self) -> Embedding:
        """A fingerprint of nothing: it says which weights and contract a template has to fit."""
        dimension = int(self.card.get("model", {}).get("embedding_dim", 256))
        return Embedding(np.zeros((0, dimension), np.float32), (), (), self.model, self.contract)

    def stream(self, frames: FrameStream, hop: int) -> Iterator[tuple[WindowInfo, NDArray[np.float32]]]:
        """Whole windows of a video that may have no end, each as soon as its last frame is there, with unit rows (D,).

        hop : frames between windows of a shot. Under normalisation ``frame`` or ``fixed`` every frame is encoded once.
        """
        from whodrives.verification.forward import window_forward

        length = self.model.clip_length
        forward = window_forward(self._network, length, hop, self.device)
        for window, images in WindowStream(frames, length, hop, min_valid=length):
            energy = motion_energy(images)
            gated = not self._gate.passes(energy)
            yield (
                WindowInfo(
                    video=0,
                    start=window.start,
                    seconds=window.start / (self.contract.fps or frames.nominal_fps),
                    length=length,
                    valid=length,
                    energy=energy,
                    gated=gated,
                    problem=window_problem(length, window.repeated / length, gated),
                    distance=self.model.domain.distance(images) if self.model.domain else None,
                ),
                forward([(window, images)])[0],
            )

    def read(self, path: VideoPath, crop: str | None = None, hop: int | None = None) -> VideoReading:
        """One video, cut into windows under the contract of the weights; `crop` and `hop` as for `embed`."""
        return VideoReading(fspath(path), self.model, self.contract, crop, hop)

    def forward(self, hop: int) -> Forward:
        """Rows of the windows of ONE video, `hop` frames apart; a `PlainForward` may mix videos."""
        # Lazy, so that a gallery can be listed without loading torch.
        from whodrives.verification.forward import window_forward

        return window_forward(self._network, self.model.clip_length, hop, self.device)

    def _embed_one(self, path: str, crop: str | None, hop: int | None, batch_size: int) -> Embedding:
        reading = self.read(path, crop, hop)
        forward = self.forward(reading.hop)
        vectors = [forward(batch) for batch in _batches(reading, batch_size)]
        return reading.finish(np.concatenate(vectors) if vectors else self.blank().vectors)


def _batches(stream: VideoReading, size: int) -> Iterator[list[tuple[Window, NDArray[np.uint8]]]]:
    batch: list[tuple[Window, NDArray[np.uint8]]] = []
    for item in stream:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def read_contract(card: Mapping[str, Any]) -> PreprocessingContract:
    """The preprocessing contract of a card; an untrained preset has none and takes the default one."""
    if card.get("contract"):
        return PreprocessingContract.from_dict(dict(card["contract"]))
    normalisation = card.get("model", {}).get("normalisation", PreprocessingContract.normalisation)
    return PreprocessingContract(normalisation=normalisation)


def read_model_info(card: Mapping[str, Any], digest: str) -> ModelInfo:
    """The identity and the thresholds of a card. Raises InputError when the card's numbers cannot be used."""
    name = str(card.get("name", "unnamed weights"))
    try:
        thresholds = {
            float(far): {int(count): float(score) for count, score in table.items()}
            for far, table in (card.get("thresholds") or {}).items()
        }
        default = card.get("default_far")
        default_far = None if default is None else float(default)
        clip_length = int(card.get("clip_length", 64))
        gate = float(card.get("motion_gate", DEFAULT_THRESHOLD))
        calibration = read_calibration(card)
        domain = Domain.from_card(card["domain"]) if card.get("domain") else None
        numbers = [gate, *(score for table in thresholds.values() for score in table.values())]
        if not all(math.isfinite(number) for number in numbers) or clip_length < 2:
            raise ValueError("a number is not finite, or clip_length is under 2")
    except (TypeError, ValueError, AttributeError, KeyError, InputError) as error:
        raise InputError(f"the card of weights {name!r} cannot be used ({error}); copy the weights again") from error
    return ModelInfo(
        name=name,
        version=str(card.get("version", "")),
        digest=digest,
        clip_length=clip_length,
        thresholds=thresholds,
        default_far=default_far,
        motion_gate=gate,
        calibration=calibration,
        domain=domain,
    )
