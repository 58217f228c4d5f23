"""Optical flow between consecutive frames, by local least squares (Lucas and Kanade 1981): a representation of ours.

Brightness that is constant along the motion gives gx u + gy v + gt = 0 at every pixel; over a small window that is a
least-squares problem with two unknowns, solved in closed form. What is left of a face is how far its parts move: a step
of two equal frames is exactly zero, one backwards the negative. Nothing is learned.

Windows of two sizes: one of about 8 pixels, every 4 pixels, which tells lid from brow, and one of about 24, every 8,
which holds still where the picture has little texture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Numbers at each of the 16 x 16 places: u and v of four small windows, u and v of the large one.
CHANNELS = 10
# Of standardised grey per pixel, squared: a window whose contrast is below this has a flow near zero instead of noise.
_DAMPING = 1e-4
# Pixels a frame. What one linear solution finds beyond that is wrong anyway.
_LARGEST = 4.0
_BINOMIAL_5 = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_BINOMIAL_3 = (0.25, 0.5, 0.25)
_CENTRAL = (-0.5, 0.0, 0.5)


def optical_flow(frames: Tensor) -> Tensor:
    """Flow of every frame to the next one.

    Parameters
    ----------
    frames : (batch, T, 1, H, W) standardised grey, T >= 2, H and W multiples of 8.

    Returns
    -------
    (batch, T - 1, 10, H / 8, W / 8) pixels a frame, within -4..4: at each place u (to the right) of the four small
    windows, top left to bottom right, their v (downwards), then u and v of the large window.
    """
    grey = _filtered(_filtered(frames, _BINOMIAL_5, -1), _BINOMIAL_5, -2)
    across, down = _filtered(grey, _CENTRAL, -1), _filtered(grey, _CENTRAL, -2)
    gt = grey[:, 1:] - grey[:, :-1]
    gx = (across[:, 1:] + across[:, :-1]) / 2
    gy = (down[:, 1:] + down[:, :-1]) / 2
    pairs = ((gx, gx), (gx, gy), (gy, gy), (gx, gt), (gy, gt))
    # One by one: at full size each is as large as the clip.
    means = torch.cat([F.avg_pool2d((a * b).flatten(0, 1), 4) for a, b in pairs], dim=1)
    near = _smoothed(means, _BINOMIAL_3)
    far = F.avg_pool2d(_smoothed(_smoothed(near, _BINOMIAL_5), _BINOMIAL_5), 2)
    maps = torch.cat((F.pixel_unshuffle(_solved(near, _DAMPING), 2), _solved(far, _DAMPING / 4)), dim=1)
    return maps.unflatten(0, gt.shape[:2])


def _filtered(x: Tensor, taps: tuple[float, ...], dim: int) -> Tensor:
    """Correlate along one axis; what lies outside is as at the border."""
    size, reach = x.shape[dim], len(taps) // 2
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, size - 1, 1)
    padded = torch.cat((*[first] * reach, x, *[last] * reach), dim=dim)
    total: Tensor | None = None
    for place, tap in enumerate(taps):
        if tap:
            part = padded.narrow(dim, place, size)
            total = part * tap if total is None else total.add(part, alpha=tap)
    assert total is not None
    return total


def _smoothed(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    return _filtered(_filtered(x, taps, -1), taps, -2)


def _solved(products: Tensor, damping: float) -> Tensor:
    """Means (N, 5, H, W) of gx gx, gx gy, gy gy, gx gt, gy gt over windows -> u and v (N, 2, H, W)."""
    xx, xy, yy, xt, yt = products.unbind(1)
    # Not negative by Cauchy and Schwarz, but for rounding; with damping on the diagonal the determinant is positive.
    undamped = (xx * yy - xy * xy).clamp_min(0)
    # Not with damping squared as a term: ONNX's rewriter takes what is below 1e-8 for nothing.
    determinant = undamped + damping * (xx + yy + damping)
    xx, yy = xx + damping, yy + damping
    u = (xy * yt - yy * xt) / determinant
    v = (xy * xt - xx * yt) / determinant
    return torch.stack((u, v), dim=1).clamp(-_LARGEST, _LARGEST)
