"""Which MediaPipe face-mesh indices the avatars use, by name. "left" and "right" are sides of the IMAGE."""

from __future__ import annotations

LANDMARKS = 478

# Eyes: outer corner, inner corner, then the lids from outer to inner.
EYE_LEFT_CORNERS = (33, 133)
EYE_LEFT_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
EYE_LEFT_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
EYE_RIGHT_CORNERS = (263, 362)
EYE_RIGHT_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
EYE_RIGHT_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
IRIS_LEFT = (468, 469, 470, 471, 472)
IRIS_RIGHT = (473, 474, 475, 476, 477)

# Brows from outer to inner end.
BROW_LEFT_UPPER = (70, 63, 105, 66, 107)
BROW_LEFT_LOWER = (46, 53, 52, 65, 55)
BROW_RIGHT_UPPER = (300, 293, 334, 296, 336)
BROW_RIGHT_LOWER = (276, 283, 282, 295, 285)

# Lips from the left to the right corner of the image.
LIP_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIP_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIP_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIP_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)

# Face oval, clockwise in the image from the top of the forehead.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

FOREHEAD, GLABELLA, NOSE_BRIDGE, NOSE_TIP, NOSE_BASE = 151, 9, 6, 1, 2
NOSE_RIDGE = (168, 6, 197, 195, 5, 4, 1, 2)
ALA_LEFT, ALA_RIGHT = 129, 358
CHEEK_LEFT, CHEEK_RIGHT = 50, 280
CHEEKBONE_LEFT, CHEEKBONE_RIGHT = 117, 346
FOLD_LEFT, FOLD_RIGHT = 205, 425
CHIN, CHIN_BOSS, BELOW_LIP = 152, 199, 18

# Mirror partner of every index used above (itself on the midline).
_PAIRS = (
    (EYE_LEFT_UPPER, EYE_RIGHT_UPPER), (EYE_LEFT_LOWER, EYE_RIGHT_LOWER),
    (BROW_LEFT_UPPER, BROW_RIGHT_UPPER), (BROW_LEFT_LOWER, BROW_RIGHT_LOWER),
    (LIP_OUTER_UPPER, LIP_OUTER_UPPER[::-1]), (LIP_OUTER_LOWER, LIP_OUTER_LOWER[::-1]),
    (LIP_INNER_UPPER, LIP_INNER_UPPER[::-1]), (LIP_INNER_LOWER, LIP_INNER_LOWER[::-1]),
    (OVAL, OVAL[:1] + OVAL[:0:-1]),
    ((ALA_LEFT, CHEEK_LEFT, CHEEKBONE_LEFT, FOLD_LEFT), (ALA_RIGHT, CHEEK_RIGHT, CHEEKBONE_RIGHT, FOLD_RIGHT)),
)  # fmt: skip
MIRROR: dict[int, int] = {}
for _left, _right in _PAIRS:
    for _a, _b in zip(_left, _right, strict=True):
        MIRROR[_a], MIRROR[_b] = _b, _a
