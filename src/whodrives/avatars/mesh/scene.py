"""One mesh ready to draw: triangles, outlines, texture places; and drawing frames of it (ours)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.mesh.edges import Edges, find_blends
from whodrives.avatars.mesh.raster import THIN, interpolate, planes, rasterise


@dataclass(frozen=True)
class Surface:
    """What does not move: `triangles` int64 (F, 3), `both_sides` bool (F,), `edges`, and `texture_places` float32
    (V, 3) [u w, v w, w]: texture places in -1..1 times a weight. With w = 1 the texture sticks to the surface in
    perspective; with w = the distance at which a photo was taken it is that photo, projected onto the surface."""

    triangles: Tensor
    both_sides: Tensor
    edges: Edges
    texture_places: Tensor

    def to(self, device: torch.device) -> Surface:
        """The same on another device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def draw(
    surface: Surface, places: Tensor, inverse: Tensor, shade: Tensor, texture: Tensor, background: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw frames of one mesh.

    Parameters
    ----------
    places, inverse : (T, V, 2), (T, V) of `camera.project`. shade : (T, V) factor on the texture's brightness.
    texture : (C, H, W) in 0..1. background : (C, S, S) in 0..1, seen where no triangle is.

    Returns
    -------
    Pictures (T, C, S, S) (not clamped) and cover (T, S, S), share of each pixel covered by the mesh.
    """
    t, f, size, c = len(places), len(surface.triangles), background.shape[-1], len(background)
    seen = rasterise(places, inverse, surface.triangles, size, surface.both_sides)
    weights = surface.texture_places.T[:, None] * inverse
    table = planes(places, torch.cat([weights, shade[None]]), surface.triangles, seen.area)
    drawn = (seen.area.abs() > THIN) & ((seen.area < 0) | surface.both_sides)
    blends = find_blends(places, inverse, surface.edges, seen, drawn)
    x, y = _pixels(t, size, places.device)
    triangle = seen.triangle.view(-1)
    colours = _shade(table, triangle, x, y, texture)  # (C, T * S * S)
    none = triangle == t * f
    any_none = bool(none.any())
    if any_none:
        colours = torch.where(none, background.reshape(c, 1, -1).expand(c, t, -1).reshape(c, -1), colours)
    cover = (~none).float()
    pixel = blends.pixel
    other = _shade(table, blends.triangle, x.index_select(0, pixel), y.index_select(0, pixel), texture)
    if any_none:
        empty = blends.triangle == t * f
        other = torch.where(empty, background.reshape(c, -1)[:, pixel % (size * size)], other)
        cover.index_add_(0, pixel, blends.weight * ((~empty).float() - cover[pixel]))
    colours.index_add_(1, pixel, blends.weight * (other - colours.index_select(1, pixel)))
    return colours.view(c, t, size, size).transpose(0, 1), cover.view(t, size, size)


def _shade(table: Tensor, triangle: Tensor, x: Tensor, y: Tensor, texture: Tensor) -> Tensor:
    """Colours (C, K) of triangles (K,) at pixel places (K,)."""
    u, v, w, light = interpolate(table, triangle, x, y)
    # Pixels where nothing is have w = 0; their colour is replaced.
    inverse = w.reciprocal_().nan_to_num_(0.0, 0.0, 0.0)
    grid = torch.stack([u.mul_(inverse), v.mul_(inverse)], dim=-1).view(1, 1, -1, 2)
    found = F.grid_sample(texture[None], grid, padding_mode="border", align_corners=False)
    return found.view(len(texture), -1).mul_(light)


@lru_cache(maxsize=8)
def _pixels(t: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """x and y (T * S * S,) of all pixels of T frames."""
    here = torch.arange(size, device=device, dtype=torch.float32)
    return here.repeat(t * size), here.repeat_interleave(size).repeat(t)
