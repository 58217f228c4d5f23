"""One step in pieces against the whole batch: gradients, running statistics, memory."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from flicker import FlickerSource, clips, config
from torch import Tensor, nn

from whodrives.models import FingerprintModel, ModelConfig, build_model
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.training.loss import supervised_contrastive
from whodrives.training.step import OneUpdate, backward_cached, backward_whole, step_seed
from whodrives.training.trainer import Trainer

# neighbours=1 below: which positions are nearest can turn on the last bit, and so on the size of a batch.
FRAMES = torch.rand(6, 3, 1, 128, 128, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def loss(embeddings: Tensor) -> Tensor:
    return supervised_contrastive(embeddings, LABELS)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def frozen_norms(model: FingerprintModel) -> FingerprintModel:
    """Every BatchNorm in evaluation mode, after it has seen some clips."""
    with torch.no_grad():
        for _ in range(30):
            model(FRAMES)
    for module in model.modules():
        if isinstance(module, FrameBatchNorm | nn.BatchNorm3d):
            module.eval()
    return model


def run(model: nn.Module, piece: int | None) -> tuple[float, dict[str, Tensor]]:
    arguments = (model, FRAMES, model, loss, lambda value: value, lambda number: 7)
    value = backward_whole(*arguments) if piece is None else backward_cached(*arguments, piece)
    return float(value), gradients(model)


def assert_close(some: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    """Each gradient within 2% and all together within 0.1% in norm: float32 sums of opposite signs leave as much."""
    assert some.keys() == others.keys()
    total = float(torch.stack([g.norm() for g in others.values()]).norm())
    off = {key: float((some[key] - gradient).norm()) for key, gradient in others.items()}
    for key, gradient in others.items():
        assert off[key] <= 2e-2 * float(gradient.norm()) + 1e-6 * total, key
    assert sum(value**2 for value in off.values()) ** 0.5 <= 1e-3 * total


@pytest.mark.parametrize("piece", [1, 2, 4])
def test_pieces_equal_the_whole_batch_when_clips_do_not_meet(piece: int) -> None:
    torch.manual_seed(0)
    model = frozen_norms(build_model(ModelConfig(dropout=0.0, neighbours=1)).train())
    whole = run(copy.deepcopy(model), None)
    parts = run(copy.deepcopy(model), piece)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    assert_close(parts[1], whole[1])


@pytest.mark.parametrize("batchnorm", ["flattened", "per_frame_step"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_pieces_are_ghost_batches(batchnorm: str, dropout: float) -> None:
    """With BatchNorm in training: the same as keeping every piece's graph, dropout replayed."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(dropout=dropout, batchnorm=batchnorm, neighbours=1)).train()
    reference = copy.deepcopy(model)
    states = []
    embeddings = []
    before = {name: b.clone() for name, b in reference.named_buffers()}
    for part in FRAMES.split(2):
        for module in reference.modules():  # new buffers: the graph still holds the old ones
            for name, buffer in module._buffers.items():
                module._buffers[name] = buffer.clone()
        reference.load_state_dict(before, strict=False)
        torch.manual_seed(7)
        embeddings.append(reference(part))
        states.append({name: b.clone() for name, b in reference.named_buffers()})
    expected = loss(torch.cat(embeddings))
    expected.backward()
    value, found = run(model, 2)
    assert value == pytest.approx(float(expected.detach()), rel=1e-5)
    assert_close(found, gradients(reference))
    for name, buffer in model.named_buffers():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        assert torch.allclose(buffer.double(), mean, rtol=1e-5, atol=1e-6), name
        if name.endswith("num_batches_tracked"):
            assert buffer == states[0][name]


def test_statistics_move_once_however_often_they_are_used() -> None:
    norm = FrameBatchNorm(2, False).train()
    x = torch.rand(4, 2, 3, 3)
    once = copy.deepcopy(norm)
    once(x)
    update = OneUpdate(norm)
    with update.collect():
        norm(x)
    norm(x)  # a recomputation
    update.close()
    for a, b in zip(norm.buffers(), once.buffers(), strict=True):
        assert torch.equal(a, b)


def test_seeds_of_steps_processes_and_pieces_differ() -> None:
    seeds = {step_seed(1, step, rank, piece) for step in range(5) for rank in range(3) for piece in range(3)}
    assert len(seeds) == 45
    assert step_seed(1, 2, 0, 1) == step_seed(1, 2, 0, 1)


@pytest.mark.parametrize("model", [{}, {"backbone": "residual"}], ids=str)
def test_recomputing_changes_nothing(model: dict[str, object], tmp_path: Path) -> None:
    plain = Trainer(config(model), FlickerSource(), clips(), tmp_path / "a")
    thrifty = Trainer(config(model, recompute=True), FlickerSource(), clips(), tmp_path / "b")
    assert [plain.train_step() for _ in range(3)] == pytest.approx([thrifty.train_step() for _ in range(3)], rel=1e-3)
    for (name, a), b in zip(plain.model.named_buffers(), thrifty.model.buffers(), strict=True):
        assert torch.allclose(a.float(), b.float(), rtol=1e-2, atol=1e-3), name


def test_pieces_in_the_trainer(tmp_path: Path) -> None:
    trainer = Trainer(config(piece_clips=2), FlickerSource(), clips(), tmp_path)
    assert np.isfinite([trainer.train_step() for _ in range(2)]).all()
    assert int(trainer.model.head.blocks[0].norm.num_batches_tracked) == 2


# Not ru_maxrss: on Linux a child inherits the peak of the process that started it.
MEMORY = """
import sys, torch
from whodrives.models import build_model
from whodrives.training.loss import supervised_contrastive
from whodrives.training.step import backward_cached, backward_whole
torch.set_num_threads(1)
model = build_model("paper").train()
frames = torch.rand(16, 8, 1, 128, 128)
labels = torch.arange(16) // 2
arguments = (model, frames, model, lambda e: supervised_contrastive(e, labels), lambda v: v, lambda n: 1)
model(frames[:2])
def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak()
backward_whole(*arguments) if sys.argv[1] == "whole" else backward_cached(*arguments, 2)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
def test_pieces_need_less_memory() -> None:
    used = {}
    for way in ("whole", "pieces"):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, way], capture_output=True, text=True, check=True, timeout=300
        )
        used[way] = int(done.stdout)
    assert used["pieces"] < 0.4 * used["whole"], used


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiling_changes_rounding_only(tmp_path: Path) -> None:
    """With dropout off: compiled code draws its dropout from another stream."""
    still = {"dropout": 0.0}
    plain = Trainer(config(still), FlickerSource(), clips(), tmp_path / "a")
    fast = Trainer(config(still, compile=True), FlickerSource(), clips(), tmp_path / "b")
    assert [fast.train_step() for _ in range(2)] == pytest.approx([plain.train_step() for _ in range(2)], rel=1e-4)
