"""Which pairs of videos are genuine and which impostor: the protocols of the field.

- ``per_target_mean``: the paper's. Per target, pairs of its self-reenactments against self x cross; mean over targets.
  Here the face is the same on both sides, so that only the driver can tell.
- ``pooled``: the same trials under one threshold for all targets, as a service has to use.
- ``cross_target``: the paper's Eq. 1. One driver on two faces against two drivers on one face: appearance misleads.
- ``recordings``: one driver in two recordings against two drivers, whatever the faces: what enrolment needs.
- ``single_target``: linkability. All videos that show one face: who of them has one driver? Mean over targets.
- ``real_to_avatar``: an original of a driver against avatars; enrolled from a camera, met as an avatar.

A protocol yields groups of videos, and a rule that says what each pair of a group is. Pairs are scored tile by tile
(`pooling`), so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.labels import VideoLabels

Index = NDArray[np.int64]
Kinds = NDArray[np.uint8]
NONE, GENUINE, IMPOSTOR = 0, 1, 2
Rule = Callable[[VideoLabels, Index, Index], Kinds]


@dataclass(frozen=True)
class ProtocolOptions:
    """Restrictions on trials.

    negatives : ``any``; ``same_source``: impostor pairs only between drivers of one corpus, so that recording
        conditions cannot tell them apart (NVFAIR's single-source setting).
    content : ``any``; ``matched``: both videos of every trial carry the same content label.
    exclude_same_recording : genuine pairs must cross recordings. None: the protocol's own default, which is False for
        the paper's two (one recording through two generators counts there) and True for the others.
    faces : for ``recordings``: ``any``, ``different`` or ``same``.
    generators : only pairs of one video by the first and one by the second; None: any.
    """

    negatives: str = "any"
    content: str = "any"
    exclude_same_recording: bool | None = None
    faces: str = "any"
    generators: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("negatives", ("any", "same_source")),
            ("content", ("any", "matched")),
            ("faces", ("any", "different", "same")),
        ):
            if getattr(self, name) not in allowed:
                choice = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
                raise InputError(f"{name} = {getattr(self, name)!r}; choose {choice}")


@dataclass(frozen=True, eq=False)
class Group:
    """Pairs of `rows` with `columns` (video numbers). target : their target's code, -1: none.

    symmetric : rows and columns are the same videos, and each pair counts once.
    """

    rows: Index
    columns: Index
    rule: Rule
    target: int = -1
    symmetric: bool = False


@dataclass(frozen=True)
class Tile:
    """A piece of a group: kinds (R, C) of the pairs rows x columns."""

    rows: Index
    columns: Index
    kind: Kinds
    target: int


@dataclass(frozen=True)
class Protocol:
    """per_target : the AUC is a mean over targets. crosses_recordings : default of `exclude_same_recording`."""

    name: str
    groups: Callable[[VideoLabels, ProtocolOptions], Iterator[Group]]
    per_target: bool = False
    crosses_recordings: bool = True


def _always(kind: int) -> Rule:
    def rule(labels: VideoLabels, rows: Index, columns: Index) -> Kinds:
        return np.full((len(rows), len(columns)), kind, np.uint8)

    return rule


def _same(codes: Index, rows: Index, columns: Index) -> NDArray[np.bool_]:
    return codes[rows][:, None] == codes[columns][None]


def _by_driver(labels: VideoLabels, rows: Index, columns: Index) -> Kinds:
    """One driver: genuine; two: impostor."""
    return np.where(_same(labels.driver_code, rows, columns), GENUINE, IMPOSTOR).astype(np.uint8)


def grouped(codes: Index) -> Iterator[tuple[int, Index]]:
    """Each code with the places that hold it, in order, by one sort."""
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    for part in np.split(order, edges):
        if len(part):
            yield int(codes[part[0]]), part


def self_and_cross(target_code: Index, is_self: NDArray[np.bool_]) -> Iterator[tuple[int, Index, Index]]:
    """The paper's protocol: each target with its self-reenactments (at least two) and its cross-reenactments (at least
    one), as video numbers. Other targets have no trials."""
    for target, videos in grouped(target_code):
        own, cross = videos[is_self[videos]], videos[~is_self[videos]]
        if len(own) > 1 and len(cross):
            yield target, own, cross


def _self_against_cross(labels: VideoLabels, options: ProtocolOptions) -> Iterator[Group]:
    for target, own, cross in self_and_cross(labels.target_code, labels.is_self):
        yield Group(own, own, _always(GENUINE), target, symmetric=True)
        yield Group(own, cross, _always(IMPOSTOR), target)


def _cross_target(labels: VideoLabels, options: ProtocolOptions) -> Iterator[Group]:
    def two_faces(labels: VideoLabels, rows: Index, columns: Index) -> Kinds:
        return (~_same(labels.target_code, rows, columns)).astype(np.uint8) * np.uint8(GENUINE)

    def two_drivers(labels: VideoLabels, rows: Index, columns: Index) -> Kinds:
        return (~_same(labels.driver_code, rows, columns)).astype(np.uint8) * np.uint8(IMPOSTOR)

    for _, videos in grouped(labels.driver_code):
        yield Group(videos, videos, two_faces, symmetric=True)
    for _, videos in grouped(labels.target_code):
        yield Group(videos, videos, two_drivers, symmetric=True)


def _recordings(labels: VideoLabels, options: ProtocolOptions) -> Iterator[Group]:
    def rule(labels: VideoLabels, rows: Index, columns: Index) -> Kinds:
        kinds = _by_driver(labels, rows, columns)
        if options.faces != "any":
            kinds[_same(labels.target_code, rows, columns) != (options.faces == "same")] = NONE
        return kinds

    everything = np.arange(len(labels))
    yield Group(everything, everything, rule, symmetric=True)


def _single_target(labels: VideoLabels, options: ProtocolOptions) -> Iterator[Group]:
    for target, videos in grouped(labels.target_code):
        yield Group(videos, videos, _by_driver, target, symmetric=True)


def _real_to_avatar(labels: VideoLabels, options: ProtocolOptions) -> Iterator[Group]:
    yield Group(np.flatnonzero(labels.is_original), np.flatnonzero(~labels.is_original), _by_driver)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("per_target_mean", _self_against_cross, per_target=True, crosses_recordings=False),
        Protocol("pooled", _self_against_cross, crosses_recordings=False),
        Protocol("cross_target", _cross_target),
        Protocol("recordings", _recordings),
        Protocol("single_target", _single_target, per_target=True),
        Protocol("real_to_avatar", _real_to_avatar),
    )
}


def find_protocol(name: str) -> Protocol:
    """A protocol by name. Raises InputError that lists the names."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def tiles(
    labels: VideoLabels, protocol: Protocol, options: ProtocolOptions | None = None, side: int = 2048
) -> Iterator[Tile]:
    """All trials of a protocol, in tiles of at most `side` x `side` pairs; each unordered pair at most once a group."""
    options = options or ProtocolOptions()
    if side < 1:
        raise InputError(f"tiles of {side} videos; give at least 1")
    for group in protocol.groups(labels, options):
        for first in range(0, len(group.rows), side):
            rows = group.rows[first : first + side]
            for start in range(first if group.symmetric else 0, len(group.columns), side):
                columns = group.columns[start : start + side]
                kind = group.rule(labels, rows, columns)
                if group.symmetric and start == first:
                    kind[np.tril_indices(len(rows), 0, len(columns))] = NONE
                _restrict(kind, labels, rows, columns, protocol, options)
                yield Tile(rows, columns, kind, group.target)


def _restrict(
    kind: Kinds, labels: VideoLabels, rows: Index, columns: Index, protocol: Protocol, options: ProtocolOptions
) -> None:
    """Apply the options to the kinds of a tile, in place."""
    crosses = options.exclude_same_recording
    if protocol.crosses_recordings if crosses is None else crosses:
        kind[_same(labels.take_code, rows, columns)] = NONE
    if options.negatives == "same_source":
        one = _same(labels.corpus_code, rows, columns) & (labels.corpus_code[rows] >= 0)[:, None]
        kind[(kind == IMPOSTOR) & ~one] = NONE
    if options.content == "matched":
        one = _same(labels.content_code, rows, columns) & (labels.content_code[rows] >= 0)[:, None]
        kind[~one] = NONE
    if options.generators is not None:
        first, second = options.generators
        left, right = labels.generator[rows][:, None], labels.generator[columns][None]
        kind[~(((left == first) & (right == second)) | ((left == second) & (right == first)))] = NONE
