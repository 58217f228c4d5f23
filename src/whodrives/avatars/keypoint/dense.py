"""From key points to one dense motion: local splines (head, mouth, each eye), softly blended over a background."""

from __future__ import annotations

import torch
from torch import Tensor

from whodrives.avatars.keypoint.points import ANCHORS, KEY, KEYS
from whodrives.avatars.keypoint.spline import evaluate, fit

# Side of the grid on which motion is worked out: 2 pixels of a 128-pixel frame, finer than anything key points carry.
GRID = 64


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in "lr")


_EYE = ("brow_inner", "brow_mid", "brow_outer", "lid_up", "lid_low", "eye_outer", "eye_inner", "iris", "cheekbone",
        "temple", "ear", "wing")  # fmt: skip
LOCAL: dict[str, tuple[str, ...]] = {
    "head": (
        *_both("temple", "ear", "jaw", "chin_side", "cheekbone", "cheek", "wing", "brow_mid", "eye_outer", "corner"),
        "forehead", "glabella", "bridge", "nose", "chin_boss", "chin", "crown", *ANCHORS,
    ),
    "mouth": (
        *_both("corner", "lip_up_side", "lip_low_side", "cheek", "wing", "chin_side", "jaw", "cheekbone", "ear"),
        "lip_up", "lip_up_in", "lip_low_in", "lip_low", "nose_base", "nose", "chin_boss", "chin",
    ),
    "eye_l": (*(f"{name}_l" for name in _EYE), "glabella", "bridge", "forehead", "nose"),
    "eye_r": (*(f"{name}_r" for name in _EYE), "glabella", "bridge", "forehead", "nose"),
}  # fmt: skip
# Regularisation of the splines. Skin: enough that lips a pixel apart do not wrinkle their surroundings. Anchors: a
# mild pull, so that hair near the border still goes with the head.
SOFT_SKIN, SOFT_ANCHOR = 1e-3, 0.5

# Ellipses in which each local motion rules, in face units: the key points whose mean is the centre, radii
# (across, up, down) and by how much the ellipse grows until the motion has faded out.
MASKS: dict[str, tuple[tuple[str, ...], tuple[float, float, float], float]] = {
    "head": ((*_both("ear", "temple"), "chin"), (1.5, 2.2, 2.2), 0.6),
    "mouth": ((*_both("corner"), "nose_base", "chin"), (0.62, 0.48, 0.62), 0.4),
    "eye_l": (("eye_outer_l", "eye_inner_l", "brow_mid_l"), (0.44, 0.40, 0.34), 0.35),
    "eye_r": (("eye_outer_r", "eye_inner_r", "brow_mid_r"), (0.44, 0.40, 0.34), 0.35),
}

GIVE = 0.7
# The head's motion rules this far under the chin and has faded out this much further down.
CHIN, NECK = 0.08, 0.85


def softness(device: torch.device) -> Tensor:
    """Regularisation of every key point, (K,)."""
    values = [SOFT_ANCHOR if name in ANCHORS else SOFT_SKIN for name in KEYS]
    return torch.tensor(values, dtype=torch.float64, device=device)


def _fall(x: Tensor) -> Tensor:
    """1 below 0, 0 above 1, smooth between."""
    x = x.clamp(0.0, 1.0)
    return 1.0 - x.square() * (3.0 - 2.0 * x)


def local_masks(driven: Tensor, places: Tensor, roll: Tensor, size: Tensor) -> Tensor:
    """Share of each local motion before blending, (n, 4, P) in 0..1.

    driven (n, K, 2), places (n, 2, P) in face axes; roll (n,) and size (n,) of the head, for the masks go with it.
    """
    c, s = (roll.cos() / size)[:, None], (roll.sin() / size)[:, None]
    shares = []
    for name, (names, (across, up, down), fade) in MASKS.items():
        centre = driven[:, [KEY[point] for point in names]].mean(dim=1)
        x, y = (places - centre[:, :, None]).unbind(1)
        x, y = (c * x + s * y) / across, c * y - s * x
        if name == "head":
            # Towards the top a tilt goes far sideways: there the background gives way.
            high = (y / -up).clamp_(min=0.0)
            x = x / (1.0 + GIVE * high / (high + 0.4))
            # Below it goes as far as the chin, wherever the jaw has gone; then the neck holds.
            apart = driven[:, KEY["chin"]] - centre
            chin = c * apart[:, 1, None] - s * apart[:, 0, None]
            neck = _fall((y - chin - CHIN) / NECK)
        y = torch.where(y < 0, y / up, y / down)
        share = _fall((torch.sqrt(x.square() + y.square() + 1e-6) - 1.0) / fade)
        shares.append(share * neck if name == "head" else share)
    return torch.stack(shares, dim=1)


def dense_motion(driven: Tensor, rest: Tensor, places: Tensor, roll: Tensor, size: Tensor) -> Tensor:
    """Where to look on the still: source minus place.

    Parameters
    ----------
    driven : (n, K, 2) key points of the frames; rest : (n, K, 2) of the still; places : (n, 2, P), all in face axes.
    roll, size : (n,) of the head.

    Returns
    -------
    (n, 2, P) in face axes; 0 everywhere when driven = rest.
    """
    n, k = driven.shape[:2]
    soft = softness(driven.device)
    weights = torch.zeros(n, k + 3, 2 * len(LOCAL), device=driven.device)
    for number, names in enumerate(LOCAL.values()):
        chosen = [KEY[name] for name in names]
        part = fit(driven[:, chosen], rest[:, chosen] - driven[:, chosen], soft[chosen])
        # Splines share their kernels, so that one product evaluates them all.
        weights[:, [*chosen, k, k + 1, k + 2], 2 * number : 2 * number + 2] = part
    motions = evaluate(weights, driven, places).view(n, len(LOCAL), 2, -1)
    shares = local_masks(driven, places, roll, size)
    # Eyes and mouth over the head, all of it over a background that does not move.
    total = motions[:, 0]
    for number in range(1, len(LOCAL)):
        total = torch.lerp(total, motions[:, number], shares[:, number, None])
    return total * shares[:, :1]
