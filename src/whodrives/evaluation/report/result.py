"""What an evaluation found, as a tree that goes to JSON and back unchanged.

`EvaluationResult`: one model on one data set (`whodrives evaluate`). `TableResult`: many rows beside published figures
(`whodrives reproduce`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whodrives.errors import InputError
from whodrives.evaluation.report.codec import decode, encode
from whodrives.evaluation.report.parts import (
    Auc,
    Bounds,
    Control,
    Curves,
    Histograms,
    Identification,
    Matrix,
    MotionRatio,
    NotMeasurable,
    PairCounts,
    Panel,
    Protocol,
    Provenance,
    Scaling,
    Subgroup,
    Tar,
    check_share,
)

SCHEMA_VERSION = 1
# What `whodrives evaluate --json` says beside the result, of the call and not of what was measured.
CALL_FIELDS = ("model", "data", "failed", "report")
BOTH_PROTOCOLS = ("per_target_mean", "cross_target")


@dataclass(frozen=True)
class EvaluationResult:
    """One model on one data set.

    protocol : name of the main one, a key of `protocols`; `auc` and `n_pairs` are of it. tar_at_far : by false-accept
    rate, written as a number, such as "0.01". min_dcf : by cost model. cllr : bits, of the scores as the network's card
    calibrates them, None where it does not. coverage : share of videos on which the verifier would decide; all other
    figures count every trial. protocols : both of `BOTH_PROTOCOLS` and any other. controls : by name. restrictions : on
    trials, name -> words. padded_share : of all frames, those that repeat the last one of a short video; None: not
    known.

    Raises InputError when one of both protocols is missing, or the main AUC differs from that of its protocol.
    """

    protocol: str
    auc: Auc
    eer: float
    coverage: float
    n_videos: int
    n_drivers: int
    n_targets: int
    n_pairs: PairCounts
    protocols: dict[str, Protocol]
    provenance: Provenance
    tar_at_far: dict[str, Tar | NotMeasurable] = field(default_factory=dict)
    min_dcf: dict[str, float] = field(default_factory=dict)
    cllr: float | None = None
    min_cllr: float | None = None
    controls: dict[str, Control] = field(default_factory=dict)
    identification: Identification | None = None
    subgroups: tuple[Subgroup, ...] = ()
    curves: Curves | None = None
    histograms: Histograms | None = None
    matrix: Matrix | None = None
    scaling: tuple[Scaling, ...] = ()
    motion_ratio: dict[str, MotionRatio] = field(default_factory=dict)
    eer_ci95: Bounds | None = None
    restrictions: dict[str, str] = field(default_factory=dict)
    padded_share: float | None = None

    def __post_init__(self) -> None:
        missing = [name for name in BOTH_PROTOCOLS if name not in self.protocols]
        if missing:
            raise InputError(
                f"protocol {missing[0]!r} is missing: both stand in every report; where it cannot be measured, give "
                "it the AUC None and a note"
            )
        if self.protocol not in self.protocols:
            raise InputError(f"main protocol {self.protocol!r} is none of {', '.join(self.protocols)}")
        main = self.protocols[self.protocol].auc
        if main is None or abs(main - self.auc.overall) > 1e-9:
            raise InputError(f"the main AUC is {self.auc.overall}, but that of protocol {self.protocol!r} is {main}")
        check_share(self.eer, "EER", self.eer_ci95)
        check_share(self.coverage, "coverage")
        check_share(self.padded_share, "share of repeated frames")


def _is_status(status: str) -> bool:
    return status == "ok" or status.startswith(("not run", "not trained"))


@dataclass(frozen=True)
class Cell:
    """One figure of a table: ours, and the published one.

    value : None when status is not "ok", or when only the published figure exists. seeds : the value of every single
    seed. status : "ok", "not run (estimated 3 h)" or "not trained (training AUC 0.61)".
    """

    value: float | None = None
    ci95: Bounds | None = None
    seeds: tuple[float, ...] = ()
    published: float | None = None
    status: str = "ok"

    def __post_init__(self) -> None:
        if not _is_status(self.status):
            raise InputError(f'cell status {self.status!r} must be "ok" or begin with "not run" or "not trained"')
        if self.value is not None and self.status.startswith("not run"):
            raise InputError(f"a cell that was not run holds the value {self.value}")
        if self.value is None and self.published is None and self.status == "ok":
            raise InputError("a cell with the status ok needs a value, ours or a published one")
        if self.ci95 is not None and (self.value is None or self.ci95[0] > self.ci95[1]):
            raise InputError(f"the interval [{self.ci95[0]}, {self.ci95[1]}] is exchanged, or stands without a value")


@dataclass(frozen=True)
class Row:
    """label : first column. cells : by column; a column that is left out stays empty. properties : words, as many as
    the table's."""

    label: str
    cells: dict[str, Cell]
    properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableResult:
    """Many measurements as rows. name : of the table, such as "table6". columns : in order.

    row_name : heads the labels. notes : paragraphs before the table. properties : columns of words before the figures.
    matrix, more_matrices : the same networks under one choice of trials each. panels : drawn before the table.

    Published figures never share a column with ours. Raises InputError for a cell in no column, or without rows.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    provenance: Provenance
    notes: tuple[str, ...] = ()
    row_name: str = "row"
    matrix: Matrix | None = None
    scaling: tuple[Scaling, ...] = ()
    motion_ratio: dict[str, MotionRatio] = field(default_factory=dict)
    properties: tuple[str, ...] = ()
    more_matrices: tuple[Matrix, ...] = ()
    panels: tuple[Panel, ...] = ()

    def __post_init__(self) -> None:
        if any(row.properties and len(row.properties) != len(self.properties) for row in self.rows):
            raise InputError(f"table {self.name!r}: a row has other properties than {', '.join(self.properties)}")
        if not self.rows or not self.columns:
            raise InputError(f"table {self.name!r} needs at least one row and one column")
        if len(set(self.columns)) < len(self.columns):
            raise InputError(f"table {self.name!r} has two columns of one name")
        for row in self.rows:
            stray = [name for name in row.cells if name not in self.columns]
            if stray:
                raise InputError(f"row {row.label!r} has a cell in {stray[0]!r}, which is no column of {self.name!r}")


Result = EvaluationResult | TableResult
KINDS: dict[str, type[EvaluationResult] | type[TableResult]] = {"evaluation": EvaluationResult, "table": TableResult}


def to_dict(result: Result) -> dict[str, Any]:
    """Plain JSON values, led by `schema_version` and `kind`. Raises InputError for a number that is not finite."""
    kind = next(name for name, one in KINDS.items() if isinstance(result, one))
    return {"schema_version": SCHEMA_VERSION, "kind": kind, **encode(result)}


def from_dict(values: dict[str, Any]) -> Result:
    """The result that `to_dict` was given, with or without `CALL_FIELDS` beside. Raises InputError that names the field
    which is wrong."""
    rest = {name: value for name, value in values.items() if name not in CALL_FIELDS}
    version, kind = rest.pop("schema_version", None), rest.pop("kind", None)
    if version != SCHEMA_VERSION:
        raise InputError(
            f"schema_version is {version!r}, this whodrives knows {SCHEMA_VERSION}; use the one that wrote it"
        )
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; a result is one of {', '.join(KINDS)}")
    decoded: Result = decode(KINDS[kind], rest)
    return decoded


def to_json(result: Result) -> str:
    """`to_dict` as JSON text, ASCII, indented by one blank."""
    return json.dumps(to_dict(result), indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Result:
    """The result that `to_json` was given. Raises InputError as `from_dict`, and for text that is no JSON object."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON: {error}; give a result.json that whodrives wrote") from None
    if not isinstance(values, dict):
        raise InputError("the JSON is no object; give a result.json that whodrives wrote")
    return from_dict(values)


def read_result(path: Path) -> Result:
    """Read a result.json. Raises InputError that names the file."""
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
