"""Watching files: each look against the offline path, and what the command line tells."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from fake_weights import CALIBRATED_CARD, FakeWeights, moving_frames, video
from whodrives.avatars.encode import write_mp4
from whodrives.errors import InputError
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.gallery import Gallery
from whodrives.verification.sequential import SequentialSettings
from whodrives.verification.watch import Watch, WatchUpdate, open_source

QUICK = SequentialSettings(far=0.05, frr=0.05, change_hours=0.01)


@pytest.fixture
def fp() -> Fingerprinter:
    return Fingerprinter(FakeWeights(card=CALIBRATED_CARD), device="cpu")


def looks(fp: Fingerprinter, path: Path, template: np.ndarray, **options: object) -> list[WatchUpdate]:
    with open_source(str(path)) as source:
        return list(Watch(source, fp, template, settings=QUICK, **options))  # type: ignore[arg-type]


def test_every_look_is_a_window_of_the_offline_path(fp: Fingerprinter, tmp_path: Path) -> None:
    path = video(tmp_path / "ana.mp4", 0, frames=200)
    template = fp.embed(video(tmp_path / "enrol.mp4", 0, seed=5)).template
    assert template is not None
    found = looks(fp, path, template, hop=16)
    offline = fp.embed(path, hop=16)
    assert [one.seconds for one in found] == [(window.start + 64) / 25 for window in offline.windows]
    assert [one.score for one in found] == pytest.approx((offline.vectors @ template).tolist(), abs=1e-5)
    last = found[-1]
    assert last.covered == pytest.approx((offline.windows[-1].start + 64) / 64)
    assert 1 < last.worth < last.covered
    assert last.mean == pytest.approx(np.mean([one.score for one in found]), abs=1e-6)
    calibration = fp.model.calibration
    assert calibration is not None
    assert last.llr == pytest.approx(float(calibration.llr(last.mean, last.worth)))
    assert {one.crop for one in found} == {offline.videos[0].crop}
    assert all(one.compute >= 0 and one.reconnects == one.overrun == 0 for one in found)


def test_driver_is_accepted_impostor_rejected_and_a_swap_found(fp: Fingerprinter, tmp_path: Path) -> None:
    template = fp.embed(video(tmp_path / "enrol.mp4", 0, seed=5)).template
    assert template is not None
    assert looks(fp, video(tmp_path / "ana.mp4", 0, frames=256), template)[-1].decision == "accept"
    assert looks(fp, video(tmp_path / "ben.mp4", 7, frames=256), template)[-1].decision == "reject"
    path = tmp_path / "swap.mp4"
    # Equal faces, so that no scene cut tells.
    write_mp4(path, np.concatenate([moving_frames(0, 400), moving_frames(7, 400, seed=3)]), 25)
    found = looks(fp, path, template)
    assert found[30].decision == "accept"
    assert found[-1].decision == "reject"
    changes = [one for one in found if one.changed_at is not None]
    assert len(changes) == 1
    assert abs(changes[0].changed_at - 16) < 3
    assert changes[0].seconds - 16 < 10


def test_what_cannot_be_judged_does_not_count(fp: Fingerprinter, tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    write_mp4(path, moving_frames(0, 128, still=True), 25)
    found = looks(fp, path, np.eye(256, dtype=np.float32)[0])
    assert found
    assert all(one.problem == "still" and one.decision == "watching" and one.mean is None for one in found)
    assert looks(fp, video(tmp_path / "short.mp4", 0, frames=40), np.eye(256, dtype=np.float32)[0]) == []


def test_weights_without_calibration_say_so(fp: Fingerprinter, tmp_path: Path) -> None:
    plain = Fingerprinter(FakeWeights(), device="cpu")
    with open_source(str(video(tmp_path / "a.mp4", 0))) as source:
        with pytest.raises(InputError, match="whodrives calibrate"):
            Watch(source, plain, np.eye(256, dtype=np.float32)[0])
        with pytest.raises(InputError, match="hop is 0"):
            Watch(
                source, Fingerprinter(FakeWeights(card=CALIBRATED_CARD), device="cpu"), np.zeros(256, np.float32), hop=0
            )


def test_update_is_plain_json() -> None:
    update = WatchUpdate(2.56, 0.5, None, "accept", 0.5, 3.0, 1.0, 1.0, None, 0.01, (0, 0, 64, 64))
    values = json.loads(json.dumps(update.to_dict()))
    assert values == {**dataclasses.asdict(update), "crop": [0, 0, 64, 64]}


def test_template_is_of_the_same_weights(fp: Fingerprinter, tmp_path: Path) -> None:
    gallery = Gallery.open(tmp_path / "drivers.db")
    gallery.enroll("ana", fp.embed(video(tmp_path / "a.mp4", 0)))
    assert gallery.template_for(fp.blank(), "ana") == pytest.approx(gallery.template("ana"))
