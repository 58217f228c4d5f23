import math
from pathlib import Path

import numpy as np
import pytest

from fake_weights import CALIBRATED_CARD, CALIBRATION, CARD, FakeWeights, moving_frames, video
from whodrives.avatars.encode import write_mp4
from whodrives.errors import InputError
from whodrives.verification.errors import WeightsMismatchError
from whodrives.verification.fingerprinter import Fingerprinter, read_contract, read_model_info
from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import UnreadableFileError, VideoError
from whodrives.video.frames import load_frames
from whodrives.video.gate import motion_energy
from whodrives.video.windows import cut_windows, gather


@pytest.fixture
def fp() -> Fingerprinter:
    return Fingerprinter(FakeWeights(), device="cpu")


def test_embeds_what_a_plain_loop_over_windows_gives(fp: Fingerprinter, tmp_path: Path) -> None:
    import torch

    path = video(tmp_path / "ä é.mp4", driver=2, frames=300)
    made = fp.embed(path, hop=20, batch_size=3)
    loaded = load_frames(path)
    windows = cut_windows(len(loaded.frames), 64, 20, loaded.scene_cuts)
    assert [window.start for window in made.windows] == [window.start for window in windows]
    for row, info, window in zip(made.vectors, made.windows, windows, strict=True):
        clip = gather(loaded.frames, window)
        expected = FakeWeights().model(torch.from_numpy(clip)[None, :, None])[0].numpy()
        assert row == pytest.approx(expected, abs=1e-5)
        assert info.energy == pytest.approx(motion_energy(clip))
        assert info.seconds == pytest.approx(window.start / 25)
    assert made.videos[0].n_frames == 300
    assert made.videos[0].path == str(path)
    assert np.linalg.norm(made.vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_at_most_batch_size_windows_are_held(tmp_path: Path, batch_size: int) -> None:
    weights = FakeWeights()
    made = Fingerprinter(weights, device="cpu").embed(video(tmp_path / "v.mp4", 1, 256), batch_size=batch_size)
    sizes = [size for size, _ in weights.model.calls]
    assert max(sizes) <= batch_size
    assert sum(sizes) == len(made.windows) == 7


def test_short_video_is_padded_masked_and_not_usable(tmp_path: Path) -> None:
    weights = FakeWeights()
    made = Fingerprinter(weights, device="cpu").embed(video(tmp_path / "short.mp4", 1, 20))
    assert weights.model.calls == [(1, [20])]
    assert [(window.valid, window.problem) for window in made.windows] == [(20, "short")]
    assert made.template is None


def test_valid_is_left_out_when_no_window_is_padded(tmp_path: Path) -> None:
    weights = FakeWeights()
    Fingerprinter(weights, device="cpu").embed(video(tmp_path / "v.mp4", 1, 128))
    assert all(valid is None for _, valid in weights.model.calls)


def test_still_video_is_gated(fp: Fingerprinter, tmp_path: Path) -> None:
    made = fp.embed(video(tmp_path / "still.mp4", 0, 128, still=True))
    assert [window.problem for window in made.windows] == ["still"] * len(made.windows)
    assert made.template is None


def test_low_frame_rate_is_told_with_numbers(fp: Fingerprinter, tmp_path: Path) -> None:
    made = fp.embed(video(tmp_path / "slow.mp4", 0, 80, fps=10.0))
    assert {window.problem for window in made.windows} == {"rate"}
    assert any("10.0 fps" in warning and "60%" in warning for warning in made.warnings)


def test_same_driver_scores_higher_and_decides_right(fp: Fingerprinter, tmp_path: Path) -> None:
    a = video(tmp_path / "a.mp4", 0, seed=1)
    same, other = video(tmp_path / "b.mp4", 0, seed=2), video(tmp_path / "c.mp4", 7, seed=3)
    genuine, impostor = fp.compare(a, same), fp.compare(a, fp.embed(other))
    assert genuine.decision == "accept"
    assert impostor.decision == "reject"
    assert genuine.score is not None
    assert impostor.score is not None
    assert genuine.score > impostor.score


def test_a_shared_beginning_is_not_the_same_content(fp: Fingerprinter, tmp_path: Path) -> None:
    black = np.zeros((64, 128, 128, 3), np.uint8)
    contents = []
    for seed in (1, 2):
        frames = np.concatenate([black, moving_frames(0, 64, seed=seed)])
        write_mp4(tmp_path / f"{seed}.mp4", frames, 25.0)
        contents.append(fp.embed(tmp_path / f"{seed}.mp4").videos[0].content)
    assert contents[0] != contents[1]


def test_content_is_equal_for_a_copy_whatever_the_hop(fp: Fingerprinter, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", 0)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    one, two = fp.embed(path).videos[0], fp.embed(copy, hop=10, batch_size=1).videos[0]
    assert one.content == two.content
    assert one.content != fp.embed(video(tmp_path / "b.mp4", 0, seed=5)).videos[0].content


def test_crop_reads_that_region_only(fp: Fingerprinter, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", 0)
    cropped = fp.embed(path, crop="64,64,64,64")
    assert cropped.videos[0].crop == (64, 64, 64, 64)
    assert {window.problem for window in cropped.windows} == {"still"}
    with pytest.raises(VideoError, match="crop"):
        fp.embed(path, crop="100,100,64,64")


def test_bad_input_is_an_error(fp: Fingerprinter, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video"):
        fp.embed()
    with pytest.raises(InputError, match="batch_size"):
        fp.embed("x.mp4", batch_size=0)
    with pytest.raises(UnreadableFileError, match=r"missing\.mp4"):
        fp.embed(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="device"):
        Fingerprinter(FakeWeights(), device="nonsense")


def test_comparing_across_weights_is_an_error(fp: Fingerprinter, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", 0, 64)
    foreign = Fingerprinter(FakeWeights(digest="0" * 16), device="cpu").embed(path)
    with pytest.raises(WeightsMismatchError):
        fp.compare(path, foreign)


def test_card_without_contract_follows_the_network() -> None:
    assert read_contract({"model": {"normalisation": "frame"}}).normalisation == "frame"
    assert read_contract(CARD) == PreprocessingContract()


@pytest.mark.parametrize("thresholds", [{"x": {"1": 0.1}}, {"0.1": {"1": "high"}}, {"0.1": {"1": float("nan")}}, [1]])
def test_damaged_card_is_refused(thresholds: object) -> None:
    with pytest.raises(InputError, match="card of weights 'fake'"):
        read_model_info({**CARD, "thresholds": thresholds}, "d")


def test_a_real_network_fits(tmp_path: Path) -> None:
    real = Fingerprinter.load("paper", device="cpu")
    made = real.embed(video(tmp_path / "a.mp4", 0, 40))
    assert made.vectors.shape == (1, 256)
    assert np.linalg.norm(made.vectors[0]) == pytest.approx(1.0, abs=1e-5)
    assert made.model.thresholds == {}
    assert real.compare(made, made).decision == "abstain"


def test_a_saved_weight_file_brings_its_thresholds_and_contract(tmp_path: Path) -> None:
    from whodrives.models import build_model
    from whodrives.training.weights import save_weights

    contract = PreprocessingContract(fps=20.0)
    card = {**CARD, "name": "own", "contract": contract.to_dict(), "clip_length": 40}
    digest = save_weights(tmp_path / "own.safetensors", build_model("release"), card)
    own = Fingerprinter.load(tmp_path / "own.safetensors", device="cpu")
    assert (own.model.name, own.model.digest, own.contract) == ("own", digest, contract)
    made = own.embed(video(tmp_path / "a.mp4", 0, 60, fps=20.0))
    assert [(window.length, window.valid) for window in made.windows] == [(40, 40), (40, 40)]
    assert own.compare(made, made).threshold == 0.6


def test_calibration_of_a_card_is_read_or_refused() -> None:
    info = read_model_info(CALIBRATED_CARD, "feed")
    assert info.calibration is not None
    assert info.calibration.llr(0.75, 1) == pytest.approx(2.0)
    assert info.calibration.correlation == 0.1
    assert read_model_info(CARD, "feed").calibration is None
    one = CALIBRATION["one"]
    for wrong in (
        {"correlation": 0.25},
        {"one": one, "correlation": 2},
        {"one": {**one, "low": math.nan}, "correlation": 0},
    ):
        with pytest.raises(InputError, match="copy the weights again"):
            read_model_info({**CARD, "calibration": wrong}, "feed")
