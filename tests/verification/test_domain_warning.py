"""Videos unlike the training clips are told of, whichever way they come in."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fake_weights import CALIBRATED_CARD, FakeWeights, moving_frames, video
from whodrives.avatars.encode import write_mp4
from whodrives.cli.main import cli
from whodrives.errors import InputError
from whodrives.verification.fingerprinter import Fingerprinter, read_model_info
from whodrives.verification.gallery import Gallery
from whodrives.verification.watch import Watch, open_source
from whodrives.video.domain import describe, fit_domain
from whodrives.video.frames import load_frames


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Of weights that know drivers 0 and 1 on a few pictures."""
    folder = tmp_path_factory.mktemp("home")
    made = [load_frames(video(folder / f"{seed}.mp4", seed % 2, 64, seed=seed)).frames for seed in range(40)]
    rows = np.array([describe(clip) for clip in made])
    return {**CALIBRATED_CARD, "domain": fit_domain(rows[:24], rows[24:]).to_card()}


def upside_down(path: Path) -> Path:
    write_mp4(path, 255 - moving_frames(7, 300, seed=3)[:, ::-1] // 2, 25)
    return path


def test_embed_warns_of_a_video_unlike_the_training_clips(card: dict[str, object], tmp_path: Path) -> None:
    knowing = Fingerprinter(FakeWeights(card=card), device="cpu")
    near = knowing.embed(video(tmp_path / "near.mp4", 0, 128, seed=50))
    assert all(window.distance is not None for window in near.windows)
    assert not any("unlike" in told for told in near.warnings)
    far = knowing.embed(upside_down(tmp_path / "far.mp4"))
    assert all(window.distance > 1 for window in far.windows if window.distance is not None)
    assert sum("windows are unlike what the weights" in told for told in far.warnings) == 1
    # Nothing is told of windows that do not count anyway, nor by weights that do not know.
    still = knowing.embed(video(tmp_path / "still.mp4", 7, 128, still=True))
    assert not any("unlike" in told for told in still.warnings)
    unknowing = Fingerprinter(FakeWeights(), device="cpu").embed(tmp_path / "far.mp4")
    assert unknowing.warnings == ()
    assert all(window.distance is None for window in unknowing.windows)
    assert np.array_equal(unknowing.vectors, far.vectors)


def test_a_damaged_domain_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be used"):
        read_model_info({**CALIBRATED_CARD, "domain": {"limit": 1.0}}, "0" * 16)


def test_watch_tells_every_look_and_warns_once(
    card: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing = Fingerprinter(FakeWeights(card=card), device="cpu")
    far = upside_down(tmp_path / "far.mp4")
    with open_source(str(far)) as source:
        looks = list(Watch(source, knowing, np.eye(256, dtype=np.float32)[0], hop=8))
    offline = knowing.embed(far, hop=8)
    assert [look.distance for look in looks] == pytest.approx([window.distance for window in offline.windows])
    monkeypatch.setattr(Fingerprinter, "load", lambda *_, **__: knowing)
    Gallery.open(tmp_path / "g.db").enroll("ana", knowing.embed(video(tmp_path / "enrol.mp4", 0, 200, seed=5)))
    words = ["watch", str(far), "--as", "ana", "--gallery", str(tmp_path / "g.db")]
    assert CliRunner().invoke(cli, words).stderr.count("unlike what the weights were trained on") == 1
    # Few looks are told of, too: at the end.
    assert CliRunner().invoke(cli, [*words, "--hop", "100"]).stderr.count("unlike what the weights") == 1
