"""Labelled videos to embeddings, with controls, in one pass: every video is decoded once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.errors import InputError, WhodrivesError
from whodrives.evaluation.controls import ALTERATIONS, Frames
from whodrives.evaluation.readers import Reader, VideoSample
from whodrives.models import FingerprintModel

AS_IT_IS = "as it is"


@dataclass(frozen=True, eq=False)
class EmbeddedVideos:
    """vectors : variant -> float32 (N, D), the mean of the unit embeddings of a video's windows: of norm 1 for one
    window, shorter where several differ.

    number : int64 (N,) places in the reader's records. windows : (N,) how many went into each row. n_frames, seconds
    (NaN where no rate is known), energy (grey levels) : (N,) of each video. padded : (N,) share of repeated frames.
    failed : (place in the records, reason) of the videos that could not be read.
    """

    vectors: dict[str, NDArray[np.float32]]
    number: NDArray[np.int64]
    windows: NDArray[np.int64]
    n_frames: NDArray[np.int64]
    seconds: NDArray[np.float64]
    energy: NDArray[np.float64]
    padded: NDArray[np.float64]
    failed: tuple[tuple[int, str], ...]


@dataclass(frozen=True, eq=False)
class Variant:
    """A network with an alteration of its input (a name in `ALTERATIONS`, empty: none)."""

    model: FingerprintModel
    alteration: str = ""


def embed_records(
    reader: Reader,
    variants: Mapping[str, Variant],
    *,
    mask_padding: bool = False,
    batch_windows: int = 8,
    workers: int = 1,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[], object] = lambda: None,
) -> EmbeddedVideos:
    """Embed every video of a reader under every variant, in fp32 and evaluation mode.

    Parameters
    ----------
    variants : name -> what to embed. mask_padding : leave repeated frames out instead of embedding them as the paper
        does. batch_windows : windows in one forward pass. workers : threads that decode ahead. seed : of the random
        alterations; each video's depends on (seed, its place) alone. advance : called once a video.

    Raises
    ------
    InputError
        No variant, an unknown alteration, an embedding that is not finite (the video is named), or not one video could
        be read (the first reason is told).
    """
    if not variants:
        raise InputError("nothing to embed: no network given")
    for variant in variants.values():
        if variant.alteration and variant.alteration not in ALTERATIONS:
            raise InputError(f"alteration {variant.alteration!r}; choose one of {', '.join(ALTERATIONS)}")
    held: list[tuple[int, VideoSample]] = []
    done: list[tuple[int, VideoSample]] = []
    failed: list[tuple[int, str]] = []
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in variants}

    def flush() -> None:
        for name, variant in variants.items():
            rows = _embed(held, variant, mask_padding, batch_windows, seed, torch.device(device))
            lost = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(lost):
                path = reader.records[held[int(lost[0])][0]].path
                raise InputError(
                    f"{path}: the network ({name}) gives no finite embedding of this video; its weights are "
                    "damaged, or the device computes wrongly: try --device cpu"
                )
            parts[name].append(rows)
        for number, sample in held:
            # The pixels are no longer needed; a million videos' would fill the memory.
            done.append((number, _without_pixels(sample)))
        held.clear()

    for number, sample in _samples(reader, workers):
        if isinstance(sample, str):
            failed.append((number, sample))
        else:
            held.append((number, sample))
            if sum(len(one.windows) for _, one in held) >= batch_windows:
                flush()
        advance()
    if held:
        flush()
    if not done:
        reason = failed[0][1] if failed else "there is none"
        raise InputError(f"no video could be read: {reason}")
    samples = [sample for _, sample in done]
    length = [sample.windows.shape[1] for sample in samples]
    return EmbeddedVideos(
        {name: np.concatenate(rows) for name, rows in parts.items()},
        np.array([number for number, _ in done], np.int64),
        np.array([len(sample.valid) for sample in samples], np.int64),
        np.array([sample.n_frames for sample in samples], np.int64),
        np.array([sample.n_frames / sample.fps if sample.fps else np.nan for sample in samples]),
        np.array([sample.energy for sample in samples]),
        np.array([1 - sample.valid.mean() / size for sample, size in zip(samples, length)]),
        tuple(failed),
    )


def _without_pixels(sample: VideoSample) -> VideoSample:
    shape = (0, *sample.windows.shape[1:])
    return VideoSample(np.empty(shape, np.uint8), sample.valid, sample.n_frames, sample.fps, sample.energy)


def _samples(reader: Reader, workers: int) -> Iterator[tuple[int, VideoSample | str]]:
    """Every video in order, or why it cannot be read; a few are decoded ahead on other threads."""

    def read(number: int) -> VideoSample | str:
        try:
            return reader.read(number)
        except WhodrivesError as error:
            return str(error)

    count = len(reader.records)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        ahead: deque[tuple[int, Future[VideoSample | str]]] = deque()
        for number in range(count):
            ahead.append((number, pool.submit(read, number)))
            if len(ahead) > 2 * workers:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()


@torch.inference_mode()
def _embed(
    held: Sequence[tuple[int, VideoSample]],
    variant: Variant,
    mask_padding: bool,
    batch_windows: int,
    seed: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """(videos, D) means over each video's windows."""
    model, out = variant.model, []
    frames: list[Frames] = []
    for number, sample in held:
        rng = np.random.default_rng([seed, number])
        for window, valid in zip(sample.windows, sample.valid):
            frames.append(ALTERATIONS[variant.alteration](window, int(valid), rng) if variant.alteration else window)
    valid = torch.from_numpy(np.concatenate([sample.valid for _, sample in held]))
    was_training = model.training
    model.eval()
    for start in range(0, len(frames), batch_windows):
        clips = torch.from_numpy(np.stack(frames[start : start + batch_windows]))[:, :, None].to(device)
        real = valid[start : start + batch_windows].to(device) if mask_padding else None
        # A mask over whole clips changes nothing and costs time.
        if real is not None and bool((real == clips.shape[1]).all()):
            real = None
        out.append(model(clips, real).float().cpu().numpy())
    model.train(was_training)
    counts = np.array([len(sample.valid) for _, sample in held])
    sums = np.add.reduceat(np.concatenate(out), np.cumsum(counts) - counts)
    return (sums / counts[:, None]).astype(np.float32)
