"""Key points and dense motion: sizes, signs and places of every channel, head pose, and no folding."""

import math

import numpy as np
import pytest
import torch

from whodrives.avatars import facepoints as fp
from whodrives.avatars.faces import Face
from whodrives.avatars.keypoint import KeypointRig, build_rig
from whodrives.avatars.keypoint.actions import CAMERA, INTER_OCULAR_MM, channel_table, drive, lid_closure
from whodrives.avatars.keypoint.dense import LOCAL, MASKS, dense_motion, local_masks
from whodrives.avatars.keypoint.points import ANCHORS, KEY, KEYS, SKIN, FaceAxes, rest_points
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, INDEX, POSE_CHANNELS
from whodrives.errors import InputError

FACES = (2, 8)


@pytest.fixture(scope="module")
def rigs() -> list[KeypointRig]:
    return [build_rig(procedural_face(seed), 64) for seed in FACES]


def one(**channels: float) -> torch.Tensor:
    values = torch.zeros(1, len(CHANNELS))
    for name, value in channels.items():
        values[0, INDEX[name]] = value
    return values


def driven(rig: KeypointRig, **channels: float) -> torch.Tensor:
    """Key points in face axes, (1, K, 2)."""
    table = torch.from_numpy(channel_table()).float()
    return drive(one(**channels), rig.rest[None], table, rig.tilt[None])


def step(rig: KeypointRig, name: str, **channels: float) -> np.ndarray:
    """Displacement of one key point in millimetres, (right, down)."""
    return ((driven(rig, **channels)[0, KEY[name]] - rig.rest[KEY[name], :2]) * INTER_OCULAR_MM).numpy()


def motion(rig: KeypointRig, places: torch.Tensor, **channels: float) -> torch.Tensor:
    """Dense motion (P, 2) at places (P, 2), face axes."""
    controls = one(**channels)
    size = 1 / (1 + controls[:, INDEX["tz"]] / CAMERA)
    points = driven(rig, **channels)
    return dense_motion(points, rig.rest[None, :, :2], places.T[None], controls[:, INDEX["roll"]], size)[0].T


def picture_grid(rig: KeypointRig, side: int) -> torch.Tensor:
    centres = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) - rig.origin) @ torch.linalg.inv(rig.to_image)


def test_the_table_covers_every_channel_and_names_real_points() -> None:
    assert 35 <= len(SKIN) <= 50
    assert len(set(KEYS)) == len(KEYS)
    table = channel_table()
    assert table.shape == (33, len(KEYS), 3)
    for name in CHANNELS:
        moves = np.abs(table[INDEX[name]]).max()
        # Head pose is a rotation, not a displacement.
        assert (moves == 0) == (name in POSE_CHANNELS), name
    assert not table[:, [KEY[name] for name in ANCHORS]].any()


def test_the_tables_are_mirror_images() -> None:
    table = channel_table()
    partner = [KEY[n[:-1] + "r" if n.endswith("_l") else n[:-1] + "l" if n.endswith("_r") else n] for n in SKIN]
    flip = np.array([-1.0, 1.0, 1.0])
    for name in AU_CHANNELS:
        moves = table[INDEX[name], : len(SKIN)]
        assert np.allclose(moves[partner] * flip, moves), name


def test_points_lie_where_the_face_has_them() -> None:
    face = procedural_face(2)
    rest = rest_points(face)
    axes = FaceAxes.of(face)
    for name, index in (("nose_base", fp.NOSE_BASE), ("eye_inner_l", 133), ("eye_inner_r", 362), ("chin", fp.CHIN)):
        expected = axes.from_image(face.landmarks[index, :2].astype(float) / face.size * 2 - 1)
        assert rest[KEY[name], :2] == pytest.approx(expected, abs=1e-6)
    assert axes.to_image(axes.from_image(np.array([0.3, -0.7]))) == pytest.approx([0.3, -0.7])
    eyes = (rest[KEY["eye_inner_l"]] + rest[KEY["eye_outer_l"]])[:2] / 2
    assert eyes == pytest.approx([-0.5, 0.0], abs=1e-6)
    # The nose leads, the ears lie behind.
    assert rest[KEY["nose"], 2] == rest[: len(SKIN), 2].min()
    assert rest[KEY["ear_l"], 2] == rest[: len(SKIN), 2].max()


