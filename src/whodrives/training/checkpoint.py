"""Training checkpoints: weights, optimiser and position in the run, as safetensors + JSON. Never pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from whodrives.errors import WhodrivesError


class CheckpointError(WhodrivesError):
    """A checkpoint is missing, damaged or belongs to another run."""


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write everything a run needs to go on, replacing `path` atomically.

    modules : by name, their state dicts are stored. state : JSON-able position of the run (step, best, config).
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"module/{name}/{key}"] = value.detach().cpu().contiguous()
    for number, entry in optimiser.state_dict()["state"].items():
        for key, value in entry.items():
            tensors[f"optimiser/{number}/{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"state": json.dumps(state)})
    os.replace(partial, path)


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a training checkpoint rather than a weight file. Raises CheckpointError when it is neither."""
    try:
        with safe_open(path, framework="pt") as file:
            return "state" in (file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); give a checkpoint, a weight file or 'bundled'"
        ) from error


def load_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer | None = None
) -> dict[str, Any]:
    """Restore modules (and the optimiser) from `save_checkpoint`'s file; returns the stored state.

    Raises
    ------
    CheckpointError
        Missing or damaged file, or tensors that do not fit the modules.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, Any] = json.loads(file.metadata()["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, module in modules.items():
            prefix = f"module/{name}/"
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        if optimiser is not None:
            entries: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith("optimiser/"):
                    _, number, field = key.split("/", 2)
                    entries.setdefault(int(number), {})[field] = value
            optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: not a usable training checkpoint ({error}); remove it to start the run anew"
        ) from error
    return state
