"""What a head looks like apart from its shape: colours, hair, brows, beard, clothes. Drawn at random (ours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.cgheads.identity import Identity

Floats = NDArray[np.float64]
Rng = np.random.Generator

# Skin albedo from very light to very dark, sRGB 0..1.
TONES = np.array(
    [[0.93, 0.78, 0.70], [0.87, 0.69, 0.58], [0.78, 0.58, 0.45], [0.62, 0.43, 0.32], [0.44, 0.29, 0.21],
     [0.30, 0.19, 0.14]]
)  # fmt: skip
HAIRS = np.array([[0.07, 0.055, 0.05], [0.14, 0.09, 0.065], [0.27, 0.17, 0.10], [0.40, 0.27, 0.16], [0.62, 0.48, 0.29],
                  [0.43, 0.19, 0.09]])  # fmt: skip
GREY = np.array([0.62, 0.61, 0.6])
IRISES = np.array([[0.17, 0.09, 0.05], [0.27, 0.16, 0.08], [0.36, 0.27, 0.13], [0.30, 0.36, 0.22], [0.30, 0.42, 0.55],
                   [0.42, 0.46, 0.48]])  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colours (3,) sRGB 0..1; lengths in inter-ocular distances.

    Parameters
    ----------
    tone : 0 (lightest skin) .. 1. ruddy, freckles, wrinkles, stubble, brow_dark : strength 0..1.
    hairline : shift of the hairline (positive = lower on the forehead); recede : depth of the temples, 0..0.5.
    top, sides : thickness of the hair above and at the sides; 0 and 0 = shaved. cover : how much the scalp shows its
    hair colour, 0..1. length : how far below the eyes the hair hangs, 0 = no hanging hair.
    """

    skin: Floats
    lip: Floats
    hair: Floats
    brow: Floats
    iris: Floats
    cloth: Floats
    stripe: Floats
    tone: float
    ruddy: float
    freckles: float
    wrinkles: float
    stubble: float
    brow_dark: float
    brow_thick: float
    brow_lift: float
    hairline: float
    recede: float
    top: float
    sides: float
    cover: float
    curl: float
    part: float
    length: float
    neckline: float
    seed: int


def draw_look(who: Identity, rng: Rng) -> Look:
    """Colours and hair for a person; ancestry, sex and age shift the odds and decide nothing."""
    african, asian, european = who.ancestry
    centre = 0.86 * african + 0.36 * asian + 0.2 * european
    tone = float(np.clip(centre + rng.normal(0, 0.1), 0.0, 1.0))
    skin = np.stack([np.interp(tone, np.linspace(0, 1, len(TONES)), TONES[:, k]) for k in range(3)])
    skin = np.clip(skin * np.exp(rng.normal(0, 0.03)) + rng.normal(0, 0.012, 3), 0.05, 0.97)
    light = european > 0.5 and rng.random() < 0.75
    shade = HAIRS[rng.integers(2, len(HAIRS)) if light else rng.integers(0, 2)] * np.exp(rng.normal(0, 0.12))
    grey = float(np.clip((who.old - 0.25) / 0.45 + rng.normal(0, 0.25), 0, 1)) if who.old > 0.2 else 0.0
    hair = np.clip((1 - grey) * shade + grey * GREY * rng.uniform(0.8, 1.15), 0.03, 0.9)
    brow = np.clip(0.6 * (0.8 * shade + 0.2 * hair) + 0.25 * skin * 0.5, 0.03, 0.7)
    iris = IRISES[rng.integers(2, len(IRISES)) if light else rng.integers(0, 2)] * np.exp(rng.normal(0, 0.12))
    made_up = who.male < 0.5 and rng.random() < 0.4
    red = np.array([0.62, 0.16, 0.2]) if made_up else np.array([0.66, 0.3, 0.29])
    share = rng.uniform(0.25, 0.55) if made_up else rng.uniform(0.12, 0.34)
    lip = np.clip((1 - share) * skin * [0.9, 0.74, 0.74] + share * red * (0.45 + 0.55 * (1 - tone)), 0.03, 0.9)
    style, male = rng.random(), who.male > 0.5
    bald = male and rng.random() < 0.1 + 0.25 * who.old
    top, sides, length, cover = rng.uniform(0.1, 0.26), rng.uniform(0.04, 0.1), 0.0, 1.0
    if bald:
        top, sides, cover = 0.0, 0.0, rng.uniform(0.1, 0.5)
    elif (not male and style < 0.72) or (male and style < 0.08):
        top, sides, length = rng.uniform(0.14, 0.3), rng.uniform(0.16, 0.26), rng.uniform(1.6, 3.6)
    elif style > 0.75:
        top, sides = rng.uniform(0.2, 0.34), rng.uniform(0.1, 0.2)
    recede = rng.uniform(0.05, 0.2) + (rng.uniform(0.0, 0.35) * (0.4 + who.old) if male else 0.0)
    return Look(
        skin=skin, lip=lip, hair=hair, brow=brow, iris=np.clip(iris, 0.03, 0.8), cloth=rng.uniform(0.06, 0.8, 3),
        stripe=rng.uniform(0.06, 0.85, 3), tone=tone, ruddy=float(rng.uniform(0.2, 1.0) * (1 - 0.6 * tone)),
        freckles=float(rng.uniform(0.3, 1.0) if tone < 0.3 and rng.random() < 0.3 else 0.0),
        wrinkles=float(np.clip(1.5 * (who.old - 0.2) + rng.normal(0, 0.1), 0, 1)),
        stubble=float(rng.choice([0.0, 0.15, 0.45, 0.9], p=[0.45, 0.25, 0.15, 0.15])) if male else 0.0,
        brow_dark=float(rng.uniform(0.6, 0.95)), brow_thick=float(rng.uniform(0.75, 1.25) * (1.1 if male else 0.85)),
        brow_lift=float(rng.normal(0, 0.015)), hairline=float(rng.normal(0.0, 0.07) - (0.25 * recede if male else 0)),
        recede=float(recede), top=float(top), sides=float(sides), cover=float(cover), curl=float(rng.uniform(0, 1)),
        part=float(rng.uniform(-0.5, 0.5)), length=float(length), neckline=float(rng.uniform(2.5, 3.3)),
        seed=int(rng.integers(2**62)),
    )  # fmt: skip
