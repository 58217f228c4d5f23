"""Avatar videos straight into tensors: batches for training and benchmarks, without files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from whodrives.avatars.allocator import keep_large_blocks
from whodrives.avatars.driver_clips import DriverClips, shown_frames
from whodrives.avatars.encode import through_codec
from whodrives.avatars.faces import Face
from whodrives.avatars.generator import Generator, load_generator
from whodrives.avatars.nuisance import Nuisance, sample_nuisance
from whodrives.avatars.plan import draw_rate, parse_rate
from whodrives.avatars.tracks import CHANNELS, MotionTrack
from whodrives.errors import InputError


@dataclass(frozen=True)
class AvatarBatch:
    """One batch of N = identities x samples clips, a driver's clips together.

    Parameters
    ----------
    frames : float32 (N, T, 1, S, S) grey in 0..1.
    driver, recording, target, generator : int64 (N,) places in `OnlineAvatars.drivers`, that driver's recordings,
        `OnlineAvatars.faces` and `OnlineAvatars.generators`.
    motion : float32 (N, T, 33), the controls that each frame shows, in the order of `CHANNELS`.
    """

    frames: Tensor
    driver: Tensor
    recording: Tensor
    target: Tensor
    generator: Tensor
    motion: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> AvatarBatch:
        """The same batch on another device."""
        values = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return AvatarBatch(**values)

    def pin_memory(self) -> AvatarBatch:
        """In page-locked memory; a DataLoader with pin_memory=True calls this."""
        return AvatarBatch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


class OnlineAvatars(IterableDataset[AvatarBatch]):
    """Endless batches of P drivers x K clips, every clip on a face and through a generator drawn without looking at it.

    Batch i is a function of (seed, i) alone. With W DataLoader workers, worker w makes i = w, w + W, ...: the loader
    takes turns, so the sequence is the same for every W (bit for bit where every process computes with as many threads;
    loader workers use one). Use `DataLoader(source, batch_size=None, num_workers=W)`.

    Parameters
    ----------
    drivers : tracks of each driver; those without a usable window are left out.
    faces : targets. face_weights : how often each is drawn (None: alike).
    generators : names, or name -> weight; `extra` gives generators that are not built in, by name.
    identities, samples : P and K of a batch. length : T frames a clip. fps : their rate. size : side in pixels, >= 32.
    source_fps : ``"24-30"``: the generator runs at a rate drawn per clip, and of that the nearest frame by time is
        shown, as reading a file at `fps` would do (some frames stand twice or are left out); None: it runs at `fps`.
    codec : through H.264 and back, at the strength that the nuisance draws (size must be even).
    pools : (driver places, weight) of drivers that may share a batch; None: all.
    seed, device : of all draws; where frames are made (``cuda`` only without loader workers).
    batches : length of the sequence, None = endless. first : number of its first batch.
    kept_rigs : prepared faces kept in memory by each process; the least used go first.

    Raises
    ------
    InputError
        No driver, face or generator, too few drivers for a batch, a generator that works on files only, or sizes and
        weights that cannot be.
    """

    def __init__(
        self,
        drivers: Sequence[Sequence[MotionTrack]],
        faces: Sequence[Face],
        *,
        generators: Sequence[str] | Mapping[str, float] = ("warp",),
        identities: int = 8,
        samples: int = 4,
        length: int = 64,
        fps: float = 25.0,
        source_fps: str | float | None = None,
        size: int = 128,
        seed: int = 0,
        device: torch.device | str = "cpu",
        codec: bool = False,
        extra: Mapping[str, Generator[Any]] | None = None,
        face_weights: Sequence[float] | None = None,
        pools: Sequence[tuple[Sequence[int], float]] | None = None,
        batches: int | None = None,
        first: int = 0,
        kept_rigs: int = 256,
    ) -> None:
        super().__init__()
        if identities < 1 or samples < 1 or length < 1 or kept_rigs < 1:
            raise InputError("online avatars: identities, samples, length and kept_rigs must be at least 1")
        if seed < 0:
            raise InputError(f"online avatars: seed {seed} must be 0 or more")
        generators = (generators,) if isinstance(generators, str) else generators
        if codec and size % 2:
            raise InputError(f"online avatars: size {size}: H.264 needs an even side; take {size + 1}")
        self.rate = None if source_fps is None else parse_rate(source_fps)
        self.identities, self.samples, self.length, self.fps = identities, samples, length, float(fps)
        self.size, self.seed, self.device, self.codec = size, seed, torch.device(device), codec
        self.batches, self.first, self.kept_rigs = batches, first, kept_rigs
        usable = [DriverClips(tracks, self.fps, length) for tracks in drivers]
        self.drivers = [driver for driver in usable if len(driver)]
        if pools is not None and len(self.drivers) < len(usable):
            raise InputError("online avatars: with pools every driver needs a usable recording")
        self.faces = list(faces)
        mix = dict(generators) if isinstance(generators, Mapping) else dict.fromkeys(generators, 1.0)
        if not self.drivers or not self.faces or not mix:
            raise InputError(f"online avatars: no driver has {length} usable frames, or there is no face or generator")
        self.generators = {name: (extra or {}).get(name) or load_generator(name) for name in mix}
        for name, generator in self.generators.items():
            if not getattr(generator, "online", True):
                raise InputError(f"generator {name!r} makes files, one call a video; use it with `whodrives simulate`")
        self._mix = _shares(list(mix.values()), "generators")
        self._face_shares = _shares([1.0] * len(self.faces) if face_weights is None else list(face_weights), "faces")
        if len(self._face_shares) != len(self.faces):
            raise InputError(f"online avatars: {len(self.faces)} faces have {len(self._face_shares)} weights")
        self.pools = [list(pool) for pool, _ in pools or [(range(len(self.drivers)), 1.0)]]
        self._pool_shares = _shares([weight for _, weight in pools or [((), 1.0)]], "pools")
        self.pool_weights: list[float] = np.diff(self._pool_shares, prepend=0.0).tolist()
        self.check(identities)
        self._rigs: OrderedDict[tuple[int, int], Any] = OrderedDict()

    def check(self, identities: int) -> None:
        """Raise InputError unless every pool has as many drivers as a batch needs."""
        smallest = min(len(pool) for pool in self.pools)
        if smallest < identities:
            raise InputError(
                f"a batch of {identities} drivers needs as many, but only {smallest} have usable tracks; ask for fewer"
            )

    def __iter__(self) -> Iterator[AvatarBatch]:
        worker = get_worker_info()
        turn, turns = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if worker is not None:
            if self.device.type == "cuda":
                raise InputError("online avatars: a GPU is used by one process; take num_workers=0")
            torch.set_num_threads(1)
            keep_large_blocks()
        number = self.first + turn
        while self.batches is None or number < self.first + self.batches:
            yield self.batch(number)
            number += turns

    def __len__(self) -> int:
        if self.batches is None:
            raise TypeError("this sequence has no end; give batches=")
        return self.batches

    def batch(
        self, number: int, identities: int | None = None, samples: int | None = None, only: range | None = None
    ) -> AvatarBatch:
        """Batch `number`, a function of (seed, number) and of P and K alone (None: those of the source).

        only : clips of it to make, by their place, as one process of several needs; None: all.
        """
        identities, samples = identities or self.identities, samples or self.samples
        self.check(identities)
        rng = np.random.default_rng([self.seed, number])
        pool = self.pools[_pick(rng, self._pool_shares)]
        chosen = rng.choice(pool, identities, replace=False)
        windows = [(int(d), *window) for d in chosen for window in self.drivers[d].draw(rng, samples)]
        faces = [_pick(rng, self._face_shares) for _ in windows]
        kinds = [_pick(rng, self._mix) for _ in windows]
        draws = [draw_nuisance(rng, self.rate or (self.fps, self.fps)) for _ in windows]
        if only is not None:
            windows, faces = [windows[place] for place in only], [faces[place] for place in only]
            kinds, draws = [kinds[place] for place in only], [draws[place] for place in only]
        frames = torch.empty(len(windows), self.length, 1, self.size, self.size, device=self.device)
        motion = torch.empty(len(windows), self.length, len(CHANNELS), device=self.device)
        for kind in sorted(set(kinds)):
            rows = [row for row, one in enumerate(kinds) if one == kind]
            self._render(frames, motion, rows, kind, windows, faces, draws)
        columns = (*zip(*((d, r) for d, r, _ in windows), strict=True), faces, kinds)
        driver, recording, target, generator = (torch.tensor(c, device=self.device) for c in columns)
        return AvatarBatch(frames, driver, recording, target, generator, motion)

    def _rig(self, kind: int, face: int) -> Any:
        key = (kind, face)
        if key not in self._rigs:
            while len(self._rigs) >= self.kept_rigs:
                self._rigs.popitem(last=False)
            generator = list(self.generators.values())[kind]
            self._rigs[key] = generator.rig(self.faces[face], self.size, self.device)
        self._rigs.move_to_end(key)
        return self._rigs[key]

    def _render(
        self,
        out: Tensor,
        told: Tensor,
        rows: Sequence[int],
        kind: int,
        windows: Sequence[tuple[int, int, int]],
        faces: Sequence[int],
        draws: Sequence[Nuisance],
    ) -> None:
        """Render the clips `rows` of a batch, all by one generator, into `out`, and tell their controls in `told`."""
        generator = list(self.generators.values())[kind]
        rigs = [self._rig(kind, faces[row]) for row in rows]
        shown = [shown_frames(draws[row].fps, self.fps, self.length) for row in rows]
        # One length for all: spare frames at the end are rendered and not shown.
        longest = max(int(places[-1]) + 1 for places in shown)
        controls = []
        for row in rows:
            driver, recording, start = windows[row]
            controls.append(self.drivers[driver].controls_at(recording, start, longest, draws[row].fps))
        motion = torch.from_numpy(np.stack(controls)).to(self.device)
        with torch.no_grad():
            frames = generator.render(rigs, motion, [draws[row] for row in rows])
        for number, row in enumerate(rows):
            clip = frames[number, : int(shown[number][-1]) + 1]
            if self.codec:
                clip = coded(clip, draws[row])
            places = torch.from_numpy(shown[number]).to(self.device)
            out[row], told[row] = clip[places], motion[number, places]


def _shares(weights: Sequence[float], what: str) -> NDArray[np.float64]:
    """Cumulative shares of weights; InputError unless they are positive or 0 and not all 0."""
    values = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise InputError(f"online avatars: weights of {what} must be 0 or more and not all 0, got {list(weights)}")
    return np.cumsum(values) / values.sum()


def _pick(rng: np.random.Generator, shares: NDArray[np.float64]) -> int:
    return min(int(np.searchsorted(shares, rng.random(), side="right")), len(shares) - 1)


def draw_nuisance(rng: np.random.Generator, rate: tuple[float, float]) -> Nuisance:
    """What is drawn without looking at a clip, its generator's frame rate of a range included."""
    draw = sample_nuisance(rng)
    return replace(draw, fps=draw_rate(rng, rate))


def coded(clip: Tensor, draw: Nuisance) -> Tensor:
    """A clip after H.264 and back, at the rate and strength of its nuisance: (T, 1, S, S) float grey in 0..1, S even.

    Raises InputError for an odd side, as `through_codec`.
    """
    grey = (clip[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
    back = torch.from_numpy(through_codec(grey, draw.fps, draw.crf)).to(clip.device)
    return back[:, None].to(clip.dtype) / 255
