"""How many drivers and clips of one's own does fine-tuning take? Measured on people the weights have not seen.

    python benchmarks/finetune.py --motion SHARED/motion/mu3d.parquet --portraits SHARED/portraits/cremad \
        [--init bundled] [--generator mesh] [--drivers 2,4,8] [--clips 2,8] [--steps 30] [--seed 0]

The 12 validation people stand for a user's own drivers. Of N of them, the first two recordings are fine-tuned on, K
windows of each at fixed places, on half of the validation faces, through one generator. Scored are windows of their
OTHER two recordings (`own`) and of all recordings of the people left over (`others`) on the other half of the faces:
AUC over pairs of different recordings on different faces, before and after. Both groups are small; the interval is over
people. N = 12 leaves nobody over.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whodrives.avatars.driver_clips import DriverClips
from whodrives.avatars.faces import Face, load_portraits
from whodrives.avatars.generator import load_generator
from whodrives.avatars.motion.tables import load_table
from whodrives.avatars.nuisance import sample_nuisance
from whodrives.avatars.tracks import MotionTrack
from whodrives.evaluation.intervals import pairs_interval
from whodrives.evaluation.protocols import cosines, recording_pairs
from whodrives.models import FingerprintModel
from whodrives.training.config import TrainConfig, config_from_dict
from whodrives.training.source import Batch, LabelledClips
from whodrives.training.trainer import Trainer
from whodrives.training.validation import embed_clips
from whodrives.training.weights import load_weights

LENGTH, FPS, TEST_WINDOWS, TEST_FACES = 64, 25.0, 3, 2


class Renderer:
    """Windows of real people on faces, through one generator."""

    def __init__(self, generator: str, faces: list[Face], seed: int) -> None:
        self.generator = load_generator(generator)
        self.rigs = [self.generator.rig(face, 128) for face in faces]
        self.names = [face.name for face in faces]
        self.rng = np.random.default_rng(seed)

    def __call__(self, clips: DriverClips, recording: int, start: int, face: int) -> Tensor:
        """uint8 (T, 1, 128, 128)."""
        motion = torch.from_numpy(clips.controls(recording, start, LENGTH).copy())[None]
        with torch.no_grad():
            made = self.generator.render([self.rigs[face]], motion, [sample_nuisance(self.rng)])[0]
        return (made.clamp(0, 1) * 255).round().to(torch.uint8)


@dataclass
class OwnClips:
    """A finite set of clips as a training source: P drivers x K clips a batch, drawn with replacement by need."""

    frames: Tensor
    driver: np.ndarray
    drivers: list[int]

    def batch(self, step: int, identities: int, samples: int, rows: range | None = None) -> Batch:
        """A function of the step alone."""
        rng = np.random.default_rng([7, step])
        picks = []
        for driver in rng.choice(self.drivers, identities, replace=False):
            own = np.flatnonzero(self.driver == driver)
            picks.extend(rng.choice(own, samples, replace=len(own) < samples))
        chosen = picks if rows is None else [picks[row] for row in rows]
        return Batch(self.frames[chosen], torch.from_numpy(self.driver[chosen]))


def spaced(starts: np.ndarray, count: int) -> np.ndarray:
    """`count` starts, spread evenly."""
    return starts[np.linspace(0, len(starts) - 1, count + 2).astype(int)[1:-1]]


def own_clips(people: list[DriverClips], render: Renderer, clips: int) -> OwnClips:
    """K windows of each of the first two recordings of everybody, each on a face drawn at random."""
    frames, labels = [], []
    for number, person in enumerate(people):
        for recording in range(2):
            for start in spaced(person.starts[recording], clips):
                face = int(render.rng.integers(len(render.rigs)))
                frames.append(render(person, recording, int(start), face))
                labels.append(number)
    return OwnClips(torch.stack(frames), np.array(labels), list(range(len(people))))


def test_clips(people: list[DriverClips], recordings: range, render: Renderer) -> LabelledClips:
    """Windows of some recordings of everybody, on faces drawn at random."""
    frames, rows = [], []
    for person in people:
        for recording in recordings:
            for start in spaced(person.starts[recording], TEST_WINDOWS):
                for face in render.rng.choice(len(render.rigs), TEST_FACES, replace=False):
                    frames.append(render(person, recording, int(start), int(face)))
                    rows.append((person.name, render.names[face], person.tracks[recording].recording, False))
    columns = (np.array(column) for column in zip(*rows, strict=True))
    return LabelledClips(torch.stack(frames), *columns)


def score(model: FingerprintModel, clips: LabelledClips) -> str:
    """AUC over pairs of different recordings on different faces, with its interval over people."""
    vectors = embed_clips(model, clips.frames)
    pairs = recording_pairs(cosines(vectors), clips.driver, clips.target, clips.recording, faces="different")
    return str(pairs_interval(pairs))


def recipe(model: dict[str, object], steps: int, seed: int, identities: int) -> TrainConfig:
    """A short, careful run: a fifth of the usual learning rate, no warm start of the optimiser."""
    train = {"identities": identities, "samples": 4, "epochs": 1, "steps_per_epoch": steps, "warmup_epochs": 0.1,
             "lr": 2e-4, "temperature": 0.1, "cross_entropy_weight": 1.0, "seed": seed, "prefetch": False}  # fmt: skip
    return config_from_dict({"model": model, "train": train})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--init", default="bundled")
    parser.add_argument("--generator", default="mesh")
    parser.add_argument("--drivers", default="2,4,8")
    parser.add_argument("--clips", default="2,8")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    by_person: dict[str, list[MotionTrack]] = {}
    for track in load_table(arguments.motion, split="val"):
        by_person.setdefault(track.driver, []).append(track)
    people = [DriverClips(tracks, FPS, LENGTH) for _, tracks in sorted(by_person.items())]
    people = [person for person in people if len(person) >= 4]
    order = np.random.default_rng(arguments.seed).permutation(len(people))
    people = [people[place] for place in order]
    faces = load_portraits(arguments.portraits, split="val")
    learn = Renderer(arguments.generator, faces[::2], arguments.seed)
    judge = Renderer(arguments.generator, faces[1::2], arguments.seed + 1)
    base = load_weights(arguments.init)
    print(f"{len(people)} people, generator {arguments.generator}, {arguments.steps} steps, seed {arguments.seed}")
    for count in (int(word) for word in arguments.drivers.split(",")):
        own = test_clips(people[:count], range(2, 4), judge)
        others = test_clips(people[count:], range(4), judge) if count < len(people) - 1 else None

        def tell(name: str, model: FingerprintModel, own: LabelledClips, others: LabelledClips | None) -> None:
            rest = "" if others is None else f"   others {score(model, others)}"
            print(f"{name:32s} own {score(model, own)}{rest}", flush=True)

        tell(f"{count} drivers, before", base.model, own, others)
        for clips in (int(word) for word in arguments.clips.split(",")):
            source = own_clips(people[:count], learn, clips)
            settings = recipe(base.model.config.to_dict(), arguments.steps, arguments.seed, min(count, 4))
            with tempfile.TemporaryDirectory() as folder:
                trainer = Trainer(settings, source, own, Path(folder))
                trainer.start_from(arguments.init)
                for _ in range(arguments.steps):
                    trainer.train_step()
                tell(f"{count} drivers, {2 * clips} clips each", trainer.model.eval(), own, others)
    return 0


if __name__ == "__main__":
    sys.exit(main())
