"""Fixtures that every room shares."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline for single examples: on a busy machine any of them may take long.
settings.register_profile("whodrives", deadline=None)
settings.load_profile("whodrives")

# One thread: the suite's tensors are small, and two OpenMP pools on two cores slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research data, never part of the repository; tests that need it are skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("WHODRIVES_SHARED", default))
    if not (folder / "golden").is_dir():
        pytest.skip(f"research data not found at {folder} (set WHODRIVES_SHARED)")
    return folder
