"""Fixtures of the video room."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from video_media import Writer, write


@pytest.fixture
def video(tmp_path: Path) -> Writer:
    """`video(name, frames, **options)` writes a file into the test's own folder."""

    def make(name: str, frames: Iterable[NDArray[np.uint8]], **options: Any) -> Path:
        return write(tmp_path / name, frames, **options)

    return make
