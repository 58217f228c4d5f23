"""Grey frames under a preprocessing contract: as a constant-memory stream, or collected in memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.video.contract import DEFAULT_CONTRACT, PreprocessingContract
from whodrives.video.crop import parse_crop, square_crop
from whodrives.video.decoder import LIBAV_ERRORS, Decoder
from whodrives.video.errors import CorruptVideoError
from whodrives.video.luma import Orientation, frame_luma, frame_orientation
from whodrives.video.resize import area_resize, to_grey8
from whodrives.video.scenes import mark_cuts
from whodrives.video.source import VideoSource, check_file
from whodrives.video.timeline import Retimer, Timeline


@dataclass(frozen=True, kw_only=True)
class VideoReport:
    """What decoding found. `scene_cuts` are indices of output frames that start a new shot (never 0).

    Attributes
    ----------
    n_frames : int
        Output frames.
    fps : float
        Output frames per second (the source rate for a native contract).
    source_fps : float
        Source frames per second, measured from the timestamps.
    decoded, repeated, dropped : int
        Source frames decoded; output frames that repeat the one before; source frames that no output frame shows.
    corrupt, skipped : int
        Damaged packets and frames; sound frames between a damaged one and the next key frame. Both were left out.
    width, height, rotation : int
        Upright size in pixels; clockwise degrees of the rotation that was applied.
    crop : tuple of 4 int
        The square (x, y, side, side) used, in pixels of the upright frame.
    truncated : bool
        The file ends before the length that it declares.
    warnings : tuple of str
        Plain sentences for people.
    """

    path: Path
    n_frames: int
    fps: float
    source_fps: float
    decoded: int
    repeated: int
    dropped: int
    corrupt: int
    skipped: int
    scene_cuts: tuple[int, ...]
    width: int
    height: int
    rotation: int
    crop: tuple[int, int, int, int]
    truncated: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoFrames(VideoReport):
    """A video in memory: `frames` uint8 (N, size, size) in 0..255, `times` float64 (N,) seconds, and the report."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frame:
    """One output frame: `image` uint8 (size, size); `time` seconds; `starts_shot` marks frame 0 and every scene cut."""

    index: int
    image: NDArray[np.uint8]
    time: float
    starts_shot: bool
    repeated: bool


_Shown = tuple[NDArray[np.uint8], list[float]]


