"""Every data set by one call: its layout is named, or told by what is there."""

from __future__ import annotations

from pathlib import Path

from whodrives.data import avaprintdb_read, folder, gagavatar, manifest, nvfair_read
from whodrives.data.errors import Complain, LayoutError, refuse
from whodrives.data.listing import Layout, Listing, Options, Read
from whodrives.data.record import Record
from whodrives.data.splits import give_splits


def _manifest_found(root: Path) -> bool:
    return manifest.manifest_file(root).is_file()


def _manifest_read(root: Path, options: Options, complain: Complain) -> Read:
    records = manifest.read_manifest(root, complain)
    notes = manifest.manifest_notes(root)
    if options.splits is not None:
        records = give_splits(records, options.splits, notes)
    return Read(records, notes)


# In the order in which "auto" tries them: what is told by less comes later.
LAYOUTS = {
    "manifest": Layout(f"{manifest.NAME}, or ROOT itself a .csv file", _manifest_found, _manifest_read),
    "avaprintdb": Layout(avaprintdb_read.LOOKS_FOR, avaprintdb_read.found, avaprintdb_read.read),
    "nvfair": Layout(nvfair_read.LOOKS_FOR, nvfair_read.found, nvfair_read.read),
    "gagavatar": Layout(gagavatar.LOOKS_FOR, gagavatar.found, gagavatar.read),
    "folder": Layout(folder.LOOKS_FOR, folder.found, folder.read),
}


def detect_layout(root: str | Path) -> str:
    """The name of the first layout of `LAYOUTS` that is found.

    Raises
    ------
    LayoutError
        `root` does not exist, or holds nothing that any layout looks for.
    """
    root = Path(root)
    if not root.exists():
        raise LayoutError(f"{root}: no such file or folder; give the root of a data set")
    if not root.is_dir() and not _manifest_found(root):
        raise LayoutError(f"{root}: is neither a folder nor a .csv manifest; give the root of a data set")
    for name, layout in LAYOUTS.items():
        if layout.found(root):
            return name
    looked = "; ".join(f"{name}: {layout.looks_for}" for name, layout in LAYOUTS.items())
    raise LayoutError(f"{root}: no layout fits. Looked for {looked}. Arrange the files in one of these ways")


def list_dataset(
    root: str | Path,
    layout: str = "auto",
    *,
    splits: str | Path | None = None,
    metadata: str | Path | None = None,
    frames: str | Path | None = None,
    order: str = "auto",
    strict: bool = True,
) -> Listing:
    """Read a data set's records from names and tables; no video is opened.

    Parameters
    ----------
    root : folder of the data set, or a manifest. layout : a name in `LAYOUTS`, or ``auto``.
    splits : who is in which split: NVFAIR's text file or a CSV (identity, split). metadata : the layout's table about
        single files. frames : frame folders in place of videos (NVFAIR's split lists). order : of GAGAvatar-Benchmark's
        folders. See `Options`.
    strict : raise at the first file against the layout; else leave it out and tell it in `Listing.problems`.

    Raises
    ------
    LayoutError
        Nothing is there, a table cannot be used, or, when `strict`, a file does not follow the layout.
    """
    root = Path(root)
    if layout != "auto" and layout not in LAYOUTS:
        raise LayoutError(f"layout {layout!r}: must be auto or one of {', '.join(LAYOUTS)}")
    if layout == "auto":
        layout = detect_layout(root)
    elif not root.exists():
        raise LayoutError(f"{root}: no such file or folder; give the root of a data set")
    if root.is_dir():
        manifest.check_finished(root)
    options = Options(_path(splits), _path(metadata), _path(frames), order)
    problems: list[LayoutError] = []
    read = LAYOUTS[layout].read(root, options, refuse if strict else problems.append)
    if not read.records and not problems:
        raise LayoutError(f"{root}: holds no video in the layout {layout} ({LAYOUTS[layout].looks_for})")
    return Listing(layout, root, read.records, tuple(read.notes), tuple(map(str, problems)))


def open_layout(
    root: str | Path,
    layout: str = "auto",
    *,
    splits: str | Path | None = None,
    metadata: str | Path | None = None,
    frames: str | Path | None = None,
    order: str = "auto",
) -> list[Record]:
    """The records of a data set; arguments and errors as for `list_dataset`, which gives notes beside them."""
    return list_dataset(root, layout, splits=splits, metadata=metadata, frames=frames, order=order).records


def _path(text: str | Path | None) -> Path | None:
    return None if text is None else Path(text)
