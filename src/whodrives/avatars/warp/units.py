"""How each action unit moves the skin: landmark displacements by hand, in FACS terms (ours).

Displacements are (out, down) in inter-ocular distances per unit of intensity (0..5): `out` away from the midline of the
face, `down` towards the chin. They are given for the left side of the image and mirrored. The size at intensity 5 is
about the largest seen in people (lip corners 12 mm, inner brow 7 mm; the inter-ocular distance is 62 mm).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whodrives.avatars import facepoints as fp

Moves = Mapping[int, tuple[float, float]]

_BROW_INNER = (107, 55, 66, 65)
_BROW_OUTER = (70, 46, 63, 53)
_BROW_MIDDLE = (105, 52)
_EYE = (*fp.EYE_LEFT_UPPER, *fp.EYE_LEFT_LOWER)
_NOSE = (168, 6, 197, 195, 5, 4, 1)
_MOUTH = (61, 40, 37, 0, 91, 84, 17)


@dataclass(frozen=True)
class ActionUnit:
    """Points that move and points that stay, and how far the skin between them follows.

    `still` points are pinned at zero; `reach` is the standard deviation of the Gaussian kernels in inter-ocular
    distances. Indices are those of the left side of the image and the midline; the other side mirrors them.
    """

    moves: Moves
    still: tuple[int, ...]
    reach: float


UNITS: Mapping[str, ActionUnit] = {
    # Inner brow raiser.
    "AU01": ActionUnit(
        {107: (-0.004, -0.024), 55: (-0.004, -0.024), 66: (0.0, -0.018), 65: (0.0, -0.018), 105: (0.0, -0.006),
         9: (0.0, -0.010), 151: (0.0, -0.010)},
        (*_EYE, *_NOSE, 70, 46, 10, 338, 332), 0.22,
    ),
    # Outer brow raiser.
    "AU02": ActionUnit(
        {70: (0.004, -0.018), 46: (0.003, -0.018), 63: (0.003, -0.025), 53: (0.002, -0.024), 105: (0.0, -0.018),
         52: (0.0, -0.017)},
        (*_EYE, 107, 55, 6, 9, 10, 332, 251), 0.22,
    ),
    # Brow lowerer: down and together.
    "AU04": ActionUnit(
        {107: (-0.014, 0.018), 55: (-0.014, 0.016), 66: (-0.010, 0.014), 65: (-0.010, 0.012), 105: (-0.005, 0.007),
         52: (-0.005, 0.006), 9: (0.0, 0.012)},
        (*_EYE, 70, 46, 195, 5, 10, 151, 332), 0.22,
    ),
    # Upper lid raiser.
    "AU05": ActionUnit(
        {160: (0.0, -0.008), 159: (0.0, -0.010), 158: (0.0, -0.008), 161: (0.0, -0.004), 157: (0.0, -0.005)},
        (33, 133, 144, 145, 153, *_BROW_MIDDLE, 107, 70), 0.10,
    ),
    # Cheek raiser: cheek up, lower lid up.
    "AU06": ActionUnit(
        {117: (0.0, -0.020), 50: (0.004, -0.022), 145: (0.0, -0.006), 153: (0.0, -0.005), 144: (0.0, -0.006),
         33: (-0.004, -0.002), 205: (0.004, -0.012), 46: (0.0, 0.003)},
        (159, 133, 105, 107, *_NOSE, *_MOUTH, 234, 93, 132), 0.20,
    ),
    # Lid tightener: lower lid up, upper lid a little down.
    "AU07": ActionUnit(
        {144: (0.0, -0.008), 145: (0.0, -0.009), 153: (0.0, -0.008), 159: (0.0, 0.005), 158: (0.0, 0.004),
         160: (0.0, 0.004)},
        (33, 133, *_BROW_MIDDLE, 107, 70, 117, 50), 0.10,
    ),
    # Nose wrinkler: wings up, brows a little down.
    "AU09": ActionUnit(
        {129: (0.006, -0.020), 197: (0.0, -0.010), 5: (0.0, -0.007), 6: (0.0, 0.003), 55: (-0.006, 0.010),
         107: (-0.006, 0.009), 37: (0.0, -0.010), 0: (0.0, -0.008), 205: (0.0, -0.006)},
        (133, 145, 33, 61, 17, 70, 46, 234, 10), 0.20,
    ),
    # Upper lip raiser.
    "AU10": ActionUnit(
        {0: (0.0, -0.020), 37: (0.0, -0.022), 39: (0.003, -0.022), 40: (0.004, -0.014), 129: (0.004, -0.008),
         205: (0.004, -0.010), 13: (0.0, -0.012), 81: (0.0, -0.012)},
        (61, 17, 84, 14, *_NOSE[:-2], 133, 145, 152, 234), 0.18,
    ),
    # Lip corner puller: smile.
    "AU12": ActionUnit(
        {61: (0.026, -0.026), 40: (0.016, -0.012), 91: (0.014, -0.010), 39: (0.008, -0.004), 181: (0.008, -0.002),
         205: (0.016, -0.020), 50: (0.004, -0.014), 0: (0.0, 0.003), 17: (0.0, 0.002), 37: (0.004, 0.001),
         84: (0.004, 0.001), 58: (0.006, -0.004)},
        (133, 33, 145, *_NOSE, 129, 152, 234, 93), 0.24,
    ),
    # Dimpler: corners back and in, lips pressed.
    "AU14": ActionUnit(
        {61: (0.020, -0.002), 40: (0.010, 0.003), 91: (0.010, -0.004), 37: (0.003, 0.003), 84: (0.003, -0.004),
         205: (0.007, -0.004), 0: (0.0, 0.003), 17: (0.0, -0.004)},
        (133, 145, *_NOSE, 129, 152, 132, 50), 0.20,
    ),
    # Lip corner depressor.
    "AU15": ActionUnit(
        {61: (0.003, 0.026), 40: (0.002, 0.012), 91: (0.002, 0.015), 39: (0.0, 0.005), 181: (0.0, 0.005),
         149: (0.0, 0.004)},
        (0, 17, *_NOSE, 129, 205, 50, 132, 152), 0.20,
    ),
    # Chin raiser: chin boss and lower lip up.
    "AU17": ActionUnit(
        {199: (0.0, -0.020), 18: (0.0, -0.022), 17: (0.0, -0.020), 84: (0.0, -0.017), 181: (0.0, -0.010),
         0: (0.0, -0.010), 37: (0.0, -0.009), 14: (0.0, -0.014), 13: (0.0, -0.012), 61: (0.0, 0.004)},
        (152, 148, 132, *_NOSE, 129, 205), 0.18,
    ),
    # Lip stretcher: corners outwards and slightly down.
    "AU20": ActionUnit(
        {61: (0.030, 0.006), 40: (0.017, 0.003), 91: (0.017, 0.004), 39: (0.009, 0.002), 181: (0.009, 0.002),
         58: (0.008, 0.002), 136: (0.006, 0.002)},
        (0, 17, *_NOSE, 129, 50, 93, 152), 0.24,
    ),
    # Lip tightener: narrower and thinner lips.
    "AU23": ActionUnit(
        {61: (-0.016, 0.0), 40: (-0.010, 0.004), 91: (-0.010, -0.005), 37: (-0.003, 0.008), 84: (-0.003, -0.009),
         0: (0.0, 0.008), 17: (0.0, -0.009)},
        (*_NOSE, 129, 205, 152, 199, 132), 0.16,
    ),
    # Blink: the lid itself is a layer; the skin around it follows a little.
    "AU45": ActionUnit(
        {159: (0.0, 0.006), 158: (0.0, 0.005), 160: (0.0, 0.005), 145: (0.0, -0.003), 52: (0.0, 0.003)},
        (33, 133, 105, 107, 70, 117), 0.12,
    ),
}  # fmt: skip

# Lips apart (AU25) and jaw drop (AU26): how far the inner lips part from their rest line at the middle of the mouth,
# (upper lip up, lower lip down), and how much of the lower lip's way the chin goes with it.
OPENING: Mapping[str, tuple[float, float, float]] = {"AU25": (0.018, 0.034, 0.25), "AU26": (0.002, 0.055, 0.9)}

# Blink: share of the opening between the lids that one unit closes (closed at 2.5; OpenFace blinks peak at 2 to 3).
LID_CLOSURE = 0.4

# Sideways shift of the chin (jaw_x) and of the mouth (mouth_x) at 1, about 7 and 5 mm.
JAW_SHIFT, MOUTH_SHIFT = 0.12, 0.08
