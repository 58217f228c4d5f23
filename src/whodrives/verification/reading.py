"""One video on its way to a fingerprint: its windows, and what is told about them once their rows are there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whodrives.verification.embedding import (
    MIN_REAL_FRAMES,
    Embedding,
    ModelInfo,
    VideoInfo,
    WindowInfo,
    window_problem,
)
from whodrives.video.contract import PreprocessingContract
from whodrives.video.domain import far_warning
from whodrives.video.gate import MotionGate, motion_energy
from whodrives.video.windows import Window, iter_windows

WARN_REPEATED = 0.1


class VideoReading:
    """Iterate once for (Window, uint8 (length, size, size)), then hand the rows in: `finish`.

    Parameters
    ----------
    path : of the video. model, contract : of the weights. crop, hop : as for `Fingerprinter.embed`.

    Raises
    ------
    VideoError
        On opening, and while iterating.
    InputError
        A hop under 1.
    """

    def __init__(
        self, path: str, model: ModelInfo, contract: PreprocessingContract, crop: str | None, hop: int | None
    ) -> None:
        self.path, self.model, self.contract = path, model, contract
        crop, self._told = resolve_crop(path, crop)
        self._stream = iter_windows(path, contract, model.clip_length, hop, crop)
        self.hop = self._stream.hop
        self._cut: list[tuple[Window, float, float | None]] = []
        self._content = _ContentHash()

    def __iter__(self) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        for window, frames in self._stream:
            self._content.add(window, frames)
            energy = motion_energy(frames[: window.valid])
            distance = None
            if self.model.domain is not None and window.valid >= MIN_REAL_FRAMES:
                distance = self.model.domain.distance(frames[: window.valid])
            self._cut.append((window, energy, distance))
            yield window, frames

    def close(self) -> None:
        """Release the file early."""
        self._stream.close()

    def finish(self, vectors: NDArray[np.float32]) -> Embedding:
        """The fingerprint, after all windows were taken. vectors : float32 (windows, D), their rows in order."""
        report = self._stream.report
        warnings = [*self._told, *report.warnings]
        share = report.repeated / max(report.n_frames, 1)
        # A native contract keeps every source frame, so nothing repeats there.
        if self.contract.fps is not None and share > WARN_REPEATED:
            warnings.append(
                f"{report.source_fps:.1f} fps is below the {self.contract.fps:g} fps of the weights: "
                f"{share:.0%} of the frames are repeats"
            )
        gate = MotionGate(self.model.motion_gate)
        windows = []
        for window, energy, distance in self._cut:
            gated = not gate.passes(energy)
            windows.append(
                WindowInfo(
                    video=0,
                    start=window.start,
                    seconds=window.start / report.fps,
                    length=window.length,
                    valid=window.valid,
                    energy=energy,
                    gated=gated,
                    problem=window_problem(window.valid, share, gated),
                    distance=distance,
                )
            )
        # What does not count anyway needs no second warning.
        far = far_warning([w.distance for w in windows if w.usable and w.distance is not None])
        warnings += [far] if far else []
        video = VideoInfo(
            path=self.path,
            n_frames=report.n_frames,
            fps=report.fps,
            source_fps=report.source_fps,
            repeated=report.repeated,
            dropped=report.dropped,
            scene_cuts=report.scene_cuts,
            crop=report.crop,
            content=self._content.finish(repr((report.n_frames, report.scene_cuts))),
            warnings=tuple(warnings),
        )
        return Embedding(vectors, tuple(windows), (video,), self.model, self.contract)


def resolve_crop(path: str, crop: str | None) -> tuple[str | None, list[str]]:
    """A crop rule without ``face``: that is looked for in the video; and what there is to tell about it."""
    if crop is None or not crop.strip().lower().startswith("face"):
        return crop, []
    # Lazy: most calls need no detector.
    from whodrives.verification.face_box import choose_face, locate_faces

    face, warning = choose_face(crop, path, locate_faces(path))
    return face.crop, [warning] if warning else []


class _ContentHash:
    """sha256 over the frames of all windows, each frame once, however the windows overlap.

    Whole blocks of a window's length count, so that the hop does not matter when it divides that length; a video of
    less than one block counts with all its frames.
    """

    def __init__(self) -> None:
        self._hash, self._end, self._blocks = hashlib.sha256(), 0, 0
        self._pending: list[bytes] = []

    def add(self, window: Window, frames: NDArray[np.uint8]) -> None:
        new = frames[max(self._end - window.start, 0) : window.valid]
        self._end = max(self._end, window.start + window.valid)
        self._pending += [frame.tobytes() for frame in new]
        while len(self._pending) >= window.length:
            self._hash.update(b"".join(self._pending[: window.length]))
            del self._pending[: window.length]
            self._blocks += 1

    def finish(self, facts: str) -> str:
        if not self._blocks:
            self._hash.update(b"".join(self._pending))
        self._hash.update(facts.encode())
        return self._hash.hexdigest()
