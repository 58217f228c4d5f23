"""CG heads as the package anny makes them (extra `heads`); what needs no package is in test_cgheads.py."""

import importlib.util
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from whodrives.avatars import facepoints as fp
from whodrives.avatars.arkit import ARKIT
from whodrives.avatars.cgheads import (
    HeadKit,
    bake,
    cg_head,
    head_landmarks,
    head_mesh,
    load_kit,
)
from whodrives.avatars.cgheads import assets as assets_module
from whodrives.avatars.cgheads.assets import local_paths
from whodrives.avatars.cgheads.cache import SKIN, SOURCE, VERSION, save_kit
from whodrives.avatars.cgheads.identity import draw_identity
from whodrives.avatars.tracks import INDEX

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(
        importlib.util.find_spec("anny") is None,
        reason='the package anny is not installed (pip install "whodrives[heads]")',
    ),
]


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> HeadKit:
    seen: list[float] = []
    path = bake(tmp_path_factory.mktemp("heads"), lambda what, share: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert json.loads(path.with_suffix(".json").read_text())["licence"].startswith("CC0-1.0")
    return load_kit(path)


def test_real_heads_move_as_far_as_people_do(kit):
    corner, chin = fp.LIP_OUTER_UPPER[-1], fp.CHIN
    for seed in range(4):
        mesh = head_mesh(seed, kit)
        assert len(mesh.vertices) <= 3100
        assert len(mesh.triangles) <= 5500
        rest = head_landmarks(mesh, kit)

        def move(channel: str, amount: float, index: int, mesh=mesh) -> np.ndarray:
            moved = mesh.basis[INDEX[channel], kit.landmark_ids[index]] * amount
            return (moved * kit.landmark_weights[index][:, None]).sum(axis=0)

        smile = move("AU12", 5, corner)
        assert 0.13 < np.hypot(*smile[:2]) < 0.28
        assert smile[0] > 0 > smile[1]
        assert 0.2 < move("AU26", 5, chin)[1] < 0.4
        assert move("AU01", 5, fp.BROW_LEFT_UPPER[-1])[1] < -0.03
        assert move("jaw_x", 1, chin)[0] > 0.02
        upper, lower = kit.lids.reshape(-1, 2).T
        closed = mesh.vertices + 2.5 * mesh.basis[INDEX["AU45"]]
        assert (closed[lower, 1] - closed[upper, 1]).max() < 0.02
        assert np.median(mesh.vertices[lower, 1] - mesh.vertices[upper, 1]) > 0.05
        upper, lower = kit.lips.T
        assert (mesh.vertices[lower, 1] - mesh.vertices[upper, 1]).max() < 0.012
        # Landmarks lie where their names say.
        assert rest[fp.OVAL[0], 1] < rest[fp.GLABELLA, 1] < rest[fp.NOSE_TIP, 1] < rest[fp.NOSE_BASE, 1]
        assert rest[fp.NOSE_BASE, 1] < rest[0, 1] < rest[13, 1] <= rest[14, 1] + 0.02 < rest[17, 1] < rest[fp.CHIN, 1]
        assert np.abs(rest[fp.NOSE_TIP, 2] - rest[list(fp.NOSE_RIDGE), 2].min()) < 0.05
        for a, b in fp.MIRROR.items():
            if a < b:
                assert np.abs(rest[a, :2] * [-1, 1] - rest[b, :2]).max() < 0.2
        for line in (fp.LIP_OUTER_UPPER, fp.LIP_INNER_LOWER, fp.EYE_LEFT_UPPER):
            assert (np.diff(rest[list(line), 0]) > 0).all()
        assert (np.diff(rest[list(fp.EYE_RIGHT_LOWER), 0]) < 0).all()


def test_real_heads_are_adults_and_differ(kit):
    rng = np.random.default_rng(0)
    people = [draw_identity(kit, rng) for _ in range(50)]
    assert all("baby" not in str(n) and "child" not in str(n) for n in kit.macro_names)
    assert all(0 <= p.old <= 0.85 for p in people)
    shapes = np.stack([head_mesh(seed, kit).vertices[: len(kit.uv)] for seed in range(6)])
    face = (kit.part == SKIN) & (np.abs(kit.mean[:, 0]) < 1) & (np.abs(kit.mean[:, 1] - 0.6) < 1.2)
    for a, b in itertools.combinations(range(6), 2):
        assert np.linalg.norm(shapes[a, face] - shapes[b, face], axis=1).mean() > 0.02
    assert kit.actions.shape[0] == len(ARKIT)
    assert len(kit.local_names) > 150


def test_every_local_target_has_its_files():
    rows = local_paths(assets_module.anny_folder())
    names = [name for name, _, _ in rows]
    assert len(set(names)) == len(names)
    assert all(up.is_file() and (down is None or down.is_file()) for _, up, down in rows)


def test_a_still_face_of_a_baked_head(kit):
    face = cg_head(3, kit, 128)
    assert face.source == SOURCE
    assert face.licence.startswith("CC0-1.0")
    assert face.mesh is not None
    assert face.matte is not None
    assert 0.2 < (face.matte > 127).mean() < 0.95
    assert ((face.landmarks[:468, :2] > 0) & (face.landmarks[:468, :2] < 128)).all()


def test_a_baked_head_needs_no_anny(tmp_path, kit):
    path = tmp_path / f"0-{VERSION}.npz"
    save_kit(kit, path, {})
    code = (
        "import sys; from pathlib import Path; from whodrives.avatars.cgheads import head_mesh, load_kit; "
        f"head_mesh(1, load_kit(Path({str(path)!r}))); print('anny' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
