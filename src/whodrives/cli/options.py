"""Options that several verbs share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from whodrives.cli.output import plain

if TYPE_CHECKING:
    from whodrives.verification.fingerprinter import Fingerprinter
    from whodrives.verification.gallery import Gallery

_Command = TypeVar("_Command", bound=Callable[..., Any])

GALLERY_VARIABLE = "WHODRIVES_GALLERY"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
model_option = click.option(
    "--model",
    default="bundled",
    show_default=True,
    metavar="MODEL",
    help="'bundled', another name that `info` lists, a .safetensors or .onnx file or a preset.",
)
far_option = click.option(
    "--far",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=None,
    help="Nominal false-accept rate (default: that of the weights).",
)
gallery_option = click.option(
    "--gallery",
    "gallery_path",
    type=click.Path(path_type=Path),
    default=None,
    metavar="PATH",
    help=f"Gallery file (default: ${GALLERY_VARIABLE}, else one in the user's data folder).",
)
_embedding_options = (
    model_option,
    click.option("--crop", default=None, metavar="X,Y,W,H", help="Pixels of the upright frame; or face, face:2."),
    click.option("--hop", type=click.IntRange(min=1), default=None, help="Frames between windows [default: half one]."),
    click.option("--device", default=None, metavar="DEVICE", help="cpu, cuda ... (default: a GPU when there is one)."),
)


def embedding_options(command: _Command) -> _Command:
    """--model, --crop, --hop and --device."""
    for option in reversed(_embedding_options):
        command = option(command)
    return command


def load_fingerprinter(model: str, device: str | None = None) -> Fingerprinter:
    """Load weights; which of the package's own they are, and under which licence, is told on stderr."""
    from whodrives.training.weights import is_shipped
    from whodrives.verification.fingerprinter import Fingerprinter

    loaded = Fingerprinter.load(model, device)
    if is_shipped(model):
        tell_licence(str(loaded.model), loaded.card)
    return loaded


def tell_licence(name: str, card: Mapping[str, Any]) -> None:
    """Which weights are used, and their licence, on stderr."""
    click.echo(plain(f"weights: {name}; licence: {card.get('licence') or 'unstated'}"), err=True)


def default_gallery() -> Path:
    """Where the gallery lies unless the call says otherwise."""
    if os.environ.get(GALLERY_VARIABLE):
        return Path(os.environ[GALLERY_VARIABLE])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "whodrives" / "drivers.db"


def open_gallery(path: Path | None, create: bool = False) -> Gallery:
    """The gallery at `path`, or the default one, whose folder is made when `create` is set."""
    from whodrives.verification.gallery import Gallery

    if path is None:
        path = default_gallery()
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
    return Gallery.open(path, create=create)
