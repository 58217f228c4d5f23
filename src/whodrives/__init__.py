"""whodrives: reads who drives a talking-head video from facial motion alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whodrives.verification.fingerprinter import Fingerprinter
    from whodrives.verification.gallery import Gallery

    __version__: str

__all__ = ["Fingerprinter", "Gallery", "__version__"]

_HOMES = {
    "Fingerprinter": "whodrives.verification.fingerprinter",
    "Gallery": "whodrives.verification.gallery",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that importing the package (and `whodrives --help`) loads neither torch nor the video decoder.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("whodrives")
        except PackageNotFoundError:  # run from a source tree that was never installed
            return "0+unknown"
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
