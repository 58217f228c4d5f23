"""The preprocessing contract: every number that decides which pixels the network sees."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from whodrives.errors import InputError
from whodrives.video.errors import ContractMismatchError

MAX_FPS = 1000.0
NORMALISATIONS = ("clip", "frame", "fixed")


@dataclass(frozen=True)
class PreprocessingContract:
    """How a video file becomes grey frames. Stored in every checkpoint and template (ours).

    Attributes
    ----------
    name, version : str, int
        Identify the recipe; a change of meaning raises the version.
    size : int
        Side of the square output in pixels.
    fps : float or None
        Output frames per second; None keeps every source frame (`native`, for research layouts).
    grey : str
        Only `luma`: the Y plane, limited range expanded to 0..255.
    crop : str
        `center` (largest centred square) or `x,y,w,h` in pixels of the upright frame.
    resize : str
        Only `area`: exact box-overlap average.
    normalisation : str
        `clip`, `frame` or `fixed`; applied by the network, recorded here.
    """

    name: str = "whodrives-grey-128"
    version: int = 1
    size: int = 128
    fps: float | None = 25.0
    grey: str = "luma"
    crop: str = "center"
    resize: str = "area"
    normalisation: str = "clip"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 8 <= self.size <= 1024:
            raise InputError(f"contract size is {self.size!r}; give a whole number of pixels from 8 to 1024")
        if self.fps is not None:
            if isinstance(self.fps, bool) or not isinstance(self.fps, int | float):
                raise InputError(f"contract fps is {self.fps!r}; give a number, or None for native")
            if not (math.isfinite(self.fps) and 0 < self.fps <= MAX_FPS):
                raise InputError(f"contract fps is {self.fps!r}; give a rate above 0 and up to {MAX_FPS:g}, or None")
            # 25 and 25.0 are one contract, so they must give one digest.
            object.__setattr__(self, "fps", float(self.fps))
        if self.grey != "luma":
            raise InputError(f"contract grey is {self.grey!r}; only 'luma' is known")
        if self.resize != "area":
            raise InputError(f"contract resize is {self.resize!r}; only 'area' is known")
        if self.normalisation not in NORMALISATIONS:
            known = ", ".join(NORMALISATIONS)
            raise InputError(f"contract normalisation is {self.normalisation!r}; use one of {known}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessingContract:
        """Inverse of `to_dict`. Unknown or missing fields raise `ContractMismatchError`."""
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            odd = sorted(set(values) ^ known)
            raise ContractMismatchError(
                f"preprocessing contract has missing or unknown fields {odd}; it was written by another version "
                f"of whodrives: make the file again with this version"
            )
        return cls(**values)

    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON; equal digests mean comparable pixels."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def require_same(self, other: PreprocessingContract, what: str = "the other side") -> None:
        """Raise `ContractMismatchError` naming the differing fields unless `other` equals this contract."""
        if self == other:
            return
        mine, theirs = self.to_dict(), other.to_dict()
        odd = ", ".join(f"{key} {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key])
        raise ContractMismatchError(
            f"preprocessing contract differs from that of {what}: {odd}. Embed both sides again with one model"
        )


DEFAULT_CONTRACT = PreprocessingContract()
