"""From an experiment's ``[data]`` to what the trainer needs: a source of batches and fixed validation clips."""

from __future__ import annotations

import torch

from whodrives.data.store import FrameStore
from whodrives.errors import InputError
from whodrives.training.config import TrainConfig
from whodrives.training.source import (
    BUILTIN_RECORDINGS,
    AvatarSource,
    LabelledClips,
    cast_people,
    evaluation_clips,
)
from whodrives.training.stored import StoredSource, stored_validation
from whodrives.training.validation import pair_faces


def _generators(config: TrainConfig) -> tuple[str, ...]:
    return tuple(name for name in config.data.store_generators.replace(" ", "").split(",") if name)


def _stored_source(config: TrainConfig, workers: int = 1) -> StoredSource:
    data = config.data
    return StoredSource(
        FrameStore.open(data.store),
        data.clip_length,
        config.train.seed,
        data.store_train,
        _generators(config),
        workers=workers,
        drivers=data.train_drivers,
        recordings=data.train_recordings,
        mask_padding=data.mask_padding,
    )


def open_data(config: TrainConfig, device: torch.device) -> tuple[AvatarSource | StoredSource, LabelledClips]:
    """Avatars rendered on the fly, or windows out of a packed frame store where ``data.store`` names one.

    Raises
    ------
    InputError, StoreError
        Nobody to learn from or to validate on, or the store cannot be read.
    """
    data = config.data
    if not data.store:
        return AvatarSource(data, config.train.seed, device), evaluation_clips(data, "val")
    store = FrameStore.open(data.store)
    if data.store_train == data.store_validation:
        raise InputError(f"config: data.store_train and data.store_validation are both {data.store_train!r}")
    source = _stored_source(config, workers=2)
    clips = stored_validation(
        store,
        data.clip_length,
        data.store_validation,
        _generators(config),
        data.store_clips,
        mask_padding=data.mask_padding,
    )
    # Now, not after the steps up to the first validation.
    pair_faces(clips)
    return source, clips


def training_people(config: TrainConfig) -> tuple[int, float]:
    """How many drivers a run learns from, and how many recordings of each on average.

    Raises
    ------
    InputError, StoreError
        As `open_data`.
    """
    data = config.data
    if data.store:
        source = _stored_source(config)
        return len(source.drivers), source.recordings_each
    counts = [len(tracks) for tracks in cast_people(data, "train")] if data.motion else []
    counts += [BUILTIN_RECORDINGS] * data.builtin_drivers
    return len(counts), sum(counts) / len(counts)


def training_clips(config: TrainConfig, drivers: int = 24, clips: int = 384) -> LabelledClips:
    """Clips of training drivers on training faces, to see whether a network has learned what it was shown.

    Parameters
    ----------
    drivers : at most so many of a simulated set. clips : at most so many of a store.

    Raises
    ------
    InputError, StoreError
        As `open_data`.
    """
    data = config.data
    if not data.store:
        return evaluation_clips(data, "train", others=1, people=drivers)
    store = FrameStore.open(data.store)
    return stored_validation(
        store, data.clip_length, data.store_train, _generators(config), clips, mask_padding=data.mask_padding
    )
