"""Results for the tests of reports: a full one, a bare one, a table, all from seeded random scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from whodrives.evaluation.detection import COST_MODELS, measured_tar, min_detection_cost
from whodrives.evaluation.identification import fnir_at_fpir, search
from whodrives.evaluation.metrics import eer, roc_auc
from whodrives.evaluation.report import measure, parts
from whodrives.evaluation.report.result import Cell, EvaluationResult, Row, TableResult
from whodrives.evaluation.subgroups import by_subgroup

HOSTILE = (
    "<script>alert('x')</script> & 100% a_b {c} \\input{/etc/passwd} |d| `e` $f$ [g](http://evil.example) "
    '~^#"\x00\ud800'
)


def scores(n_genuine: int = 600, n_impostor: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cosines that crowd near 1 with a tail, as the network's do."""
    rng = np.random.default_rng(seed)
    return 1 - rng.gamma(2.0, 0.004, n_genuine), 1 - rng.gamma(2.5, 0.012, n_impostor)


def provenance(kind: str = "simulated") -> parts.Provenance:
    return parts.Provenance(
        model="v0 feat_diff",
        data="scratch/test256",
        data_kind=kind,
        commit="0123abc",
        command="whodrives evaluate bundled scratch/test256 --split test --seed 0",
        date="2026-01-02",
        split="test",
        seed=0,
        weights_sha256="ab" * 32,
        software={"whodrives": "0.1.0", "torch": "2.13"},
        intervals="every person left out in turn",
    )


def bare() -> EvaluationResult:
    """Only what every result has; cross_target could not be measured."""
    return EvaluationResult(
        protocol="per_target_mean",
        auc=parts.Auc(0.75),
        eer=0.31,
        coverage=1.0,
        n_videos=12,
        n_drivers=3,
        n_targets=1,
        n_pairs=parts.PairCounts(6, 40),
        protocols={
            "per_target_mean": parts.Protocol(0.75),
            "cross_target": parts.Protocol(None, note="needs a driver on two targets"),
        },
        provenance=parts.Provenance("m", "d", "NVFAIR", "", "", ""),
    )


def full(name: str = "keypoint") -> EvaluationResult:
    """Every part filled; `name` stands wherever a user's text may stand."""
    genuine, impostor = scores()
    auc = roc_auc(genuine, impostor)
    rng = np.random.default_rng(1)
    targets = {f"target {number:02d}": float(value) for number, value in enumerate(rng.uniform(0.45, 1, 24))}
    groups = rng.choice(["f", "m"], genuine.size), rng.choice(["f", "m"], impostor.size)
    table, people = rng.normal(size=(20, 60)), np.arange(60) % 30
    table[people[people < 20], np.flatnonzero(people < 20)] += 2.5
    searches = search(table, range(20), people)
    ci95 = (auc - 0.03, auc + 0.02)
    return replace(
        bare(),
        auc=parts.Auc(
            auc,
            ci95,
            {"warp": parts.Estimate(0.91, (0.88, 0.94)), name: parts.Estimate(0.82, (0.7, 0.9))},
            {**targets, name: 0.5},
        ),
        eer=eer(genuine, impostor),
        coverage=0.9833,
        n_videos=540,
        n_drivers=20,
        n_targets=25,
        n_pairs=parts.PairCounts(genuine.size, impostor.size),
        protocols={
            "per_target_mean": parts.Protocol(auc, ci95, parts.PairCounts(600, 4000)),
            "cross_target": parts.Protocol(0.8125, (0.77, 0.86), parts.PairCounts(900, 5000), 0.81),
            "pair, two faces": parts.Protocol(0.79, (0.7, 0.8), parts.PairCounts(1, 1), note=name),
        },
        provenance=replace(provenance(), model=name, software={"torch": name}),
        tar_at_far={
            "0.01": measure.tar_entry(measured_tar(genuine, impostor, 0.01)),
            "0.0001": measure.tar_entry(measured_tar(genuine, impostor, 0.0001)),
        },
        min_dcf={key: min_detection_cost(genuine, impostor, one).cost for key, one in COST_MODELS.items()},
        min_cllr=0.5,
        controls={
            "static frame": parts.Control(0.5123, (0.47, 0.55), True, 0.97, name),
            "reversed": parts.Control(0.4321, (0.4, 0.5), True, 0.61),
            "pixel_diff": parts.Control(0.7654, (0.7, 0.8), False),
            "duration": parts.Control(0.5011),
        },
        identification=parts.Identification(
            float((searches.rank == 1).mean()),
            tuple(float((searches.rank <= k).mean()) for k in range(1, 21)),
            {
                "0.1": measure.fnir_entry(fnir_at_fpir(searches, 0.1)),
                "0.01": measure.fnir_entry(fnir_at_fpir(searches, 0.01)),
            },
        ),
        subgroups=(measure.subgroup_entry(name, by_subgroup(roc_auc, genuine, impostor, *groups)),),
        curves=measure.measured_curves(genuine, impostor),
        histograms=measure.score_histograms(genuine, impostor),
        matrix=parts.Matrix(
            ("warp", "mesh", name), ("warp", "mesh", name), ((0.95, 0.71, 0.5), (0.6, 0.88, None), (0.31, 0.55, 1.0))
        ),
        scaling=(
            parts.Scaling(
                "drivers",
                (8.0, 48.0, 200.0, 1000.0),
                (0.6, 0.7, 0.8, 0.85),
                ((0.5, 0.7), (0.6, 0.8), None, (0.8, 0.9)),
                name,
            ),
            parts.Scaling(
                "drivers", (8.0, 48.0, 200.0), (0.55, 0.6, 0.61), ((0.5, 0.6), (0.55, 0.65), (0.58, 0.64)), "static"
            ),
            parts.Scaling("windows", (4.0,), (0.845,), (None,)),
        ),
        motion_ratio={"f5c": parts.MotionRatio(0.21, 0.97), name: parts.MotionRatio(0.004)},
    )


def table(name: str = "keypoint", kind: str = "simulated") -> TableResult:
    """Ours and published figures, rows that were not run or not trained, a column that only the paper has."""
    return TableResult(
        name="table6",
        title="Representations " + name,
        columns=("overall", "mesh", "FV2V", name),
        rows=(
            Row(
                "feat_diff",
                {
                    "overall": Cell(0.7491, (0.688, 0.806), (0.74, 0.758), 0.877),
                    "mesh": Cell(0.7001),
                    "FV2V": Cell(published=0.869),
                    name: Cell(0.6123, published=0.88),
                },
            ),
            Row("pixel_diff", {"overall": Cell(published=0.861, status="not run (estimated 12 h)")}),
            Row(name, {"overall": Cell(0.5432, published=0.61, status="not trained (training AUC 0.61)")}),
        ),
        provenance=provenance(kind),
        notes=("One seed " + name,),
    )


def panel(name: str = "warp") -> parts.Panel:
    """Ours on two of three generators, beside a published baseline on all three."""
    return parts.Panel(
        f"trained on {name}",
        ("warp", "mesh", "keypoint"),
        (
            parts.Line("ours, simulated", "ours", (0.7, None, 0.6), ((0.6, 0.8), None, (0.5, 0.7))),
            parts.Line("published, NVFAIR: NVFAIR baseline", "baseline", (0.87, 0.84, 0.82), (None,) * 3),
        ),
    )
