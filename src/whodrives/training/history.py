"""What weights have been through, and which settings of a run may change on the way."""

from __future__ import annotations

import json
from typing import Any

# Settings that a resumed run may change: how long it goes on and how it works, not what it learns from.
FREE_KEYS = {
    "train.epochs",
    "train.validate_every",
    "train.checkpoint_seconds",
    "train.threads",
    "train.prefetch",
    "train.recompute",
    "train.compile",
    "train.channels_last",
    "train.deterministic",
    "train.patience",
    "train.min_gain",
    "train.tensorboard",
}


def stage(steps: int, config: dict[str, Any]) -> dict[str, Any]:
    """One stage of a training history: optimiser steps, clips seen, and the whole configuration."""
    clips = steps * config["train"]["identities"] * config["train"]["samples"]
    return {"steps": steps, "clips": clips, "config": config}


def changed_keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """``section.key`` of every setting that differs and that changes what is learned, model first."""
    return [
        f"{section}.{key}"
        for section in ("model", "data", "train")
        for key in after[section]
        if f"{section}.{key}" not in FREE_KEYS and _text(before[section].get(key)) != _text(after[section][key])
    ]


def _text(value: Any) -> str:
    # As text: the order of generators decides which clips are drawn, and dictionaries compare without it.
    return json.dumps(value)