class FrameStream:
    """Iterate once for `Frame`s in constant memory; `report` holds the `VideoReport` once the iteration has ended.

    Iteration raises `TooShortError` or `CorruptVideoError` at its end when fewer than two frames came out, and
    `CropError` at the first frame that the crop does not fit.
    """

    def __init__(
        self,
        source: Decoder,
        contract: PreprocessingContract = DEFAULT_CONTRACT,
        crop: str | None = None,
        max_frames: int | None = None,
    ) -> None:
        self.path = source.path
        self.contract = contract
        self._rule = contract.crop if crop is None else crop
        self._max_frames = max_frames
        self._source = source
        self._started = False
        self._report: VideoReport | None = None
        self._size: tuple[int, int] = (0, 0)
        self._crop = (0, 0, 0, 0)
        self._turn = Orientation()
        self._shape: tuple[int, int, int] | None = None
        self._odd_rotation = False
        self._resized = 0
        self._dropped = 0

    @property
    def nominal_fps(self) -> float:
        """Frames per second that the source declares."""
        return self._source.nominal_fps

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """The square (x, y, side, side) in use, in pixels of the upright frame; zeros before the first frame."""
        return self._crop

    @property
    def report(self) -> VideoReport:
        """The report; `InputError` while the stream has not been read to its end."""
        if self._report is None:
            raise InputError(f"{self.path}: the report exists once all frames have been read")
        return self._report

    def close(self) -> None:
        """Release the file early."""
        self._source.close()

    def _reduce(self, frame: Any) -> NDArray[np.uint8]:
        """One decoded frame to uint8 (size, size): upright, cropped, averaged, expanded to 0..255."""
        try:
            luma = frame_luma(frame)
        except LIBAV_ERRORS:
            problem = "holds pictures in a pixel format that cannot be read"
            raise CorruptVideoError(self.path, problem, "Re-export it as 8-bit yuv420p") from None
        x, y, w, h = self._crop
        values = area_resize(self._turn.apply(luma.plane)[y : y + h, x : x + w], self.contract.size)
        # Averaging before the range expansion: one rounding, and the expansion runs on few pixels.
        return to_grey8((values - np.float32(luma.black)) * np.float32(luma.scale))

    def _geometry(self, frame: Any) -> bool:
        """Follow the size and rotation of the frame; True when they changed in mid-stream."""
        shape = (frame.width, frame.height, getattr(frame, "rotation", 0))
        if shape == self._shape:
            return False
        changed = self._shape is not None
        if changed:
            # Reading side data ties a frame into a reference cycle: harmless once, a leak of whole pictures in a
            # damaged file that changes its size again and again.
            gc.collect()
        self._shape = shape
        turn = frame_orientation(frame)
        self._odd_rotation = self._odd_rotation or turn is None
        self._turn = turn or Orientation()
        width, height = (frame.height, frame.width) if self._turn.transpose else (frame.width, frame.height)
        self._crop = square_crop(self._rule, width, height, self.path)
        self._size = (width, height)
        self._resized += changed
        return changed

    def _shown(self, timeline: Timeline) -> Iterator[tuple[Any, list[float], bool]]:
        """(source frame, output times that show it, starts a segment) in order; each frame comes out once."""
        held: Any = None
        held_start = False
        retimer: Retimer | None = None
        fps = self.contract.fps
        restart = False
        for decoded in self._source:
            frame = decoded.frame
            restart = restart or decoded.after_damage
            placed = timeline.place(decoded.time, restart)
            if placed is None:
                continue
            restart = False
            if fps is None:
                yield frame, [placed.time], placed.starts_segment
                continue
            if placed.starts_segment:
                if held is not None and retimer is not None:
                    yield held, retimer.finish(timeline.step), held_start
                retimer = Retimer(fps)
            assert retimer is not None
            times = retimer.push(placed.time)
            if not placed.starts_segment:
                yield held, times, held_start
                # A dropped frame hands its segment start on to the next one.
                held_start = held_start and not times
            else:
                held_start = True
            held = frame
        if held is not None and retimer is not None:
            yield held, retimer.finish(timeline.step), held_start

    def _images(self, timeline: Timeline) -> Iterator[tuple[_Shown, NDArray[np.uint8], bool]]:
        """((image, output times), image, forced cut) of every source frame that is shown."""
        forced = False
        for source, times, segment in self._shown(timeline):
            forced = forced or segment
            if not times:
                self._dropped += 1
                continue
            forced = self._geometry(source) or forced
            image = self._reduce(source)
            image.flags.writeable = False
            yield (image, times), image, forced
            forced = False

    def __iter__(self) -> Iterator[Frame]:
        if self._started:
            raise InputError(f"{self.path}: a stream is read once; open it again for a second pass")
        self._started = True
        timeline = Timeline(self._source.nominal_fps)
        count = repeated = 0
        cuts: list[int] = []
        last_time = 0.0
        with self._source:
            for (image, times), cut in mark_cuts(self._images(timeline)):
                if cut and count:
                    cuts.append(count)
                for i, time in enumerate(times):
                    yield Frame(count, image, time, (cut or count == 0) and i == 0, i > 0)
                    count += 1
                    repeated += i > 0
                    last_time = time
                    if count == self._max_frames:
                        break
                if count == self._max_frames:
                    break
        self._source.require_motion(count)
        self._report = self._summary(timeline, count, repeated, tuple(cuts), last_time)

    def _ends_early(self, seconds: float) -> bool:
        """Whether the file, read to its end, lacks frames that its own tables promise."""
        source = self._source
        if source.declared_frames:
            return source.declared_frames - source.packets > 1
        return source.declared_seconds is not None and seconds + 1.0 < source.declared_seconds

    def _summary(
        self, timeline: Timeline, count: int, repeated: int, cuts: tuple[int, ...], last_time: float
    ) -> VideoReport:
        source = self._source
        source_fps = timeline.measured_fps or source.nominal_fps
        corrupt = source.corrupt + source.errors
        truncated = source.finished and self._ends_early(last_time - timeline.first + timeline.step)
        found = {
            f"the file is cut short: it ends after {source.decoded} good frames": truncated,
            f"damaged frames left out: {corrupt}; the next good frame starts a new shot": corrupt,
            f"frames left out because they build on damaged ones: {source.skipped}": source.skipped,
            f"frames left out because their timestamp is out of order: {timeline.late}": timeline.late,
            f"breaks in time that start a new shot: {timeline.gaps}": timeline.gaps,
            f"changes of the picture size that start a new shot: {self._resized}": self._resized,
            "the pixels are declared not to be square; they are used as stored": not source.square_pixels,
            "the rotation is no multiple of 90 degrees and was ignored": self._odd_rotation,
        }
        return VideoReport(
            path=self.path,
            n_frames=count,
            fps=self.contract.fps or source_fps,
            source_fps=source_fps,
            decoded=source.decoded,
            repeated=repeated,
            dropped=self._dropped + timeline.late,
            corrupt=corrupt,
            skipped=source.skipped,
            scene_cuts=cuts,
            width=self._size[0],
            height=self._size[1],
            rotation=self._turn.degrees,
            crop=self._crop,
            truncated=truncated,
            warnings=tuple(text for text, applies in found.items() if applies),
        )


def iter_frames(
    path: str | Path,
    contract: PreprocessingContract = DEFAULT_CONTRACT,
    crop: str | None = None,
    max_frames: int | None = None,
) -> FrameStream:
    """Stream the frames of a video file under `contract`; memory does not grow with its length.

    `crop` replaces the rule of the contract for this file. Errors as `load_frames`; those about the container come at
    once, those about its frames during iteration.
    """
    if max_frames is not None and max_frames < 2:
        raise InputError(f"max_frames is {max_frames}; give at least 2")
    file = check_file(path)
    parse_crop(contract.crop if crop is None else crop, file)
    return FrameStream(VideoSource(file), contract, crop, max_frames)


def load_frames(
    path: str | Path,
    contract: PreprocessingContract = DEFAULT_CONTRACT,
    crop: str | None = None,
    max_frames: int | None = None,
) -> VideoFrames:
    """Decode a whole video file: grey uint8 frames (N, size, size) at the contract's rate, with a report.

    Raises
    ------
    UnreadableFileError, EmptyFileError, NotAVideoError, NoVideoStreamError, ZeroDimensionError
        The file cannot be decoded at all.
    TooShortError, CorruptVideoError
        Fewer than two frames came out of a sound or of a damaged file.
    CropError
        The crop rule is wrong or leaves the frame.
    """
    stream = iter_frames(path, contract, crop, max_frames)
    images: list[NDArray[np.uint8]] = []
    times: list[float] = []
    for frame in stream:
        images.append(frame.image)
        times.append(frame.time)
    report = stream.report
    fields = {name: getattr(report, name) for name in report.__dataclass_fields__}
    return VideoFrames(frames=np.stack(images), times=np.asarray(times, dtype=np.float64), **fields)
