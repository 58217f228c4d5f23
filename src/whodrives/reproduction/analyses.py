"""Analyses of trained networks beside untrained ones: `motion` and `disentanglement`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from whodrives.errors import InputError
from whodrives.evaluation.report.parts import Provenance
from whodrives.evaluation.report.result import TableResult
from whodrives.models import FingerprintModel
from whodrives.reproduction.disentangle import disentanglement_table
from whodrives.reproduction.material import Material
from whodrives.reproduction.motion import motion_table
from whodrives.reproduction.provenance import commit, software, today
from whodrives.reproduction.runs import make_run, row_config
from whodrives.reproduction.stage import set_stage
from whodrives.training.release import load_run
from whodrives.training.subject import untrained_twin

ANALYSES = ("motion", "disentanglement")
# Rows whose networks are looked at, where they are trained; all of them untrained.
NETWORKS = {
    "motion": {"F5C": "feat_diff", "ResNet-18": "resnet18_feat_diff"},
    "disentanglement": {"F5C": "feat_diff"},
}


def run_analyses(
    names: Sequence[str],
    material: Material,
    recipe: str | Path,
    root: Path,
    command: str,
    people: int = 12,
    faces: int = 4,
) -> list[TableResult]:
    """Analyse the networks of the first seed that are trained already, and untrained ones of the same architecture.

    Parameters
    ----------
    names : of `ANALYSES`. root : folder of the runs. people, faces : test drivers and faces of the rendered grid.

    Raises
    ------
    InputError
        The data are not simulated: only there is every motion known on every face.
    """
    if not names:
        return []
    if material.is_stored:
        raise InputError(f"{', '.join(names)}: needs --data simulated, where every motion can be shown on every face")
    config = row_config("feat_diff", recipe, material.settings, 1)
    stage = set_stage(config.data, material.generators, people, faces)
    origin = Provenance(
        model="networks of the first seed, where they are trained, and untrained ones",
        data=f"{len(set(stage.driver))} test drivers x {stage.clips.shape[1]} test faces x "
        f"{len(stage.generators)} generators, {config.data.clip_length} frames at {config.data.fps:g} a second",
        data_kind=material.heading,
        commit=commit(),
        command=command,
        date=today(),
        split="test",
        seed=1,
        data_sha256=stage.digest(),
        software=software(),
        intervals="every driver left out in turn",
    )
    tables = {"motion": motion_table, "disentanglement": disentanglement_table}
    results = []
    for name in names:
        networks, missing = _networks(name, material, recipe, root)
        result = tables[name](networks, stage, origin)
        if missing:
            result = replace(
                result, notes=(*result.notes, f"Not trained yet, so only untrained: {', '.join(missing)}.")
            )
        results.append(result)
    return results


def _networks(
    name: str, material: Material, recipe: str | Path, root: Path
) -> tuple[dict[str, FingerprintModel], list[str]]:
    """Networks by the words of their rows, and which are not trained yet."""
    found: dict[str, FingerprintModel] = {}
    missing = []
    for words, experiment in NETWORKS[name].items():
        run = make_run(root, experiment, row_config(experiment, recipe, material.settings, 1))
        found[f"{words}, untrained"] = untrained_twin(run.config.model)
        if run.is_done():
            found[f"{words}, trained"] = load_run(run.checkpoint)[0]
        else:
            missing.append(words)
    return found, missing
