"""The parts that reports are made of. Rates, AUCs and shares are 0..1; intervals are (low, high) at 95%."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from whodrives.errors import InputError

CURVE_POINTS = 300
MIN_TRAINING_AUC = 0.8
# False-accept rates at which reports print the curves.
TABLE_RATES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

Bounds = tuple[float, float]


def check_share(value: float | None, name: str, ci95: Bounds | None = None) -> None:
    """Raises InputError when a value or an end of its interval lies outside 0..1, or the ends are exchanged."""
    for one in (value, *(ci95 or ())):
        if one is not None and not 0.0 <= one <= 1.0:
            raise InputError(f"{name} is {one}; it must lie in 0..1, as a share and no percentage")
    if ci95 is not None and ci95[0] > ci95[1]:
        raise InputError(f"{name}: the interval [{ci95[0]}, {ci95[1]}] ends before it begins")


@dataclass(frozen=True)
class Estimate:
    """A measured value with its interval, None where none was made."""

    value: float
    ci95: Bounds | None = None


@dataclass(frozen=True)
class PairCounts:
    """Numbers of genuine and of impostor trials."""

    genuine: int
    impostor: int


@dataclass(frozen=True)
class Auc:
    """overall : of the main protocol. per_generator, per_target : the same within one generator or target."""

    overall: float
    ci95: Bounds | None = None
    per_generator: dict[str, Estimate] = field(default_factory=dict)
    per_target: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_share(self.overall, "AUC", self.ci95)
        for name, one in self.per_generator.items():
            check_share(one.value, f"AUC of generator {name!r}", one.ci95)
        for name, value in self.per_target.items():
            check_share(value, f"AUC of target {name!r}")


@dataclass(frozen=True)
class Tar:
    """tar : share of genuine trials accepted at `threshold`, a raw score."""

    tar: float
    threshold: float
    ci95: Bounds | None = None

    def __post_init__(self) -> None:
        check_share(self.tar, "TAR", self.ci95)


@dataclass(frozen=True)
class Fnir:
    """fnir : share of enrolled people's probes that are missed at `threshold`, a raw score."""

    fnir: float
    threshold: float


@dataclass(frozen=True)
class NotMeasurable:
    """not_measurable : what was missing, such as "needs 1,000 impostor trials"."""

    not_measurable: str


@dataclass(frozen=True)
class Protocol:
    """AUC under one choice of pairs. auc None: could not be measured, and `note` says why.

    distance_ratio : mean distance of genuine pairs over that of impostor pairs, below 1 when Eq. 1 holds; optional.
    """

    auc: float | None
    ci95: Bounds | None = None
    n_pairs: PairCounts | None = None
    distance_ratio: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_share(self.auc, "AUC of a protocol", self.ci95)
        if self.auc is None and not self.note:
            raise InputError("a protocol without AUC needs a note that says why it could not be measured")


@dataclass(frozen=True)
class Control:
    """AUC with something taken away. trained : whether its network is known to have learned something; true where there
    is nothing to train. training_auc : AUC on training drivers, None where there is nothing to train or it is not
    known."""

    auc: float | None
    ci95: Bounds | None = None
    trained: bool = True
    training_auc: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_share(self.auc, "AUC of a control", self.ci95)
        check_share(self.training_auc, "training AUC of a control")
        if self.auc is None and self.says_something and not self.note:
            raise InputError("a control without AUC needs a note that says why it could not be measured")

    @property
    def says_something(self) -> bool:
        """False when the network had not learned: then a low AUC is no evidence of anything."""
        return self.trained and (self.training_auc is None or self.training_auc >= MIN_TRAINING_AUC)


@dataclass(frozen=True)
class Identification:
    """rank1 : share of probes named rightly. cmc : share within the first k places, k = 1, 2, ...

    fnir_at_fpir : by false-positive identification rate, written as a number, such as "0.01".
    """

    rank1: float
    cmc: tuple[float, ...] = ()
    fnir_at_fpir: dict[str, Fnir | NotMeasurable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in (self.rank1, *self.cmc):
            check_share(value, "identification rate")


@dataclass(frozen=True)
class Subgroup:
    """values : the metric of each subgroup. gap : best - worst, None for a single one. trials : of each. skipped : too
    few trials."""

    attribute: str
    values: dict[str, float]
    gap: float | None
    metric: str = "AUC"
    trials: dict[str, PairCounts] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def _same_length(first: tuple[float, ...], second: tuple[float, ...], name: str) -> None:
    if len(first) != len(second) or not 2 <= len(first) <= CURVE_POINTS:
        raise InputError(
            f"{name}: {len(first)} and {len(second)} points; give 2 to {CURVE_POINTS} of both, as `measured_curves`"
        )
    if not all(0.0 <= value <= 1.0 for value in (*first, *second)):
        raise InputError(f"{name}: rates must lie in 0..1; give shares, not percentages")


@dataclass(frozen=True)
class DetPoints:
    """(K,) false-accept and false-reject rates, K at most CURVE_POINTS."""

    far: tuple[float, ...]
    frr: tuple[float, ...]

    def __post_init__(self) -> None:
        _same_length(self.far, self.frr, "DET curve")


@dataclass(frozen=True)
class RocPoints:
    """(K,) false-accept and true-accept rates, K at most CURVE_POINTS."""

    far: tuple[float, ...]
    tar: tuple[float, ...]

    def __post_init__(self) -> None:
        _same_length(self.far, self.tar, "ROC curve")


@dataclass(frozen=True)
class Curves:
    """Operating curves of the main protocol's trials, pooled."""

    det: DetPoints
    roc: RocPoints


@dataclass(frozen=True)
class Histograms:
    """edges (B + 1,) ascending scores; genuine, impostor (B,) numbers of trials. Bins may differ in width."""

    edges: tuple[float, ...]
    genuine: tuple[int, ...]
    impostor: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.edges) - 1 == len(self.genuine) == len(self.impostor) or len(self.edges) < 2:
            raise InputError(
                f"{len(self.edges)} edges for {len(self.genuine)} and {len(self.impostor)} bins; B bins take B + 1"
            )
        if not np.all(np.diff(self.edges) > 0):
            raise InputError("the edges of a histogram must rise")
        if min(*self.genuine, *self.impostor) < 0 or not sum(self.genuine) or not sum(self.impostor):
            raise InputError("a histogram counts trials: none below 0, and at least one of each kind")


