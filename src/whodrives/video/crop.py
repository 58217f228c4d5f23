"""Square crop rules: which pixels of the upright frame are kept."""

from __future__ import annotations

from pathlib import Path

from whodrives.video.errors import CropError

MIN_CROP_SIDE = 16
_FIX = "Use 'center' or four whole numbers 'x,y,w,h' in pixels of the upright frame"


def parse_crop(rule: str, path: str | Path) -> tuple[int, int, int, int] | None:
    """Read a crop rule: None for `center`, else (x, y, w, h) as written.

    Raises
    ------
    CropError
        The rule is neither `center` nor four whole numbers with x, y >= 0 and w, h >= 16 pixels.
    """
    if not isinstance(rule, str):
        raise CropError(path, f"crop {rule!r} is not understood", _FIX)
    text = rule.strip().lower()
    if text in ("center", "centre"):
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise CropError(path, f"crop {rule!r} is not understood", _FIX) from None
    if len(numbers) != 4:
        raise CropError(path, f"crop {rule!r} has {len(numbers)} numbers, not 4", _FIX)
    x, y, w, h = numbers
    if x < 0 or y < 0:
        raise CropError(path, f"crop {rule!r} starts outside the frame", _FIX)
    if w < MIN_CROP_SIDE or h < MIN_CROP_SIDE:
        raise CropError(path, f"crop {rule!r} is smaller than {MIN_CROP_SIDE} x {MIN_CROP_SIDE} pixels", _FIX)
    return x, y, w, h


def square_crop(rule: str, width: int, height: int, path: str | Path) -> tuple[int, int, int, int]:
    """The square (x, y, side, side) that `rule` keeps of an upright frame of `width` x `height` pixels.

    `center` is the largest centred square. A rectangle that is not square shrinks to its own centred square, so the
    face is never stretched.

    Raises
    ------
    CropError
        The rule cannot be read or the rectangle leaves the frame.
    """
    box = parse_crop(rule, path)
    if box is None:
        box = (0, 0, width, height)
    x, y, w, h = box
    if x + w > width or y + h > height:
        raise CropError(path, f"crop {rule!r} leaves the {width} x {height} frame", "Choose a box inside the frame")
    side = min(w, h)
    return x + (w - side) // 2, y + (h - side) // 2, side, side
