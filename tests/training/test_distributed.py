"""Two gloo processes against one: losses, gradients, weights, running statistics."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from flicker import FlickerSource, clips, config

from whodrives.errors import InputError
from whodrives.models.batchnorm import ClipBatchNorm, FrameBatchNorm
from whodrives.training.distributed import World, gather, joined
from whodrives.training.sharednorm import SharedBatchNorm3d, SharedClipBatchNorm, SharedFrameBatchNorm, share_batchnorm
from whodrives.training.source import Batch
from whodrives.training.trainer import Trainer

STEPS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DoubleSource(FlickerSource):
    """The same clips in double precision."""

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        single = super().batch(step, identities, samples, rows)
        return Batch(single.frames.double(), single.driver)


def train(folder: Path, world: World, model: dict[str, object], **recipe: object) -> None:
    """A few steps; the leading process leaves losses, and gradients and statistics of the first step, in `folder`."""
    trainer = Trainer(config({"dropout": 0.0, **model}, **recipe), DoubleSource(), clips(), folder, world)
    # Double precision: single precision rounds differently on every CPU, and that swaps near neighbours in the graph.
    trainer.model.double()
    trainer.prototypes.double()
    losses, first, moved = [], {}, {}
    for _ in range(STEPS):
        losses.append(trainer.train_step())
        if not first:
            named = [*trainer.model.named_parameters(), *trainer.prototypes.named_parameters("prototypes")]
            first = {name: p.grad.clone() for name, p in named if p.grad is not None}
            moved = {name: b.clone() for name, b in trainer.model.named_buffers() if "running" in name}
    if world.leads:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"losses": losses, "gradients": first, "statistics": moved}, folder / "out.pt")


def over_clips(folder: Path, world: World) -> None:
    """BatchNorm over four clips, of which the second process has a single one."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), ClipBatchNorm(5))
    x, weight = torch.randn(4, 4), torch.randn(4, 5)
    rows = [0, 1, 2, 3]
    if world.size > 1:
        share_batchnorm(net)
        rows = [0, 1, 2] if world.leads else [3]
    (net(x[rows]) * weight[rows]).sum().backward()
    for parameter in net.parameters():
        if world.size > 1:
            dist.all_reduce(parameter.grad)
    if world.leads:
        gradients = {name: p.grad for name, p in net.named_parameters()}
        torch.save(gradients | dict(net.named_buffers()), folder / "clips.pt")


def member(rank: int, port: int, folder: Path, jobs: list[tuple[str, dict[str, object], dict[str, object]]]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with joined("cpu") as world:
        for name, model, recipe in jobs:
            train(folder / name, world, model, **recipe)
        over_clips(folder, world)
        dist.barrier()
    if sys.platform == "linux":  # left alive, gloo's threads can abort the process while Python shuts down
        threads = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
        assert not [name for name in threads if "gloo" in name], threads


JOBS: list[tuple[str, dict[str, object], dict[str, object]]] = [
    ("flattened", {}, {}),
    ("per_frame_step", {"batchnorm": "per_frame_step"}, {}),
    ("recompute", {}, {"recompute": True}),
    ("sum", {"representation": "pixel_diff"}, {"loss_reduction": "sum", "cross_entropy_weight": 0.0}),
    ("series head", {"preset": "plus"}, {}),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, object], dict[str, object]]]:
    """Name -> what one process and what two found."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(member, (free_port(), folder / "two", JOBS), nprocs=2)
    out = {}
    for name, model, recipe in JOBS:
        train(folder / "one" / name, World(), model, **recipe)
        out[name] = tuple(torch.load(folder / count / name / "out.pt") for count in ("one", "two"))
    over_clips(folder / "one", World())
    out["over clips"] = tuple(torch.load(folder / count / "clips.pt") for count in ("one", "two"))
    return out


@pytest.mark.parametrize("name", [job[0] for job in JOBS])
def test_two_processes_equal_one(pairs: dict[str, tuple], name: str) -> None:
    one, two = pairs[name]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-6)
    assert one["gradients"].keys() == two["gradients"].keys()
    scale = max(float(g.abs().max()) for g in one["gradients"].values())
    for key, gradient in one["gradients"].items():
        assert torch.allclose(two["gradients"][key], gradient, rtol=1e-8, atol=1e-10 * scale), key
    for key, value in one["statistics"].items():
        assert torch.allclose(two["statistics"][key], value, rtol=1e-8, atol=1e-10), key


def test_batchnorm_over_clips_is_shared(pairs: dict[str, tuple]) -> None:
    one, two = pairs["over clips"]
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(two[name].float(), value.float(), rtol=1e-4, atol=1e-5), name


def test_a_batch_must_be_shared_evenly() -> None:
    assert list(World(1, 2).share(6)) == [3, 4, 5]
    with pytest.raises(InputError, match="cannot be shared"):
        World(0, 4).share(6)


def test_alone_nothing_is_gathered() -> None:
    rows = torch.rand(3, 2)
    assert gather(rows, World()) is rows


def test_sharing_keeps_names_and_parameters() -> None:
    net = torch.nn.Sequential(FrameBatchNorm(4, True), torch.nn.Sequential(torch.nn.BatchNorm3d(2)), ClipBatchNorm(3))
    before, parameters = list(net.state_dict()), list(net.parameters())
    share_batchnorm(net)
    assert isinstance(net[0], SharedFrameBatchNorm)
    assert isinstance(net[1][0], SharedBatchNorm3d)
    assert isinstance(net[2], SharedClipBatchNorm)
    assert list(net.state_dict()) == before
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))


@pytest.mark.slow
def test_torchrun_starts_the_command_line(tmp_path: Path) -> None:
    experiment = tmp_path / "tiny.toml"
    experiment.write_text(
        "[data]\nbuiltin_drivers = 2\nprocedural_faces = 2\nclip_length = 4\n"
        "validation_others = 1\nvalidation_drivers = 2\n"
        '[train]\nidentities = 2\nsamples = 2\nepochs = 1\nsteps_per_epoch = 2\nprecision = "fp32"\nthreads = 1\n'
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port",
               str(free_port()), "-m", "whodrives", "train", str(experiment), "-o", str(tmp_path / "run"), "--device",
               "cpu", "--json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["steps"] == 2
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2
