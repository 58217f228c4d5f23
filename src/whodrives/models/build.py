"""From a name or a config to an untrained network."""

from __future__ import annotations

import dataclasses
from typing import Any

from whodrives.errors import InputError
from whodrives.models.config import ModelConfig
from whodrives.models.fingerprint import FingerprintModel
from whodrives.models.presets import PRESETS


def build_model(config: str | ModelConfig = "paper", **overrides: Any) -> FingerprintModel:
    """Build an untrained network.

    Parameters
    ----------
    config : a preset name (``paper``, ``release``) or a `ModelConfig`.
    overrides : config fields to change, for example ``representation="pixel_diff"``.

    Returns
    -------
    FingerprintModel
        Maps (batch, T, 1, 128, 128) float in 0..1 (or uint8) to (batch, embedding_dim) unit vectors, any T >= 2.

    Raises
    ------
    InputError
        Unknown preset, field or value.
    """
    if isinstance(config, str):
        if config not in PRESETS:
            raise InputError(f"unknown preset {config!r}; choose one of {', '.join(PRESETS)}")
        config = PRESETS[config]
    if overrides:
        config = ModelConfig.from_dict({**dataclasses.asdict(config), **overrides})
    return FingerprintModel(config)
