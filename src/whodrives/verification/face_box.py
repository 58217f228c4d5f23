"""Where the faces of a video are: one fixed square a face, found once (extra `landmarks`).

A square that followed the face would take away head motion, which tells drivers apart; so it stands still. It is framed
as the training portraits are: 1.9 times the longer side of the box around the landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.landmarks import MARGIN, face_mesh_detector, faces_from_afar, landmarks_of
from whodrives.avatars.motion.from_video import video_pictures
from whodrives.errors import InputError
from whodrives.video.crop import MIN_CROP_SIDE
from whodrives.video.luma import frame_orientation
from whodrives.video.source import VideoSource

FACE = "face"
SECONDS, SAMPLES = 10.0, 10
MOST = 9
# Share of the pictures in which a face must be seen, or else two of them.
LEAST_SEEN = 0.3
# Below this share the face is said not to stay in its square.
STAYS = 0.6


class NoFaceInVideoError(InputError):
    """No face, or not so many, was found in a video."""


@dataclass(frozen=True)
class FaceBox:
    """A face's square. x, y, side : pixels of the upright frame. seen : share, 0..1, of the pictures looked at closely
    enough for it in which it was there.

    clipped : the square had to be smaller, or moved, to lie in the frame.
    """

    x: int
    y: int
    side: int
    seen: float
    clipped: bool

    @property
    def crop(self) -> str:
        """As a crop rule."""
        return f"{self.x},{self.y},{self.side},{self.side}"


def locate_faces(path: str | Path, seconds: float = SECONDS, samples: int = SAMPLES) -> tuple[FaceBox, ...]:
    """Faces of a video, largest first, from `samples` pictures spread over its first `seconds`.

    Raises
    ------
    LandmarkerMissingError
        The extra is not installed.
    VideoError
        The file cannot be decoded.
    """
    pictures = _sample(path, seconds, samples)
    found: list[list[NDArray[np.float64]]] = []
    close = {0, len(pictures) // 2}
    with face_mesh_detector(faces=MOST) as mesh:
        for number, picture in enumerate(pictures):
            faces = landmarks_of(mesh, picture)
            # Tiles of a call are too small for the mesh's own detector; looking closely takes time.
            if number in close:
                faces = [*faces, *faces_from_afar(picture)]
            _sort_in(found, faces, number)
    width = pictures[0].shape[1]
    true_width, true_height = _upright_size(path)
    scale = true_width / width
    # A face that only the close look finds is seen twice at most.
    least = min(LEAST_SEEN * len(pictures), 2)
    seen = [group for group in found if _pictures_of(group) >= least]
    boxes = [_box(group, scale, true_width, true_height, _share(group, len(pictures), close)) for group in seen]
    return tuple(sorted((box for box in boxes if box.side >= MIN_CROP_SIDE), key=lambda box: -box.side))


def choose_face(rule: str, path: str | Path, faces: Sequence[FaceBox]) -> tuple[FaceBox, str | None]:
    """The face that a rule means, ``face`` (the largest) or ``face:N`` (the N-th largest).

    Beside it a warning, when there are other faces or the square had to be cut.

    Raises NoFaceInVideoError with what was found.
    """
    name, _, number = rule.strip().lower().partition(":")
    place = int(number) if number.isdigit() else 1 if not number else 0
    if name != FACE or place < 1:
        raise InputError(f"crop {rule!r}: write 'face' or 'face:2', counted from the largest")
    if place > len(faces):
        raise NoFaceInVideoError(
            f"{path}: wanted face number {place}, found {len(faces)} in its first seconds; give --crop X,Y,W,H"
        )
    face = faces[place - 1]
    told = []
    if len(faces) > 1:
        others = "; ".join(f"{FACE}:{n} at {other.crop}" for n, other in enumerate(faces, 1) if n != place)
        told.append(f"{len(faces)} faces: {FACE}:{place} at {face.crop} is scored, others are {others}")
    if face.seen < STAYS:
        told.append(
            f"the face is in its square in {face.seen:.0%} of the pictures only: the camera or the face moves, or "
            "others take turns with it"
        )
    if face.clipped:
        told.append("the face is so near to the border that its square is smaller or moved")
    return face, "; ".join(told) or None


def _sample(path: str | Path, seconds: float, samples: int) -> list[NDArray[np.uint8]]:
    """Pictures about evenly spread over the first `seconds`; at least one."""
    out: list[NDArray[np.uint8]] = []
    first: float | None = None
    last: NDArray[np.uint8] | None = None
    for time, picture in video_pictures(path):
        first = time if first is None else first
        if time - first >= len(out) * seconds / samples:
            out.append(picture)
        last = picture
        if len(out) >= samples:
            return out
    # A short video: what there is, with its end.
    if last is not None and last is not out[-1]:
        out.append(last)
    return [picture for picture in out if picture.shape == out[0].shape]


def _upright_size(path: str | Path) -> tuple[int, int]:
    """Width and height of the first picture before it is made smaller for the detector."""
    with VideoSource(path) as source:
        frame = next(iter(source)).frame
        turn = frame_orientation(frame)
        size = (frame.width, frame.height)
    return (size[1], size[0]) if turn is not None and turn.transpose else size


def _sort_in(found: list[list[NDArray[np.float64]]], faces: Sequence[NDArray[np.float32]], number: int) -> None:
    """Add each face as (picture, x, y of the middle, longer side) to the group that stands where it stands."""
    for face in faces:
        low, high = face[:, :2].min(axis=0), face[:, :2].max(axis=0)
        row = np.array([number, *(low + high) / 2, (high - low).max()], dtype=np.float64)
        for group in found:
            middle, side = np.median(group, axis=0)[1:3], np.median(group, axis=0)[3]
            if np.abs(middle - row[1:3]).max() < 0.5 * max(side, row[3]):
                # The same face found twice in one picture counts once.
                if group[-1][0] != number:
                    group.append(row)
                break
        else:
            found.append([row])


def _pictures_of(group: list[NDArray[np.float64]]) -> int:
    return len({int(row[0]) for row in group})


def _share(group: list[NDArray[np.float64]], pictures: int, close: set[int]) -> float:
    """Share of pictures with this face; of the closely looked at ones alone for a face that only these show."""
    there = {int(row[0]) for row in group}
    return len(there) / (len(close) if there <= close else pictures)


def _box(group: list[NDArray[np.float64]], scale: float, width: int, height: int, seen: float) -> FaceBox:
    x, y, longer = np.median(group, axis=0)[1:] * scale
    wanted = round((1 + 2 * MARGIN) * float(longer))
    side = min(wanted, width, height)
    left, top = round(float(x) - side / 2), round(float(y) - side / 2)
    inside = int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side))
    moved = max(abs(inside[0] - left), abs(inside[1] - top)) > 0.1 * side
    return FaceBox(*inside, side, seen, side < wanted or moved)