def test_faces_that_cannot_be_used_are_named() -> None:
    face = procedural_face(2)
    with pytest.raises(InputError, match=r"procedural-2.*closer crop"):
        rest_points(Face(face.name, face.image, face.landmarks * 0.2))
    sideways = face.landmarks[:, [1, 0, 2]].copy()
    with pytest.raises(InputError, match=r"procedural-2.*upright"):
        rest_points(Face(face.name, face.image, sideways))


@pytest.mark.parametrize(
    ("channel", "point", "size"),
    [("AU12", "corner_l", 12.0), ("AU12", "corner_r", 12.0), ("AU01", "brow_inner_l", 7.0), ("AU26", "chin", 19.0)],
)
def test_full_strength_is_as_large_as_in_people(rigs: list[KeypointRig], channel: str, point: str, size: float) -> None:
    for rig in rigs:
        assert float(np.hypot(*step(rig, point, **{channel: 5.0}))) == pytest.approx(size, abs=0.8)


# Direction (right, down) in which a key point of the left half goes; 0 = not tested.
DIRECTIONS = [
    ("AU01", "brow_inner_l", 0, -1), ("AU02", "brow_outer_l", 0, -1), ("AU04", "brow_inner_l", 1, 1),
    ("AU05", "lid_up_l", 0, -1), ("AU06", "cheekbone_l", 0, -1), ("AU07", "lid_low_l", 0, -1),
    ("AU09", "wing_l", 0, -1), ("AU10", "lip_up", 0, -1), ("AU12", "corner_l", -1, -1), ("AU14", "corner_l", -1, 0),
    ("AU15", "corner_l", 0, 1), ("AU17", "chin_boss", 0, -1), ("AU20", "corner_l", -1, 0), ("AU23", "corner_l", 1, 0),
    ("AU25", "lip_low_in", 0, 1),
    ("AU25", "lip_up_in", 0, -1), ("AU26", "chin", 0, 1), ("AU26", "lip_low_in", 0, 1), ("AU45", "lid_up_l", 0, 1),
    ("gaze_x", "iris_l", 1, 0), ("gaze_y", "iris_l", 0, 1), ("jaw_x", "chin", 1, 0), ("mouth_x", "corner_l", 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(("channel", "point", "right", "down"), DIRECTIONS)
def test_channels_move_the_skin_the_facs_way(
    rigs: list[KeypointRig], channel: str, point: str, right: int, down: int
) -> None:
    """What the dense motion shows at the driven point, not the table alone."""
    for rig in rigs:
        strength = 0.2 if channel.startswith("gaze") else 1.0
        at = driven(rig, **{channel: strength})[0, KEY[point]]
        moved = -motion(rig, at[None], **{channel: strength})[0] * INTER_OCULAR_MM
        for axis, sign in ((0, right), (1, down)):
            if sign:
                assert float(moved[axis]) * sign > 0.2
            else:
                assert abs(float(moved[axis])) < 3.0


@pytest.mark.parametrize(
    ("channels", "quiet"),
    [
        (("AU01", "AU02", "AU04", "AU05"), ("corner_l", "lip_low", "chin", "jaw_r")),
        (("AU12", "AU15", "AU20", "AU25", "AU26", "mouth_x", "jaw_x"), ("brow_inner_l", "lid_up_r", "forehead")),
        (("gaze_x", "gaze_y", "AU45"), ("corner_l", "nose", "brow_outer_l", "chin", "forehead")),
    ],
)
def test_channels_leave_the_other_half_of_the_face(rigs: list[KeypointRig], channels, quiet) -> None:
    for rig in rigs:
        places = rig.rest[[KEY[name] for name in quiet], :2]
        for name in channels:
            still = motion(rig, places, **{name: 0.3 if name.startswith("gaze") else 1.0}).norm(dim=-1)
            assert float(still.max()) * INTER_OCULAR_MM < 0.8, name


@pytest.mark.parametrize(
    ("channel", "point"),
    [("AU02", "brow_outer"), ("AU04", "brow_inner"), ("AU10", "lip_up_side"), ("AU12", "corner"), ("AU14", "corner")],
)
def test_sides_show_more_on_the_drivers_left(rigs: list[KeypointRig], channel: str, point: str) -> None:
    """The driver's left is the right half of the image; one side alone leaves the other at rest."""
    for rig in rigs:
        alone = {channel: 1.0, f"{channel}_lr": 1.0}
        assert np.hypot(*step(rig, f"{point}_r", **alone)) > 1.0
        assert np.hypot(*step(rig, f"{point}_l", **alone)) == pytest.approx(0.0, abs=1e-5)
        other = {channel: 1.0, f"{channel}_lr": -1.0}
        mirrored = step(rig, f"{point}_l", **other) * [-1, 1]
        assert mirrored == pytest.approx(step(rig, f"{point}_r", **alone), abs=0.05)


def test_lid_closure_by_hand() -> None:
    values = torch.cat([one(), one(AU45=1.25), one(AU45=2.5), one(AU45=4.0), one(AU45=1.25, AU45_lr=1.25)])
    expected = [[0, 0], [0.5, 0.5], [1, 1], [1, 1], [0, 1]]
    assert torch.allclose(lid_closure(values), torch.tensor(expected, dtype=torch.float32))


def test_lips_and_lids_do_not_pass_through_each_other(rigs: list[KeypointRig]) -> None:
    for rig in rigs:
        for channels in ({"AU25": -2.0, "AU26": -2.0}, {"AU45": 4.0, "AU07": 4.0}, {"AU17": 4.0, "AU23": 4.0}):
            points = driven(rig, **channels)[0]
            for up, low in (("lip_up_in", "lip_low_in"), ("lid_up_l", "lid_low_l"), ("lid_up_r", "lid_low_r")):
                gap = points[KEY[low], 1] - points[KEY[up], 1]
                assert float(gap) > 0.3 * float(rig.rest[KEY[low], 1] - rig.rest[KEY[up], 1])


def test_roll_is_a_rotation_clockwise_about_the_neck(rigs: list[KeypointRig]) -> None:
    for rig in rigs:
        points, angle = driven(rig, roll=0.2)[0], 0.2
        pivot = torch.tensor([0.0, float(rig.rest[KEY["chin"], 1])])
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        expected = (rig.rest[: len(SKIN), :2] - pivot) @ turn + pivot
        assert torch.allclose(points[: len(SKIN)], expected, atol=1e-5)
        # Clockwise: the right eye comes down, the crown goes right.
        assert float(step(rig, "eye_inner_r", roll=0.2)[1]) > float(step(rig, "eye_inner_l", roll=0.2)[1])
        assert float(step(rig, "crown", roll=0.2)[0]) > 10


def test_yaw_and_pitch_show_parallax(rigs: list[KeypointRig]) -> None:
    for rig in rigs:
        nose, lip, ear = (step(rig, name, yaw=0.2)[0] for name in ("nose", "lip_up", "ear_l"))
        assert nose < lip < ear < 0
        assert nose < ear - 8
        assert step(rig, "nose", pitch=0.2)[1] > step(rig, "ear_l", pitch=0.2)[1] + 5 > 5
        # Far beyond what a still can show, turns saturate.
        assert step(rig, "nose", yaw=3.0)[0] > 1.3 * step(rig, "nose", yaw=0.6)[0]


def test_translation_is_along_the_image_and_nearer_is_larger(rigs: list[KeypointRig]) -> None:
    for rig in rigs:
        moved = driven(rig, tx=0.3, ty=-0.1)[0] - rig.rest[:, :2]
        in_image = moved @ rig.to_image / torch.linalg.det(rig.to_image).sqrt()
        assert torch.allclose(in_image[: len(SKIN)], torch.tensor([0.3, -0.1]).expand(len(SKIN), 2), atol=1e-5)
        assert not moved[len(SKIN) :].any()

        def width(points: torch.Tensor) -> float:
            return float(points[0, KEY["ear_r"], 0] - points[0, KEY["ear_l"], 0])

        assert width(driven(rig, tz=-1.0)) == pytest.approx(width(driven(rig)) * 12 / 11, rel=1e-4)
        assert width(driven(rig, tz=1.0)) == pytest.approx(width(driven(rig)) * 12 / 13, rel=1e-4)


def test_nothing_moves_at_rest(rigs: list[KeypointRig]) -> None:
    for rig in rigs:
        assert float(motion(rig, picture_grid(rig, 32)).abs().max()) < 1e-6


def test_dense_motion_finds_the_key_points_again(rigs: list[KeypointRig]) -> None:
    """The inversion error: looking from every driven key point must lead to where it rests, to 0.4 mm (softness);
    the anchors are only a pull."""
    channels = {
        "AU01": 3.0,
        "AU04": 1.0,
        "AU12": 3.0,
        "AU25": 2.0,
        "AU26": 1.0,
        "gaze_x": 0.2,
        "yaw": 0.15,
        "roll": 0.1,
    }
    for rig in rigs:
        points = driven(rig, **channels)[0]
        found = points + motion(rig, points, **channels)
        miss = (found - rig.rest[:, :2]).norm(dim=-1) * INTER_OCULAR_MM
        assert float(miss[: len(SKIN)].max()) < 0.4, KEYS[int(miss[: len(SKIN)].argmax())]


def test_the_background_stays(rigs: list[KeypointRig]) -> None:
    for rig in rigs:
        corners = (torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]) - rig.origin) @ torch.linalg.inv(
            rig.to_image
        )
        for channels in ({"yaw": 0.3}, {"AU26": 4.0}, {"AU12": 4.0}, {"tx": 0.2}):
            assert float(motion(rig, corners, **channels).norm(dim=-1).max()) < 0.06


