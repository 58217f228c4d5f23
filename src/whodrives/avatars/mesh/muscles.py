"""Facial muscles after Waters (1987): skin is pulled towards where a muscle is fixed to the bone (parameters ours).

A linear muscle pulls the skin inside a sector towards its origin, most at its insertion; a sphincter draws skin in
towards the middle of an ellipse. The lower jaw turns about an axis below the ears. Lids slide over the eyeballs.
Sizes at intensity 5 are the largest seen in people: lip corner 12 mm, inner brow 7 mm, chin 19 mm down, at an
inter-ocular distance of 62 mm. K. Waters, A muscle model for animating three-dimensional facial expression, SIGGRAPH.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.mesh.interior import BALL, LID, Part, ball_front, to_plane
from whodrives.avatars.mesh.layout import Layout, Slit
from whodrives.avatars.tracks import CHANNELS, INDEX

Floats = NDArray[np.float64]

# Intensity of AU45 at which an eye is closed.
SHUT = 2.5
# Jaw: drop of the chin per unit of AU26, and where the axis runs about which it turns (y, z).
JAW_DROP, JAW_AXIS = 0.066, (0.75, 1.25)
# Sideways shift of chin and mouth at 1 (6 and 5 mm).
JAW_SIDE, MOUTH_SIDE = 0.1, 0.08


@dataclass(frozen=True)
class Muscle:
    """One linear muscle on the left of the image, mirrored on the right: `origin` and `insertion` as (out, down) from
    `anchor`, a named place of the face, `size` of its pull per unit of intensity at the insertion, `reach` of skin past
    the insertion, `sector` half angle in radians. `upper`/`lower`: factor above and below the line of the lips."""

    anchor: str
    origin: tuple[float, float]
    insertion: tuple[float, float]
    size: float
    reach: float
    sector: float
    upper: float = 1.0
    lower: float = 1.0


MUSCLES: dict[str, tuple[Muscle, ...]] = {
    # frontalis, inner and outer part
    "AU01": (Muscle("brow_inner", (0.03, -0.85), (0.0, 0.04), 0.034, 0.22, 0.5),),
    "AU02": (Muscle("brow_outer", (-0.04, -0.8), (-0.06, 0.03), 0.029, 0.2, 0.5),),
    # corrugator and procerus
    "AU04": (
        Muscle("bridge", (0.0, 0.12), (0.36, -0.34), 0.021, 0.3, 0.6),
        Muscle("bridge", (0.05, 0.35), (0.1, -0.3), 0.011, 0.25, 0.5),
    ),
    # orbicularis oculi, outer part, raising the cheek
    "AU06": (Muscle("cheek", (0.12, -0.62), (0.0, 0.0), 0.022, 0.4, 0.75),),
    # levator labii superioris alaeque nasi
    "AU09": (
        Muscle("ala", (-0.2, -0.55), (0.0, -0.04), 0.02, 0.3, 0.5, lower=0.2),
        Muscle("bridge", (0.08, 0.3), (0.16, -0.28), 0.008, 0.2, 0.5),
    ),
    # levator labii superioris
    "AU10": (Muscle("lip_upper", (0.2, -0.75), (0.0, 0.0), 0.02, 0.22, 0.55, lower=0.25),),
    # zygomaticus major
    "AU12": (Muscle("lip_corner", (0.62, -0.72), (0.0, 0.0), 0.043, 0.42, 0.8),),
    # buccinator
    "AU14": (Muscle("lip_corner", (0.7, -0.04), (0.0, 0.0), 0.018, 0.25, 0.6),),
    # depressor anguli oris
    "AU15": (Muscle("lip_corner", (0.12, 0.62), (0.0, 0.0), 0.025, 0.3, 0.7),),
    # mentalis
    "AU17": (Muscle("chin", (-0.1, -0.95), (0.02, -0.28), 0.02, 0.35, 0.75),),
    # risorius
    "AU20": (Muscle("lip_corner", (0.75, 0.22), (0.0, 0.0), 0.024, 0.35, 0.75),),
    # lip corners of a funnel, the rest of AU23 is a sphincter
    "AU23": (Muscle("lip_corner", (-0.5, 0.0), (0.0, 0.0), 0.011, 0.15, 0.7),),
}


@dataclass(frozen=True)
class Skin:
    """Skin to be moved: `points` (V, 3), `places` (V, 2) in the picture plane, `side` (V,) of `Layout`, `slits`."""

    points: Floats
    places: Floats
    side: NDArray[np.int8]
    slits: tuple[Slit, Slit, Slit]
    anchors: dict[str, tuple[Floats, Floats]]
    depth: Callable[[Floats], Floats]
    chin: float

    def below_lips(self) -> Floats:
        """Share (V,) of the lower lip: 0 above the line of the lips, 1 below, passing smoothly round the corners."""
        mouth = self.slits[2]
        off = self.places[:, 1] - mouth.line(self.places[:, 0])
        rim = (self.side != 0) & (np.abs(off) < mouth.half_width)  # of the mouth, not of an eye
        sign = np.where(rim, self.side, np.sign(off))
        u = np.abs(self.places[:, 0] - mouth.centre[0]) / mouth.half_width
        # Of a rim, the distance to the line is none; the other lip begins there.
        gap = mouth.half_gap(self.places[:, 0])
        far = np.clip(np.abs(off) - gap, 0, None)
        width = 0.2 + 0.6 * mouth.half_width * np.clip(u - 1, 0, None)
        soft = 0.5 * np.minimum(u, 1) ** 4 * np.exp(-far / width)
        return np.asarray(np.where(sign > 0, 1 - soft, soft))


def expression_basis(layout: Layout, skin: Skin, parts: list[Part], eyes: Floats) -> Floats:
    """Displacements (33, V + parts, 3) of skin and interior parts for one unit of every channel; rows of pose and gaze
    are zero. eyes (2, 4)."""
    count = len(skin.points)
    moves = np.zeros((len(CHANNELS), count + sum(len(p.points) for p in parts), 3))
    sides = [np.zeros((len(CHANNELS), count, 3)) for _ in range(2)]
    lower = skin.below_lips()
    for name, group in MUSCLES.items():
        for muscle in group:
            for number in range(2):
                sides[number][INDEX[name]] += _pull(skin, muscle, number, lower)
    for number in range(2):
        _lids(skin, sides[number], number, eyes[number])
    for name in CHANNELS:
        row = INDEX[name]
        moves[row, :count] = sides[0][row] + sides[1][row]
        if name.endswith("_lr"):
            source = INDEX[name.removesuffix("_lr")]
            moves[row, :count] = sides[1][source] - sides[0][source]
    moves[INDEX["AU23"], :count] += _purse(skin, lower)
    moves[INDEX["AU25"], :count] += _part_lips(skin, lower)
    _jaw(skin, moves, parts, lower)
    return moves


def _pull(skin: Skin, muscle: Muscle, number: int, lower: Floats) -> Floats:
    """Field (V, 3) of one muscle on side `number` of the image for one unit."""
    anchor = skin.anchors[muscle.anchor][number]
    out = np.array([-1.0 if number == 0 else 1.0, 1.0])
    origin, insertion = anchor + out * muscle.origin, anchor + out * muscle.insertion
    along = insertion - origin
    length = float(np.linalg.norm(along))
    off = skin.places - origin
    distance = np.linalg.norm(off, axis=1)
    angle = np.arccos(np.clip(off @ along / np.maximum(distance * length, 1e-9), -1, 1))
    # From nothing at the origin to full pull at the insertion, and to nothing at the end of the zone.
    rise = np.sin(0.5 * np.pi * np.clip(distance / length, 0, 1)) ** 2
    fall = np.cos(0.5 * np.pi * np.clip((distance - length) / muscle.reach, 0, 1)) ** 2
    sector = np.cos(0.5 * np.pi * np.clip(angle / muscle.sector, 0, 1)) ** 2
    weight = muscle.size * rise * fall * sector * (muscle.upper + (muscle.lower - muscle.upper) * lower)
    bone = np.append(origin, float(skin.depth(origin[None])[0]))
    direction = bone - skin.points
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    return np.asarray(weight[:, None] * direction * _free(skin)[:, None])


def _free(skin: Skin) -> Floats:
    """1 on skin that muscles may move, falling to 0 at the lids, which move by themselves."""
    free = np.ones(len(skin.places))
    for eye in skin.slits[:2]:
        x = np.clip(skin.places[:, 0], eye.x[0], eye.x[-1])
        off = skin.places[:, 1] - np.clip(
            skin.places[:, 1], np.interp(x, eye.x, eye.upper), np.interp(x, eye.x, eye.lower)
        )
        far = np.hypot(off, skin.places[:, 0] - x)
        share = np.clip((far - 0.01) / 0.11, 0, 1)
        free *= share * share * (3 - 2 * share)
    return free


def _lids(skin: Skin, moves: Floats, number: int, ball: Floats) -> None:
    """Fill AU45, AU05, AU07 and the lower lid's part of AU06 for one eye, in place."""
    eye = skin.slits[number]
    x, y = skin.places.T
    u = (x - eye.centre[0]) / eye.half_width
    upper, lower = np.interp(x, eye.x, eye.upper), np.interp(x, eye.x, eye.lower)
    rim = (skin.side != 0) & (np.abs(y - eye.centre[1]) < eye.half_width + 0.1)  # of this eye or the other one
    upper_side = np.where(rim, skin.side < 0, y < eye.line(x))
    above, under = np.clip(upper - y, 0, None), np.clip(y - lower, 0, None)
    lens = np.clip(1 - u**2, 0, None)
    hang = np.where(upper_side, np.exp(-((above / 0.1) ** 2)), 0.0)
    rise = np.where(upper_side, 0.0, np.exp(-((under / 0.13) ** 2)))
    gap = 2 * eye.half_gap(x)
    # The upper lid ends a little over the rim of the lower one, where the photo shows the wet line of the eye.
    down = hang * (0.93 * gap + 0.028 * lens)
    up = rise * 0.09 * gap
    shut = down - up
    moves[INDEX["AU45"]] += _slide(skin, shut, ball, upper_side) / SHUT
    moves[INDEX["AU05"], :, 1] -= 0.011 * lens * hang
    moves[INDEX["AU07"], :, 1] += lens * (0.004 * hang - 0.009 * rise)
    moves[INDEX["AU06"], :, 1] -= 0.006 * lens * rise


