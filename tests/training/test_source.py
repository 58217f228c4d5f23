"""Training clips: thin over OnlineAvatars, generators by weight."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from whodrives.errors import InputError
from whodrives.training import source
from whodrives.training.config import SourceConfig, TrainConfig, config_from_dict
from whodrives.training.motion import motion_scale
from whodrives.training.source import AvatarSource, evaluation_clips

SMALL = {"builtin_drivers": 3, "procedural_faces": 2, "clip_length": 4, "validation_drivers": 2}


@pytest.fixture(autouse=True)
def _short_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in people perform for seconds, not for half a minute."""
    monkeypatch.setattr(source, "BUILTIN_SECONDS", 2.0)


def test_batches_are_functions_of_seed_and_step() -> None:
    first, second = (AvatarSource(SourceConfig(**SMALL), seed=5) for _ in range(2))
    first.batch(0, 2, 2)
    a, b = first.batch(9, 2, 3), second.batch(9, 2, 3)
    assert torch.equal(a.frames, b.frames)
    assert torch.equal(a.driver, b.driver)
    assert a.frames.shape == (6, 4, 1, 128, 128)
    assert a.driver.tolist() == sorted(a.driver.tolist(), key=a.driver.tolist().index)
    assert not torch.equal(AvatarSource(SourceConfig(**SMALL), seed=6).batch(9, 2, 3).frames, a.frames)
    with pytest.raises(InputError, match="only 3 have usable tracks"):
        first.batch(0, 4, 1)


def test_generators_of_a_config_are_names_or_weights() -> None:
    assert TrainConfig().data.generators == {"warp": 1.0}
    mixed = config_from_dict({"data": {"generators": {"warp": 3, "keypoint": 1.0}}}).data
    assert mixed.generators == {"warp": 3.0, "keypoint": 1.0}
    assert config_from_dict({"data": {"generators": ["warp", "mesh"]}}).data.generators == {"warp": 1.0, "mesh": 1.0}
    for wrong in ([], {}, "warp", {"warp": "x"}, {"warp": -1}, [1]):
        with pytest.raises(InputError, match=r"data\.generators"):
            config_from_dict({"data": {"generators": wrong}})


def test_training_and_validation_use_the_generators_of_the_config() -> None:
    config = SourceConfig(**SMALL, generators={"warp": 1.0, "keypoint": 1.0}, source_fps="24-30", codec=True)
    made = AvatarSource(config, seed=1)
    kinds = torch.cat([made.avatars.batch(step, 2, 2).generator for step in range(4)])
    assert set(kinds.tolist()) == {0, 1}
    clips = evaluation_clips(config, "val", others=1)
    alone = evaluation_clips(SourceConfig(**SMALL), "val", others=1)
    assert clips.frames.shape == alone.frames.shape
    assert (clips.target == alone.target)[clips.is_self & alone.is_self].all()
    with pytest.raises(InputError, match="unknown generator"):
        AvatarSource(SourceConfig(**SMALL, generators={"wrap": 1.0}), seed=1)


def test_nobody_and_nothing_to_show() -> None:
    with pytest.raises(InputError, match="no drivers"):
        AvatarSource(SourceConfig(builtin_drivers=0, procedural_faces=1), seed=0)
    with pytest.raises(InputError, match="no faces"):
        AvatarSource(SourceConfig(builtin_drivers=1, procedural_faces=0), seed=0)


def test_training_people_can_be_fewer_and_be_shown_as_clips() -> None:
    config = SourceConfig(**SMALL, validation_others=1)
    clips = evaluation_clips(config, "train", others=1, people=2)
    names = {driver.name for driver in AvatarSource(config, seed=0).drivers}
    assert len(set(clips.driver)) == 2
    assert set(clips.driver) <= names
    motion = Path(__file__).resolve().parents[2].parent / "shared" / "motion" / "mu3d.parquet"
    if not motion.is_file():
        pytest.skip("needs ../shared/motion for real tracks")
    real = SourceConfig(motion=str(motion), builtin_drivers=0, train_drivers=3, train_recordings=2, clip_length=16)
    few = AvatarSource(real, seed=0)
    assert len(few.drivers) == 3
    assert {len(driver.tracks) for driver in few.drivers} == {2}


def test_validation_clips_go_through_the_codec_where_training_clips_do() -> None:
    plain, coded = (
        evaluation_clips(SourceConfig(**SMALL, codec=codec), "val", others=1, people=1) for codec in (False, True)
    )
    assert coded.frames.shape == plain.frames.shape
    assert not torch.equal(coded.frames, plain.frames)
    apart = (coded.frames.float() - plain.frames.float()).abs().mean()
    assert 0 < float(apart) < 8


def test_motion_scale_counts_pools_by_their_share() -> None:
    source = AvatarSource(SourceConfig(builtin_drivers=3, procedural_faces=1, clip_length=8), seed=0)
    source.pools, source.avatars.pool_weights = [[0], [1, 2]], [0.75, 0.25]
    own = [
        motion_scale((track.values for number in pool for track in source.drivers[number].tracks), 8)
        for pool in source.pools
    ]
    wanted = (0.75 * own[0] ** 2 + 0.25 * own[1] ** 2).sqrt()
    assert torch.allclose(source.motion_scale(), wanted, rtol=1e-5)
    assert not torch.allclose(wanted, ((own[0] ** 2 + own[1] ** 2) / 2).sqrt(), rtol=1e-3)


def test_validation_clips_judder_where_generators_run_at_another_rate() -> None:
    clips = evaluation_clips(SourceConfig(**SMALL, source_fps="20"), "val", others=1, people=1)
    assert clips.motion is not None
    assert len(clips.motion[0]) == len(clips.frames[0])
    for motion, frames in zip(clips.motion, clips.frames, strict=True):
        still = (motion[1:] == motion[:-1]).all(dim=1)
        assert int(still.sum()) == sum(1 for n in range(1, len(motion)) if n % 5 == 3)  # 20 of 25 frames are new
        assert [bool(torch.equal(one, two)) for one, two in pairwise(frames)] == still.tolist()
