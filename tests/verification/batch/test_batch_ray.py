"""The same job on a local Ray cluster; one of two workers is killed in mid-job."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from batch_media import clip, load_fake, load_noting, stored

from whodrives.verification.batch.inputs import read_paths
from whodrives.verification.batch.on_ray import on_ray
from whodrives.verification.batch.run import WORKER_DIED, BatchProgress, embed_files, usual_settings

pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
pytestmark = [pytest.mark.extras, pytest.mark.slow]


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 of them, and an empty file."""
    # Ray's processes find the tests' modules here.
    places = [*map(str, (Path(__file__).parent, Path(__file__).parents[2])), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    for number in range(24):
        clip(tmp_path / "videos" / f"{number:02d}.mp4", number)
    (tmp_path / "videos" / "empty.mp4").touch()
    return tmp_path / "videos"


NAMES = [f"{number:02d}.mp4" for number in range(24)]


def test_a_killed_worker_loses_nothing_and_doubles_nothing(videos: Path, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    noted.mkdir()
    fingerprinter = load_fake()
    settings, _ = usual_settings(fingerprinter, workers=2)
    killed: list[int] = []

    def kill(state: BatchProgress) -> None:
        if state.done >= 8 and not killed:
            first = min(noted.iterdir(), key=lambda path: path.stat().st_mtime)
            os.kill(int(first.name), signal.SIGKILL)
            killed.append(int(first.name))

    engine = on_ray(partial(load_noting, str(noted)), settings, workers=2)
    inputs = read_paths([str(videos)])
    result = embed_files(fingerprinter, inputs, tmp_path / "out", settings, engine=engine, progress=kill)
    assert killed
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert (result.done, result.kinds) == (24, {"EmptyFileError": 1})
    assert stored(tmp_path / "out", "files") == stored(tmp_path / "out", "embeddings") == NAMES
    again = embed_files(fingerprinter, inputs, tmp_path / "out", settings)
    assert (again.done, again.kept) == (0, 24)


def test_a_file_that_kills_whoever_opens_it_is_told_as_failed(videos: Path, tmp_path: Path) -> None:
    (videos / "killer.mp4").write_bytes(b"kills whoever opens it")
    fingerprinter = load_fake()
    settings, _ = usual_settings(fingerprinter, workers=2)
    engine = on_ray(load_fake, settings, workers=2)
    result = embed_files(fingerprinter, read_paths([str(videos)]), tmp_path / "out", settings, engine=engine)
    assert (result.done, result.kinds) == (24, {"EmptyFileError": 1, WORKER_DIED: 1})
    assert stored(tmp_path / "out", "files") == stored(tmp_path / "out", "embeddings") == NAMES
