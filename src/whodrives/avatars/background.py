"""Put a person with a matte in front of a drawn room (ours)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from whodrives.avatars.room import draw_room
from whodrives.errors import InputError

# Green or blue that stands out by this share of a background's brightness counts as a screen: its light is taken off
# the person's edges.
SCREEN = 0.2


def with_background(pictures: Tensor, matte: Tensor, seed: int) -> Tensor:
    """The same person in front of another background.

    What shines through at soft edges is unmixed first: the old background, carried in from around, is taken out of each
    pixel by the share that the matte gives it, and so is the green or blue that a screen throws on hair and shoulders.

    Parameters
    ----------
    pictures : float32 (L, 3, H, W) in 0..1, L pictures that share the matte (H = W).
    matte : float32 (H, W) in 0..1, 1 where they show the person.
    seed : whole number >= 0 of the room; equal seeds give equal rooms at every size.

    Returns
    -------
    float32 (L, 3, H, W) in 0..1, on the device of `pictures`; which are left as they are.

    Raises
    ------
    InputError
        Shapes disagree, the pictures are not square or the seed is negative.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2:] != matte.shape or len(set(matte.shape)) != 1:
        raise InputError(
            f"background: pictures must be (L, 3, S, S) with a matte (S, S), got {tuple(pictures.shape)} and "
            f"{tuple(matte.shape)}"
        )
    if seed < 0:
        raise InputError(f"background: seed must be 0 or more, got {seed}")
    room = torch.from_numpy(draw_room(seed, matte.shape[-1])).to(pictures.device)
    behind = 1.0 - matte
    blur = _gaussian(matte.shape[-1]).to(pictures.device)
    old, near = _around(pictures[0], behind, blur)
    person = (pictures - behind * old).clamp_(0.0, 1.0)
    person = torch.minimum(person, matte)  # no brighter than it covers
    person = _despill(person, old, behind, near)
    return person.add_(behind * room).clamp_(0.0, 1.0)


def _around(picture: Tensor, behind: Tensor, blur: Tensor) -> tuple[Tensor, Tensor]:
    """The background (3, H, W) carried to all pixels, and how near it is (H, W), 0..1."""
    pure = (behind > 0.97).to(picture.dtype)
    layers = blur @ torch.cat([picture * pure, pure[None], behind[None]]) @ blur.T
    return layers[:3] / layers[3].clamp(min=1e-9), (4.0 * layers[4]).clamp_(0.0, 1.0)


def _despill(person: Tensor, old: Tensor, behind: Tensor, near: Tensor) -> Tensor:
    """Near a green or blue screen, hold its channel to about the middle of the other two; in place, (L, 3, H, W)."""
    colour = old.mean(dim=(1, 2))
    channel = int(colour.argmax())
    others = [c for c in range(3) if c != channel]
    if channel == 0 or float(colour[channel] - colour[others].max()) < SCREEN * float(colour[channel]):
        return person
    first, second = person[:, others[0]], person[:, others[1]]
    own, larger = person[:, channel], torch.maximum(first, second)
    limit = torch.lerp((first + second) / 2, larger, 0.3)
    own -= (own - limit).clamp_(min=0.0).mul_(near)
    if channel == 1:
        # Where the matte is a little too low, too much was taken off and the edge would shine purple, which hair and
        # skin never do (but a lack of blue, after a blue screen, is their natural colour).
        lack = (torch.minimum(first, second) - own).clamp_(min=0.0) * (4.0 * behind).clamp(max=1.0)
        first -= lack
        second -= lack
    return person


@lru_cache(maxsize=8)
def _gaussian(side: int) -> Tensor:
    """Blur along one axis, (side, side): narrow, with a faint wide part that reaches everywhere."""
    places = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    apart = (places[:, None] - places[None]) ** 2
    weights = torch.zeros_like(apart)
    for sigma, share in ((0.035, 1.0), (0.25, 1e-3)):
        weights += share * torch.exp(-0.5 * apart / sigma**2) / (sigma * side * 2.507)
    return (weights / weights.sum(dim=1, keepdim=True)).float()
