"""Motion conditioning: gaps, low-pass, neutral removal, scale, channels left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.conditioning import (
    NECK_TO_EYES,
    SOURCES,
    Conditioning,
    bridge_gaps,
    condition,
    for_source,
    head_angles,
    low_pass,
    rotations,
    subtract_neutral,
)
from whodrives.avatars.tracks import CHANNELS, INDEX
from whodrives.errors import InputError

FPS = 30.0
RAW = Conditioning(expression_cutoff_hz=None, pose_cutoff_hz=None, remove_neutral=False, true_head_pose=True)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, len(CHANNELS)))


@settings(deadline=None)
@given(good=st.lists(st.booleans(), min_size=1, max_size=40).filter(any), limit=st.integers(0, 8))
def test_gaps_match_a_naive_loop(good: list[bool], limit: int) -> None:
    values = noise(len(good))
    out, valid = bridge_gaps(values, np.array(good), limit)
    known = [i for i, ok in enumerate(good) if ok]
    for i, ok in enumerate(good):
        before, after = [k for k in known if k <= i], [k for k in known if k >= i]
        if ok:
            expected, fine = values[i], True
        elif not before or not after:
            expected, fine = values[(before or after[:1])[-1]], False
        else:
            a, b = before[-1], after[0]
            expected = values[a] + (values[b] - values[a]) * (i - a) / (b - a)
            fine = b - a - 1 <= limit
        np.testing.assert_allclose(out[i], expected, atol=1e-12)
        assert valid[i] == fine


def test_low_confidence_and_nan_frames_are_gaps() -> None:
    values, confidence = noise(90), np.full(90, 0.98)
    confidence[20:26] = 0.5  # 0.2 s: bridged
    confidence[40:47] = 0.79  # longer: invalid
    values[60, INDEX["yaw"]] = np.nan  # a missing cell: one frame, bridged
    values[20:26] = 1e6  # what the tracker said meanwhile must not leak
    out, valid = condition(values, confidence, FPS, RAW)
    assert np.flatnonzero(~valid).tolist() == list(range(40, 47))
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 10
    assert out.dtype == np.float32
    keep = confidence >= 0.8
    keep[60] = False
    np.testing.assert_allclose(out[keep], values[keep], rtol=1e-6)


def test_no_usable_frame_is_an_error() -> None:
    with pytest.raises(InputError, match="none of the 5 frames"):
        condition(noise(5), np.zeros(5), FPS)


@pytest.mark.parametrize(
    ("hz", "channel", "passes"), [(2, "AU12", True), (12, "AU12", False), (1, "roll", True), (6, "roll", False)]
)
def test_low_pass_keeps_behaviour_without_delay(hz: float, channel: str, passes: bool) -> None:
    wave = np.sin(2 * np.pi * hz * np.arange(600) / FPS)
    values = np.zeros((600, len(CHANNELS)))
    values[:, INDEX[channel]] = wave
    out = low_pass(values, FPS, Conditioning())[60:-60, INDEX[channel]]
    if passes:
        np.testing.assert_allclose(out, wave[60:-60], atol=0.02)  # amplitude and phase
    else:
        assert np.abs(out).max() < 0.02


def test_low_pass_takes_any_length_and_any_rate() -> None:
    for n in (1, 2, 3, 10, 40):
        assert low_pass(noise(n), FPS, Conditioning()).shape == (n, 33)
    np.testing.assert_array_equal(low_pass(noise(40), 5.0, Conditioning()), noise(40))  # nothing above 2.5 Hz anyway


def test_neutral_is_measured_on_valid_frames() -> None:
    values, valid = noise(400), np.ones(400, dtype=bool)
    valid[:100] = False
    values[:100] += 50
    out = subtract_neutral(values, valid)
    seen = out[valid]
    sided = [CHANNELS.index(name.removesuffix("_lr")) for name in CHANNELS if name.endswith("_lr")]
    halves = [CHANNELS.index(name) for name in CHANNELS if name.endswith("_lr")]
    symmetric = [number for number in range(17) if number not in sided]
    middle = [number for number in range(17, 33) if number not in halves]
    np.testing.assert_allclose(np.percentile(seen[:, symmetric], 10, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.median(seen[:, middle], axis=0), 0, atol=1e-12)
    for sign in (1, -1):
        side = seen[:, sided] + sign * seen[:, halves]
        np.testing.assert_allclose(np.percentile(side, 10, axis=0), 0, atol=1e-12)


def test_a_smile_of_one_side_stays_on_its_side() -> None:
    """The left half smiles in 60% of the frames, the right half never does."""
    values = np.zeros((300, 33))
    smiling = np.arange(300) % 100 < 60
    values[smiling, INDEX["AU12"]] = values[smiling, INDEX["AU12_lr"]] = 1.5
    out = subtract_neutral(values, np.ones(300, dtype=bool))
    left, right = (out[:, INDEX["AU12"]] + sign * out[:, INDEX["AU12_lr"]] for sign in (1, -1))
    np.testing.assert_allclose(right, 0, atol=1e-12)
    np.testing.assert_allclose(left, np.where(smiling, 3.0, 0.0), atol=1e-12)


@pytest.mark.parametrize(("fps", "longest"), [(8.0, 1), (24.0, 4), (25.0, 5), (30.0, 6)])
def test_no_more_than_a_fifth_of_a_second_is_bridged(fps: float, longest: int) -> None:
    for missing, bridged in ((longest, True), (longest + 1, False)):
        values = noise(60)
        values[20 : 20 + missing] = np.nan
        assert condition(values, None, fps)[1].all() == bridged


def test_a_constant_offset_does_not_survive() -> None:
    offset = np.linspace(-1, 1, len(CHANNELS))
    one, _ = condition(noise(300), None, FPS)
    two, _ = condition(noise(300) + offset, None, FPS)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_weak_channels_and_yaw_scale() -> None:
    table, _ = condition(noise(300), None, FPS)
    true, _ = condition(noise(300), None, FPS, Conditioning(true_head_pose=True))
    hidden = [INDEX[name] for name in ("pitch", "tx", "ty", "tz")]
    assert not table[:, hidden].any()
    assert (true[:, hidden].std(axis=0) > 0.1).all()
    np.testing.assert_allclose(table[:, INDEX["yaw"]], 0.6 * true[:, INDEX["yaw"]], rtol=1e-5)
    np.testing.assert_array_equal(table[:, INDEX["roll"]], true[:, INDEX["roll"]])


@pytest.mark.parametrize(
    "wrong",
    [
        {"expression_cutoff_hz": 0},
        {"au_percentile": 101},
        {"min_confidence": 80},
        {"max_gap_seconds": -1},
        {"filter_order": 0},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="conditioning"):
        Conditioning(**wrong)
    assert Conditioning(**Conditioning().to_dict()) == Conditioning()


@given(angles=st.lists(st.tuples(*[st.floats(-1.4, 1.4)] * 3), min_size=1, max_size=5))
def test_angles_and_matrices_belong_together(angles: list[tuple[float, float, float]]) -> None:
    def single(axis: int, angle: float) -> np.ndarray:
        out, (i, j) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
        out[i, i] = out[j, j] = np.cos(angle)
        out[i, j], out[j, i] = -np.sin(angle), np.sin(angle)
        return out

    turned = rotations(*np.array(angles).T)
    for matrix, (pitch, yaw, roll) in zip(turned, angles, strict=True):
        np.testing.assert_allclose(matrix, single(0, pitch) @ single(1, yaw) @ single(2, roll), atol=1e-12)
    np.testing.assert_allclose(head_angles(turned), angles, atol=1e-9)


def test_signs_of_the_head_are_those_of_the_contract() -> None:
    nose, brow = np.array([0, 0, -1.0]), np.array([0, -1.0, 0])
    zero, some = np.zeros(1), np.full(1, 0.2)
    assert (rotations(some, zero, zero)[0] @ nose)[1] > 0.1  # pitch: down
    assert (rotations(zero, some, zero)[0] @ nose)[0] < -0.1  # yaw: to the left of the image
    assert (rotations(zero, zero, some)[0] @ brow)[0] > 0.1  # roll: clockwise


def test_turning_about_the_neck_is_no_translation() -> None:
    slow = np.sin(2 * np.pi * 0.3 * np.arange(300) / FPS)
    values = np.zeros((300, len(CHANNELS)))
    pose = [INDEX[name] for name in ("pitch", "yaw", "roll")]
    shift = [INDEX[name] for name in ("tx", "ty", "tz")]
    values[:, pose] = slow[:, None] * [0.1, -0.2, 0.15]
    values[:, shift] = rotations(*values[:, pose].T) @ NECK_TO_EYES - np.array(NECK_TO_EYES)
    assert np.abs(values[:, INDEX["tx"]]).max() > 0.2
    moved = values.copy()
    moved[:, INDEX["tx"]] += 0.5 * slow
    options = Conditioning(true_head_pose=True, about_neck=True, pose_cutoff_hz=None, remove_neutral=False)
    np.testing.assert_allclose(condition(values, None, FPS, options)[0][:, shift], 0, atol=1e-6)
    np.testing.assert_allclose(condition(moved, None, FPS, options)[0][:, INDEX["tx"]], 0.5 * slow, atol=1e-6)
    still = Conditioning(true_head_pose=True, keep_translation=False)
    assert not condition(moved, None, FPS, still)[0][:, shift].any()


def test_every_source_has_its_conditioning() -> None:
    assert for_source("table") == Conditioning()
    assert all(for_source(name).true_head_pose for name in SOURCES if name != "table")
    with pytest.raises(InputError, match="openface"):
        for_source("openfase")
