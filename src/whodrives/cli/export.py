"""`whodrives export`: weights as an ONNX file, for other runtimes and languages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from whodrives.cli.options import json_option, tell_licence
from whodrives.cli.output import print_json, print_lines


@click.command("export")
@click.argument("model", default="bundled")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .onnx file.")
@json_option
def export(model: str, out: Path, as_json: bool) -> None:
    """Write MODEL ('bundled', a .safetensors file or a preset) as one ONNX file, with its card inside.

    Any number of clips and frames. The file is compared with the network before it gets its name. Needs the extra
    `onnx`: pip install 'whodrives[onnx]'.
    """
    from whodrives.training.onnx_export import export_onnx
    from whodrives.training.weights import is_shipped, load_weights

    weights = load_weights(model)
    if is_shipped(model):
        tell_licence(f"{weights.card['name']} ({weights.digest})", weights.card)
    done = export_onnx(weights, out)
    if as_json:
        print_json({**asdict(done), "path": str(done.path)})
        return
    print_lines(
        f"{done.path}: {done.size / 1e6:.1f} MB, operator set {done.opset}, weights {done.digest}",
        f"  embeddings {done.difference:.1e} (at most {done.largest:.1e}) from the network's own; "
        f"those of different clips {done.spread:.1e} apart",
    )
