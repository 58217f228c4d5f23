"""The training loop: contrastive learning of drivers (paper Sec. IV-B), on one process or on many."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.errors import InputError, WhodrivesError
from whodrives.models import FingerprintModel, build_model
from whodrives.models.series_head import SeriesHead
from whodrives.training.checkpoint import CheckpointError, is_checkpoint, load_checkpoint, save_checkpoint
from whodrives.training.config import TrainConfig, config_from_dict
from whodrives.training.distributed import World, agree, average_gradients, gather, require_equal
from whodrives.training.history import changed_keys, stage
from whodrives.training.log import RunLog
from whodrives.training.loss import Prototypes, driver_cross_entropy, supervised_contrastive
from whodrives.training.motion import motion_readout
from whodrives.training.schedule import learning_rate_factor
from whodrives.training.sharednorm import share_batchnorm
from whodrives.training.source import Batch, LabelledClips
from whodrives.training.step import backward_cached, backward_whole, step_seed
from whodrives.training.validation import DTYPES, evaluate_clips, explained_motion
from whodrives.training.weights import is_shipped, load_weights


class TrainingError(WhodrivesError):
    """Training cannot go on."""


class ClipSource(Protocol):
    """What the trainer needs: the batch of a step, and the list of training drivers."""

    drivers: list[Any]

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        """Clips and driver numbers of one optimiser step, a function of the step alone; `rows` of it or all."""


@dataclass(frozen=True)
class Progress:
    """What a progress display needs after each step. Rates are clips/s since the start of this process."""

    step: int
    total: int
    loss: float
    auc: float
    clips_per_second: float


class Trainer:
    """Runs a `TrainConfig` in `folder`: `log.jsonl`, `last.safetensors` (resume), `best.safetensors`.

    Parameters
    ----------
    config : the experiment. source : where batches come from. validation : fixed clips of other people and faces.
    folder : the run's folder. world : this process among those that train together (`distributed.joined`).

    N processes do what one would with the whole batch: each embeds its share of the clips, BatchNorm statistics,
    embeddings and gradients are shared. Only dropout differs (each process draws its own).
    On the CPU a resumed run continues bit for bit: each step draws its clips and its dropout from (seed, step).
    """

    def __init__(
        self,
        config: TrainConfig,
        source: ClipSource,
        validation: LabelledClips,
        folder: Path,
        world: World | None = None,
    ) -> None:
        recipe = config.train
        self.world = world or World()
        self.device = self.world.device
        if recipe.precision not in DTYPES:
            raise InputError(f"config: train.precision = {recipe.precision!r}; choose one of {', '.join(DTYPES)}")
        if recipe.precision == "fp16" and self.device.type == "cpu":
            raise InputError("config: train.precision = 'fp16' needs CUDA; use bf16 or fp32 on the CPU")
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        if self.device.type == "cpu":
            keep_large_blocks(any_size=True)
        if recipe.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
        self.config, self.source, self.validation, self.folder = config, source, validation, folder
        self.rows = self.world.share(recipe.identities * recipe.samples)
        torch.manual_seed(recipe.seed)
        self.model = build_model(config.model)
        self.prototypes = Prototypes(len(source.drivers), config.model.embedding_dim).to(self.device)
        if self.world.size > 1:
            share_batchnorm(self.model)
        self.model.backbone.recompute = recipe.recompute
        self.model = self.model.to(self.device).train()
        if recipe.channels_last:
            self.model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema > 0 else None
        )
        self.embed: Callable[..., Tensor] = torch.compile(self.model) if recipe.compile else self.model
        # A head that is not run is nobody's parameter: weight decay must leave it alone, too.
        learned = self.model if recipe.learns_drivers else self.model.backbone
        self.parameters = [*learned.parameters()]
        if recipe.cross_entropy_weight > 0:
            self.parameters += [*self.prototypes.parameters()]
        self.motion = motion_readout(config, self.model, source, self.device)
        if self.motion is not None:
            # A SeriesHead's own layer is among the model's already.
            known = {id(parameter) for parameter in self.parameters}
            self.parameters += [p for p in self.motion.parameters() if id(p) not in known]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.step, self.best, self.auc = 0, -1.0, math.nan
        # Unexplained share of the motion's variance in the last step, where train.motion_weight asks for it.
        self.motion_error = math.nan
        # Validations since the last gain of train.min_gain, and what was reached then.
        self.stale, self.mark = 0, -1.0
        # What went before step 0 of this run, for the card: stages of other runs, and refits of the head.
        self.history: list[dict[str, Any]] = []
        # torch's thread count is a setting of each thread, so the renderer's has to be set in it.
        threads = torch.get_num_threads()
        self._renderer = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,))
        self._pending: tuple[int, Future[Batch]] | None = None

    @property
    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"model": self.model, "prototypes": self.prototypes}
        if self.motion is not None and not isinstance(self.model.head, SeriesHead):  # whose layer is the model's
            modules["motion"] = self.motion
        return modules if self.average is None else {**modules, "average": self.average}

    @property
    def judged(self) -> FingerprintModel:
        """The network that is validated and shipped: the moving average where there is one."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, FingerprintModel)
        return self.average.module

    def resume(self) -> bool:
        """Go on from `last.safetensors` if it is there; False if not. Raises CheckpointError when it is unusable."""
        path = self.folder / "last.safetensors"
        if not path.exists():
            return False
        state = load_checkpoint(path, {})
        # Through a config: an option that is newer than the checkpoint had its default then.
        before = config_from_dict(state["config"]).to_dict()
        changed = changed_keys(before, self.config.to_dict())
        if changed:
            raise InputError(
                f"{path}: was trained with another {changed[0]}; a checkpoint tells what all its steps saw, so start "
                "another folder with --init, or remove this one"
            )
        load_checkpoint(path, self._modules, self.optimiser)
        self.step, self.best, self.auc = state["step"], state["best"], state["auc"]
        self.stale, self.mark = state.get("stale", 0), state.get("mark", self.best)
        self.history = list(state.get("history", []))
        self.scaler.load_state_dict(state["scaler"])
        return True

    def start_from(self, source: str | Path) -> None:
        """Take the weights of another run: its checkpoint (and prototypes, when the drivers are as many), or a weight
        file such as ``bundled``. What they have been through becomes part of this run's history.

        Raises
        ------
        CheckpointError, WeightsError
            The file is unusable or of another architecture.
        """
        if is_shipped(source) or not is_checkpoint(Path(source)):
            weights = load_weights(source)
            theirs, ours = weights.model.config.to_dict(), self.config.model.to_dict()
            unlike = [f"{key} = {theirs[key]!r}, not {ours[key]!r}" for key in ours if theirs[key] != ours[key]]
            if unlike:
                raise InputError(
                    f"{source}: holds another architecture than [model] of the experiment ({'; '.join(unlike)}); say "
                    "the same there"
                )
            self.model.load_state_dict(weights.model.state_dict())
            self.begin(list(weights.card.get("history", [])))
            return
        path = Path(source)
        try:
            state = load_checkpoint(path, {"model": self.model, "prototypes": self.prototypes})
        except CheckpointError:
            state = load_checkpoint(path, {"model": self.model})
        if decay := config_from_dict(state["config"]).train.ema:
            # What was validated and chosen is the average.
            average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay))
            load_checkpoint(path, {"average": average})
            self.model.load_state_dict(average.module.state_dict())
        self.begin([*state.get("history", []), stage(state["step"], state["config"])])

    def begin(self, history: list[dict[str, Any]]) -> None:
        """Start at step 0 from the weights that the model holds now; `history` tells where they come from."""
        self.history = history
        if self.average is not None:
            self.average.module.load_state_dict(self.model.state_dict())

    def save(self, name: str = "last") -> None:
        """Write a checkpoint into the run's folder (the leading process only)."""
        if not self.world.leads:
            return
        state = {
            "step": self.step,
            "best": self.best,
            "auc": self.auc,
            "stale": self.stale,
            "mark": self.mark,
            "scaler": self.scaler.state_dict(),
            "config": self.config.to_dict(),
            "history": self.history,
        }
        save_checkpoint(self.folder / f"{name}.safetensors", self._modules, self.optimiser, state)

    def train_step(self) -> float:
        """One optimiser step; returns the loss. Raises TrainingError when it is not finite."""
        recipe = self.config.train
        batch = self._next_batch()
        warmup = round(recipe.warmup_epochs * recipe.steps_per_epoch)
        factor = learning_rate_factor(self.step, recipe.total_steps, warmup, recipe.lr_floor)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.lr * factor
        self.optimiser.zero_grad(set_to_none=True)
        labels = gather(batch.driver.to(self.device), self.world)

        aside: list[Tensor] = []

        def embed(clips: Tensor, valid: Tensor | None = None) -> Tensor:
            with torch.autocast(self.device.type, DTYPES[recipe.precision], enabled=recipe.precision != "fp32"):
                if self.motion is None:
                    return self.embed(clips.to(self.device), None if valid is None else valid.to(self.device))
                assert batch.motion is not None
                volume = self.model.represent(clips.to(self.device))
                told = batch.motion.to(self.device)
                changes = self.motion(volume)
                aside.append(torch.stack([self.motion.loss(c, told) for c in (changes, torch.zeros_like(changes))]))
                if not recipe.learns_drivers:
                    return volume.new_zeros(len(volume), 1)
                return self.model.embed_volume(volume)

        def loss(local: Tensor) -> Tensor:
            embeddings = gather(local, self.world)
            value = embeddings.new_zeros(())
            if recipe.contrastive_weight > 0:
                value = supervised_contrastive(embeddings, labels, recipe.temperature, recipe.loss_reduction)
                value = recipe.contrastive_weight * value
            if recipe.cross_entropy_weight > 0:
                extra = driver_cross_entropy(embeddings, self.prototypes.weight, labels, recipe.cross_entropy_scale)
                value = value + recipe.cross_entropy_weight * extra
            if aside:
                error, still = gather(aside[0][None], self.world).mean(dim=0)
                self.motion_error = error.item() / max(still.item(), 1e-12)
                value = value + recipe.motion_weight * error
            # Every process has the same value, so all of them stop here or none.
            if not math.isfinite(value.item()):
                raise TrainingError(f"step {self.step}: loss is {value}; lower train.lr or use precision fp32")
            return value

        def seed(piece: int) -> int:
            return step_seed(recipe.seed, self.step, self.world.rank, piece)

        arguments = (self.model, batch.frames, embed, loss, self.scaler.scale, seed)
        if recipe.piece_clips and len(self.rows) > recipe.piece_clips:
            value = backward_cached(*arguments, recipe.piece_clips, valid=batch.valid)
        else:
            value = backward_whole(*arguments, valid=batch.valid)
        average_gradients(self.parameters, self.world)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return value.item()

    def _next_batch(self) -> Batch:
        """This process's part of this step's batch; the next one is made meanwhile, on a core of its own."""
        recipe, pending = self.config.train, self._pending
        if pending is not None and pending[0] == self.step:
            batch = pending[1].result()
        else:
            batch = self.source.batch(self.step, recipe.identities, recipe.samples, self.rows)
        if recipe.prefetch and self.step + 1 < recipe.total_steps:
            job = self._renderer.submit(self.source.batch, self.step + 1, recipe.identities, recipe.samples, self.rows)
            self._pending = (self.step + 1, job)
        return batch

    def validate(self) -> dict[str, float]:
        """``pair_auc``, ``target_auc`` of the validation clips, or ``motion_r2`` where motion is all that is learned.

        Keeps the best weights by the first of them, which `auc` and `best` then hold. Only the leading process
        computes.
        """
        result: dict[str, float] = {}
        if self.world.leads:
            precision = self.config.train.precision
            if self.config.train.learns_drivers:
                found = evaluate_clips(self.judged, self.validation, precision)
                result = {f"{name}_auc": value for name, value in found.items()}
            else:
                assert self.motion is not None
                result = {"motion_r2": explained_motion(self.judged, self.motion, self.validation, precision)}
        self.auc = agree(next(iter(result.values()), math.nan), self.world)
        better = self.auc > self.best
        self.best = max(self.best, self.auc)
        self.stale += 1
        if self.auc >= self.mark + self.config.train.min_gain:
            self.stale, self.mark = 0, self.auc
        if better:
            self.save("best")
        return result

    @property
    def finished(self) -> bool:
        """The schedule is over, or validation has not gained for train.patience validations."""
        recipe = self.config.train
        return self.step >= recipe.total_steps or 0 < recipe.patience <= self.stale

    def run(self, until: int | None = None, on_step: Callable[[Progress], object] | None = None) -> float:
        """Train to the end of the schedule (or to step `until`); returns the best that `validate` found.

        on_step : told after every step; when it answers True, the run ends there with a checkpoint. Not for several
            processes, which would have to agree.
        """
        recipe = self.config.train
        stop = recipe.total_steps if until is None else min(until, recipe.total_steps)
        log: RunLog | None = None
        weight = sum(p.detach().double().abs().sum().item() for p in self.parameters)
        require_equal([self.step, weight], "step or weights", self.world)
        if self.world.leads:
            log = RunLog(self.folder, self.step, recipe.tensorboard)
            (self.folder / "config.json").write_text(json.dumps(self.config.to_dict(), indent=2) + "\n")
        started, first, saved = time.monotonic(), self.step, time.monotonic()
        try:
            while self.step < stop and not self.finished:
                loss = self.train_step()
                elapsed = time.monotonic() - started
                row: dict[str, Any] = {"step": self.step, "loss": round(loss, 5), "seconds": round(elapsed, 1)}
                if self.motion is not None:
                    row["motion_r2"] = round(1 - self.motion_error, 4)
                # Not where `until` cuts a run: a validation there would count towards patience, and change the run.
                if self.step % recipe.validate_every == 0 or self.step == recipe.total_steps:
                    row |= {f"val_{name}": round(value, 4) for name, value in self.validate().items()}
                if log is not None:
                    log.write(row)
                if time.monotonic() - saved > recipe.checkpoint_seconds:
                    self.save()
                    saved = time.monotonic()
                if on_step is not None:
                    pace = (self.step - first) / max(elapsed, 1e-9)
                    clips = pace * recipe.identities * recipe.samples
                    if on_step(Progress(self.step, stop, loss, self.auc, clips)) is True:
                        break
            if self.step >= recipe.total_steps and math.isnan(self.auc):
                # A run of no steps, whose head was fitted before it began.
                found = {f"val_{name}": round(value, 4) for name, value in self.validate().items()}
                if log is not None:
                    log.write({"step": self.step, **found})
            self.save()
        finally:
            if log is not None:
                log.close()
        return self.best
