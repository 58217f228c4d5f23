"""The training loop: contrastive learning of drivers from clips rendered on the fly (paper Sec. IV-B)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from whodrives.errors import InputError, WhodrivesError
from whodrives.evaluation.protocols import different_recordings, per_target_auc
from whodrives.models import FingerprintModel, build_model
from whodrives.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from whodrives.training.config import TrainConfig
from whodrives.training.loss import driver_cross_entropy, supervised_contrastive
from whodrives.training.schedule import learning_rate_factor
from whodrives.training.source import Batch, LabelledClips

# Settings that a resumed run may change: how long it goes on and how it works, not what it learns from.
FREE_KEYS = {"train.epochs", "train.validate_every", "train.checkpoint_seconds", "train.threads", "train.prefetch"}
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingError(WhodrivesError):
    """Training cannot go on."""


class ClipSource(Protocol):
    """What the trainer needs: the batch of a step, and the list of training drivers."""

    drivers: list[Any]

    def batch(self, step: int, identities: int, samples: int) -> Batch:
        """Clips and driver numbers of one optimiser step; a function of the step alone."""


@dataclass(frozen=True)
class Progress:
    """What a progress display needs after each step. Rates are clips/s since the start of this process."""

    step: int
    total: int
    loss: float
    auc: float
    clips_per_second: float


class Prototypes(nn.Module):
    """One learned direction a training driver, for the auxiliary cross-entropy."""

    def __init__(self, drivers: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(drivers, dim))


@torch.inference_mode()
def embed_clips(model: FingerprintModel, frames: Tensor, batch_size: int = 8, precision: str = "bf16") -> np.ndarray:
    """frames (N, T, 1, 128, 128) uint8 or float -> (N, D) float32 unit rows; the model is left in its mode."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    out = []
    with torch.autocast(device.type, _DTYPES[precision], enabled=precision != "fp32"):
        for start in range(0, len(frames), batch_size):
            out.append(model(frames[start : start + batch_size].to(device)).float().cpu())
    model.train(training)
    return torch.cat(out).numpy()


def evaluate_clips(model: FingerprintModel, clips: LabelledClips, precision: str = "bf16") -> dict[str, float]:
    """AUC of labelled clips: ``pair`` (different recordings AND faces) and ``target`` (per-target mean).

    Each validation driver is shown on a few faces only: pairs that share a face would let appearance pass for driver.
    """
    vectors = embed_clips(model, clips.frames, precision=precision)
    pair = different_recordings(vectors, clips.driver, clips.target, clips.recording, faces="different")
    target = per_target_auc(vectors, clips.target, clips.is_self)
    return {"pair": pair.auc, "target": target.auc}


def stage(steps: int, config: dict[str, Any]) -> dict[str, Any]:
    """One stage of a training history: optimiser steps, clips seen, and the whole configuration."""
    clips = steps * config["train"]["identities"] * config["train"]["samples"]
    return {"steps": steps, "clips": clips, "config": config}


def changed_keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """``section.key`` of every setting that differs and that changes what is learned, model first."""
    before, after = (json.loads(json.dumps(values)) for values in (before, after))
    return [
        f"{section}.{key}"
        for section in ("model", "data", "train")
        for key in after[section]
        if f"{section}.{key}" not in FREE_KEYS and before[section].get(key) != after[section][key]
    ]


