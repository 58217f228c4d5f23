"""What a generator is: a still face and motion controls in, frames out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from whodrives.avatars.faces import Face
from whodrives.avatars.nuisance import Nuisance
from whodrives.avatars.tracks import CHANNELS
from whodrives.errors import InputError


class Rig(Protocol):
    """One face prepared for one generator: everything that does not depend on the motion, computed once."""

    @property
    def name(self) -> str:
        """Target identity."""

    @property
    def size(self) -> int:
        """Side S of the frames in pixels."""

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""

    def to(self, device: torch.device | str) -> Self:
        """The same rig on another device (itself when already there)."""


R = TypeVar("R", bound=Rig)


class Generator(Protocol[R]):
    """A family of face reenactment: its own way from (still, motion) to pictures.

    Families share no deformation code, so that what a network learns from one can be tested on another. They share
    the law of nuisance (`whodrives.avatars.nuisance`), drawn without looking at who drives.
    """

    @property
    def name(self) -> str:
        """As in folder names and manifests: lower-case letters, digits and hyphens."""

    @property
    def version(self) -> str:
        """Changes whenever the same input gives other pictures: files made by another version are rendered anew."""

    def rig(self, face: Face, size: int = 128, device: torch.device | str = "cpu") -> R:
        """Prepare one face for frames of `size` x `size` pixels.

        Raises
        ------
        InputError
            The size is under 32, or the generator cannot use this face; the message names it.
        """

    def render(
        self,
        rigs: Sequence[R],
        controls: Tensor,
        nuisance: Sequence[Nuisance] | None = None,
        grey: bool = True,
    ) -> Tensor:
        """Render B videos of T frames, video b showing rig b driven by controls b.

        Parameters
        ----------
        rigs : B rigs of one size S (repeats allowed).
        controls : float (B, T, 33) in the order and units of `tracks.CHANNELS`; its device does the work.
        nuisance : B draws, or None for none.
        grey : one luma channel (0.299 R + 0.587 G + 0.114 B), else RGB.

        Returns
        -------
        float32 (B, T, 1 or 3, S, S) in 0..1, clamped. A video's frames depend on its own rig, controls and nuisance
        alone, not on what else is in the batch.

        Raises
        ------
        InputError
            Shapes disagree or a control is not finite.
        """


def check_render(rigs: Sequence[Rig], controls: Tensor, nuisance: Sequence[Any]) -> None:
    """What every generator's `render` demands of its input.

    Raises
    ------
    InputError
        Shapes disagree, rigs differ in size, or a control is not finite.
    """
    if controls.ndim != 3 or controls.shape[-1] != len(CHANNELS) or 0 in controls.shape:
        raise InputError(f"render: controls must be (B, T, {len(CHANNELS)}), got {tuple(controls.shape)}")
    if not (len(rigs) == len(nuisance) == len(controls)):
        raise InputError(
            f"render: {len(rigs)} rigs, {len(nuisance)} nuisance draws and {len(controls)} control tracks; "
            "give one of each for every video"
        )
    sizes = sorted({rig.size for rig in rigs})
    if len(sizes) != 1:
        raise InputError(f"render: rigs have different sizes {sizes}; build them with one size")
    if not bool(torch.isfinite(controls).all()):
        raise InputError("render: controls hold a value that is not finite; bridge gaps before rendering")


def _warp() -> Generator[Any]:
    from whodrives.avatars.warp import WarpGenerator

    return WarpGenerator()


def _mesh() -> Generator[Any]:
    from whodrives.avatars.mesh import MeshGenerator

    return MeshGenerator()


def _keypoint() -> Generator[Any]:
    from whodrives.avatars.keypoint import KeypointGenerator

    return KeypointGenerator()


GENERATORS: dict[str, Callable[[], Generator[Any]]] = {"warp": _warp, "mesh": _mesh, "keypoint": _keypoint}


def load_generator(name: str) -> Generator[Any]:
    """The built-in generator of this name.

    Raises
    ------
    InputError
        No such generator; the message lists those there are.
    """
    if name not in GENERATORS:
        raise InputError(f"unknown generator {name!r}; there are {', '.join(GENERATORS)}")
    return GENERATORS[name]()
