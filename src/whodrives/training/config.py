"""Training configuration: a frozen dataclass read from TOML."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from whodrives.errors import InputError
from whodrives.models.config import ModelConfig
from whodrives.models.presets import PRESETS


@dataclass(frozen=True)
class SourceConfig:
    """Where training clips come from (``[data]``).

    motion : parquet table of OpenFace-named tracks with `split.csv` beside it; empty: none.
    portraits : folder of images with `portraits.json`, `split.csv` in its parent; empty: none.
    builtin_drivers : how many built-in stochastic drivers (seeds from 0 up).
    builtin_share : share of batches made of built-in drivers when there are real tracks too.
    procedural_faces : how many procedural faces (seeds from 0 up).
    procedural_share : share of clips on procedural faces when there are portraits too.
    train_drivers, train_recordings : only so many of the training drivers (in order of their names), and of the
        recordings of each; 0 = all. Not of the built-in ones.
    fps : frames/s of the rendered clips. clip_length : T, frames a clip.
    validation_others : other faces that each validation driver also drives.
    validation_drivers : built-in ones to validate on, where there are no real tracks.
    generators : name -> weight; in TOML a table, or a list of names of equal weight.
    source_fps : ``"24-30"``: generators run at a rate drawn per clip, and clips show the nearest frame; empty: at fps.
    codec : clips go through H.264 and back.
    store : packed frame store (folder or URL) to train on instead of rendering. Then only clip_length and these count:
        store_train, store_validation : splits. store_generators : which, with commas; empty: all. store_clips :
        validation clips at most. The store says the frame rate. mask_padding : keep the repeats that fill up videos
        shorter than a clip out of standardisation, convolutions over time and averages, as `evaluate --mask-padding`
        does; off is the paper's. BatchNorm's statistics of a batch still count them. Rendered clips are never short.
    """

    motion: str = ""
    portraits: str = ""
    builtin_drivers: int = 64
    builtin_share: float = 0.3
    procedural_faces: int = 64
    procedural_share: float = 0.3
    train_drivers: int = 0
    train_recordings: int = 0
    fps: float = 25.0
    clip_length: int = 64
    validation_others: int = 2
    validation_drivers: int = 12
    generators: dict[str, float] = field(default_factory=lambda: {"warp": 1.0})
    source_fps: str = ""
    codec: bool = False
    store: str = ""
    store_train: str = "train"
    store_validation: str = "val"
    store_generators: str = ""
    store_clips: int = 512
    mask_padding: bool = False


@dataclass(frozen=True)
class RecipeConfig:
    """Optimisation (``[train]``); defaults are the paper's recipe (Table I).

    identities, samples : P drivers x K clips a batch. epochs, steps_per_epoch : 150 x 200.
    lr, betas, weight_decay : AdamW. warmup_epochs : linear, the first step at 1 / warm-up.
    lr_floor : of the cosine, as a fraction of lr.
    temperature, loss_reduction : of the supervised contrastive loss.
    contrastive_weight : of the supervised contrastive loss. With 0 here and for the cross-entropy the head is not run
        and learns nothing; the motion is then what is learned and validated (a warm start of the backbone).
    cross_entropy_weight, cross_entropy_scale : auxiliary cosine cross-entropy over training drivers (ours; 0 = off).
    motion_weight : auxiliary regression of the true change of motion from the head's input (ours; 0 = off); simulated
        clips, `feat_diff`, `pixel_diff` or `flow`, and whole batches only.
    clip_norm : gradient norm. precision : ``fp32``, ``bf16`` or ``fp16`` (fp16 on CUDA only).
    validate_every, checkpoint_seconds : steps, seconds. threads : torch CPU threads, 0 = leave.
    prefetch : render the next batch while this one trains. refit_batches : of `whodrives train --refit-head`.
    refit_teachers : so many heads are fitted before the one that learns from them (`head_fit`, ours; 0 = it alone).
    reader_batches : first fit the motion-reading layer of a `conv1d` head on so many, by least squares (ours; 0 = not).
    piece_clips : clips in memory at once on each process, the rest by cached embeddings (BatchNorm then sees pieces);
        0 = the whole batch. recompute : keep fewer activations, compute the backbone's stages again in the backward.
    compile : torch.compile. channels_last : memory format of the 2-D convolutions.
    deterministic : only deterministic kernels (CUDA; the CPU's are).
    ema : decay of a moving average of the weights, which is then validated and shipped; 0 = off.
    patience, min_gain : stop after so many validations without a gain of min_gain AUC; 0 = never.
    tensorboard : also write events (extra ``tensorboard``).
    """

    identities: int = 16
    samples: int = 8
    epochs: float = 150.0
    steps_per_epoch: int = 200
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    warmup_epochs: float = 5.0
    lr_floor: float = 0.01
    temperature: float = 0.07
    loss_reduction: str = "mean"
    contrastive_weight: float = 1.0
    cross_entropy_weight: float = 0.0
    cross_entropy_scale: float = 16.0
    motion_weight: float = 0.0
    clip_norm: float = 1.0
    precision: str = "bf16"
    seed: int = 42
    validate_every: int = 200
    checkpoint_seconds: float = 180.0
    threads: int = 0
    prefetch: bool = True
    refit_batches: int = 40
    refit_teachers: int = 0
    reader_batches: int = 0
    piece_clips: int = 0
    recompute: bool = False
    compile: bool = False
    channels_last: bool = False
    deterministic: bool = False
    ema: float = 0.0
    patience: int = 0
    min_gain: float = 0.001
    tensorboard: bool = False

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return round(self.epochs * self.steps_per_epoch)

    @property
    def learns_drivers(self) -> bool:
        """Whether a loss looks at embeddings; else the true motion is all that is learned."""
        return self.contrastive_weight > 0 or self.cross_entropy_weight > 0


@dataclass(frozen=True)
class TrainConfig:
    """A whole experiment: ``[model]`` (with an optional ``preset``), ``[data]``, ``[train]``."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: SourceConfig = field(default_factory=SourceConfig)
    train: RecipeConfig = field(default_factory=RecipeConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


_MANY = 1e9
_RANGES = {
    "data.clip_length": (2, _MANY),
    "data.fps": (0.1, 1000),
    "data.builtin_share": (0, 1),
    "data.procedural_share": (0, 1),
    "data.train_drivers": (0, _MANY),
    "data.train_recordings": (0, _MANY),
    "train.identities": (1, _MANY),
    "train.samples": (1, _MANY),
    "train.epochs": (0, _MANY),
    "train.steps_per_epoch": (1, _MANY),
    "train.lr": (0, 1e3),
    "train.warmup_epochs": (0, _MANY),
    "train.lr_floor": (0, 1),
    "train.temperature": (1e-4, 1e3),
    "train.contrastive_weight": (0, 1e6),
    "train.cross_entropy_weight": (0, 1e6),
    "train.motion_weight": (0, 1e6),
    "train.clip_norm": (1e-9, 1e9),
    "train.seed": (0, 2**63 - 1),
    "train.validate_every": (1, _MANY),
    "train.threads": (0, 4096),
    "train.refit_batches": (1, _MANY),
    "train.refit_teachers": (0, 64),
    "train.reader_batches": (0, _MANY),
    "train.piece_clips": (0, _MANY),
    "train.ema": (0, 0.999999),
    "train.patience": (0, _MANY),
}

_Section = TypeVar("_Section", SourceConfig, RecipeConfig)


def _fits(value: Any, default: Any) -> bool:
    """Whether a TOML value has the type of a field's default; whole numbers pass for floats and back."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int):
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and len(value) == len(default)
    return isinstance(value, type(default))


def _generators(value: Any) -> dict[str, float]:
    if isinstance(value, list | tuple):
        value = dict.fromkeys(value, 1.0)
    good = isinstance(value, dict) and value and all(isinstance(name, str) for name in value)
    if not good or any(isinstance(w, bool) or not isinstance(w, int | float) or w < 0 for w in value.values()):
        raise InputError(f'config: data.generators = {value!r} must be {{ warp = 1.0, ... }} or ["warp", ...]')
    return {name: float(weight) for name, weight in value.items()}


def _section(cls: type[_Section], name: str, values: dict[str, Any]) -> _Section:
    fields = {item.name: item for item in dataclasses.fields(cls)}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, list(fields), n=1)
            raise InputError(f"config: unknown key {name}.{key}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if key == "generators":
            values = {**values, key: _generators(value)}
            continue
        default = fields[key].default
        if not _fits(value, default):
            raise InputError(f"config: {name}.{key} = {value!r} must be {type(default).__name__}")
        if isinstance(default, int) and isinstance(value, float):
            values = {**values, key: int(value)}
        low, high = _RANGES.get(f"{name}.{key}", (None, None))
        if low is not None and not low <= value <= high:
            raise InputError(f"config: {name}.{key} = {value!r} must lie in {low:g} .. {high:g}")
    if "betas" in values:
        if not all(type(beta) in (int, float) and 0 <= beta < 1 for beta in values["betas"]):
            raise InputError(f"config: {name}.betas = {values['betas']!r} must be two numbers in [0, 1)")
        values = {**values, "betas": tuple(values["betas"])}
    return cls(**values)


def config_from_dict(values: dict[str, Any]) -> TrainConfig:
    """Build a config from nested plain values. Raises InputError on unknown sections and keys, with a suggestion."""
    for section, keys in values.items():
        if section in ("model", "data", "train") and not isinstance(keys, dict):
            raise InputError(f"config: {section} = {keys!r} must be a section, [{section}]")
    unknown = sorted(set(values) - {"model", "data", "train"})
    if unknown:
        near = difflib.get_close_matches(unknown[0], ["model", "data", "train"], n=1)
        hint = f"; did you mean [{near[0]}]?" if near else "; sections are [model], [data], [train]"
        raise InputError(f"config: unknown section [{unknown[0]}]{hint}")
    model = dict(values.get("model", {}))
    preset = model.pop("preset", "paper")
    if preset not in PRESETS:
        raise InputError(f"config: model.preset = {preset!r}; choose one of {', '.join(PRESETS)}")
    return TrainConfig(
        model=ModelConfig.from_dict({**PRESETS[preset].to_dict(), **model}),
        data=_section(SourceConfig, "data", values.get("data", {})),
        train=_section(RecipeConfig, "train", values.get("train", {})),
    )


def read_experiment(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Nested values of a TOML experiment, laid over those of the file that its ``base`` names.

    Raises InputError on an unreadable file, bad TOML, or bases in a circle; keys are not looked at.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as a TOML experiment: {error}; see experiments/ for examples"
        ) from error
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise InputError(f"{path}: base = {base!r} must be the name of another experiment file")
    below = (path.parent / base).resolve()
    if below in (*above, path.resolve()):
        raise InputError(f"{path}: base = {base!r} leads back to this file; break the circle")
    out = read_experiment(below, (*above, path.resolve()))
    for section, keys in values.items():
        if isinstance(keys, dict) and isinstance(out.get(section), dict):
            # Another preset starts from its own fields; a base's fields would silently change it.
            kept = {} if section == "model" and "preset" in keys else out[section]
            out[section] = {**kept, **keys}
        else:
            out[section] = keys
    return out


def load_config(path: str | Path, overrides: tuple[str, ...] = ()) -> TrainConfig:
    """Read a TOML experiment.

    Parameters
    ----------
    path : TOML file; relative paths in it (motion, portraits) are taken from the working directory. A top-level
        ``base = "other.toml"`` (relative to the file) gives what the file does not say itself, key by key.
    overrides : ``section.key=value`` strings, value in TOML syntax (bare words count as strings).

    Raises
    ------
    InputError
        Unreadable file, bad TOML, bases in a circle, unknown key (with a suggestion) or a value of the wrong type.
    """
    values = read_experiment(Path(path))
    for override in overrides:
        name, sign, text = override.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (sign and dot and key):
            raise InputError(f"--set {override!r}: write it as section.key=value, for example train.lr=0.002")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        values.setdefault(section, {})[key] = value
    return config_from_dict(values)