class Trainer:
    """Runs a `TrainConfig` in `folder`: `log.jsonl`, `last.safetensors` (resume), `best.safetensors`.

    Parameters
    ----------
    config : the experiment. source : where batches come from. validation : fixed clips of other people and faces.
    folder : the run's folder. device : ``cpu`` or ``cuda``.

    On the CPU a resumed run continues bit for bit: each step draws its clips and its dropout from (seed, step).
    """

    def __init__(
        self, config: TrainConfig, source: ClipSource, validation: LabelledClips, folder: Path, device: str = "cpu"
    ) -> None:
        recipe = config.train
        if recipe.precision not in _DTYPES:
            raise InputError(f"config: train.precision = {recipe.precision!r}; choose one of {', '.join(_DTYPES)}")
        if recipe.precision == "fp16" and device == "cpu":
            raise InputError("config: train.precision = 'fp16' needs CUDA; use bf16 or fp32 on the CPU")
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        self.config, self.source, self.validation, self.folder = config, source, validation, folder
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        self.model = build_model(config.model).to(self.device).train()
        self.prototypes = Prototypes(len(source.drivers), config.model.embedding_dim).to(self.device)
        self.parameters = [*self.model.parameters()]
        if recipe.cross_entropy_weight > 0:
            self.parameters += [*self.prototypes.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.step, self.best, self.auc = 0, -1.0, math.nan
        # What went before step 0 of this run, for the card: stages of other runs, and refits of the head.
        self.history: list[dict[str, Any]] = []
        # torch's thread count is a setting of each thread, so the renderer's has to be set in it.
        threads = torch.get_num_threads()
        self._renderer = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,))
        self._pending: tuple[int, Future[Batch]] | None = None

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "prototypes": self.prototypes}

    def resume(self) -> bool:
        """Go on from `last.safetensors` if it is there; False if not. Raises CheckpointError when it is unusable."""
        path = self.folder / "last.safetensors"
        if not path.exists():
            return False
        state = load_checkpoint(path, self._modules, self.optimiser)
        changed = changed_keys(state["config"], self.config.to_dict())
        if changed:
            raise InputError(
                f"{path}: was trained with another {changed[0]}; a checkpoint tells what all its steps saw, so start "
                "another folder with --init, or remove this one"
            )
        self.step, self.best, self.auc = state["step"], state["best"], state["auc"]
        self.history = list(state.get("history", []))
        self.scaler.load_state_dict(state["scaler"])
        return True

    def start_from(self, path: Path) -> None:
        """Take the weights (and the prototypes, when the drivers are as many) of another run's checkpoint.

        Its steps become part of this run's history. Raises CheckpointError when the file is unusable or of another
        architecture.
        """
        try:
            state = load_checkpoint(path, self._modules)
        except CheckpointError:
            state = load_checkpoint(path, {"model": self.model})
        self.history = [*state.get("history", []), stage(state["step"], state["config"])]

    def save(self, name: str = "last") -> None:
        """Write a checkpoint into the run's folder."""
        state = {
            "step": self.step,
            "best": self.best,
            "auc": self.auc,
            "scaler": self.scaler.state_dict(),
            "config": self.config.to_dict(),
            "history": self.history,
        }
        save_checkpoint(self.folder / f"{name}.safetensors", self._modules, self.optimiser, state)

    def train_step(self) -> float:
        """One optimiser step; returns the loss. Raises TrainingError when it is not finite."""
        recipe = self.config.train
        batch = self._next_batch()
        torch.manual_seed((recipe.seed << 32) + self.step)  # dropout repeats exactly after a resume
        warmup = round(recipe.warmup_epochs * recipe.steps_per_epoch)
        factor = learning_rate_factor(self.step, recipe.total_steps, warmup, recipe.lr_floor)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.lr * factor
        dtype = _DTYPES[recipe.precision]
        with torch.autocast(self.device.type, dtype, enabled=recipe.precision != "fp32"):
            embeddings = self.model(batch.frames.to(self.device))
        labels = batch.driver.to(self.device)
        loss = supervised_contrastive(embeddings, labels, recipe.temperature, recipe.loss_reduction)
        if recipe.cross_entropy_weight > 0:
            extra = driver_cross_entropy(embeddings, self.prototypes.weight, labels, recipe.cross_entropy_scale)
            loss = loss + recipe.cross_entropy_weight * extra
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"step {self.step}: loss is {value}; lower train.lr or use precision fp32")
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        return value

    def _next_batch(self) -> Batch:
        """This step's batch; the next one is rendered meanwhile, on a core of its own."""
        recipe, pending = self.config.train, self._pending
        if pending is not None and pending[0] == self.step:
            batch = pending[1].result()
        else:
            batch = self.source.batch(self.step, recipe.identities, recipe.samples)
        if recipe.prefetch and self.step + 1 < recipe.total_steps:
            job = self._renderer.submit(self.source.batch, self.step + 1, recipe.identities, recipe.samples)
            self._pending = (self.step + 1, job)
        return batch

    def validate(self) -> dict[str, float]:
        """AUC on the validation clips; keeps the best weights by pair AUC."""
        result = evaluate_clips(self.model, self.validation, self.config.train.precision)
        self.auc = result["pair"]
        if self.auc > self.best:
            self.best = self.auc
            self.save("best")
        return result

    def run(self, until: int | None = None, on_step: Callable[[Progress], None] | None = None) -> float:
        """Train to the end of the schedule (or to step `until`); returns the best validation pair AUC."""
        recipe = self.config.train
        stop = recipe.total_steps if until is None else min(until, recipe.total_steps)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(self.config.to_dict(), indent=2) + "\n")
        started, first, saved = time.monotonic(), self.step, time.monotonic()
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            while self.step < stop:
                loss = self.train_step()
                elapsed = time.monotonic() - started
                row: dict[str, Any] = {"step": self.step, "loss": round(loss, 5), "seconds": round(elapsed, 1)}
                if self.step % recipe.validate_every == 0 or self.step == stop:
                    row |= {f"val_{name}_auc": round(value, 4) for name, value in self.validate().items()}
                log.write(json.dumps(row) + "\n")
                log.flush()
                if time.monotonic() - saved > recipe.checkpoint_seconds:
                    self.save()
                    saved = time.monotonic()
                if on_step is not None:
                    pace = (self.step - first) / max(elapsed, 1e-9)
                    clips = pace * recipe.identities * recipe.samples
                    on_step(Progress(self.step, stop, loss, self.auc, clips))
            self.save()
        return self.best
