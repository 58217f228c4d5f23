"""What was rendered from what: a key over all that decides a video's pixels, and the ledger of finished files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.encode import CODEC, PIXELS, encoder_settings
from whodrives.avatars.faces import Face
from whodrives.avatars.generator import Generator
from whodrives.avatars.nuisance import Nuisance
from whodrives.data.manifest import LEDGER

# Rises when shared code (nuisance, conversion to 8 bit, encoding) makes other files of the same input.
CODE_VERSION = 1


def face_digest(face: Face) -> str:
    """sha256 over everything of a face that a generator may look at."""
    total = hashlib.sha256(face.name.encode("utf-8", "surrogatepass"))
    arrays: list[NDArray[Any] | None] = [face.image, face.landmarks, face.matte]
    if face.mesh is not None:
        arrays += [value for value in vars(face.mesh).values() if isinstance(value, np.ndarray)]
    for array in arrays:
        if array is None:
            total.update(b"none")
        else:
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def content_key(
    generator: Generator[Any],
    face: str,
    controls: NDArray[np.float32],
    nuisance: Nuisance,
    size: int,
    take: str = "",
) -> str:
    """sha256 over all that decides a file.

    Parameters
    ----------
    generator : its name and version count. face : digest, see `face_digest`. controls : (T, 33). nuisance : with frame
        rate and codec. size : pixels. take : the driving footage, for generators that look at it.
    """
    rest = {
        "code": CODE_VERSION,
        "generator": [generator.name, generator.version],
        "face": face,
        "nuisance": asdict(nuisance),
        "size": size,
        "encoder": [CODEC, PIXELS, encoder_settings(nuisance.fps, nuisance.crf)],
        "take": take,
    }
    total = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    total.update(np.ascontiguousarray(controls, dtype=np.float32).tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Entry:
    """One finished file: key of its content, size in bytes and sha256 of the file."""

    key: str
    bytes: int
    sha256: str


class Ledger:
    """``renders.jsonl`` of a data set: one JSON line a finished file, later lines replace earlier ones.

    Only ever appended to, so that a run that is killed loses at most its last line. Lines that cannot be read count as
    absent: their files are rendered anew.
    """

    def __init__(self, root: str | Path) -> None:
        self.path = Path(root) / LEDGER
        self.entries: dict[str, Entry] = {}
        self._torn = False
        if self.path.is_file():
            text = self.path.read_bytes()
            self._torn = bool(text) and not text.endswith(b"\n")
            for line in text.splitlines():
                self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            self.entries[str(row["path"])] = Entry(str(row["key"]), int(row["bytes"]), str(row["sha256"]))
        except (ValueError, KeyError, TypeError):
            return

    def holds(self, path: str, key: str, file: Path) -> bool:
        """Whether `file` is the finished one of this key; a file of another size is not."""
        entry = self.entries.get(path)
        return entry is not None and entry.key == key and file.is_file() and file.stat().st_size == entry.bytes

    def add(self, path: str, entry: Entry) -> None:
        """Append one line; it is on its way to the disk when this returns."""
        line = json.dumps({"path": path, **asdict(entry)}) + "\n"
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + line if self._torn else line)
        self._torn = False
        self.entries[path] = entry

    def keep(self, paths: Iterable[str]) -> None:
        """Rewrite the ledger with these paths alone."""
        wanted = set(paths)
        self.entries = {path: entry for path, entry in self.entries.items() if path in wanted}
        partial = self.path.with_name(f".{LEDGER}.part")
        lines = [json.dumps({"path": path, **asdict(entry)}) + "\n" for path, entry in sorted(self.entries.items())]
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(self.path)
