"""Other backgrounds: behind the person only, the same at every size, and no rest of the old one at the edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.background import with_background
from whodrives.avatars.room import draw_room
from whodrives.errors import InputError

SIDE = 64


def disc(side: int = SIDE) -> torch.Tensor:
    """A soft matte: a disc in the middle."""
    at = (torch.arange(side) + 0.5) / side - 0.5
    return ((0.3 - torch.hypot(at[:, None], at[None])) * side / 4 + 0.5).clamp(0, 1)


def mixed(person: tuple[float, ...], wall: tuple[float, ...], matte: torch.Tensor) -> torch.Tensor:
    front, behind = (torch.tensor(c).view(1, 3, 1, 1) for c in (person, wall))
    return matte * front + (1 - matte) * behind


@pytest.mark.parametrize("wall", [(0.3, 0.7, 0.25), (0.5, 0.5, 0.5), (0.2, 0.3, 0.8), (0.9, 0.85, 0.8)])
def test_is_what_the_person_before_the_room_would_be(wall: tuple[float, ...]) -> None:
    """The old background is unmixed from soft edges exactly, where it is known."""
    matte, person = disc(), (0.7, 0.5, 0.4)
    shown = with_background(mixed(person, wall, matte), matte, 3)
    room = torch.from_numpy(draw_room(3, SIDE))
    wanted = matte * torch.tensor(person).view(3, 1, 1) + (1 - matte) * room
    assert float((shown[0] - wanted).abs().max()) < 0.01


def test_green_light_on_the_edge_goes_and_inside_stays() -> None:
    matte = disc(128)
    picture = mixed((0.35, 0.45, 0.3), (0.2, 0.7, 0.2), matte)
    shown = with_background(picture, matte, 5)
    edge = (matte == 1) & (torch.nn.functional.max_pool2d(1 - matte[None], 3, 1, 1)[0] > 0)
    own, before = shown[0, 1] - shown[0, 0], picture[0, 1] - picture[0, 0]
    assert float(own[edge].max()) < 0.02 < float(before[edge].min())
    assert torch.allclose(shown[..., 64, 64], picture[..., 64, 64], atol=2e-3)


def test_every_layer_gets_the_same_room_and_input_stays() -> None:
    matte = disc()
    pictures = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    before = pictures.clone()
    shown = with_background(pictures, matte, 1)
    assert torch.equal(pictures, before)
    assert shown.dtype == torch.float32
    assert torch.equal(shown[0, :, :8], shown[1, :, :8])
    assert torch.equal(with_background(pictures, matte, 1), shown)
    assert float((with_background(pictures, matte, 2) - shown)[..., :8].abs().mean()) > 0.02


def test_mattes_at_their_limits() -> None:
    pictures = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(with_background(pictures, torch.ones(SIDE, SIDE), 4), pictures, atol=1e-6)
    room = torch.from_numpy(draw_room(4, SIDE))
    assert torch.allclose(with_background(pictures, torch.zeros(SIDE, SIDE), 4)[0], room, atol=1e-6)


@given(st.integers(0, 2**31 - 1), st.sampled_from([32, 50, 128]))
@settings(max_examples=40, deadline=None)
def test_rooms_are_pictures(seed: int, side: int) -> None:
    room = draw_room(seed, side)
    assert room.shape == (3, side, side)
    assert room.dtype == np.float32
    assert np.isfinite(room).all()
    assert 0 <= room.min() <= room.max() <= 1
    assert 0.02 < room.mean() < 0.99


def test_rooms_differ_but_not_with_the_size() -> None:
    for seed in range(12):
        small, large = draw_room(seed, 64), draw_room(seed, 192)
        shrunk = large.reshape(3, 64, 3, 64, 3).mean(axis=(2, 4))
        assert np.abs(shrunk - small).mean() < 0.02, seed
    means = np.stack([draw_room(seed, 32).mean(axis=(1, 2)) for seed in range(60)])
    assert means.std(axis=0).min() > 0.12


def test_bad_arguments_are_named() -> None:
    pictures, matte = torch.zeros(1, 3, SIDE, SIDE), torch.ones(SIDE, SIDE)
    with pytest.raises(InputError, match="background: pictures"):
        with_background(pictures, torch.ones(SIDE, 32), 0)
    with pytest.raises(InputError, match="background: pictures"):
        with_background(pictures[..., :32], matte[:, :32], 0)
    with pytest.raises(InputError, match="seed"):
        with_background(pictures, matte, -1)