def _slide(skin: Skin, down: Floats, ball: Floats, upper: NDArray[np.bool_]) -> Floats:
    """Displacement (V, 3) that moves lids by `down` and keeps them in front of the ball, the upper in front."""
    moved = skin.points + np.stack([np.zeros_like(down), down, np.zeros_like(down)], axis=1)
    touched = np.abs(down) > 1e-6
    front = ball_front(moved, ball[:3], BALL + np.where(upper, 1.6, 1.1) * LID)
    out = moved - skin.points
    out[:, 2] = np.where(touched, np.minimum(front - skin.points[:, 2], 0.0), 0.0)
    return out


def _purse(skin: Skin, lower: Floats) -> Floats:
    """Orbicularis oris: the outer lips draw towards the line between them and a little forward."""
    mouth = skin.slits[2]
    off = skin.places - mouth.centre
    rho = np.sqrt((off[:, 0] / (mouth.half_width + 0.15)) ** 2 + (off[:, 1] / 0.34) ** 2)
    ring = np.where(rho < 1, np.sin(np.pi * np.clip(rho, 0, 1)) ** 2, 0.0)
    lens = np.clip(1 - (off[:, 0] / (mouth.half_width + 0.1)) ** 2, 0, None)
    moves = np.zeros_like(skin.points)
    moves[:, 1] = -0.011 * ring * lens * (2 * lower - 1)
    moves[:, 2] = -0.004 * np.clip(1 - rho, 0, 1)
    return moves


