import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.arkit import (
    ARKIT,
    ARKIT_INDEX,
    CHANNEL_TO_ARKIT,
    arkit_from_channels,
    channel_basis,
    channels_from_arkit,
)  # fmt: skip
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX, POSE_CHANNELS
from whodrives.errors import InputError

# Channels that the way through ARKit gives back exactly: what partners them serves no other channel.
ONE_TO_ONE = [name for name in AU_CHANNELS if name not in ("AU25", "AU26")] + ["jaw_x", "mouth_x", "gaze_x", "gaze_y"]
SIDED = ("AU02", "AU04", "AU10", "AU12", "AU14", "AU45")


def one(**weights: float) -> dict[str, float]:
    """Channels (by name, zeros left out) of one frame of coefficients."""
    row = np.zeros((1, 52))
    for name, value in weights.items():
        row[0, ARKIT_INDEX[name]] = value
    values = channels_from_arkit(row)[0]
    return {name: float(value) for name, value in zip(CHANNELS, values, strict=True) if abs(value) > 1e-6}


def drive(**channels: float) -> dict[str, float]:
    row = np.zeros((1, 33))
    for name, value in channels.items():
        row[0, INDEX[name]] = value
    weights = arkit_from_channels(row)[0]
    return {name: round(float(value), 5) for name, value in zip(ARKIT, weights, strict=True) if value > 1e-6}


def test_there_are_52_different_names_and_both_sides_of_each():
    assert len(set(ARKIT)) == len(ARKIT) == 52
    for name in ARKIT:
        if name.endswith("Left"):
            assert name[:-4] + "Right" in ARKIT


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_channels_with_a_partner_of_their_own_come_back(data):
    values = np.zeros((1, 33))
    for name in ONE_TO_ONE:
        low, high = {"AU45": (0, 2.5), "gaze_x": (-0.5, 0.5), "gaze_y": (-0.4, 0.4)}.get(name, (0, 5))
        if name.endswith("_x") and name not in ("gaze_x",):
            low, high = -1, 1
        values[0, INDEX[name]] = data.draw(st.floats(low, high), label=name)
    for name in SIDED:
        # Neither side below 0 nor above full: what clipping takes cannot come back.
        full = 2.5 if name == "AU45" else 5.0
        room = min(values[0, INDEX[name]], full - values[0, INDEX[name]])
        values[0, INDEX[name + "_lr"]] = data.draw(st.floats(-room, room), label=name + "_lr")
    again = channels_from_arkit(arkit_from_channels(values))
    kept = [INDEX[name] for name in ONE_TO_ONE] + [INDEX[name + "_lr"] for name in SIDED]
    np.testing.assert_allclose(again[:, kept], values[:, kept], atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_swapping_the_sides_of_the_face_only_turns_the_signs_of_sided_channels(seed):
    weights = np.random.default_rng(seed).random((4, 52))
    swapped = [
        ARKIT_INDEX[n[:-4] + "Right" if n.endswith("Left") else n[:-5] + "Left" if n.endswith("Right") else n]
        for n in ARKIT
    ]
    here, there = channels_from_arkit(weights), channels_from_arkit(weights[:, swapped])
    sign = np.array([-1.0 if n.endswith(("_lr", "_x")) else 1.0 for n in CHANNELS])
    np.testing.assert_allclose(there, here * sign, atol=1e-5)
    assert (here[:, :17] >= 0).all()
    assert (here[:, :17] <= 5).all()
    assert (here[:, [INDEX[name] for name in POSE_CHANNELS]] == 0).all()


def test_one_sided_smile_and_wink():
    assert one(mouthSmileLeft=1) == pytest.approx({"AU12": 2.5, "AU12_lr": 2.5})
    assert one(eyeBlinkRight=1) == pytest.approx({"AU45": 1.25, "AU45_lr": -1.25})


def test_jaw_opens_the_lips_unless_the_mouth_stays_closed():
    opened, chewing = one(jawOpen=0.6), one(jawOpen=0.6, mouthClose=0.6)
    assert opened["AU25"] == pytest.approx(3.0)
    assert opened["AU26"] == pytest.approx(4.5)
    assert "AU25" not in chewing
    assert chewing["AU26"] == pytest.approx(5.0)


def test_gaze_to_the_right_of_the_image_is_the_persons_left():
    assert one(eyeLookOutLeft=1, eyeLookInRight=1) == pytest.approx({"gaze_x": 0.5})
    assert one(eyeLookUpLeft=0.5, eyeLookUpRight=0.5) == pytest.approx({"gaze_y": -0.2})
    assert drive(gaze_x=-0.25) == {"eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5}


def test_full_action_units_give_full_coefficients():
    assert drive(AU12=5) == {"mouthSmileLeft": 1, "mouthSmileRight": 1}
    assert drive(AU45=2.5) == {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}
    assert drive(AU12=2, AU12_lr=2) == {"mouthSmileLeft": 0.8}
    assert drive(AU26=5) == {"jawOpen": 0.6}
    assert drive(AU45=9) == {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}
    assert drive(yaw=1, tx=1) == {}


def test_the_basis_is_what_small_motions_do():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(52, 5, 3))
    basis = channel_basis(shapes)
    # Far from clipping and without signed channels, moving by channels and moving by coefficients agree.
    values = np.zeros((1, 33))
    values[0, :17] = rng.uniform(0.2, 1.0, 17)
    np.testing.assert_allclose(
        np.tensordot(values, basis, axes=1), np.tensordot(arkit_from_channels(values), shapes, axes=1), atol=1e-5
    )
    left, right = shapes[ARKIT_INDEX["jawLeft"]], shapes[ARKIT_INDEX["jawRight"]]
    np.testing.assert_allclose(basis[INDEX["jaw_x"]], (left - right) / 2, atol=1e-6)
    assert not basis[INDEX["yaw"]].any()
    assert CHANNEL_TO_ARKIT.shape == (33, 52)


def test_frames_without_a_face_stay_gaps():
    weights = np.zeros((2, 52))
    weights[1] = np.nan
    values = channels_from_arkit(weights)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1, :17]).all()


def test_wrong_inputs_are_named():
    with pytest.raises(InputError, match="52"):
        channels_from_arkit(np.zeros((3, 51)))
    with pytest.raises(InputError, match="percentages"):
        channels_from_arkit(np.full((3, 52), 40.0))
    with pytest.raises(InputError, match="33"):
        arkit_from_channels(np.zeros(33))
    with pytest.raises(InputError, match="52"):
        channel_basis(np.zeros((33, 4, 3)))
