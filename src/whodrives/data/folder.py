"""Plain folders of original footage: ``<driver>/<clip>.mp4`` or ``<driver>/<recording>/.../<clip>.mp4``.

Everybody shows their own face, so driver and target are the folder's name. Clips in one sub-folder are one recording:
what was filmed in one go shares light, clothes and camera, and must not count as evidence for the person. Clips right
in the driver's folder are recordings of their own. Folders named train, val (or dev) and test on top are splits.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from whodrives.data.errors import Complain, LayoutError
from whodrives.data.listing import Options, Read, some
from whodrives.data.record import ORIGINAL, VIDEO_SUFFIXES, Record
from whodrives.data.splits import give_splits, split_name
from whodrives.data.tree import folder_prefix, videos_by_folder

LOOKS_FOR = "<driver>/<clip>.mp4 or <driver>/<recording>/<clip>.mp4 (also below train, val, test)"


def found(root: Path) -> bool:
    """Whether any video lies in a folder below `root`."""
    return any(parts for parts, _ in videos_by_folder(root, VIDEO_SUFFIXES))


def read(root: Path, options: Options, complain: Complain) -> Read:
    """Originals, one driver a folder; `options.splits` says who is in which split."""
    skipped: Counter[str] = Counter()
    folders = list(videos_by_folder(root, VIDEO_SUFFIXES, skipped))
    by_split, others = _splits_on_top(root, {parts[0] for parts, _ in folders if parts}, complain)
    source = Path(os.path.abspath(root)).name
    records: list[Record] = []
    notes = ["the top folders are splits, drivers' folders lie below"] if by_split else []
    if skipped:
        endings = [f"{ending or 'no ending'} ({count})" for ending, count in skipped.items()]
        notes.append(f"{skipped.total()} files are no videos by their names and left out: {some(endings)}")
    for parts, names in folders:
        if parts and parts[0] in others:
            continue
        below = parts[1:] if by_split else parts
        if not below:
            for name in names:
                where = folder_prefix(root, parts) + name
                complain(LayoutError(f"{where}: lies in no driver's folder; move it into one"))
            continue
        prefix, driver, recording = folder_prefix(root, parts), below[0], "/".join(below)
        split = split_name(parts[0]) if by_split else ""
        for name in names:
            take = recording if len(below) > 1 else f"{recording}/{os.path.splitext(name)[0]}"
            records.append(
                Record(prefix + name, driver, driver, ORIGINAL, source, take, split, True)  # type: ignore[arg-type]
            )
    if options.splits is not None:
        records = give_splits(records, options.splits, notes)
    return Read(records, notes)


def _splits_on_top(root: Path, tops: set[str], complain: Complain) -> tuple[bool, set[str]]:
    """Whether the top folders are splits, and which of them are not and so are left out, after a complaint.

    One folder called "test" beside others may be a person's nickname; "train", or two such names, are splits.
    """
    splits = {top for top in tops if split_name(top)}
    others = tops - splits
    if not others:
        return bool(splits), others
    if len(splits) < 2 and "train" not in map(split_name, splits):
        return False, set()
    complain(
        LayoutError(
            f"{root}: {some(sorted(splits))} are splits, but beside them lie {some(sorted(others))}; move these into a "
            "split or elsewhere, or rename all that are no splits"
        )
    )
    return True, others
