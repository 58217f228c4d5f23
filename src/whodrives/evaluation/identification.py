"""Who of the gallery is it? Closed set: CMC. Open set: FPIR and FNIR, with probes of people outside the gallery.

Words as in ISO/IEC 19795-1 and NIST's face identification reports. Scores are (G, P): a row per template, a column
per probe, higher = more alike. A person with several templates counts with the highest. A person whose score ties with
the right one is ranked above it, so that constant scores identify nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whodrives.errors import InputError
from whodrives.evaluation.detection import can_show
from whodrives.evaluation.metrics import Scores, threshold_at_far

Labels = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Searches:
    """Every probe searched in the gallery.

    rank : (K,) 1-based place of the right person for each probe of an enrolled person, in the probes' order.
    mate : (K,) score of the right person. stranger : (U,) highest score of each probe of an unknown person.
    people : number of people in the gallery.
    """

    rank: NDArray[np.int64]
    mate: Scores
    stranger: Scores
    people: int


@dataclass(frozen=True)
class OpenSetRates:
    """threshold : smallest score that raises an alarm. fpir : share of strangers' probes that raise one, 0..1.

    fnir : share of enrolled people's probes whose right person is not within the first `rank` places or scores below
    the threshold, 0..1. n_mated, n_unmated : probes of enrolled and of unknown people.
    """

    threshold: float
    fpir: float
    fnir: float
    rank: int
    n_mated: int
    n_unmated: int


@dataclass(frozen=True)
class FnirAtFpir:
    """target_fpir : the rate asked for. rates : what was measured; None when not measurable.

    smallest_fpir : the smallest rate that these probes can show, 1 / number of strangers' probes.
    """

    target_fpir: float
    rates: OpenSetRates | None
    smallest_fpir: float

    @property
    def measurable(self) -> bool:
        """Whether there are enough probes of strangers for target_fpir."""
        return self.rates is not None

    def __str__(self) -> str:
        if self.rates is None:
            return f"not measurable (smallest FPIR {self.smallest_fpir:.2g})"
        return f"{self.rates.fnir:.3f}"


def _names(labels: Labels, kind: str, count: int) -> list[Any]:
    names = list(labels)
    if len(names) != count:
        raise InputError(f"{len(names)} {kind} labels for {count} {kind} scores; give one label each")
    if any(name != name for name in names):
        raise InputError(f"a {kind} label is NaN; give every {kind} a name")
    return names


def search(scores: ArrayLike, gallery: Labels, probe: Labels) -> Searches:
    """Ranks the gallery's people for every probe.

    Parameters
    ----------
    scores : (G, P) finite, higher = more alike. gallery : (G,) person of each template, not None. probe : (P,) person
    of each probe; anyone who is not in the gallery, None too, is unknown.

    Raises
    ------
    InputError
        No template or no probe, another shape, labels that do not fit, or scores that are not finite.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise InputError(f"scores have shape {table.shape}; give (templates, probes) with at least one of each")
    if not np.isfinite(table).all():
        raise InputError(f"{int((~np.isfinite(table)).sum())} of {table.size} scores are NaN or infinite")
    enrolled, wanted = _names(gallery, "gallery", table.shape[0]), _names(probe, "probe", table.shape[1])
    if any(name is None for name in enrolled):
        raise InputError("a gallery label is None; every template needs a person")
    number: dict[Any, int] = {}
    row = np.array([number.setdefault(name, len(number)) for name in enrolled])
    order = np.argsort(row, kind="stable")
    best = np.maximum.reduceat(table[order], np.flatnonzero(np.diff(row[order], prepend=-1)), axis=0)
    right = np.array([number.get(name, -1) for name in wanted])
    known = np.flatnonzero(right >= 0)
    mate = best[right[known], known]
    # The right person itself is among those at or above its own score, hence ranks start at 1.
    rank = (best[:, known] >= mate).sum(axis=0)
    return Searches(rank.astype(np.int64), mate, best[:, right < 0].max(axis=0), len(number))


def _mated(searches: Searches) -> None:
    if not searches.rank.size:
        raise InputError("no probe belongs to a person of the gallery; enrol some of the probes' people")


def cmc(searches: Searches) -> NDArray[np.float64]:
    """Cumulative match characteristic (people,): entry k - 1 is the share of enrolled people's probes with rank <= k.

    Never falls, ends at 1; strangers' probes play no part. Raises InputError without a probe of an enrolled person.
    """
    _mated(searches)
    found = np.bincount(searches.rank - 1, minlength=searches.people)
    return np.asarray(np.cumsum(found) / searches.rank.size, dtype=np.float64)


def rank_one(searches: Searches) -> float:
    """Share of enrolled people's probes whose right person alone scores highest; 0..1. Errors as `cmc`."""
    return float(cmc(searches)[0])


def open_set_rates(searches: Searches, threshold: float, rank: int = 1) -> OpenSetRates:
    """FPIR and FNIR at a threshold; ±inf accepts nothing or everything.

    rank : places that a human would look at, 1 = the system names one person. Raises InputError for a NaN threshold, a
    rank under 1, or when either kind of probe is missing.
    """
    _mated(searches)
    if not searches.stranger.size:
        raise InputError("every probe belongs to a person of the gallery; FPIR needs probes of people left out of it")
    if np.isnan(threshold):
        raise InputError("the threshold is NaN; give a score")
    if rank < 1:
        raise InputError(f"rank {rank} must be at least 1")
    hit = (searches.mate >= threshold) & (searches.rank <= rank)
    return OpenSetRates(
        threshold=float(threshold),
        fpir=float((searches.stranger >= threshold).mean()),
        fnir=float((~hit).mean()),
        rank=rank,
        n_mated=searches.mate.size,
        n_unmated=searches.stranger.size,
    )


def fnir_at_fpir(searches: Searches, fpir: float, rank: int = 1) -> FnirAtFpir:
    """FNIR at the smallest threshold where at most a share `fpir` (between 0 and 1) of strangers raises an alarm.

    With fewer than 1 / fpir probes of strangers the result says so (rates None). Errors as `open_set_rates`, and when
    fpir is out of range.
    """
    # Any threshold: this call only checks that both kinds of probes are there and the rank makes sense.
    trials = open_set_rates(searches, 0.0, rank).n_unmated
    if not can_show(fpir, trials):
        return FnirAtFpir(fpir, None, 1 / trials)
    threshold = threshold_at_far(searches.stranger, fpir)
    return FnirAtFpir(fpir, open_set_rates(searches, threshold, rank), 1 / trials)
