"""Weight files: one `.safetensors` with a JSON card beside it. Loads offline, never pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save

from whodrives.errors import InputError, WhodrivesError
from whodrives.models import PRESETS, FingerprintModel, ModelConfig, build_model

FOLDER = Path(__file__).resolve().parent.parent / "weights"
# Which of the files in FOLDER `bundled` is: the better one on validation people and faces (docs/weights.md).
BUNDLED = "research"
CARD_SCHEMA = 1


class WeightsError(WhodrivesError):
    """A weight file is missing, damaged, or does not fit its card."""


@dataclass(frozen=True)
class Weights:
    """A network ready for inference.

    model : in evaluation mode. card : the JSON metadata (model config, contract, training data, thresholds, licence,
    limits). digest : sha256 (first 16 hex digits) of the weight file; templates are pinned to it. path : None for
    an untrained preset.
    """

    model: FingerprintModel
    card: dict[str, Any]
    digest: str
    path: Path | None


def save_weights(path: str | Path, model: FingerprintModel, card: dict[str, Any], half: bool = True) -> str:
    """Write `path` (.safetensors) and the card beside it (.json); returns the digest.

    half : store float tensors as fp16 (embeddings agree to about 1e-3; the file halves).
    """
    path = Path(path)
    tensors = {}
    for key, value in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue  # only counts training steps; evaluation never reads it
        tensors[key] = (value.half() if half and value.is_floating_point() else value).contiguous()
    data = save(tensors)
    digest = hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    full = {"card_schema": CARD_SCHEMA, **card, "model": model.config.to_dict(), "digest": digest}
    path.with_suffix(".json").write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return digest


def shipped() -> tuple[str, ...]:
    """Names of the weight files that come with the package, ``bundled`` first: it stands for one of the others."""
    return ("bundled", *sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def is_shipped(source: str | Path) -> bool:
    """Whether `source` is one of the names `shipped` gives."""
    return str(source) in shipped()


def load_weights(source: str | Path = "bundled") -> Weights:
    """Load weights for inference on the CPU, without any network access.

    Parameters
    ----------
    source : ``bundled`` or another of `shipped`, the path of a `.safetensors` file with its `.json` beside it, or a
        preset name (``paper``, ``release``, ``plus``: an UNTRAINED network with seed 0, for baselines).

    Raises
    ------
    WeightsError
        Missing or damaged file or card, or tensors that do not fit the card's architecture.
    """
    if str(source) in PRESETS:
        return _untrained(str(source))
    name = BUNDLED if str(source) == "bundled" else str(source)
    path = FOLDER / f"{name}.safetensors" if is_shipped(name) else Path(source)
    if path.suffix.lower() == ".onnx":
        raise WeightsError(
            f"{path}: an ONNX file can embed, compare, enroll and verify; for all else give the .safetensors file"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot read the weight file ({error.strerror}); give 'bundled', a .safetensors file or a preset"
        ) from error
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        model = build_model(ModelConfig.from_dict(card["model"]))
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise WeightsError(
            f"{card_path}: the card of {path.name} is missing or damaged ({error}); both files "
            "belong together, copy them again"
        ) from error
    digest = hashlib.sha256(data).hexdigest()[:16]
    if card.get("digest") not in (None, digest):
        raise WeightsError(f"{path}: digest {digest} differs from the card's {card['digest']}; copy both files again")
    try:
        tensors = load_tensors(data)
        missing, unexpected = model.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path}: not a usable weight file ({error}); copy it again") from error
    problems = [name for name in missing if not name.endswith("num_batches_tracked")] + list(unexpected)
    if problems:
        raise WeightsError(f"{path}: does not fit the architecture in {card_path.name} (first: {problems[0]})")
    return Weights(model.eval(), card, digest, path)


def _untrained(preset: str) -> Weights:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(preset).eval()
    digest = hashlib.sha256(save({k: v.contiguous() for k, v in model.state_dict().items()})).hexdigest()[:16]
    card = {
        "card_schema": CARD_SCHEMA,
        "name": f"{preset} (untrained)",
        "model": model.config.to_dict(),
        "clip_length": 64,
        "limits": "Untrained random network: a baseline, its scores say nothing about drivers.",
    }
    return Weights(model, card, digest, None)
