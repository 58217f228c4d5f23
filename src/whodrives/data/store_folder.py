"""A folder of PNG frames as a video: lexicographic order, one file a frame (NVFAIR's way)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from whodrives.data.frame_folder import frame_files
from whodrives.video.contract import PreprocessingContract
from whodrives.video.crop import square_crop
from whodrives.video.errors import CorruptVideoError, TooShortError, UnreadableFileError
from whodrives.video.resize import area_resize, to_grey8
from whodrives.video.scenes import mark_cuts
from whodrives.video.timeline import nearest_frames

# Modes that PIL turns into 8-bit luma without guessing a range.
_MODES = ("L", "RGB", "RGBA", "LA", "P", "1")


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Luma of one image, uint8 (H, W). Raises CorruptVideoError."""
    try:
        with Image.open(path) as image:
            if image.mode not in _MODES:
                raise CorruptVideoError(path, f"has pixels of kind {image.mode}", "Save it as 8-bit grey or RGB")
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CorruptVideoError(path, f"cannot be decoded ({error})", "Extract the frames again") from None


class FolderFrames:
    """Iterate once for uint8 (size, size) frames in constant memory; then `scene_cuts` is complete.

    Parameters
    ----------
    folder : holds the PNG files. contract : of the output. rate : frames per second of the files; None: not known,
        which only a contract with the native rate allows.

    Raises
    ------
    LayoutError, TooShortError, UnreadableFileError, CorruptVideoError, CropError
        No such folder, or frames out of order; fewer than two frames; no rate where one is needed; a file that is no
        picture or of another size; the crop does not fit.
    """

    def __init__(self, folder: str | Path, contract: PreprocessingContract, rate: float | None) -> None:
        self.folder, self.contract, self.rate = Path(folder), contract, rate
        self.files = frame_files(folder)
        if len(self.files) < 2:
            problem = f"holds {len(self.files)} frame"
            raise TooShortError(folder, problem, "Motion needs at least 2 frames: give a folder with more")
        if contract.fps is not None and rate is None:
            fix = "Say which (folder_fps), or pack under a contract with the native rate"
            raise UnreadableFileError(folder, "is a folder of frames, which states no frame rate", fix)
        self.fps = contract.fps or rate
        self.scene_cuts: list[int] = []

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        count = 0
        for (image, repeats), cut in mark_cuts(self._images()):
            if cut and count:
                self.scene_cuts.append(count)
            for _ in range(repeats):
                yield image
                count += 1

    def _shown(self) -> Iterator[tuple[Path, int]]:
        """(file, how many output frames show it), files that none shows left out."""
        if self.contract.fps is None or self.rate is None:
            yield from ((file, 1) for file in self.files)
            return
        times = np.arange(len(self.files), dtype=np.float64) / self.rate
        numbers, repeats = np.unique(nearest_frames(times, self.contract.fps), return_counts=True)
        yield from ((self.files[number], int(many)) for number, many in zip(numbers, repeats, strict=True))

    def _images(self) -> Iterator[tuple[Any, NDArray[np.uint8], bool]]:
        shape: tuple[int, ...] | None = None
        for file, repeats in self._shown():
            grey = read_frame(file)
            if shape is None:
                shape = grey.shape
                x, y, w, h = square_crop(self.contract.crop, grey.shape[1], grey.shape[0], self.folder)
            if grey.shape != shape:
                problem = f"has {grey.shape[1]} x {grey.shape[0]} pixels, the first frame {shape[1]} x {shape[0]}"
                raise CorruptVideoError(file, problem, "Extract the frames again")
            image = to_grey8(area_resize(grey[y : y + h, x : x + w], self.contract.size))
            yield (image, repeats), image, False
