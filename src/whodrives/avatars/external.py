"""Generators outside this package: a command line that turns a still and a driving video into a video."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.background import with_background
from whodrives.avatars.encode import write_mp4
from whodrives.avatars.faces import Face
from whodrives.avatars.footage import cut_footage, find_footage, read_rgb, run_command
from whodrives.avatars.generator import GENERATORS, load_generator
from whodrives.avatars.nuisance import LUMA, FrameNoise, Nuisance, apply_photometry, crop_maps
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import CHANNELS
from whodrives.errors import InputError

if TYPE_CHECKING:
    from whodrives.avatars.workers import Take

PLACEHOLDERS = ("still", "driving", "track", "out", "fps", "size")
_PLACE = re.compile(r"\{([a-z]+)\}")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class ExternalError(InputError):
    """An external generator is declared wrongly, failed, or made something else than asked."""


@dataclass(frozen=True)
class ExternalRig:
    """A face for an external generator: nothing is prepared, the picture goes out as it is."""

    face: Face
    size: int

    @property
    def name(self) -> str:
        """Target identity."""
        return self.face.name

    @property
    def device(self) -> torch.device:
        """Files have no device; frames come back on the CPU."""
        return torch.device("cpu")

    def to(self, device: torch.device | str) -> ExternalRig:
        """Itself."""
        return self


@dataclass(frozen=True)
class ExternalGenerator:
    """A generator called as a program, one call a video, without a shell.

    Parameters
    ----------
    name : lower-case letters, digits and hyphens; not that of a built-in generator.
    command : words with placeholders: ``{still}`` PNG of the face, ``{driving}`` mp4 of the driving motion, ``{track}``
        CSV of the motion channels (``time_s`` and `tracks.CHANNELS`), ``{out}`` where the video goes, ``{fps}`` and
        ``{size}`` (side in pixels) of the data set. ``{still}`` and ``{out}`` are needed, and one of the two motions.
    release : version of the program; another one renders everything anew.
    pattern : when set, ``{out}`` is a folder and the one file there that matches (``*.mp4``) is taken.
    driving : built-in generator that shows the motion on a neutral drawn face for ``{driving}``; `driving_face` its
        seed, `driving_size` its side in pixels.
    videos : folder of the original driving videos, ``<recording>.mp4`` or ``<driver>/<recording>.mp4``; what is
        found there is ``{driving}`` itself (cut to the clip), the others go through `driving`. None: none.
    videos_partial : recordings without a video there are allowed.
    still_size : side of the PNG; None = the picture's own.
    folder : working folder of the program. timeout : seconds for one video. tolerance : frames that may be missing or
        too many. licence : terms of the program's output, written into the manifest.

    Raises
    ------
    ExternalError
        A name or a command that cannot be.
    """

    name: str
    command: tuple[str, ...]
    release: str = "1"
    pattern: str = ""
    driving: str = "warp"
    driving_face: int = 0
    driving_size: int = 256
    videos: str | None = None
    videos_partial: bool = False
    still_size: int | None = None
    folder: str | None = None
    timeout: float = 600.0
    tolerance: int = 1
    licence: str = ""

    # Batches of clips straight into tensors are not what programs are for.
    online = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", tuple(self.command))
        what = f"external generator {self.name!r}"
        if not _NAME.fullmatch(self.name) or self.name in GENERATORS:
            raise ExternalError(
                f"{what}: give a name of lower-case letters, digits and single hyphens, not {', '.join(GENERATORS)}"
            )
        used = {place for word in self.command for place in _PLACE.findall(word)}
        unknown = sorted(used - set(PLACEHOLDERS))
        if unknown:
            raise ExternalError(f"{what}: unknown placeholder {{{unknown[0]}}}; there are {', '.join(PLACEHOLDERS)}")
        if not {"still", "out"} <= used or not {"driving", "track"} & used:
            raise ExternalError(f"{what}: the command needs {{still}}, {{out}} and one of {{driving}} and {{track}}")
        if self.driving not in GENERATORS:
            raise ExternalError(f"{what}: driving {self.driving!r} must be one of {', '.join(GENERATORS)}")
        for key in ("folder", "videos"):
            place = getattr(self, key)
            if place is not None and not Path(place).is_dir():
                raise ExternalError(f"{what}: {key} {place}: no such folder")
        if not self.timeout > 0 or self.tolerance < 0 or self.driving_size < 64 or self.driving_size % 2:
            raise ExternalError(f"{what}: needs timeout > 0, tolerance >= 0 and an even driving_size >= 64")

    @property
    def version(self) -> str:
        """Release of the program and a digest of how it is called."""
        # Where things lie may change; what is called may not. Footage counts by its content, elsewhere.
        apart = ("timeout", "licence", "folder", "videos", "videos_partial")
        how = {key: value for key, value in asdict(self).items() if key not in apart}
        how["folder"] = "" if self.folder is None else Path(self.folder).name
        how["videos"] = self.videos is not None
        how["driver"] = load_generator(self.driving).version
        return f"{self.release}-{hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:12]}"

    def rig(self, face: Face, size: int = 128, device: torch.device | str = "cpu") -> ExternalRig:
        """The face as it is. Raises InputError for a size under 32."""
        if size < 32:
            raise InputError(f"face {face.name}: size must be at least 32 pixels, got {size}")
        return ExternalRig(face, size)

    def footage(self, driver: str, recording: str) -> Path | None:
        """The original driving video of a recording, where there is one."""
        return None if self.videos is None else find_footage(Path(self.videos), driver, recording)

    def render(
        self,
        rigs: Sequence[ExternalRig],
        controls: Tensor,
        nuisance: Sequence[Nuisance] | None = None,
        grey: bool = True,
    ) -> Tensor:
        """`generator.Generator.render`, one call of the program after the other; motion through `driving`.

        Raises
        ------
        ExternalError
            The program failed, took too long or made something else than asked.
        """
        draws = [Nuisance.none()] * len(rigs) if nuisance is None else list(nuisance)
        if controls.ndim != 3 or controls.shape[-1] != len(CHANNELS) or not len(rigs) == len(draws) == len(controls):
            raise InputError(f"{self.name}: needs a rig, a draw and controls (T, {len(CHANNELS)}) for every video")
        together = zip(rigs, controls, draws, strict=True)
        return torch.stack([self._video(rig, motion, draw, None, grey) for rig, motion, draw in together])

    def render_take(self, rig: ExternalRig, controls: Tensor, nuisance: Nuisance, take: Take) -> Tensor:
        """One RGB video (T, 3, S, S) of controls (1, T, 33), driven by footage."""
        return self._video(rig, controls[0], nuisance, take, grey=False)

    def _video(self, rig: ExternalRig, controls: Tensor, nuisance: Nuisance, take: Take | None, grey: bool) -> Tensor:
        values = controls.detach().cpu().numpy().astype(np.float32)
        used = {place for word in self.command for place in _PLACE.findall(word)}
        with tempfile.TemporaryDirectory(prefix="whodrives-") as name:
            work = Path(name)
            places = {
                "still": str(work / "still.png"),
                "driving": str(work / "driving.mp4"),
                "track": str(work / "track.csv"),
                "out": str(work / ("out" if self.pattern else "out.mp4")),
                "fps": f"{nuisance.fps:g}",
                "size": str(rig.size),
            }
            self._write_still(rig.face, nuisance, Path(places["still"]))
            if "track" in used:
                write_track(Path(places["track"]), values, nuisance.fps)
            if "driving" in used:
                if take is None:
                    write_mp4(places["driving"], self._show(values), nuisance.fps, crf=12)
                else:
                    footage = cut_footage(take.video, take.start_seconds, len(values), nuisance.fps)
                    write_mp4(places["driving"], footage, nuisance.fps, crf=12)
            if self.pattern:
                Path(places["out"]).mkdir()
            words = [_PLACE.sub(lambda match: places[match.group(1)], word) for word in self.command]
            run_command(words, self.timeout, None if self.folder is None else Path(self.folder), self._fail)
            frames = read_rgb(
                self._made(Path(places["out"])), len(values), nuisance.fps, rig.size, self.tolerance, self._fail
            )
        return _with_nuisance(torch.from_numpy(frames), nuisance, grey)

    def _fail(self, problem: str) -> ExternalError:
        return ExternalError(f"external generator {self.name!r}: {problem}")

    def _made(self, out: Path) -> Path:
        if not self.pattern:
            if not out.is_file():
                raise self._fail("ended without an error, but wrote no {out}; does it want a folder (`pattern`)?")
            return out
        found = sorted(path for path in out.glob(self.pattern) if path.is_file())
        if len(found) != 1:
            names = ", ".join(path.name for path in sorted(out.rglob("*"))[:5]) or "nothing"
            raise self._fail(f"{len(found)} files in {{out}} match {self.pattern!r} (it wrote {names}); one must")
        return found[0]

    def _write_still(self, face: Face, nuisance: Nuisance, path: Path) -> None:
        from PIL import Image

        picture = face.image
        if face.matte is not None and nuisance.background is not None:
            picture = _on_background(picture, face.matte, nuisance.background)
        image = Image.fromarray(picture)
        if self.still_size is not None:
            image = image.resize((self.still_size, self.still_size), Image.Resampling.LANCZOS)
        image.save(path)

    def _show(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The motion on the neutral face, (T, H, W, 3)."""
        shown = load_generator(self.driving)
        rig = shown.rig(procedural_face(self.driving_face), self.driving_size)
        frames = shown.render([rig], torch.from_numpy(values)[None], None, grey=False)[0]
        return (frames * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def write_track(path: Path, values: NDArray[np.float32], fps: float) -> None:
    """Motion channels (T, 33) as CSV: ``time_s`` and one column a channel."""
    times = np.arange(len(values)) / fps
    rows = np.concatenate([times[:, None], values.astype(np.float64)], axis=1)
    np.savetxt(path, rows, fmt="%.6f", delimiter=",", header=",".join(("time_s", *CHANNELS)), comments="")


def _on_background(picture: NDArray[np.uint8], matte: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    stills = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    shown = with_background(stills, torch.from_numpy(matte).float() / 255, seed)
    return (shown[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _with_nuisance(frames: Tensor, nuisance: Nuisance, grey: bool) -> Tensor:
    """The camera's part of the nuisance on finished frames (T, 3, S, S): crop, photometry, flicker and noise."""
    crop = crop_maps([nuisance], frames.device)[0]
    side = frames.shape[-1]
    centres = (torch.arange(side, dtype=torch.float32) + 0.5) / side * 2.0 - 1.0
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    grid = (crop[0] * torch.stack([x, y], dim=-1) + crop[1:])[None]
    out = torch.empty_like(frames)
    for n, frame in enumerate(frames):  # one by one: full-size batches would need twice the memory
        cropped = F.grid_sample(frame[None], grid, padding_mode="border", align_corners=False)
        out[n] = apply_photometry(cropped[None], [nuisance])[0, 0]
    if grey:  # before the noise, as everywhere
        out = (out * torch.tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    return FrameNoise(nuisance, out.device).add_(out).clamp_(0.0, 1.0)


def load_external(path: str | Path) -> dict[str, ExternalGenerator]:
    """External generators of a TOML file: one table each, its name the generator's, its keys those of the class.

    The key ``version`` is the class's `release`. Relative `folder` and `videos` are taken from the file's own folder.

    Raises
    ------
    ExternalError
        The file cannot be read, is empty, or a declaration is wrong.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExternalError(f"{path}: cannot be read as TOML ({error}); see docs/external.md") from error
    known = {field.name: field for field in fields(ExternalGenerator)}
    out = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ExternalError(f"{path}: {name} must be a table [{name}] with a command; see docs/external.md")
        values: dict[str, Any] = {("release" if key == "version" else key): value for key, value in table.items()}
        unknown = sorted(set(values) - set(known) | set(values) & {"name"})
        if unknown:
            raise ExternalError(f"{path}: [{name}] has an unknown key {unknown[0]!r}; see docs/external.md")
        command = values.get("command")
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            raise ExternalError(f"{path}: [{name}] needs a command, a list of words")
        for key in ("folder", "videos"):
            if key in values:
                values[key] = str((path.parent / str(values[key])).resolve())
        if "release" in values:
            values["release"] = str(values["release"])
        try:
            out[name] = ExternalGenerator(name, **values)
        except TypeError as error:
            raise ExternalError(f"{path}: [{name}] has a value of the wrong type ({error})") from error
        except ExternalError as error:
            raise ExternalError(f"{path}: {error}") from error
    if not out:
        raise ExternalError(f"{path}: declares no generator; see docs/external.md")
    return out
