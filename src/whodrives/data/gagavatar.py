"""GAGAvatar-Benchmark's layout: two folders, target and driver in either order, and ``<driver clip>_<target>.mp4``.

The public description shows target/driver folders while the code that came with it reads driver/target, so the order is
detected: the file name ends with the target, which is one of the two folders. Videos begin with one frame of somebody
else (a note says so). Source: the benchmark's public card (arXiv 2508.00748).
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from pathlib import Path

from whodrives.data.avaprintdb import corpus_of
from whodrives.data.errors import Complain, LayoutError
from whodrives.data.listing import Options, Read
from whodrives.data.nvfair import VIDEO
from whodrives.data.record import Record
from whodrives.data.splits import give_splits
from whodrives.data.takes import take_of
from whodrives.data.tree import folder_prefix, videos_by_folder

GENERATOR = "gagavatar"
ORDERS = ("target/driver", "driver/target")
LOOKS_FOR = "<target>/<driver>/<driver clip>_<target>.mp4, the two folders in either order"
_LOOKED_AT = 64
_CREMAD = re.compile(r"(\d{4})_")
_RAVDESS = re.compile(r"\d\d(?:-\d\d){5}-(\d\d)")

Folder = tuple[tuple[str, ...], list[str]]


def found(root: Path) -> bool:
    """Whether the first videos of a tree follow the rule for names and agree on one order of folders.

    Stricter than `read`: a plain folder of recordings must not be taken for this.
    """
    folders = list(islice(videos_by_folder(root), _LOOKED_AT))
    files = [(parts, name) for parts, names in folders for name in names[:_LOOKED_AT]]
    if not files or any(len(parts) < 2 or not _ends_with(parts, name) for parts, name in files):
        return False
    votes = _votes(folders)
    known = all(corpus_of(_strip(name, parts)[1]) for parts, name in files)
    return known and len(+votes) <= 1


def read(root: Path, options: Options, complain: Complain) -> Read:
    """Records of the tree; `options.order` sets the order of folders where it cannot be detected.

    Raises
    ------
    LayoutError
        Undecidable: some files say target/driver and some driver/target, or names fit both. (Self-reenactments alone,
        whose two folders are equal, need no order.)
    """
    folders = list(videos_by_folder(root))
    if not folders:
        raise LayoutError(
            f"{root}: holds no {VIDEO} files; landmark windows (.npy) alone cannot be used, get the videos"
        )
    order = detect_order(root, folders) if options.order == "auto" else options.order
    if order not in ORDERS:
        raise LayoutError(f"order {order!r}: must be auto or one of {', '.join(ORDERS)}")
    records: list[Record] = []
    notes = [f"folders are {order}" + (" (detected from the names)" if options.order == "auto" else " (as given)")]
    notes.append("GAGAvatar videos begin with one frame of another person: leave the first frame out")
    shared: dict[str, str] = {}
    for parts, names in folders:
        _read_folder(root, parts, names, order, records, shared, complain)
    if options.splits is not None:
        records = give_splits(records, options.splits, notes)
    return Read(records, notes)


def detect_order(root: str | Path, folders: list[Folder]) -> str:
    """``target/driver`` or ``driver/target``, by which folder the names end with; see `read` for the error."""
    votes = _votes(folders)
    leading, trailing = votes[ORDERS[0]], votes[ORDERS[1]]
    if leading and trailing:
        raise LayoutError(
            f"{root}: {leading} files say that folders are {ORDERS[0]} and {trailing} say {ORDERS[1]}; they cannot "
            "both be right. Keep one kind, or give the order"
        )
    # Every video shows its own driver: both folders have one name, and either order gives the same records.
    if leading or trailing or all(parts[-1:] == parts[-2:-1] for parts, _ in folders):
        return ORDERS[0] if leading >= trailing else ORDERS[1]
    example = next(folder for folder in folders if folder[0][-1:] != folder[0][-2:-1])
    raise LayoutError(
        f"{root}: no name tells target from driver: expected <driver clip>_<target>{VIDEO} where exactly one of the "
        f"two folders is the target, but found {'/'.join((*example[0], example[1][0]))}. Rename, or give the order"
    )


def _votes(folders: list[Folder]) -> Counter[str]:
    votes: Counter[str] = Counter()
    for parts, names in folders:
        if len(parts) < 2 or parts[-2] == parts[-1]:
            continue
        first, second = f"_{parts[-2]}", f"_{parts[-1]}"
        for name in names:
            stem = name[:-4]
            leading, trailing = stem.endswith(first), stem.endswith(second)
            # Both: one identity's name ends with the other's; such a name says nothing.
            if leading != trailing:
                votes[ORDERS[0] if leading else ORDERS[1]] += 1
    return votes


def _ends_with(parts: tuple[str, ...], name: str) -> bool:
    return name[:-4].endswith((f"_{parts[-2]}", f"_{parts[-1]}"))


def _strip(name: str, parts: tuple[str, ...]) -> tuple[str, str]:
    """(clip, driver that the clip's name tells or empty) of a file in one of the two folders' identities."""
    stem = name[:-4]
    target = max((part for part in parts[-2:] if stem.endswith(f"_{part}")), key=len, default="")
    clip = stem[: -len(target) - 1]
    return clip, driver_of(clip)


def driver_of(clip: str) -> str:
    """The actor that a source clip's own name tells: CREMA-D ``1001_...`` -> 1001, RAVDESS ``..-07`` -> Actor_07."""
    if match := _CREMAD.match(clip):
        return match[1]
    if match := _RAVDESS.fullmatch(clip):
        return f"Actor_{match[1]}"
    return ""


def _read_folder(
    root: Path,
    parts: tuple[str, ...],
    names: list[str],
    order: str,
    records: list[Record],
    shared: dict[str, str],
    complain: Complain,
) -> None:
    prefix = folder_prefix(root, parts)
    if len(parts) < 2:
        for name in names:
            complain(LayoutError(f"{prefix}{name}: expected two folders, target and driver, above it; move it there"))
        return
    target, driver = parts[-2:] if order == ORDERS[0] else parts[:-3:-1]
    target, driver = shared.setdefault(target, target), shared.setdefault(driver, driver)
    source = corpus_of(target)
    for name in names:
        stem = name[:-4]
        clip = stem.removesuffix(f"_{target}")
        told = driver_of(clip)
        if clip == stem or not clip:
            complain(
                LayoutError(f"{prefix}{name}: must be <driver clip>_{target}{VIDEO} (folders are {order}); rename")
            )
            continue
        if told and told != driver.removeprefix("C"):
            complain(LayoutError(f"{prefix}{name}: is a clip of {told}, but lies in the folder of {driver}; move it"))
            continue
        recording = f"{driver}/{take_of(clip)}"
        records.append(
            Record(
                prefix + name,  # type: ignore[arg-type]  # text until somebody asks for the Path
                driver,
                target,
                GENERATOR,
                source,
                shared.setdefault(recording, recording),
                "",
                driver == target,
            )
        )
