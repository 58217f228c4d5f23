"""A training run by its content: the same experiment in two tables is one run, trained once."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whodrives.data.store_layout import INDEX
from whodrives.errors import InputError
from whodrives.reproduction.tables import RECIPES, ROWS
from whodrives.training.checkpoint import load_checkpoint
from whodrives.training.config import TrainConfig, config_from_dict, read_experiment
from whodrives.training.history import FREE_KEYS

# Part of what a run is here, although a resumed run may change it: a shorter run is another point of a table.
_COUNTS = {"train.epochs", "train.patience", "train.min_gain"}


def recipe_names() -> list[str]:
    """Recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe: a name in `recipe_names`, or a TOML file. Raises InputError."""
    path = RECIPES / f"{recipe}.toml" if str(recipe) in recipe_names() else Path(recipe)
    if not path.is_file():
        raise InputError(f"recipe {str(recipe)!r}: give one of {', '.join(recipe_names())}, or a TOML file")
    return path


def row_config(experiment: str, recipe: str | Path, data: dict[str, Any], seed: int) -> TrainConfig:
    """The whole experiment of a row: recipe, then the row's own settings, then where the data are.

    Parameters
    ----------
    experiment : file in `rows/`. recipe : as for `find_recipe`. data : values of ``[data]``. seed : ``train.seed``.

    Raises
    ------
    InputError
        An unknown recipe or row, or a value that no experiment can have.
    """
    values = read_experiment(find_recipe(recipe))
    row = read_experiment(ROWS / f"{experiment}.toml")
    for section in ("model", "data", "train"):
        values[section] = {**values.get(section, {}), **row.get(section, {})}
    # A row that sets the preset starts from that preset's own fields.
    if "preset" in row.get("model", {}):
        values["model"] = row["model"]
    values["data"] = {**values["data"], **data}
    # Rendered clips are never short: masked or not, it is one run.
    if not values["data"].get("store"):
        values["data"].pop("mask_padding", None)
    values["train"] = {**values["train"], "seed": seed}
    return config_from_dict(values)


def run_key(config: TrainConfig) -> str:
    """Eight hex digits of what a run learns and for how long, its seed apart.

    Only values that differ from the defaults count, so that a new option with a default changes no key.
    """
    default = TrainConfig().to_dict()
    values = {
        f"{section}.{key}": value
        for section, fields in config.to_dict().items()
        for key, value in fields.items()
        if value != default[section][key]
    }
    values.pop("train.seed", None)
    # Where the data lie on this machine is not what they are.
    for name in ("data.motion", "data.portraits"):
        if name in values:
            values[name] = True
    if "data.store" in values:
        index = Path(values["data.store"]) / INDEX
        values["data.store"] = hashlib.sha256(index.read_bytes()).hexdigest() if index.is_file() else True
    kept = {name: value for name, value in values.items() if name not in FREE_KEYS or name in _COUNTS}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Run:
    """A training run and its folder, ``ROOT/<experiment>-<key>/seed-<seed>``."""

    name: str
    config: TrainConfig
    folder: Path

    @property
    def key(self) -> str:
        """What it learns, see `run_key`."""
        return run_key(self.config)

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def checkpoint(self) -> Path:
        """Where its last state lies, once there is one."""
        return self.folder / "last.safetensors"

    def steps_done(self) -> int:
        """Steps of the last checkpoint; 0 without one. Raises CheckpointError when it is damaged."""
        if not self.checkpoint.exists():
            return 0
        return int(load_checkpoint(self.checkpoint, {})["step"])

    def is_done(self) -> bool:
        """Whether its schedule is over, or it stopped early."""
        if not self.checkpoint.exists():
            return False
        state = load_checkpoint(self.checkpoint, {})
        recipe = self.config.train
        stopped = 0 < recipe.patience <= int(state.get("stale", 0))
        return int(state["step"]) >= recipe.total_steps or stopped

    def seconds_a_step(self) -> float | None:
        """Pace of what was trained so far, from the log; None without a log."""
        try:
            lines = (self.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        rows = []
        for line in lines[-200:]:
            # A line that a kill cut short, or that is being written, says nothing.
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        # Seconds are rounded to tenths, so that a fast step often takes 0; they fall only where a process began anew.
        gaps = [
            after["seconds"] - before["seconds"]
            for before, after in itertools.pairwise(rows)
            if after["step"] == before["step"] + 1 and after["seconds"] >= before["seconds"]
        ]
        return sum(gaps) / len(gaps) or None if gaps else None


def make_run(root: Path, experiment: str, config: TrainConfig) -> Run:
    """The run of a configuration under `root`: one that is there under another experiment's name is the same."""
    key = run_key(config)
    there = sorted(path.name for path in root.glob(f"*-{key}") if path.is_dir())
    name = f"{experiment}-{key}"
    if there and name not in there:
        name = there[0]
    return Run(name, config, root / name / f"seed-{config.train.seed}")
