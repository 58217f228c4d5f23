"""The data of a reproduction: simulated people, or a labelled data set packed into a frame store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whodrives.avatars.dataset import make_dataset
from whodrives.avatars.simulation import SETTINGS, Simulation
from whodrives.data.layouts import list_dataset
from whodrives.data.manifest import read_manifest
from whodrives.data.record import ORIGINAL, Record
from whodrives.data.store import FrameStore
from whodrives.data.store_layout import HEADER
from whodrives.data.store_pack import PackProgress, pack
from whodrives.errors import InputError
from whodrives.evaluation.readers import FileReader, Reader, StoreReader
from whodrives.video.contract import PreprocessingContract

GENERATORS = ("warp", "mesh", "keypoint")
# Long enough for 64 frames at 12.5 frames/s or 128 at 25.
SECONDS = 5.2

Open = Callable[[PreprocessingContract, int], Reader]


@dataclass(frozen=True)
class Material:
    """What rows are trained and tested on.

    kind : ``simulated``, or the layout of a labelled data set. description : one line for reports. settings : values of
    an experiment's ``[data]``. generators : that a matrix goes over. test : gives a reader of the test videos for a
    contract and a clip length. frozen : the same of twins without motion, None where there are none. records : of the
    test videos.
    """

    kind: str
    description: str
    settings: dict[str, Any]
    generators: tuple[str, ...]
    test: Open
    frozen: Open | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()

    def only(self, generator: str) -> dict[str, Any]:
        """`settings` for training on one generator."""
        key, value = ("store_generators", generator) if self.is_stored else ("generators", [generator])
        return {**self.settings, key: value}

    @property
    def is_stored(self) -> bool:
        """Whether training reads a frame store; otherwise it renders."""
        return "store" in self.settings

    @property
    def heading(self) -> str:
        """The kind as it stands in headings: "simulated", "NVFAIR"."""
        return {"nvfair": "NVFAIR", "avaprintdb": "AVAPrintDB"}.get(self.kind, self.kind)


def simulated(
    root: Path,
    motion: str = "",
    portraits: str = "",
    drivers: int = 20,
    targets: int = 20,
    clips: int = 4,
    seconds: float = SECONDS,
    seed: int = 0,
    workers: int = 1,
    frozen: bool = True,
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> Material:
    """Train on avatars rendered on the fly, test on H.264 files of other people and faces, rendered into `root`.

    Parameters
    ----------
    root : folder for the test videos. motion, portraits : as in ``[data]``; empty: built-in drivers, drawn faces.
    drivers, targets, clips, seconds, seed : of the test set (`simulation.Simulation`); one clip of a driver on each
        other's face, all on its own. workers : processes. frozen : also render every video with its track replaced by
        the neutral, for the control. advance(done, total) : called once a video.

    Raises
    ------
    InputError, RenderError
        The motion or the portraits do not have so many test people, or a video cannot be rendered.
    """
    common: dict[str, Any] = {
        "drivers": drivers,
        "targets": targets,
        "clips": clips,
        "cross_clips": 1,
        "seconds": seconds,
        "seed": seed,
        "motion": motion or None,
        "portraits": portraits or None,
        "generators": GENERATORS,
        "fps": "24-30",
        "size": 128,
        "split": "test",
    }
    readers: list[Open] = []
    records: dict[str, tuple[Record, ...]] = {}
    for name, neutral in (("test", False), ("frozen", True)):
        if neutral and not frozen:
            continue
        folder = root / name
        run = make_dataset(Simulation(**common, neutral=neutral), folder, workers=workers)
        for done, _ in enumerate(run, 1):
            advance(done, len(run))
        records[name] = tuple(read_manifest(folder))
        readers.append(_files(records[name]))
    settings: dict[str, Any] = {"motion": motion, "portraits": portraits}
    if motion:
        settings["builtin_drivers"] = 0
    if portraits:
        settings["procedural_faces"] = 0
    people = "real people's motion" if motion else "built-in drivers"
    faces = "photographs" if portraits else "drawn faces"
    return Material(
        "simulated",
        f"{drivers} test drivers on {targets} test faces ({people}, {faces}), avatars by {', '.join(GENERATORS)}, "
        f"H.264 at 24-30 frames/s, {seconds:g} s",
        settings,
        GENERATORS,
        readers[0],
        readers[1] if frozen else None,
        {**common, "generators": list(GENERATORS), "motion": bool(motion), "portraits": bool(portraits)},
        records["test"],
    )


def _files(records: Sequence[Record]) -> Open:
    def reader(contract: PreprocessingContract, length: int) -> Reader:
        return FileReader(records, contract, length)

    return reader


def labelled(
    root: Path,
    data: Path,
    layout: str = "auto",
    fps: float | None = None,
    workers: int = 1,
    include_originals: bool = False,
    advance: Callable[[int, int], object] = lambda done, total: None,
    **options: Any,
) -> Material:
    """Train and test on a data set with splits train, val and test, packed into ``root/store`` first.

    Parameters
    ----------
    data : root of the data set, or a frame store. layout, options : as for `list_dataset` (splits, metadata, frames).
    fps : frames/s of the store; None: every source frame, as the paper does. include_originals : test on them as well.

    Raises
    ------
    LayoutError, StoreError
        The data set or the store cannot be read. InputError : a split is missing.
    """
    store_folder = data if (data / HEADER).is_file() else root / "store"
    kind = "data"
    if store_folder != data:
        listing = list_dataset(data, layout, strict=False, **options)
        kind = "simulated" if (data / SETTINGS).is_file() else listing.layout
        base = data if data.is_dir() else data.parent

        def told(progress: PackProgress) -> None:
            advance(progress.done, progress.total)

        contract = PreprocessingContract(fps=fps)
        pack(listing.records, store_folder, contract=contract, workers=workers, root=base, progress=told)
    store = FrameStore.open(store_folder)
    splits = {record.split for record in store.records}
    if not {"train", "val", "test"} <= splits:
        have = ", ".join(sorted(splits)) or "none"
        raise InputError(f"{data}: needs the splits train, val and test, has {have}; give --splits FILE")
    numbers = [
        number
        for number in store.select(split="test").tolist()
        if include_originals or store.records[number].generator != ORIGINAL
    ]

    def reader(contract: PreprocessingContract, length: int) -> Reader:
        return StoreReader(store, numbers, contract, length)

    names = _names(store.records)
    rate = "every source frame" if store.contract.fps is None else f"{store.contract.fps:g} frames/s"
    return Material(
        kind,
        f"{kind}: {len(numbers)} test videos of {len(store)}, {rate}",
        {"store": str(store_folder)},
        names,
        reader,
        facts={"videos": len(store), "fps": store.contract.fps},
        records=tuple(store.records[number] for number in numbers),
    )


def _names(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(sorted({record.generator for record in records} - {ORIGINAL}))
