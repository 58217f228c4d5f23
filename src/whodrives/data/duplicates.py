"""Files of equal content under different names: by size, then by both ends, then by all bytes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

from whodrives.data.pool import over_all

# The ends of a video hold its index and its last frames: files of one size that agree there are rarely different.
_END = 8192


def end_digest(path: str) -> bytes:
    """Digest of the first and last 8 KiB; empty when the file cannot be read."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(_END)
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _END))
            return hashlib.blake2b(head + stream.read(_END), digest_size=16).digest()
    except OSError:
        return b""


def digest(path: str) -> bytes:
    """Digest of all bytes; empty when the file cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return b""


def find_duplicates(
    sizes: Mapping[str, int], workers: int = 1, advance: Callable[[int], object] = lambda count: None
) -> list[tuple[str, ...]]:
    """Groups of two or more files of equal content, sorted. `sizes` : path -> bytes; empty files are left out."""
    groups = _groups((size, path) for path, size in sizes.items() if size)
    for step in (end_digest, digest):
        paths = [path for group in groups for path in group]
        found = over_all(step, paths, workers, advance)
        groups = _groups(((sizes[path], key), path) for path, key in zip(paths, found) if key)
    return sorted(groups)


def _groups(keyed: Iterable[tuple[Hashable, str]]) -> list[tuple[str, ...]]:
    by_key: dict[Hashable, list[str]] = defaultdict(list)
    for key, path in keyed:
        by_key[key].append(path)
    return [tuple(sorted(paths)) for paths in by_key.values() if len(paths) > 1]
