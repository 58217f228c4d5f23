"""The rasteriser against loops over pixels, outlines, and pictures that move smoothly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.mesh.camera import DISTANCE, Framing, project, rotations, unproject
from whodrives.avatars.mesh.edges import find_blends, find_edges
from whodrives.avatars.mesh.raster import interpolate, planes, rasterise
from whodrives.avatars.mesh.scene import Surface, draw


def naive(places: np.ndarray, inverse: np.ndarray, triangles: np.ndarray, size: int, both: np.ndarray):
    """One pixel and one triangle at a time, in double precision: number (-1 for none) and 1 / distance."""
    number, nearest = np.full((size, size), -1), np.zeros((size, size))
    for k, corners in enumerate(triangles):
        (ax, ay), (bx, by), (cx, cy) = places[corners].astype(float)
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-5 or (area > 0 and not both[k]):
            continue
        for y in range(size):
            for x in range(size):
                second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
                third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
                if min(second, third, 1 - second - third) < 0:
                    continue
                depth = np.dot([1 - second - third, second, third], inverse[corners])
                if depth > nearest[y, x]:
                    number[y, x], nearest[y, x] = k, depth
    return number, nearest


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(3, 24), count=st.integers(1, 7))
def test_same_as_a_loop_over_pixels(seed: int, size: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(-4, size + 4, (2, 10, 2)).astype(np.float32)
    inverse = rng.uniform(0.05, 0.2, (2, 10)).astype(np.float32)
    triangles = np.unique(np.sort(np.stack([rng.permutation(10)[:3] for _ in range(count)]), axis=1), axis=0)
    triangles = np.where(rng.random((len(triangles), 1)) < 0.5, triangles, triangles[:, [0, 2, 1]])
    both = rng.random(len(triangles)) < 0.5
    seen = rasterise(*(torch.from_numpy(v) for v in (places, inverse, triangles)), size, torch.from_numpy(both))
    depth = seen.inverse().view(2, size, size).numpy()
    found = seen.triangle.view(2, size, size).numpy()
    for frame in range(2):
        number, nearest = naive(places[frame], inverse[frame], triangles, size, both)
        mine = np.where(found[frame] == 2 * len(triangles), -1, found[frame] - frame * len(triangles))
        # Pixels exactly on an edge may fall on either side.
        assert (mine != number).mean() <= 0.005
        same = mine == number
        np.testing.assert_allclose(depth[frame][same], nearest[same], atol=2e-6)


def test_neighbours_leave_no_gap_and_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    size, cells = 64, 9
    corner = np.linspace(-3, size + 2, cells)
    x, y = np.meshgrid(corner, corner)
    places = np.stack([x, y], axis=-1) + rng.uniform(-2, 2, (5, cells, cells, 2))
    places = torch.from_numpy(places.reshape(5, -1, 2).astype(np.float32))
    start = (np.arange(cells - 1)[:, None] * cells + np.arange(cells - 1)).ravel()
    triangles = np.concatenate(
        [np.stack([start, start + cells, start + 1], 1), np.stack([start + 1, start + cells, start + cells + 1], 1)]
    )
    inverse = torch.full(places.shape[:2], 0.1)
    one_by_one = torch.zeros(5, size, size)
    for triangle in triangles:
        seen = rasterise(places, inverse, torch.from_numpy(triangle[None]), size)
        one_by_one += (seen.triangle != 5).view(5, size, size)
    inner = one_by_one[:, 4:-4, 4:-4]
    assert bool((inner == 1).all())


def test_values_run_linearly_over_a_triangle() -> None:
    places = torch.tensor([[[1.0, 2.0], [20.0, 5.0], [6.0, 18.0]]])
    triangles = torch.tensor([[0, 1, 2]])
    seen = rasterise(places, torch.full((1, 3), 0.1), triangles, 24)
    values = torch.stack([places[..., 0] * 0.5 - places[..., 1], places[..., 1]])
    table = planes(places, values, triangles, seen.area)
    x, y = torch.tensor([3.0, 7.5, 100.0]), torch.tensor([4.0, 9.25, 0.0])
    first, second = interpolate(table, torch.tensor([0, 0, 1]), x, y)
    torch.testing.assert_close(first[:2], (x * 0.5 - y)[:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(second[:2], y[:2], atol=1e-5, rtol=0)
    assert float(first[2]) == 0 == float(second[2])


def test_edges_know_their_sides_and_pieces() -> None:
    triangles = np.array([[0, 1, 2], [1, 3, 2], [4, 5, 6], [7, 8, 3]])
    same = np.arange(9)
    edges = find_edges(triangles, same)
    assert len(edges.ends) == 11
    assert int((edges.sides[:, 1] == 4).sum()) == 10
    assert edges.piece[0] == edges.piece[1]
    # 3 is in both, but they touch in a point only.
    assert len({int(edges.piece[k]) for k in (0, 2, 3)}) == 3
    assert int(edges.piece[-1]) == -1
    same[7] = 1  # now 7 lies where 1 is: the edge 1-3 has two sides
    edges = find_edges(triangles, same)
    assert int((edges.sides[:, 1] == 4).sum()) == 8
    assert edges.piece[0] == edges.piece[3] != edges.piece[2]


def quad(left: torch.Tensor, right: float, top: float, bottom: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A rectangle whose left side stands at left (T,)."""
    t = len(left)
    places = torch.tensor([[0.0, top], [right, top], [0.0, bottom], [right, bottom]]).repeat(t, 1, 1)
    places[:, [0, 2], 0] = left[:, None]
    return places, torch.full((t, 4), 1 / DISTANCE)


