"""What an attacker would look at beside motion: scorers of finished files, and a small network that looks for leaks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.data.record import Record
from whodrives.evaluation.protocols import cosines
from whodrives.video.contract import DEFAULT_CONTRACT
from whodrives.video.frames import load_frames
from whodrives.video.resize import area_weights

Scores = dict[str, NDArray[np.float64]]
SIDE = 64
STEPS, BATCH, WIDTH = 300, 48, 24


@dataclass(frozen=True)
class Looks:
    """What was read from N files: `rows` scorer name -> features (N, F); `pictures` float32 (N, 3, 64, 64)."""

    rows: dict[str, NDArray[np.float32]]
    pictures: NDArray[np.float32]


def look(records: Sequence[Record]) -> Looks:
    """Decode every file once, as the network would see it (128 x 128 luma, 25 fps), and measure it."""
    rows: dict[str, list[NDArray[np.floating]]] = {}
    pictures = []
    small = area_weights(DEFAULT_CONTRACT.size, SIDE)
    for record in records:
        frames = load_frames(record.path).frames.astype(np.float32)
        still, size = frames[len(frames) // 2], record.path.stat().st_size
        change = np.abs(np.diff(frames, axis=0)).mean(axis=0) if len(frames) > 1 else np.zeros_like(still)
        # Eight-pixel blocks are the codec's; what a blur takes away is noise, blocking and ringing.
        rest = still - gaussian_filter(still, 1.0)
        seconds = len(frames) / 25.0
        for name, value in {
            "static frame": still.ravel(),
            "mean frame": frames.mean(axis=0).ravel(),
            "pixel mean": np.array([frames.mean()]),
            "pixel variance": np.array([frames.var()]),
            "flicker": np.array([change.mean()]),
            "flicker map": (small @ change @ small.T).ravel(),
            "residue": np.array([rest.std()]),
            "residue map": (small @ np.abs(rest) @ small.T).ravel(),
            "file size": np.array([float(size)]),
            "bit rate": np.array([8 * size / seconds]),
            "duration": np.array([float(len(frames))]),
        }.items():
            rows.setdefault(name, []).append(value.astype(np.float32))
        layers = (still / 255.0, change / 8.0, np.abs(rest) / 8.0)
        pictures.append(np.stack([small @ layer.astype(np.float32) @ small.T for layer in layers]))
    return Looks({name: np.stack(values) for name, values in rows.items()}, np.stack(pictures).astype(np.float32))


def distances(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, F) -> minus Euclidean distances (N, N); higher = more alike."""
    x = features.astype(np.float64)
    square = (x * x).sum(axis=1)
    return -np.sqrt(np.maximum(square[:, None] + square[None] - 2 * x @ x.T, 0))


def plain_scores(looks: Looks) -> Scores:
    """Scorer -> (N, N), higher = more alike."""
    return {name: distances(values) for name, values in looks.rows.items()}


class LeakFinder(nn.Module):
    """Four convolutions and a pooled 64-d feature: enough for texture, brightness, framing and noise."""

    def __init__(self, people: int) -> None:
        super().__init__()
        widths = (3, WIDTH, 2 * WIDTH, 2 * WIDTH, 64)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        # What a picture is on average survives no normalisation: hand it over as it is.
        self.last = nn.Linear(64 * 2 + 6, 64)
        self.out = nn.Linear(64, people)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, 64, 64) -> (N, 64)."""
        maps = self.body(x)
        plain = torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3)), plain], dim=1)
        return self.last(pooled)

    def forward(self, x: Tensor) -> Tensor:
        """Logits over the people."""
        return self.out(F.relu(self.features(x)))


def hunt(
    pictures: NDArray[np.float32], driver: NDArray, face: NDArray, seed: int = 0
) -> tuple[NDArray, NDArray, float]:
    """Train the leak finder on half of the FACES, with the very people it is to recognise, and score the other half.

    That is the strongest attack: it knows everybody's look from other faces.

    Returns
    -------
    rows : indices of the videos on the other faces. scores : (R, R) cosines of their features. accuracy : share of
        training videos classified rightly at the end, so that a null result of an untrained network is not mistaken
        for none.
    """
    rng = np.random.default_rng([seed, 77])
    faces = rng.permutation(np.unique(face))
    known = np.isin(face, faces[: max(1, len(faces) // 2)])
    torch.manual_seed(seed)
    people, label = np.unique(driver, return_inverse=True)
    x = pictures - pictures[known].mean(axis=0, keepdims=True)
    # Faces differ far more than any leak: take away what a face's videos share.
    for name in np.unique(face):
        x[face == name] -= x[face == name].mean(axis=0, keepdims=True)
    scale = x[known].std(axis=(0, 2, 3), keepdims=True) + 1e-6
    inputs, target = torch.from_numpy(x / scale), torch.from_numpy(label)
    model = LeakFinder(len(people))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS)
    train = np.flatnonzero(known)
    for _ in range(STEPS):
        chosen = torch.from_numpy(rng.choice(train, min(BATCH, len(train)), replace=False))
        optimiser.zero_grad()
        F.cross_entropy(model(inputs[chosen]), target[chosen]).backward()
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        accuracy = float((model(inputs[train]).argmax(dim=1) == target[train]).float().mean())
        rows = np.flatnonzero(~known)
        features = model.features(inputs[rows]).numpy()
    features -= features.mean(axis=0, keepdims=True)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    return rows, cosines(features), accuracy
