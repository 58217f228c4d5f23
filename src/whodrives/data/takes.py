"""Which clips are one take: the same performance filmed once, kept in several files."""

from __future__ import annotations

import re

# Modality, channel, emotion, intensity, statement, repetition, actor (Livingstone and Russo, 2018).
_RAVDESS = re.compile(r"0[1-3]-(\d\d(?:-\d\d){5})(?!\d)")


def take_of(clip: str) -> str:
    """What names the take of a clip: the clip itself, a RAVDESS clip without its modality.

    RAVDESS has every performance with sound (``01-...``) and as pictures alone (``02-...``): the same frames.
    """
    return clip[3:] if _RAVDESS.match(clip) else clip
