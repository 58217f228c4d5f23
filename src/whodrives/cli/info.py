"""`whodrives info`: the weights' card, the contract, the versions and the licences."""

from __future__ import annotations

import platform

import click

from whodrives.cli.options import default_gallery, json_option, model_option
from whodrives.cli.output import plain, print_json, print_table

CODE_LICENCE = "Apache-2.0"
LIBRARIES = ("torch", "av", "numpy", "scipy", "pyarrow", "safetensors")


@click.command("info")
@model_option
@json_option
def info(model: str, as_json: bool) -> int:
    """Show what these weights are: training, limits, thresholds, licence, preprocessing; and the versions in use."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    import whodrives
    from whodrives.training.weights import BUNDLED, shipped
    from whodrives.verification.fingerprinter import Fingerprinter

    fingerprinter = Fingerprinter.load(model, "cpu")
    card, contract = dict(fingerprinter.card), fingerprinter.contract
    if card.get("domain"):
        card["domain"] = {"limit": card["domain"]["limit"]}  # the rest are matrices
    versions = {"whodrives": whodrives.__version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "unknown"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    gallery = plain(str(default_gallery()))
    values = {
        "model": {**fingerprinter.model.to_dict(), "card": card},
        "contract": {**contract.to_dict(), "digest": contract.digest()},
        "licence": {"code": CODE_LICENCE, "weights": card.get("licence")},
        "shipped": {"names": list(shipped()), "bundled": BUNDLED},
        "versions": versions,
        "device": device,
        "gallery": gallery,
    }
    if as_json:
        print_json(values)
        return 0
    rows = [("weights", str(fingerprinter.model))]
    rows += [(key.replace("_", " "), str(card[key])) for key in ("trained_on", "limits") if card.get(key)]
    rows.append(("window", f"{fingerprinter.model.clip_length} frames"))
    for far, table in sorted(fingerprinter.model.thresholds.items()):
        limits = ", ".join(
            f"{score:+.4f} ({count} window{'s' * (count > 1)})" for count, score in sorted(table.items())
        )
        chosen = " (default)" if far == fingerprinter.model.default_far else ""
        rows.append((f"threshold, false accepts {far:g}{chosen}", limits))
    if not fingerprinter.model.thresholds:
        rows.append(("thresholds", "none: verify, identify and compare abstain"))
    rows += [
        ("motion gate", f"{fingerprinter.model.motion_gate:g} grey levels"),
        ("contract", f"{contract.name} {contract.version} ({contract.digest()})"),
        ("warns of videos unlike its training", "yes" if card.get("domain") else "no"),
        ("weights of this package", f"{', '.join(shipped()[1:])}; 'bundled' is {BUNDLED}"),
        ("licence of the weights", str(card.get("licence") or "unstated")),
        ("licence of the code", CODE_LICENCE),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("device", device),
        ("default gallery", gallery),
    ]
    print_table(("", ""), rows)
    return 0