def test_masks_rule_their_own_region(rigs: list[KeypointRig]) -> None:
    rig = rigs[0]
    names = ["lip_up", "lid_up_l", "lid_up_r", "forehead"]
    places = rig.rest[[KEY[name] for name in names], :2].T[None]
    shares = local_masks(rig.rest[None, :, :2], places, torch.zeros(1), torch.ones(1))[0]
    assert list(MASKS) == list(LOCAL)
    assert torch.allclose(shares[0], torch.ones(4))
    assert torch.allclose(shares[1:, :3], torch.eye(3), atol=1e-6)
    assert shares[1, 3] == 0


def smallest_stretch(rig: KeypointRig, **channels: float) -> float:
    """Smallest Jacobian determinant of place -> source over the picture."""
    side = 64
    places = picture_grid(rig, side)
    source = ((places + motion(rig, places, **channels)) @ rig.to_image).view(side, side, 2) * side / 2
    across, along = (source[1:-1, 2:] - source[1:-1, :-2]) / 2, (source[2:, 1:-1] - source[:-2, 1:-1]) / 2
    return float((across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0]).min())


STRONG = {"gaze_x": 0.5, "gaze_y": 0.4, "pitch": 0.3, "yaw": 0.35, "roll": 0.12, "tx": 0.3, "ty": 0.3, "tz": 1.5,
          "jaw_x": 1.0, "mouth_x": 1.0}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS)
def test_nothing_folds(rigs: list[KeypointRig], name: str) -> None:
    for rig in rigs:
        if name in AU_CHANNELS:
            cases = [{name: value} for value in (1.0, 2.5, 4.0)]
        elif name.endswith("_lr"):
            cases = [{name[:4]: 2.0, name: 2.0}, {name[:4]: 2.0, name: -2.0}]
        else:
            cases = [{name: STRONG[name]}, {name: -STRONG[name]}]
        for channels in cases:
            assert smallest_stretch(rig, **channels) > 0.02, channels