@dataclass(frozen=True)
class Matrix:
    """values : (R, C) AUC of row by column, None where not measured.

    row_word, column_word : what the generator of a row and that of a column did. protocol : which AUC that is, in
    words; empty: the result's main one.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    row_word: str = "trained on"
    column_word: str = "tested on"
    protocol: str = ""

    def __post_init__(self) -> None:
        if not self.rows or not self.columns:
            raise InputError("a matrix needs at least one row and one column")
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            raise InputError(f"the matrix must hold {len(self.rows)} rows of {len(self.columns)} values")
        for value in (value for row in self.values for value in row):
            check_share(value, "AUC of the matrix")


# What a line of a panel shows: our figures, published ones of the same method, published ones of another system.
LINE_KINDS = ("ours", "published", "baseline")


@dataclass(frozen=True)
class Line:
    """Figures of one network or system. name : for the legend. kind : of `LINE_KINDS`.

    values, ci95 : by column of its panel, None where there is none.
    """

    name: str
    kind: str
    values: tuple[float | None, ...]
    ci95: tuple[Bounds | None, ...]

    def __post_init__(self) -> None:
        if self.kind not in LINE_KINDS:
            raise InputError(f"line {self.name!r}: kind {self.kind!r} is none of {', '.join(LINE_KINDS)}")
        if len(self.values) != len(self.ci95):
            raise InputError(f"line {self.name!r}: {len(self.values)} values with {len(self.ci95)} intervals")
        for value, ci95 in zip(self.values, self.ci95):
            check_share(value, f"AUC of line {self.name!r}", ci95)


@dataclass(frozen=True)
class Panel:
    """AUC on each test generator (columns), of networks and systems that were trained on one generator (title)."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        if not self.columns or not self.lines or any(len(line.values) != len(self.columns) for line in self.lines):
            raise InputError(f"panel {self.title!r} needs lines with a value for each of {', '.join(self.columns)}")


@dataclass(frozen=True)
class Scaling:
    """AUC against an amount. x : (K,) above 0, ascending. auc, ci95 : (K,). name : of the series, for the legend."""

    x_name: str
    x: tuple[float, ...]
    auc: tuple[float, ...]
    ci95: tuple[Bounds | None, ...]
    name: str = ""

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.auc) == len(self.ci95) or not self.x:
            raise InputError(f"series over {self.x_name!r}: x, auc and ci95 must be equally long, and not empty")
        if self.x[0] <= 0 or not np.all(np.diff(self.x) > 0):
            raise InputError(f"series over {self.x_name!r}: x must rise and stay above 0, as its axis is logarithmic")
        for value, ci95 in zip(self.auc, self.ci95):
            check_share(value, f"AUC over {self.x_name!r}", ci95)


@dataclass(frozen=True)
class MotionRatio:
    """How much of a feature changes from frame to frame. ratio : mean of ||f_t+1 - f_t|| / ||f_t||, at least 0.

    adjacent_cosine : mean cosine of neighbouring frames' features, -1..1.
    """

    ratio: float
    adjacent_cosine: float | None = None

    def __post_init__(self) -> None:
        if self.ratio < 0:
            raise InputError(f"motion ratio {self.ratio} must be at least 0")


@dataclass(frozen=True)
class Provenance:
    """Where figures come from.

    data_kind : the sort of data, as it stands in headings: "simulated", "NVFAIR", ... intervals : how they were made.
    software : versions by name. seed : one or several. date : ISO 8601. Whatever is not known is None or empty.
    """

    model: str
    data: str
    data_kind: str
    commit: str
    command: str
    date: str
    split: str = ""
    seed: int | tuple[int, ...] | None = None
    weights_sha256: str | None = None
    data_sha256: str | None = None
    software: dict[str, str] = field(default_factory=dict)
    intervals: str = ""

    def __post_init__(self) -> None:
        if not self.data_kind.strip():
            raise InputError('provenance needs data_kind, such as "simulated" or "NVFAIR": it heads our columns')
        if "published" in self.data_kind.lower():
            raise InputError(f"data_kind {self.data_kind!r}: published figures have columns of their own")
