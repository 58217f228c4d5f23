"""One mesh ready to draw: triangles, outlines, texture places; and drawing frames of it (ours)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.avatars.mesh.edges import Blends, Edges, find_blends
from whodrives.avatars.mesh.raster import interpolate, planes, rasterise
from whodrives.avatars.mesh.slits import Slits, find_openings


@dataclass(frozen=True)
class Surface:
    """What does not move: `triangles` int64 (F, 3), `both_sides` bool (F,), `edges`, and `texture_places` float32
    (V, 2), places on the texture in -1..1."""

    triangles: Tensor
    both_sides: Tensor
    edges: Edges
    texture_places: Tensor

    def to(self, device: torch.device) -> Surface:
        """The same on another device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def draw(
    surface: Surface, places: Tensor, inverse: Tensor, shade: Tensor, texture: Tensor, background: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Draw frames of one mesh.

    Parameters
    ----------
    places, inverse : (T, V, 2), (T, V) of `camera.project`. shade : (T, V) factor on the texture's brightness.
    texture : (C, H, W) in 0..1. background : (C, S, S) in 0..1, seen where no triangle is.

    Returns
    -------
    Pictures (T, C, S, S) (not clamped) and cover (T, S, S), share of each pixel covered by the mesh, or None when
    the mesh covers all of them.
    """
    t, f, size, c = len(places), len(surface.triangles), background.shape[-1], len(background)
    seen = rasterise(places, inverse, surface.triangles, size, surface.both_sides)
    values = torch.cat([surface.texture_places.T[:, None].expand(2, t, -1), shade[None]])
    table = planes(places, values, surface.triangles, seen.area)
    blends = find_blends(places, inverse, surface.edges, seen)
    x, y = _pixels(t, size, places.device)
    colours = _shade(table, seen.triangle, x, y, texture)  # (C, T * S * S)
    cover = None
    none = seen.triangle == t * f
    if bool(none.any()):
        torch.where(none, background.reshape(c, 1, -1).expand(c, t, -1).reshape(c, -1), colours, out=colours)
        cover = _blend((~none).float()[None], blends).view(t, size, size)
    return _blend(colours, blends).view(c, t, size, size).transpose(0, 1), cover


def _blend(values: Tensor, blends: Blends) -> Tensor:
    """Values (C, T * S * S) with outlines smoothed, in place."""
    own, other = values.index_select(1, blends.pixel), values.index_select(1, blends.source)
    return values.index_add_(1, blends.pixel, blends.weight * (other - own))


def draw_layers(
    skin: Surface,
    interior: Surface,
    slits: Slits,
    places: Tensor,
    inverse: Tensor,
    shade: Tensor,
    texture: Tensor,
    background: Tensor,
) -> Tensor:
    """Draw frames of a skin with openings through which an interior is seen; parameters and result as of `draw`.

    Both surfaces share the vertices. The interior lies behind the skin and shows through the slits alone.
    """
    t, c, size = len(places), len(background), background.shape[-1]
    values = torch.cat([skin.texture_places.T[:, None].expand(2, t, -1), shade[None]])
    x, y = _pixels(t, size, places.device)

    def colours(table: Tensor, triangle: Tensor, pixel: Tensor) -> Tensor:
        return _shade(table, triangle, x.index_select(0, pixel), y.index_select(0, pixel), texture)

    seen = rasterise(places, inverse, skin.triangles, size, skin.both_sides)
    table = planes(places, values, skin.triangles, seen.area)
    out = _shade(table, seen.triangle, x, y, texture)
    openings = find_openings(places, inverse, slits, seen)
    nothing = t * len(skin.triangles)
    none = seen.triangle == nothing
    if bool(none.any()):
        torch.where(none, background.reshape(c, 1, -1).expand(c, t, -1).reshape(c, -1), out, out=out)
    _blend(out, find_blends(places, inverse, skin.edges, seen, rims=False))

    pixel = openings.lapped
    other = colours(table, openings.lapped_triangle, pixel)
    out.index_add_(1, pixel, openings.lapped_share * (other - out.index_select(1, pixel)))
    pixel = openings.pixel
    # Where no skin is, the skin at the rim goes on for the rest of the pixel.
    bare = none.index_select(0, pixel)
    front = torch.where(bare, colours(table, openings.triangle, pixel), out.index_select(1, pixel))
    behind = rasterise(places, inverse, interior.triangles, size, interior.both_sides)
    table = planes(places, values, interior.triangles, behind.area)
    back = colours(table, behind.triangle.index_select(0, pixel), pixel)
    blends = find_blends(places, inverse, interior.edges, behind)
    number = torch.full((t * size * size,), -1, dtype=torch.int64, device=places.device)
    number[pixel] = torch.arange(len(pixel), device=places.device)
    at = number.index_select(0, blends.pixel)
    source, weight = blends.source[at >= 0], blends.weight[at >= 0]
    at = at[at >= 0]
    other = colours(table, behind.triangle.index_select(0, source), source)
    back.index_add_(1, at, weight * (other - back.index_select(1, at)))
    out[:, pixel] = torch.lerp(front, back, openings.share.expand_as(front))
    return out.view(c, t, size, size).transpose(0, 1)


def _shade(table: Tensor, triangle: Tensor, x: Tensor, y: Tensor, texture: Tensor) -> Tensor:
    """Colours (C, K) of triangles (K,) at pixel places (K,)."""
    u, v, light = interpolate(table, triangle, x, y)
    grid = torch.stack([u, v], dim=-1).view(1, 1, -1, 2)
    found = F.grid_sample(texture[None], grid, padding_mode="border", align_corners=False)
    return found.view(len(texture), -1).mul_(light)


@lru_cache(maxsize=8)
def _pixels(t: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """x and y (T * S * S,) of all pixels of T frames."""
    here = torch.arange(size, device=device, dtype=torch.float32)
    return here.repeat(t * size), here.repeat_interleave(size).repeat(t)
