"""Parity with reference numbers: every stage, all four representations, loss and protocol.

    python benchmarks/check_reference.py ../shared/golden

Prints the largest absolute difference of each quantity; exit status 1 when one exceeds its bound
(features and embeddings 1e-5, loss and protocol 1e-6).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whodrives.evaluation.protocols import per_target_auc
from whodrives.models import FingerprintModel, build_model
from whodrives.models.normalise import standardise
from whodrives.training.loss import supervised_contrastive

FEATURE_BOUND, SCALAR_BOUND = 1e-5, 1e-6


def load_reference_weights(model: FingerprintModel, arrays: dict[str, np.ndarray]) -> None:
    """Put the reference weights into a `release` model; its head has time before H and W, the reference after."""
    state = {}
    for key, value in arrays.items():
        if not key.startswith("weights/"):
            continue
        name, tensor = key.removeprefix("weights/"), torch.from_numpy(value)
        if name.startswith("head."):
            if ".mlp." not in name:
                name = name.replace("head.", "head.blocks.")
            if name.endswith("conv3d.weight"):
                tensor = tensor.permute(0, 1, 4, 2, 3)
        else:
            name = f"backbone.{name}"
        state[name] = tensor
    missing, unexpected = model.load_state_dict(state, strict=False)
    problems = [name for name in missing if not name.endswith("num_batches_tracked")] + list(unexpected)
    if problems:
        raise SystemExit(f"state dict does not fit the reference: {problems}")


def feature_differences(path: Path) -> Iterator[tuple[str, float, float]]:
    """Yield (quantity, largest absolute difference, bound) for stages and embeddings."""
    arrays = dict(np.load(path))
    frames = torch.from_numpy(arrays["frames_uint8"])[:, :, None]

    def difference(ours: Tensor, key: str) -> tuple[str, float, float]:
        return key, float((ours - torch.from_numpy(arrays[key])).abs().max()), FEATURE_BOUND

    with torch.inference_mode():
        for representation in ("feat_diff", "pixel_diff", "raw_feat", "static"):
            model = build_model("release", representation=representation).eval()
            load_reference_weights(model, arrays)
            if representation == "feat_diff":
                clip = standardise(frames, "clip")
                first = clip[:, 0]
                yield difference(first[:, 0], "standardised_first_frame")
                x = first
                for block in model.backbone.conv_stack:
                    x = block(x, 1)
                yield difference(x, "conv_stack_t0")
                x = model.backbone.fcc(x)
                yield difference(x, "fcc_t0")
                yield difference(model.backbone.ccc(x), "frame_features_t0")
            yield difference(model(frames), f"embedding/{representation}")


def scalar_differences(path: Path) -> Iterator[tuple[str, float, float]]:
    """Yield (quantity, largest absolute difference, bound) for loss and protocol."""
    arrays = dict(np.load(path))
    loss = supervised_contrastive(
        torch.from_numpy(arrays["supcon_embeddings"]), torch.from_numpy(arrays["supcon_labels"]), temperature=0.07
    )
    yield "supcon_mean_loss", abs(float(loss) - float(arrays["supcon_mean_loss"])), SCALAR_BOUND
    result = per_target_auc(
        arrays["protocol_embeddings"], arrays["protocol_target"], arrays["protocol_is_self"].astype(bool)
    )
    yield "protocol_mean_auc", abs(result.auc - float(arrays["protocol_mean_auc"])), SCALAR_BOUND
    ours = np.array([result.per_target[target] for target in arrays["protocol_targets"].tolist()])
    worst = float(np.abs(ours - arrays["protocol_auc_per_target"]).max())
    yield "protocol_auc_per_target", worst, SCALAR_BOUND


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    failed = False
    for rows in (
        feature_differences(folder / "f5c_reference.npz"),
        scalar_differences(folder / "loss_and_protocol.npz"),
    ):
        for name, difference, bound in rows:
            fine = difference <= bound
            failed |= not fine
            print(f"{name:28s} {difference:10.2e}  bound {bound:.0e}  {'ok' if fine else 'FAIL'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