def _part_lips(skin: Skin, lower: Floats) -> Floats:
    """Depressor labii and relaxed lips: they part without the jaw."""
    mouth = skin.slits[2]
    off = skin.places - np.stack([np.full(len(skin.places), mouth.centre[0]), mouth.line(skin.places[:, 0])], axis=1)
    lens = np.clip(1 - (off[:, 0] / mouth.half_width) ** 2, 0, None)
    near = np.exp(-((off[:, 1] / 0.26) ** 2))
    moves = np.zeros_like(skin.points)
    moves[:, 1] = near * lens * (-0.009 * (1 - lower) + 0.019 * lower)
    moves[:, 2] = -0.003 * near * lens
    return moves


def _jaw(skin: Skin, moves: Floats, parts: list[Part], lower: Floats) -> None:
    """Fill AU26, jaw_x and mouth_x, in place."""
    share = [lower * _chin_skin(skin), *(part.jaw for part in parts)]
    points = np.concatenate([skin.points, *(part.points for part in parts)])
    weight = np.concatenate(share)
    arm = points[:, 1:] - JAW_AXIS
    chin = np.array([[skin.slits[2].centre[0], skin.chin - 0.12]])
    turn = JAW_DROP / (JAW_AXIS[1] - min(float(skin.depth(chin)[0]), 0.4))
    moves[INDEX["AU26"], :, 1] += -turn * weight * arm[:, 1]
    moves[INDEX["AU26"], :, 2] += turn * weight * arm[:, 0]
    moves[INDEX["jaw_x"], :, 0] += JAW_SIDE * weight
    mouth = skin.slits[2]
    off = to_plane(points) - mouth.centre
    near = np.exp(-((off[:, 0] / (1.3 * mouth.half_width)) ** 2) - (off[:, 1] / 0.38) ** 2)
    near[len(skin.points) :] = 0.0  # teeth stay
    moves[INDEX["mouth_x"], :, 0] += MOUTH_SIDE * near


def _chin_skin(skin: Skin) -> Floats:
    """1 on skin over the jaw bone, fading towards the ears and down the neck."""
    x, y = np.abs(skin.places[:, 0] - skin.slits[2].centre[0]), skin.places[:, 1]
    aside = np.clip((x - 0.45) / 0.75, 0, 1)
    neck = np.clip((y - skin.chin - 0.02) / 0.75, 0, 1)
    smooth = [1 - s * s * (3 - 2 * s) for s in (aside, neck)]
    return np.asarray(smooth[0] * smooth[1])
