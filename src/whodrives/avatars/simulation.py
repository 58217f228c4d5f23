"""The settings of a data set: everything that decides its videos, kept beside them as ``simulate.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from whodrives.avatars.cast import Part, cast_drivers, cast_faces, parse_kinds
from whodrives.avatars.external import load_external
from whodrives.avatars.generator import GENERATORS, Generator, load_generator
from whodrives.avatars.plan import LAYOUTS, PlannedVideo, parse_rate, plan_dataset
from whodrives.errors import InputError

SETTINGS = "simulate.json"


@dataclass(frozen=True)
class Simulation:
    """What to render.

    Parameters
    ----------
    drivers, targets, split : how many drivers and faces play, and the split's name (``train``, ``val``, ``test``).
    splits : several splits in one data set, e.g. ``(("train", 40, 40), ("test", 20, 24))`` as (name, drivers, targets);
        replaces the three fields above. Nobody, and no face, plays in two; drivers meet faces of their own split only.
    clips, cross_clips, seed, own_face_seed, seconds, layout, neutral : see `plan.plan_dataset`.
    motion : file or folder with motion (`motion.read`); None: built-in drivers.
    portraits : folder of photos; None: none.
    faces : ``procedural``, ``photos``, ``cg``, or some of them with commas, then taken in turn; empty: photos where
        `portraits` is given, else procedural.
    generators : names of built-in or external ones; every clip on every face goes through all of them.
    external : TOML file that declares external generators (`external.load_external`).
    fps : frames per second, or a range as ``24-30`` of which every video draws its own.
    size : side of the frames in pixels, even.
    codec : crf of all videos, 0..51; None: every video draws its own.
    motion_licence, portrait_licence : terms of `motion` and `portraits`, for the manifest; empty: not stated.

    Raises
    ------
    InputError
        A value that no data set can have.
    """

    drivers: int = 4
    clips: int = 4
    cross_clips: int | None = None
    targets: int = 4
    seed: int = 0
    motion: str | None = None
    portraits: str | None = None
    faces: str = ""
    generators: tuple[str, ...] = ("warp",)
    external: str | None = None
    seconds: float = 5.0
    fps: float | str = "25"
    size: int = 256
    split: str = "test"
    splits: tuple[tuple[str, int, int], ...] = ()
    layout: str = "nvfair"
    neutral: bool = False
    own_face_seed: int | None = None
    codec: int | None = None
    motion_licence: str = ""
    portrait_licence: str = ""

    def __post_init__(self) -> None:
        # One spelling of equal settings, so that they compare equal after a round trip through JSON.
        low, high = parse_rate(self.fps)
        object.__setattr__(self, "fps", f"{low:g}" if low == high else f"{low:g}-{high:g}")
        object.__setattr__(self, "generators", tuple(self.generators))
        object.__setattr__(self, "splits", tuple((str(n), int(d), int(t)) for n, d, t in self.splits))
        object.__setattr__(self, "seconds", float(self.seconds))
        object.__setattr__(self, "faces", self.faces or ("photos" if self.portraits else "procedural"))
        parse_kinds(self.faces)
        names = [part.split for part in self.parts]
        if len(set(names)) != len(names):
            raise InputError(f"splits {', '.join(names)}: each may stand there once")
        if not self.generators or len(set(self.generators)) != len(self.generators):
            raise InputError(f"generators {', '.join(self.generators)!r}: give one or more, each once")
        if self.layout not in LAYOUTS:
            raise InputError(f"unknown layout {self.layout!r}; there are {', '.join(LAYOUTS)}")
        if self.size < 64 or self.size % 2:
            raise InputError(f"size {self.size}: needs an even number of pixels, 64 or more; H.264 takes no odd sides")
        if self.clips < 1 or (self.cross_clips is not None and self.cross_clips < 1):
            raise InputError("clips and cross_clips must be at least 1")
        if self.codec is not None and not 0 <= self.codec <= 51:
            raise InputError(f"codec {self.codec}: crf must lie in 0..51")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The splits with their numbers of drivers and targets."""
        return tuple(Part(*one) for one in self.splits or ((self.split, self.drivers, self.targets),))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Simulation:
        """The inverse of `to_dict`.

        Raises
        ------
        InputError
            An unknown setting, or a value of a wrong type.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"settings: unknown {unknown[0]!r}; written by another version of whodrives?")
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise InputError(f"settings: a value has the wrong type ({error})") from error

    def save(self, root: str | Path) -> Path:
        """Write ``simulate.json`` into `root`; returns its path."""
        path = Path(root) / SETTINGS
        partial = path.with_name(f".{path.name}.part")
        partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, root: str | Path) -> Simulation:
        """Settings of the data set in `root`; relative paths in them mean the working directory of then.

        Raises
        ------
        InputError
            No ``simulate.json`` there, or not a valid one.
        """
        path = Path(root) / SETTINGS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); `whodrives simulate` writes it") from error
        if not isinstance(values, dict):
            raise InputError(f"{path}: must be a JSON object")
        try:
            return cls.from_dict(values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def load_generators(self) -> dict[str, Generator[Any]]:
        """The generators by name.

        Raises
        ------
        InputError
            An unknown one; the message lists those there are.
        """
        others = load_external(self.external) if self.external else {}
        unknown = [name for name in self.generators if name not in GENERATORS and name not in others]
        if unknown:
            raise InputError(f"unknown generator {unknown[0]!r}; there are {', '.join([*GENERATORS, *others])}")
        return {name: others.get(name) or load_generator(name) for name in self.generators}

    def plan(self) -> list[PlannedVideo]:
        """All videos, split by split; reads motion and faces.

        Raises
        ------
        InputError
            Motion, portraits or generators cannot be used as asked.
        """
        generators = self.load_generators()
        tracks = cast_drivers(self.parts, self.motion, self.seconds, self.motion_licence)
        faces = cast_faces(self.parts, parse_kinds(self.faces), self.portraits, self.portrait_licence)
        plan: list[PlannedVideo] = []
        for part, own_tracks, own_faces in zip(self.parts, tracks, faces, strict=True):
            plan += plan_dataset(
                own_tracks, own_faces, clips=self.clips, cross_clips=self.cross_clips, seconds=self.seconds,
                fps=self.fps, seed=self.seed, split=part.split, generators=self.generators, layout=self.layout,
                own_face_seed=self.own_face_seed, neutral=self.neutral, crf=self.codec,
            )  # fmt: skip
        licences = {name: getattr(generator, "licence", "") for name, generator in generators.items()}
        return _with_licences(plan, licences)


def _with_licences(plan: Sequence[PlannedVideo], licences: dict[str, str]) -> list[PlannedVideo]:
    """Terms of the generator after those of face and motion."""
    out = []
    for video in plan:
        own = licences[video.generator]
        terms = f"{video.record.licence}; generator: {own}" if own else video.record.licence
        out.append(replace(video, record=replace(video.record, licence=terms)))
    return out
