"""Networks: tensors in, tensors out. No files, no video, no global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whodrives.models.build import build_model
    from whodrives.models.config import ModelConfig
    from whodrives.models.fingerprint import FingerprintModel
    from whodrives.models.presets import PRESETS

__all__ = ["PRESETS", "FingerprintModel", "ModelConfig", "build_model"]

_HOMES = {
    "PRESETS": "presets",
    "FingerprintModel": "fingerprint",
    "ModelConfig": "config",
    "build_model": "build",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that importing the package does not load torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
