"""Whether a template index still says what its gallery says: who was removed there must not be found here."""

from __future__ import annotations

from pathlib import Path

from whodrives.errors import InputError
from whodrives.verification.errors import StaleIndexError
from whodrives.verification.gallery import Gallery
from whodrives.verification.template_index import TemplateIndex


def check_source(index: TemplateIndex, gallery: Path | None = None) -> tuple[str, ...]:
    """Compare an index with the gallery it was made from; returns warnings where that cannot be told.

    gallery : where it lies now, when not where the index was made.

    Raises
    ------
    StaleIndexError
        Drivers were removed from the gallery, added, or enrolled anew.
    InputError
        `gallery` is given for an index that was made from embedded videos.
    """
    if index.info.gallery is None:
        if gallery is not None:
            raise InputError(f"{index.path}: was made from embedded videos, not from a gallery; leave --gallery out")
        return ()
    path = gallery or Path(index.info.gallery)
    if gallery is None and not path.is_file():
        return (
            f"{index.path}: its gallery {path} is not there, so whether a driver was removed since "
            f"{index.info.created} cannot be told; give the gallery (--gallery)",
        )
    require_current(index, Gallery.open(path, create=False))
    return ()


def require_current(index: TemplateIndex, gallery: Gallery) -> None:
    """Raise StaleIndexError unless every driver of the gallery is in the index as enrolled there, and nobody else."""
    with gallery.stored(index.info.weights, index.info.contract) as stored:
        there, missing = stored.origins, stored.missing
    here = dict(zip(index.names(), index.origins.tolist(), strict=True))
    gone = len(here.keys() - there.keys())
    new = len(there.keys() - here.keys()) + missing
    changed = sum(there[name] != origin for name, origin in here.items() if name in there)
    if gone or new or changed:
        raise StaleIndexError(
            f"{index.path}: the gallery {gallery.path} has changed since the index was made ({gone} drivers removed, "
            f"{new} added, {changed} enrolled anew); build it again (`whodrives index build --overwrite`)"
        )
