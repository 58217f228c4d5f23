"""Who a head is: random adults from macro targets (sex, age, build, ancestry) and local directions of the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads.cache import HeadKit

Floats = NDArray[np.float64]
Rng = np.random.Generator

# Spread of the local directions by folder (standard deviation; 1 = the full target), and the largest amount.
SPREAD = {
    "asym": 0.07, "cheek": 0.38, "chin": 0.36, "ears": 0.22, "eyebrows": 0.35, "eyes": 0.26, "forehead": 0.35,
    "head": 0.22, "mouth": 0.24, "neck": 0.15, "nose": 0.34,
}  # fmt: skip
LARGEST = 0.85
# Directions that would move the head about, deform what the motion needs, or look like a cartoon.
LEFT_OUT = ("head-trans", "neck-trans", "nose-trans-out", "mouth-trans-out", "shape-pointed", "shape-triangle",
            "eye-push", "head-angle", "nose-compression", "head-age", "neck-height")  # fmt: skip
CALM = {"mouth-trans": 0.5, "eye-scale": 0.6, "eye-trans": 0.6, "nose-trans": 0.6, "prognathism": 0.6, "jaw-drop": 0.4,
        "lowerlip-middle": 0.4, "upperlip-middle": 0.4, "mouth-angles": 0.5}  # fmt: skip
# What the base mesh has too little of: its eyes are small.
BIAS = {"eye-scale-incr": 0.25, "eye-height2-incr": 0.25}
OUTLINES = ("head-diamond", "head-invertedtriangular", "head-oval", "head-rectangular", "head-round", "head-square",
            "head-triangular")  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """One person: `male` 0..1, `old` 0 (about 25 years) .. 1 (about 90), `ancestry` (3,) shares of the African, Asian
    and Caucasian targets, `weight` and `muscle` 0..1, `macro` (M,) and `local` (L,) amounts of the kit's targets."""

    male: float
    old: float
    ancestry: Floats
    weight: float
    muscle: float
    macro: Floats
    local: Floats


def draw_identity(kit: HeadKit, rng: Rng) -> Identity:
    """A random adult."""
    male = float(np.clip((rng.random() < 0.5) + rng.normal(0, 0.12), 0, 1))
    old = float(np.clip(rng.beta(1.1, 1.9), 0, 0.85))
    ancestry = rng.dirichlet([0.45, 0.45, 0.45])
    weight = float(np.clip(rng.normal(0.5, 0.2), 0.05, 0.95))
    muscle = float(np.clip(rng.normal(0.5, 0.15), 0.1, 0.9))
    macro = np.array([macro_weight(str(name), male, old, ancestry, muscle, weight) for name in kit.macro_names])
    return Identity(male, old, ancestry, weight, muscle, macro, _local(kit, rng))


def macro_weight(name: str, male: float, old: float, ancestry: Floats, muscle: float, weight: float) -> float:
    """Amount of one macro target: a product of linear interpolations along every axis in its name."""
    words = name.split("-")
    sex = {"male": male, "female": 1 - male}
    age = {"old": old, "young": 1 - old}
    if words[0] == "universal":
        return sex[words[1]] * age[words[2]] * _three(muscle, words[3]) * _three(weight, words[4])
    shares = dict(zip(("african", "asian", "caucasian"), ancestry, strict=True))
    return float(shares[words[0]] * sex[words[1]] * age[words[2]])


def _three(value: float, word: str) -> float:
    if word.startswith("min"):
        return max(0.0, 1 - 2 * value)
    if word.startswith("max"):
        return max(0.0, 2 * value - 1)
    return 1 - abs(2 * value - 1)


def _local(kit: HeadKit, rng: Rng) -> Floats:
    """Amounts of the local directions; both sides of a face agree but for a little."""
    out = np.zeros(len(kit.local_names))
    shared: dict[str, float] = {}
    outline, rounded = OUTLINES[rng.integers(len(OUTLINES))], rng.uniform(0, 0.45)
    one_sign = np.asarray(~kit.minus.any(axis=(1, 2)))
    for number, label in enumerate(kit.local_names):
        folder, _, name = str(label).partition("/")
        # Always the same number of draws for a direction, whatever is left out.
        own, wobble = rng.normal(), rng.normal()
        plain = name[2:] if name.startswith(("l-", "r-")) else name
        if any(word in plain for word in LEFT_OUT):
            continue
        if plain in OUTLINES:
            out[number] = rounded if plain == outline else 0.0
            continue
        spread = SPREAD.get(folder, 0.2)
        for word, factor in CALM.items():
            spread *= factor if word in plain else 1.0
        value = shared.setdefault(plain, own) if plain != name else own
        value = spread * (value + (0.15 * wobble if plain != name else 0.0))
        value += BIAS.get(plain, 0.0)
        out[number] = np.clip(abs(value) if one_sign[number] else value, -LARGEST, LARGEST)
    return out


def shape(kit: HeadKit, who: Identity) -> Floats:
    """Vertices and extra points of a person, float64 (V + 11, 3), decimetres."""
    out = kit.vertices.astype(np.float64)
    out += np.tensordot(who.macro, kit.macro.astype(np.float32), axes=1)
    out += np.tensordot(np.maximum(who.local, 0), kit.plus.astype(np.float32), axes=1)
    out += np.tensordot(np.maximum(-who.local, 0), kit.minus.astype(np.float32), axes=1)
    return out
