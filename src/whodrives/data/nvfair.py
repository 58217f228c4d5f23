"""NVFAIR's layout: ``<source>/<generator>-generated/<target>/<target>--<clip>--<driver>.mp4`` (Prashnani et al., 2024).

Originals lie under ``originals`` and carry the clip's own name. The layout says nothing of splits; they are given, or
read from ``train_val_test_splits.txt`` beside the folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError, refuse
from whodrives.data.listing import joint_split
from whodrives.data.manifest import NAME as MANIFEST
from whodrives.data.manifest import check_finished, read_manifest
from whodrives.data.nvfair_table import UNKNOWN, PerFile
from whodrives.data.record import ORIGINAL, Record
from whodrives.data.takes import take_of
from whodrives.data.tree import folder_prefix, videos_by_folder

ORIGINALS, SUFFIX, SEPARATOR, VIDEO = "originals", "-generated", "--", ".mp4"


def generator_folder(generator: str) -> str:
    """``facevid2vid`` -> ``facevid2vid-generated``; ``original`` -> ``originals``."""
    return ORIGINALS if generator == ORIGINAL else f"{generator}{SUFFIX}"


def generator_of(folder: str) -> str:
    """The inverse of `generator_folder`; empty for a folder that is neither."""
    if folder == ORIGINALS:
        return ORIGINAL
    return folder[: -len(SUFFIX)] if folder.endswith(SUFFIX) else ""


def video_path(source: str, generator: str, target: str, clip: str, driver: str) -> Path:
    """Relative path of a video in the layout.

    Raises LayoutError when a part is empty or holds a path separator or ``--``, which would be read back wrongly.
    """
    for name, part in {"source": source, "generator": generator, "target": target, "driver": driver}.items():
        if not part or SEPARATOR in part or "/" in part or os.sep in part or part in (".", ".."):
            raise LayoutError(f"{name} {part!r}: must not be empty, nor hold '/' or '{SEPARATOR}'; rename it")
    if not clip or "/" in clip or SEPARATOR in clip:
        raise LayoutError(f"clip {clip!r}: must not be empty, nor hold '/' or '{SEPARATOR}'; rename it")
    name = clip if generator == ORIGINAL else SEPARATOR.join((target, clip, driver))
    return Path(source, generator_folder(generator), target, name + VIDEO)


def split_stem(stem: str, target: str) -> tuple[str, str] | None:
    """(driving clip, driver) of a synthetic video's name without its ending; None when it does not follow the rule.

    The driver is the last ``--`` field, the clip what stands between it and the target (clips may hold ``--``
    themselves). Names of two fields lack the target: ``<clip>--<driver>``.
    """
    fields = stem.split(SEPARATOR)
    count = len(fields)
    if count == 3:
        _, clip, driver = fields
    elif count == 2:
        clip, driver = fields
    elif count > 3 and fields[0] == target:
        clip, driver = SEPARATOR.join(fields[1:-1]), fields[-1]
    else:
        return None
    return (clip, driver) if clip and driver and fields[0] else None


def parse_path(root: str | Path, path: str | Path, splits: Mapping[str, str] | None = None) -> Record:
    """The record of one video file, from its place and name alone; the file is not opened.

    The target is the folder after the generator's, the driver the last ``--`` field (names of two and of three fields
    are both in use), the driving clip what stands before it and after the target. The recording is the driver and
    the clip's take (`take_of`), the same for originals and for renderings under either kind of name.

    Parameters
    ----------
    root : the data set. path : a file in it. splits : identity -> split; a video belongs to a split when driver and
        target both do, else its split is empty.

    Raises
    ------
    LayoutError
        The path does not follow the layout.
    """
    path = Path(path)
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        parts = ()
    (record,) = _records(root, parts[:-1], [path.name], splits or {}, None, refuse, {}, [])
    return record


def list_videos(
    root: str | Path,
    splits: Mapping[str, str] | None = None,
    table: PerFile | None = None,
    complain: Complain = refuse,
    odd: list[str] | None = None,
) -> Iterator[Record]:
    """Records of all ``.mp4`` files of a tree, in path order. No video is opened.

    Where `root` holds a ``manifest.csv`` (`whodrives simulate` writes one), its rows are given instead: names cannot
    say which face is a simulated driver's own, nor which of its clips share a recording.

    Parameters
    ----------
    root, splits : as for `parse_path`. table : terms of each file. complain : what is done with an error about a single
        file; files complained about are left out. odd : filled with files whose name begins with another target than
        their folder says; the folder counts.

    Raises
    ------
    LayoutError
        `root` is no folder, or a video lies or is named against the layout.
    """
    if not os.path.isdir(root):
        raise LayoutError(f"{root}: no such folder; give the root of the NVFAIR tree")
    check_finished(Path(root))
    if (Path(root) / MANIFEST).is_file():
        yield from read_manifest(root)
        return
    shared: dict[str, str] = {}
    for parts, names in videos_by_folder(root):
        yield from _records(root, parts, names, splits or {}, table, complain, shared, [] if odd is None else odd)


def _records(
    root: str | Path,
    parts: tuple[str, ...],
    names: list[str],
    splits: Mapping[str, str],
    table: PerFile | None,
    complain: Complain,
    shared: dict[str, str],
    odd: list[str],
) -> Iterator[Record]:
    """Records of one folder's files. This is the loop that 650,000 files go through: text only, no Path.

    `shared` holds every name once: text cut out of file names is new each time.
    """
    prefix = folder_prefix(root, parts)
    generator = generator_of(parts[1]) if len(parts) == 3 else ""
    if not generator:
        where = f"expected <source>/<generator>{SUFFIX}/<target>/<file>{VIDEO} under {root}; move it there"
        if len(parts) == 3:
            where = f"folder {parts[1]!r} is neither {ORIGINALS!r} nor <generator>{SUFFIX}"
        for name in names:
            complain(LayoutError(f"{prefix}{name}: {where}"))
        return
    source, _, target = parts
    place = "/".join(parts)
    original = generator == ORIGINAL
    split_with: dict[str, str] = {}
    terms = UNKNOWN
    start = target + SEPARATOR
    for name in names:
        stem = name[:-4]
        fields = (stem, target) if original else split_stem(stem, target)
        if fields is None or name[-4:].lower() != VIDEO:
            complain(
                LayoutError(
                    f"{prefix}{name}: the name must be <target>{SEPARATOR}<clip>{SEPARATOR}<driver>{VIDEO} "
                    f"or <clip>{SEPARATOR}<driver>{VIDEO}; rename it"
                )
            )
            continue
        clip, driver = fields
        if not original and not name.startswith(start) and stem.count(SEPARATOR) > 1:
            odd.append(prefix + name)
        driver = shared.setdefault(driver, driver)
        recording = f"{driver}/{take_of(clip)}"
        split = split_with.get(driver)
        if split is None:
            split = split_with[driver] = joint_split(splits, driver, target)
        if table is not None:
            terms = table.terms(place, stem)
        yield Record(
            prefix + name,  # type: ignore[arg-type]  # text until somebody asks for the Path
            driver,
            target,
            generator,
            source,
            shared.setdefault(recording, recording),
            split,
            driver == target,
            terms.licence,
            terms.research,
            terms.publication,
        )
