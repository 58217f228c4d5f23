"""Trains what is missing, one run after another, until all is done or the time is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from whodrives.data.lock import BusyError, locked
from whodrives.reproduction.runs import Run
from whodrives.training.opening import open_data
from whodrives.training.trainer import Progress, Trainer

# Steps between two looks at the clock; each look may end the run with a checkpoint.
SLICE = 5


@dataclass(frozen=True)
class RunState:
    """Where a run stands. hours : training that is left, 0 when done; None: no pace is known yet."""

    run: Run
    done: bool
    steps: int
    hours: float | None


def work(
    runs: Sequence[Run],
    budget: float | None = None,
    device: str = "cpu",
    on_step: Callable[[Run, Progress], object] = lambda run, step: None,
    clock: Callable[[], float] = time.monotonic,
) -> list[RunState]:
    """Train runs in order; each goes on from its last checkpoint, and a finished one is left alone.

    A run that another process trains is passed over, so that several can share one list.

    Parameters
    ----------
    runs : what tables need, most important first. budget : seconds for all of it, None: no limit. When they are spent,
        the run at hand writes a checkpoint and the rest waits for the next call.

    Returns
    -------
    One state a run, in order.
    """
    begun = clock()
    for run in runs:
        if run.is_done():
            continue
        if budget is not None and clock() - begun >= budget:
            break
        run.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(run.folder):
                _train(run, None if budget is None else budget - (clock() - begun), device, on_step, clock)
        except BusyError:
            continue
    return states(runs)


def _train(
    run: Run,
    seconds: float | None,
    device: str,
    on_step: Callable[[Run, Progress], object],
    clock: Callable[[], float],
) -> None:
    begun = clock()
    source, clips = open_data(run.config, torch.device(device))
    trainer = Trainer(run.config, source, clips, run.folder)
    trainer.resume()

    def told(step: Progress) -> bool:
        on_step(run, step)
        return seconds is not None and step.step % SLICE == 0 and clock() - begun >= seconds

    trainer.run(on_step=told)


def states(runs: Sequence[Run], estimate: Callable[[Run], float | None] = lambda run: None) -> list[RunState]:
    """Where runs stand, with hours estimated from their own pace, else from that of one of the same backbone.

    estimate : seconds a step of a run where neither is known; None: it cannot tell either.
    """
    paces = {run.folder: pace for run in runs if (pace := run.seconds_a_step())}
    known = [(run, paces[run.folder]) for run in runs if run.folder in paces]
    out = []
    for run in runs:
        done, steps = run.is_done(), run.steps_done()
        left = 0 if done else run.config.train.total_steps - steps
        pace = None if done else paces.get(run.folder) or _similar(run, known) or estimate(run)
        out.append(RunState(run, done, steps, 0.0 if done else None if pace is None else left * pace / 3600))
    return out


def _similar(run: Run, known: Sequence[tuple[Run, float]]) -> float | None:
    """Seconds a step by those of another run, in proportion to the frames of a batch.

    None without one of the same backbone: a step of ResNet-18 takes five to eight times as long as one of F5C.
    """
    same = [(other, pace) for other, pace in known if other.config.model.backbone == run.config.model.backbone]
    if not same:
        return None
    other, pace = same[0]
    return pace * _frames(run) / _frames(other)


def _frames(run: Run) -> int:
    recipe = run.config.train
    return recipe.identities * recipe.samples * run.config.data.clip_length
