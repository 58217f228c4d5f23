"""Still faces: one picture with 478 MediaPipe face-mesh landmarks, and how to load a folder of them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.facepoints import LANDMARKS
from whodrives.avatars.headmesh import HeadMesh
from whodrives.avatars.matte import chroma_matte
from whodrives.errors import InputError

INDEX_FILE = "portraits.json"
SPLIT_FILE = "split.csv"


class FaceError(InputError):
    """A folder of portraits cannot be used as it is; the message names the file and the remedy."""

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path = str(path)
        super().__init__(f"{path}: {problem}")


class PortraitIndexError(FaceError):
    """`portraits.json` is missing, unreadable or malformed."""


class PortraitImageError(FaceError):
    """A picture named in `portraits.json` is missing, unreadable or not square."""


class LandmarkError(FaceError):
    """Landmarks have the wrong shape, are not finite or do not lie on the picture."""


class PortraitSplitError(FaceError):
    """`split.csv` is missing, malformed, or leaves the asked split empty."""


@dataclass(frozen=True)
class Face:
    """One still face.

    Parameters
    ----------
    name : target identity, e.g. the file name without its ending.
    image : uint8 (S, S, 3) RGB.
    landmarks : float32 (478, 3) MediaPipe face mesh, x right, y down, z away, in pixels of `image`.
    licence, source : terms and origin of the picture.
    matte : uint8 (S, S), 255 where the picture shows the person and 0 where it shows the background, or None when that
        is not known; only faces with a matte can get another background.
    mesh : the head's own geometry, for CG heads; None for pictures.

    Raises
    ------
    InputError
        Shapes or types do not fit, or a landmark is not finite.
    """

    name: str
    image: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    licence: str = ""
    source: str = ""
    matte: NDArray[np.uint8] | None = None
    mesh: HeadMesh | None = None

    def __post_init__(self) -> None:
        shape = self.image.shape
        if self.image.dtype != np.uint8 or len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
            raise InputError(f"face {self.name}: image must be uint8 (S, S, 3), got {self.image.dtype} {shape}")
        if self.landmarks.shape != (LANDMARKS, 3):
            raise InputError(f"face {self.name}: landmarks must be ({LANDMARKS}, 3), got {self.landmarks.shape}")
        if self.matte is not None and (self.matte.dtype != np.uint8 or self.matte.shape != shape[:2]):
            raise InputError(
                f"face {self.name}: matte must be uint8 {shape[:2]}, got {self.matte.dtype} {self.matte.shape}"
            )
        if not np.isfinite(self.landmarks).all():
            raise InputError(f"face {self.name}: landmarks must be finite; detect them again on this picture")

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return int(self.image.shape[0])


def load_portraits(folder: str | Path, split: str | None = None) -> list[Face]:
    """All portraits of a folder, sorted by file name.

    Parameters
    ----------
    folder : pictures beside a `portraits.json` that maps each file name to its 478 landmarks [x, y, z] in pixels.
    split : only portraits of this split, read from `split.csv` (columns portrait, split) in the parent folder or in
        the folder itself; None loads all of them and needs no `split.csv`.

    Returns
    -------
    list of Face; `name` is the file name without its ending; `matte` is the picture's alpha, or found where it stands
    in front of an even green or blue screen, else None.

    Raises
    ------
    PortraitIndexError, PortraitImageError, LandmarkError, PortraitSplitError
        All FaceError; the message names the file.
    """
    folder = Path(folder)
    index = _read_index(folder)
    names = sorted(index)
    if split is not None:
        assignment = read_portrait_split(folder)
        missing = [name for name in names if Path(name).stem not in assignment]
        if missing:
            raise PortraitSplitError(
                folder / INDEX_FILE, f"{missing[0]} is in no split; add it to {SPLIT_FILE} or remove it from the index"
            )
        names = [name for name in names if assignment[Path(name).stem] == split]
        if not names:
            known = ", ".join(sorted(set(assignment.values())))
            raise PortraitSplitError(folder, f"no portrait in split {split!r}; the splits here are: {known}")
    return [_load_one(folder / name, index[name]) for name in names]


def lists(path: Path, column: str) -> bool:
    """Whether a file is a CSV with this column."""
    if not path.is_file():
        return False
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return column in next(csv.reader(stream), [])


def read_portrait_split(folder: str | Path) -> dict[str, str]:
    """Portrait name -> split from `split.csv` in the parent of `folder`, or in it.

    Raises
    ------
    PortraitSplitError
        No such file, a column is missing, or a portrait is listed in two splits.
    """
    folder = Path(folder)
    places = [folder.resolve().parent / SPLIT_FILE, folder / SPLIT_FILE]
    found = [place for place in places if place.is_file()]
    # Either may be the split of drivers, which lie beside portraits in some data sets.
    path = next((place for place in found if lists(place, "portrait")), found[0] if found else None)
    if path is None:
        raise PortraitSplitError(places[0], "not found; write it (columns portrait,split) or load without a split")
    assignment: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if not {"portrait", "split"} <= set(reader.fieldnames or ()):
            raise PortraitSplitError(path, f"needs the columns portrait,split; found {reader.fieldnames}")
        for row in reader:
            name, part = (row["portrait"] or "").strip(), (row["split"] or "").strip()
            if not name or not part:
                raise PortraitSplitError(path, f"line {reader.line_num} lacks a portrait or a split; fill it in")
            if assignment.setdefault(name, part) != part:
                raise PortraitSplitError(path, f"{name} is in two splits; a face belongs to one")
    return assignment


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX_FILE
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PortraitIndexError(
            path, "not found; it must map each picture's file name to its 478 face-mesh landmarks"
        ) from None
    except (OSError, ValueError) as error:
        raise PortraitIndexError(path, f"cannot be read as JSON ({error}); write it again") from error
    if not isinstance(index, dict) or not index:
        raise PortraitIndexError(path, "must be a non-empty JSON object of file name -> landmarks")
    for name in index:
        # An index may come from elsewhere: it must not reach outside its own folder.
        if Path(name).name != name:
            raise PortraitIndexError(path, f"{name!r} is not a plain file name; keep the pictures beside the index")
    return index


def open_picture(path: str | Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A picture file as uint8 RGB (H, W, 3), turned upright as its EXIF says, and its alpha (H, W) or None.

    Grey, palette, CMYK and 16-bit pictures are converted; what alpha hides becomes mid grey.

    Raises
    ------
    PortraitImageError
        The file is missing or cannot be decoded.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if not path.is_file():
        raise PortraitImageError(path, "picture not found; restore it or remove its entry")
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith(("I", "F")):
                deep = np.asarray(upright, dtype=np.float64)
                top = 65535.0 if deep.max() > 255 else 255.0
                upright = Image.fromarray((deep.clip(0, top) * (255.0 / top)).round().astype(np.uint8))
            alpha = None
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                layered = upright.convert("RGBA")
                alpha = np.asarray(layered.getchannel("A"), dtype=np.uint8)
                upright = Image.alpha_composite(Image.new("RGBA", layered.size, (128, 128, 128, 255)), layered)
            image = np.asarray(upright.convert("RGB"), dtype=np.uint8)
    # Pillow raises SyntaxError and DecompressionBombError on some broken files.
    except Exception as error:
        raise PortraitImageError(path, f"cannot be decoded ({error}); save it again as PNG or JPEG") from error
    return image, None if alpha is None or alpha.min() == 255 else alpha


def find_matte(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Matte of a picture in front of an even screen, None where it has no such background."""
    return chroma_matte(image, landmarks)


def _load_one(path: Path, points: Any) -> Face:
    image, alpha = open_picture(path)
    if image.shape[0] != image.shape[1] or image.shape[0] < 64:
        height, width = image.shape[:2]
        raise PortraitImageError(path, f"is {width} x {height}; crop it to a square of at least 64 pixels")
    try:
        landmarks = np.asarray(points, dtype=np.float32)
    except (TypeError, ValueError):
        landmarks = np.empty(0, dtype=np.float32)
    if landmarks.shape != (LANDMARKS, 3):
        raise LandmarkError(path, f"needs {LANDMARKS} landmarks [x, y, z], got shape {landmarks.shape}; detect again")
    if not np.isfinite(landmarks).all():
        raise LandmarkError(path, "landmarks hold a value that is not finite; detect them again on this picture")
    middle = landmarks[:, :2].mean(axis=0)
    if np.ptp(landmarks[:, :2], axis=0).min() < 16 or not ((middle > 0) & (middle < image.shape[0])).all():
        raise LandmarkError(path, "landmarks do not lie on the picture; they must be in pixels of this very file")
    matte = find_matte(image, landmarks) if alpha is None else alpha
    return Face(path.stem, image, landmarks, licence="", source=path.parent.name, matte=matte)
