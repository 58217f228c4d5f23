"""Frozen twins: the same videos with the motion taken out, and nothing but the motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels

HOW = "make the same videos with simulate --neutral, with the same options and seed"


def _keys(labels: VideoLabels) -> list[tuple[str, str, str, str]]:
    columns = (labels.driver, labels.target, labels.recording, labels.generator)
    return list(zip(*(column.tolist() for column in columns)))


def check_twin_labels(labels: VideoLabels, twins: VideoLabels) -> None:
    """Raises InputError unless every video has a twin of its driver, target, recording and generator, and no more."""
    own, other = sorted(_keys(labels)), sorted(_keys(twins))
    if own == other:
        return
    lacking = sorted(set(own) - set(other)) or sorted(set(other) - set(own)) or own
    driver, target, recording, generator = lacking[0]
    raise InputError(
        f"the frozen videos are no twins of these: {len(other)} for {len(own)} videos, and recording {recording} of "
        f"{driver} on {target} by {generator} is not equally often in both; {HOW}"
    )


def check_twins(
    vectors: NDArray[np.float32], labels: VideoLabels, frozen: NDArray[np.float32], twins: VideoLabels
) -> None:
    """Raises InputError for twins that are the videos themselves, or that all show the very same.

    A twin keeps crop, light, noise and compression, which differ from video to video: if the twins' embeddings all
    coincide, that is gone too, and the control would be one half by construction. Labels are checked beforehand, by
    `check_twin_labels`, since either side may hold a video that cannot be read.
    """
    place = {key: row for row, key in enumerate(_keys(labels))}
    rows = [(place[key], row) for row, key in enumerate(_keys(twins)) if key in place]
    if not rows:
        check_twin_labels(labels, twins)
    own, other = (np.array(column, np.int64) for column in zip(*rows))
    same = (vectors[own] == frozen[other]).all(axis=1)
    if same.mean() > 0.5:
        raise InputError(
            f"{int(same.sum())} of {len(same)} frozen videos have the very embedding of the video that they are the "
            f"twin of: nothing was frozen; {HOW}"
        )
    if len(frozen) > 1 and (frozen == frozen[0]).all():
        raise InputError(f"all frozen videos have one and the same embedding: they carry no nuisance; {HOW}")
