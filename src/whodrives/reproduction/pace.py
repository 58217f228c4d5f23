"""How long a training step would take on this machine, for runs of which nothing was trained yet."""

from __future__ import annotations

import time

import torch

from whodrives.models import build_model
from whodrives.reproduction.runs import Run
from whodrives.training.config import TrainConfig
from whodrives.training.validation import DTYPES

# The sample that is timed: so few clips and frames that ResNet-18 takes seconds on two CPU cores.
CLIPS, FRAMES = 2, 8


class Paces:
    """Seconds a step by timing a small one, once for each backbone.

    Making the clips is left out: it happens beside the training, and takes less.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._known: dict[str, float | None] = {}

    def __call__(self, run: Run) -> float | None:
        """Seconds a step of a run; None where this machine cannot run its network."""
        config = run.config
        backbone = config.model.backbone
        if backbone not in self._known:
            try:
                self._known[backbone] = seconds_a_frame(config, self._device)
            except (RuntimeError, NotImplementedError):  # no such device, not enough memory, no kernel
                self._known[backbone] = None
        pace, recipe = self._known[backbone], config.train
        return None if pace is None else pace * recipe.identities * recipe.samples * config.data.clip_length


def seconds_a_frame(config: TrainConfig, device: torch.device) -> float:
    """Time of a forward and backward pass of the network of `config` per frame, from the second of two steps."""
    threads = torch.get_num_threads()
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    frames = min(FRAMES, config.data.clip_length)
    took = 0.0
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(config.model).train().to(device)
            clips = torch.rand(CLIPS, frames, 1, 128, 128).to(device)
            precision = config.train.precision
            for _ in range(2):
                begun = time.perf_counter()
                with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
                    embeddings = model(clips)
                embeddings.float().square().sum().backward()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                took = time.perf_counter() - begun
    finally:
        torch.set_num_threads(threads)
    return took / (CLIPS * frames)