@pytest.mark.parametrize("turn", [False, True])
def test_an_outline_covers_pixels_in_proportion(turn: bool) -> None:
    left = 5.0 + torch.arange(41) * 0.05
    places, inverse = quad(left, 40.0, -5.0, 30.0)
    if turn:
        places = places.flip(-1)
    triangles = np.array([[0, 2, 1], [1, 2, 3]])
    edges = find_edges(triangles, np.arange(4))
    surface = Surface(torch.from_numpy(triangles), torch.ones(2, dtype=torch.bool), edges, torch.zeros(4, 2))
    picture, cover = draw(surface, places, inverse, torch.ones(41, 4), torch.ones(1, 4, 4), torch.zeros(1, 20, 20))
    line = picture[:, 0].transpose(1, 2)[:, 10] if turn else picture[:, 0, 10]
    # Pixel k covers k - 0.5 .. k + 0.5.
    exact = (torch.arange(20) + 0.5 - left[:, None]).clamp(0, 1)
    torch.testing.assert_close(line, exact, atol=1e-5, rtol=0)
    assert cover is not None
    torch.testing.assert_close(cover, picture[:, 0], atol=1e-5, rtol=0)


def test_outlines_hidden_behind_another_surface_do_not_show() -> None:
    places, inverse = quad(torch.tensor([8.3]), 15.0, 3.0, 12.0)
    front, _ = quad(torch.tensor([-5.0]), 40.0, -5.0, 40.0)
    triangles = np.array([[0, 2, 1], [1, 2, 3], [4, 6, 5], [5, 6, 7]])
    edges = find_edges(triangles, np.arange(8))
    both = torch.cat([places, front], dim=1)
    depth = torch.cat([inverse, inverse * 1.1], dim=1)
    seen = rasterise(both, depth, torch.from_numpy(triangles), 20)
    assert len(find_blends(both, depth, edges, seen).pixel) == 0
    assert int(seen.triangle.min()) >= 2


def test_projection_and_its_inverse() -> None:
    framing = Framing(60.0, 50.0, 24.0, 128)
    rng = torch.Generator().manual_seed(0)
    wanted = torch.rand(40, 2, generator=rng) * 128
    depth = torch.rand(40, generator=rng) * 2 - 1
    places, inverse = project(unproject(wanted, depth, framing), framing)
    torch.testing.assert_close(places + 0.5, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(inverse, 1 / (depth + DISTANCE))
    crop = torch.tensor([0.9, 0.02, -0.04])
    cropped, _ = project(unproject(wanted, depth, framing), framing, crop)
    back = crop[0] * ((cropped + 0.5) / 64 - 1) + crop[1:]
    torch.testing.assert_close((back + 1) * 64, wanted, atol=1e-4, rtol=0)


def test_rotations_are_those_of_conditioning() -> None:
    from whodrives.avatars import conditioning

    angles = np.random.default_rng(0).uniform(-0.6, 0.6, (9, 3))
    mine = rotations(torch.from_numpy(angles)).numpy()
    np.testing.assert_allclose(mine, conditioning.rotations(*angles.T), atol=1e-12)
