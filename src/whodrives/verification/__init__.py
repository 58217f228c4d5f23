"""Fingerprints of videos, galleries of enrolled drivers, and decisions with their reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whodrives.verification.decision import Candidate, Comparison, Decision, Identification
    from whodrives.verification.embedding import Embedding, ModelInfo
    from whodrives.verification.fingerprinter import Fingerprinter
    from whodrives.verification.gallery import Gallery
    from whodrives.verification.index_decision import IndexIdentification
    from whodrives.verification.template_index import TemplateIndex

_HOMES = {
    "Candidate": "decision",
    "Comparison": "decision",
    "Decision": "decision",
    "Embedding": "embedding",
    "Fingerprinter": "fingerprinter",
    "Gallery": "gallery",
    "Identification": "decision",
    "IndexIdentification": "index_decision",
    "ModelInfo": "embedding",
    "TemplateIndex": "template_index",
}

__all__ = [
    "Candidate",
    "Comparison",
    "Decision",
    "Embedding",
    "Fingerprinter",
    "Gallery",
    "Identification",
    "IndexIdentification",
    "ModelInfo",
    "TemplateIndex",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that a gallery can be listed without loading torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
