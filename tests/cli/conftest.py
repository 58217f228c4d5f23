from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fake_weights import FakeWeights, video
from whodrives.cli.main import cli
from whodrives.training import weights


@dataclass(frozen=True)
class Answer:
    """What a call left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """stdout, which must be one JSON object."""
        values = json.loads(self.out)
        assert values["schema_version"] == 1
        return values


class Caller:
    """Calls the command line in this process."""

    def __call__(self, *words: object, **env: str) -> Answer:
        result = CliRunner().invoke(cli, [str(word) for word in words], env=env, prog_name="whodrives")
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "Traceback" not in result.output
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Caller:
    """The command line with weights that need no training, and a gallery of this test only."""
    loaded = weights.load_weights
    monkeypatch.setattr(
        weights, "load_weights", lambda source="bundled": FakeWeights() if source == "bundled" else loaded(source)
    )
    monkeypatch.setenv("WHODRIVES_GALLERY", str(tmp_path / "default.db"))
    # Rich cuts tables to the terminal's width.
    monkeypatch.setenv("COLUMNS", "200")
    return Caller()


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Videos of ana (driver 0) and ben (driver 7), and ones that cannot be judged."""
    folder = tmp_path_factory.mktemp("videos")
    made = {
        "ana1": video(folder / "ana1.mp4", 0, seed=1),
        "ana2": video(folder / "änä 2.mp4", 0, seed=2),
        "ana3": video(folder / "ana3.mp4", 0, seed=3),
        "ben1": video(folder / "ben1.mp4", 7, seed=4),
        "ben2": video(folder / "ben2.mp4", 7, seed=5),
        "stranger": video(folder / "stranger.mp4", 10, seed=6),
        "short": video(folder / "short.mp4", 0, 20, seed=7),
        "still": video(folder / "still.mp4", 0, seed=8, still=True),
    }
    made["empty"] = folder / "empty.mp4"
    made["empty"].touch()
    made["text"] = folder / "text.mp4"
    made["text"].write_text("this is no video\n" * 100)
    made["missing"] = folder / "missing.mp4"
    return made
