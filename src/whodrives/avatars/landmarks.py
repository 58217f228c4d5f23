"""Face landmarks in pictures (extra `landmarks`), and from any portrait photo to a `Face`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.avatars.facepoints import LANDMARKS
from whodrives.avatars.faces import (
    INDEX_FILE,
    Face,
    FaceError,
    LandmarkError,
    PortraitImageError,
    PortraitIndexError,
    find_matte,
    open_picture,
)
from whodrives.errors import InputError

Pixels = NDArray[np.uint8]

# Room around the face box on every side, as a share of its longer side.
MARGIN = 0.45
MIN_FACE = 64  # pixels: below, there is not enough picture to animate
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MIN_SIDE, MAX_SIDE = 128, 1024


class LandmarkerMissingError(InputError):
    """mediapipe is not installed; the message says how to get it."""

    def __init__(self) -> None:
        super().__init__(
            "face landmarks need the extra 'landmarks' (mediapipe 0.10.21): pip install 'whodrives[landmarks]', "
            "or give the landmarks yourself"
        )


class NoFaceError(FaceError):
    """No face was found in a picture or video."""


@contextmanager
def face_mesh_detector(video: bool = False, faces: int = 1, confidence: float = 0.5) -> Iterator[Any]:
    """MediaPipe's legacy FaceMesh with iris points; its weights lie in the wheel, so nothing is fetched.

    Parameters
    ----------
    video : pictures follow each other: track from frame to frame instead of detecting anew.
    faces : at most this many. confidence : smallest score of a detection, and of tracking.

    Raises
    ------
    LandmarkerMissingError
    """
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError:
        raise LandmarkerMissingError from None
    with FaceMesh(
        static_image_mode=not video,
        max_num_faces=faces,
        refine_landmarks=True,
        min_detection_confidence=confidence,
        min_tracking_confidence=confidence,
    ) as mesh:
        yield mesh


def landmarks_of(mesh: Any, image: Pixels) -> list[NDArray[np.float32]]:
    """(478, 3) landmarks in pixels of each face that `mesh` finds in an RGB picture; z in the scale of x."""
    height, width = image.shape[:2]
    found = mesh.process(np.ascontiguousarray(image)).multi_face_landmarks or []
    size = np.array([width, height, width], dtype=np.float32)
    return [np.array([(p.x, p.y, p.z) for p in face.landmark], dtype=np.float32) * size for face in found]


def face_mesh(images: Iterable[Pixels], video: bool = False) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """478 landmarks of one face a picture.

    Parameters
    ----------
    images : uint8 (H, W, 3) RGB each. video : they are frames in order; tracking is faster and smoother.

    Returns
    -------
    landmarks : float32 (N, 478, 3) x, y in pixels, z in the same scale (negative towards the camera), NaN where no
        face was found. found : bool (N,).

    Raises
    ------
    LandmarkerMissingError
        The extra is not installed.
    InputError
        A picture has another shape or type.
    """
    nothing = np.full((LANDMARKS, 3), np.nan, dtype=np.float32)
    rows: list[NDArray[np.float32]] = []
    found: list[bool] = []
    with face_mesh_detector(video) as mesh:
        for number, image in enumerate(images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise InputError(f"picture {number}: must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
            faces = landmarks_of(mesh, image)
            rows.append(faces[0] if faces else nothing)
            found.append(bool(faces))
    return np.stack(rows) if rows else np.empty((0, LANDMARKS, 3), np.float32), np.array(found, dtype=bool)


def portrait_face(
    picture: str | Path | Pixels,
    name: str | None = None,
    landmarks: str | Path | NDArray[np.floating[Any]] | None = None,
    licence: str = "",
    max_side: int = MAX_SIDE,
) -> Face:
    """Any portrait photo as a `Face`: a square crop around the face, with landmarks and matte.

    The square's side is the longer side of the face box (of the landmarks) and 45% of it on every side. Where it
    leaves the photo, the photo is continued by its mirror image. Of several faces the largest is taken, with a warning.

    Parameters
    ----------
    picture : file (turned as its EXIF says; alpha becomes the matte; grey, CMYK and 16 bit are converted) or
        uint8 (H, W, 3) RGB.
    name : of the target; None takes the file's without ending.
    landmarks : (478, 3) in pixels of the picture, upright, or a JSON file with them (a list, or an object with the
        picture's file name, as in portraits.json); None finds them, which needs the extra `landmarks`.
    max_side : larger crops are scaled down to this side.

    Raises
    ------
    NoFaceError
        None found, or the face is under 64 pixels.
    PortraitImageError, LandmarkError
        The picture cannot be read; given landmarks do not fit it.
    LandmarkerMissingError
        Landmarks must be found, but the extra is not installed.
    """
    if isinstance(picture, (str, Path)):
        path = Path(picture)
        image, alpha = open_picture(path)
        name, source = name or path.stem, path.name
    else:
        path, image, alpha = Path(name or "picture"), picture, None
        name, source = name or "picture", ""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"{path}: picture must be uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}")
    given = landmarks is not None
    points = _given_landmarks(path, landmarks) if given else largest_face(image, path)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    inside = (points[:, 0] >= 0) & (points[:, 1] >= 0)
    inside &= (points[:, 0] < image.shape[1]) & (points[:, 1] < image.shape[0])
    if inside.mean() < 0.7:
        raise LandmarkError(path, "landmarks do not lie on the picture; they must be in pixels of this very file")
    box = float((high - low).max())
    if box < MIN_FACE:
        raise NoFaceError(path, f"the face is {box:.0f} pixels; give a closer or larger photo (at least {MIN_FACE})")
    side = round(box * (1 + 2 * MARGIN))
    corner = np.round((low + high) / 2 - side / 2).astype(int)
    image = _square(image, corner, side)
    points = points - np.array([*corner, 0], dtype=np.float32)
    alpha = None if alpha is None else _square(alpha, corner, side)
    target = max(MIN_SIDE, min(side, max_side))
    if target != side:
        image, points = _resized(image, target), points * np.float32(target / side)
        alpha = None if alpha is None else _resized(alpha, target)
    if not given:
        # Again on the crop, where the face is large: finer than on the whole photo.
        with face_mesh_detector() as mesh:
            finer = landmarks_of(mesh, image)
        if finer and np.abs(finer[0].mean(axis=0) - points.mean(axis=0))[:2].max() < 0.1 * target:
            points = finer[0]
    points = points.astype(np.float32)
    matte = find_matte(image, points) if alpha is None else alpha
    return Face(name, image, points, licence=licence, source=source, matte=matte)


def write_portraits_index(folder: str | Path, out: str | Path | None = None) -> Path:
    """Find the landmarks of all photos of a folder and write `portraits.json`.

    Parameters
    ----------
    folder : photos. out : where square crops (PNG) and the index go; None writes the index into `folder` itself, whose
        pictures must then be square already.

    Returns
    -------
    Path of the index; `faces.load_portraits` reads its folder.

    Raises
    ------
    PortraitIndexError
        No photo, two with the same name, or `out` holds an index already.
    NoFaceError, PortraitImageError, LandmarkerMissingError
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PortraitIndexError(folder, "no such folder; give one with photos")
    photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    if not photos:
        raise PortraitIndexError(folder, f"holds no photos ({', '.join(PICTURES)})")
    place = folder if out is None else Path(out)
    index_path = place / INDEX_FILE
    if index_path.exists():
        raise PortraitIndexError(index_path, "exists already; move it away to write a new one")
    stems = [photo.stem for photo in photos]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise PortraitIndexError(folder, f"has two photos named {twice}; rename one")
    index: dict[str, list[list[float]]] = {}
    for photo in photos:
        if out is None:
            image, _ = open_picture(photo)
            if image.shape[0] != image.shape[1]:
                raise PortraitImageError(
                    photo, f"is {image.shape[1]} x {image.shape[0]}, not square; give another folder for square crops"
                )
            index[photo.name] = largest_face(image, photo).round(2).tolist()
        else:
            face = portrait_face(photo)
            place.mkdir(parents=True, exist_ok=True)
            _save(place / f"{photo.stem}.png", face)
            index[f"{photo.stem}.png"] = face.landmarks.round(2).tolist()
    index_path.write_text(json.dumps(index), encoding="utf-8")
    return index_path


def largest_face(image: Pixels, path: Path) -> NDArray[np.float32]:
    """(478, 3) landmarks of the largest face in a picture; `path` names it in errors."""
    with face_mesh_detector(faces=5) as mesh:
        faces = landmarks_of(mesh, image)
    if not faces:
        faces = faces_from_afar(image)
    if not faces:
        raise NoFaceError(path, "no face found; give a sharp, upright photo with the whole face in view")
    sizes = [float(np.ptp(face[:, :2], axis=0).max()) for face in faces]
    if len(faces) > 1:
        warnings.warn(f"{path}: {len(faces)} faces; the largest is taken", stacklevel=3)
    return faces[int(np.argmax(sizes))]


def faces_from_afar(image: Pixels) -> list[NDArray[np.float32]]:
    """(478, 3) landmarks of faces too small for FaceMesh's own detector, largest first: looked for in smaller and
    smaller overlapping tiles."""
    from mediapipe.python.solutions.face_detection import FaceDetection

    height, width = image.shape[:2]
    side = max(height, width)
    faces: list[NDArray[np.float32]] = []
    with FaceDetection(model_selection=1, min_detection_confidence=0.5) as finder, face_mesh_detector() as mesh:
        while not faces and side >= 2 * MIN_FACE:
            for y in _starts(height, side):
                for x in _starts(width, side):
                    tile = np.ascontiguousarray(image[y : y + side, x : x + side])
                    for found in finder.process(tile).detections or []:
                        box = found.location_data.relative_bounding_box
                        low = np.array([x + box.xmin * tile.shape[1], y + box.ymin * tile.shape[0]])
                        size = np.array([box.width * tile.shape[1], box.height * tile.shape[0]])
                        faces += _mesh_of_part(mesh, image, low + size / 2, float(size.max()))
            side //= 2
    out: list[NDArray[np.float32]] = []
    for face in sorted(faces, key=lambda face: -float(np.ptp(face[:, 0]))):
        middle = face[:, :2].mean(axis=0)
        if all(np.abs(middle - kept[:, :2].mean(axis=0)).max() > 0.5 * np.ptp(kept[:, 0]) for kept in out):
            out.append(face)
    return out


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` begin along `length`, half overlapping and ending at the border."""
    last = max(length - side, 0)
    return sorted({*range(0, last, max(side // 2, 1)), last})


def _mesh_of_part(mesh: Any, image: Pixels, middle: NDArray[Any], box: float) -> list[NDArray[np.float32]]:
    """Landmarks, in pixels of `image`, of the face in a box of side `box` around `middle`, enlarged for the mesh."""
    side = round(1.8 * box)
    if side < 16:
        return []
    corner = np.round(middle - side / 2).astype(int)
    size = max(side, 384)
    shift = np.array([*corner, 0], dtype=np.float32)
    found = landmarks_of(mesh, _resized(_square(image, corner, side), size))
    return [face * np.float32(side / size) + shift for face in found]


def _given_landmarks(path: Path, landmarks: Any) -> NDArray[np.float32]:
    if isinstance(landmarks, (str, Path)):
        try:
            landmarks = json.loads(Path(landmarks).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LandmarkError(landmarks, f"cannot be read as JSON of landmarks ({error})") from error
    if isinstance(landmarks, dict):
        if path.name not in landmarks:
            raise LandmarkError(path, "has no entry in the landmarks given; use its file name as the key")
        landmarks = landmarks[path.name]
    try:
        points = np.asarray(landmarks, dtype=np.float32)
    except (TypeError, ValueError):
        points = np.empty(0, dtype=np.float32)
    if points.shape != (LANDMARKS, 3) or not np.isfinite(points).all():
        raise LandmarkError(path, f"needs {LANDMARKS} finite landmarks [x, y, z], got shape {points.shape}")
    return points


def _square(image: Pixels, corner: NDArray[np.int_], side: int) -> Pixels:
    """The square of `side` pixels at `corner` (x, y), continued beyond the borders by reflection."""
    height, width = image.shape[:2]

    def places(start: int, length: int) -> NDArray[np.int_]:
        period = max(2 * (length - 1), 1)
        at = np.abs(np.arange(start, start + side)) % period
        return np.minimum(at, period - at) if length > 1 else np.zeros(side, dtype=int)

    return np.ascontiguousarray(image[places(corner[1], height)][:, places(corner[0], width)])


def _resized(image: Pixels, side: int) -> Pixels:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def _save(path: Path, face: Face) -> None:
    from PIL import Image

    Image.fromarray(face.image).save(path)
