"""What an evaluation measures, and on which trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.listed import LISTED, ListedPairs
from whodrives.evaluation.repeated import RepeatedLlr
from whodrives.evaluation.trials import ProtocolOptions, find_protocol

REAL_TO_AVATAR = "real_to_avatar"


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured.

    protocol : the main one; ``listed``: the trials of `pairs`. options : restrict a protocol's trials. seed : of random
    alterations and resamples. training_auc : of the network on its training drivers, None: not known. attributes :
    attribute -> driver -> subgroup. pairs : trials that somebody else chose, by the places of their videos in the
    reader's records. include_originals : originals take part in every protocol; False: in ``real_to_avatar`` alone.
    calibration : of the network's scores, None: it has none.

    Raises InputError for ``listed`` without pairs, pairs without ``listed``, listed pairs with options, an unknown
    protocol, or `faces` for another protocol than ``recordings``, which alone would heed it.
    """

    protocol: str = "per_target_mean"
    options: ProtocolOptions = field(default_factory=ProtocolOptions)
    seed: int = 0
    training_auc: float | None = None
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pairs: ListedPairs | None = None
    include_originals: bool = True
    calibration: RepeatedLlr | None = None

    def __post_init__(self) -> None:
        if (self.protocol == LISTED) != (self.pairs is not None):
            raise InputError("a list of pairs and the protocol 'listed' go together")
        if self.pairs is not None and self.options != ProtocolOptions():
            raise InputError("a list of pairs says itself which trials count: leave out options that restrict trials")
        if self.protocol != LISTED:
            find_protocol(self.protocol)
        if self.options.faces != "any" and self.protocol != "recordings":
            raise InputError(
                f"faces = {self.options.faces!r} restricts the protocol recordings alone; choose that one, or leave it "
                f"out for {self.protocol}"
            )

    def options_for(self, name: str) -> ProtocolOptions:
        """The main protocol's restrictions, but for whether recordings may be the same, which each has a default
        for."""
        if name == self.protocol:
            return self.options
        return replace(self.options, exclude_same_recording=None, faces="any")

    def takes_part(self, labels: VideoLabels, name: str) -> NDArray[np.bool_]:
        """Mask (N,) of the videos that a protocol sees."""
        if self.include_originals or name in (REAL_TO_AVATAR, LISTED):
            return np.ones(len(labels), np.bool_)
        return ~labels.is_original

    def only(self, keep: NDArray[np.bool_]) -> EvaluationSettings:
        """For the videos of a mask: listed pairs renumbered to places among them."""
        return self if self.pairs is None else replace(self, pairs=self.pairs.among(np.flatnonzero(keep)))

    def restrictions(self) -> dict[str, str]:
        """Every restriction on trials in words, for reports."""
        excluded = self.options.exclude_same_recording
        return {
            "negatives": self.options.negatives,
            "content": self.options.content,
            "exclude_same_recording": "as each protocol does" if excluded is None else "yes" if excluded else "no",
            "include_originals": "yes"
            if self.include_originals
            else f"in {REAL_TO_AVATAR} only"
            if self.protocol == REAL_TO_AVATAR
            else "no",
            "faces": self.options.faces,
        }

    def check(self, labels: VideoLabels) -> None:
        """Raises InputError where a restriction or an attribute has nothing to go by in these videos."""
        if self.options.content == "matched" and not (labels.content != "").any():
            names = ", ".join(np.unique(labels.recording)[:3].tolist())
            raise InputError(
                f"content: no video's recording has a label; the data have recordings such as {names}, which the "
                "column recording of the table must name"
            )
        if self.options.negatives == "same_source" and not (labels.source != "").any():
            raise InputError(
                "negatives of the same source: these videos name no corpus; give the data a source (dataset_source in "
                "a manifest), or allow any negatives"
            )
        drivers = labels.drivers.tolist()
        for attribute, of_driver in self.attributes.items():
            if not any(name in of_driver for name in drivers):
                raise InputError(
                    f"attribute {attribute!r} names no driver of these videos, such as {', '.join(drivers[:3])}; it "
                    f"names {', '.join(list(of_driver)[:3])}"
                )
