"""Real videos: enrol one speaker from some clips, verify the speaker's other clips and everybody else's.

    python benchmarks/real_input.py ../shared/video/grid_s1 ../shared/video/grid_other ../shared/video/liveportrait

The first folder is one speaker's: the first half of its clips (by name) is enrolled, the other half is genuine; all
clips of the other folders are impostors. Prints every score as it is, `verify`'s decision, and two controls on the
same frames: `frozen` (the same weights on the clip's centre frame repeated: what appearance alone gives) and `static`
(cosine of the centre frames' pixels, standardised). One speaker filmed in one place is no test of accuracy: framing,
light and compression differ between the folders, and the controls say how much that alone is worth.

Exit status 1 when a file cannot be read or a score is missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whodrives.evaluation.embed_videos import embed_windows
from whodrives.evaluation.metrics import roc_auc
from whodrives.models import FingerprintModel
from whodrives.training.release import unit
from whodrives.training.weights import load_weights
from whodrives.verification.fingerprinter import Fingerprinter
from whodrives.verification.gallery import Gallery
from whodrives.video.frames import load_frames
from whodrives.video.windows import cut_windows, gather

VIDEO = {".mp4", ".mpg", ".avi", ".mov", ".mkv", ".webm"}


def clips_of(folder: str) -> list[Path]:
    found = sorted(path for path in Path(folder).iterdir() if path.suffix in VIDEO)
    if not found:
        raise SystemExit(f"{folder}: no videos")
    return found


def controls(path: Path, model: FingerprintModel) -> dict[str, NDArray[np.floating]]:
    """Mean unit vectors of a clip's windows: centre frame's pixels, and the weights on the frozen clip."""
    frames = load_frames(path).frames
    windows = [gather(frames, window) for window in cut_windows(len(frames), 64)]
    centres = [window[len(window) // 2] for window in windows]
    pixels = [unit((c - c.mean()).ravel()) for c in (centre.astype(np.float64) for centre in centres)]
    frozen = np.stack([np.repeat(centre[None], 64, axis=0) for centre in centres])
    embedded = embed_windows(model, frozen[None])[0]
    return {"frozen": unit(embedded.mean(axis=0)), "static": unit(np.mean(pixels, axis=0))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speaker")
    parser.add_argument("others", nargs="+")
    parser.add_argument("--weights", default="bundled")
    options = parser.parse_args()
    own = clips_of(options.speaker)
    enrolled, genuine = own[: len(own) // 2], own[len(own) // 2 :]
    probes = [(path, True) for path in genuine] + [(path, False) for f in options.others for path in clips_of(f)]
    fingerprinter, model = Fingerprinter.load(options.weights), load_weights(options.weights).model
    templates = [controls(path, model) for path in enrolled]
    control = {name: unit(np.mean([t[name] for t in templates], axis=0)) for name in ("frozen", "static")}
    scores: dict[str, list[float]] = {"verify": [], "frozen": [], "static": []}
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery.open(Path(folder, "drivers.db"))
        gallery.enroll("speaker", fingerprinter.embed(*enrolled))
        print(
            f"{'clip':28s} {'truth':9s} {'score':>9s} {'threshold':>10s} {'decision':9s} {'frozen':>9s} {'static':>9s}"
        )
        for path, is_genuine in probes:
            decision = gallery.verify(fingerprinter.embed(path), claimed="speaker")
            if decision.score is None:
                print(f"{path}: no score: {decision.reason}")
                return 1
            row = controls(path, model)
            scores["verify"].append(decision.score)
            for name, template in control.items():
                scores[name].append(float(row[name] @ template))
            truth = "genuine" if is_genuine else "impostor"
            threshold = float("nan") if decision.threshold is None else decision.threshold
            print(
                f"{path.parent.name + '/' + path.name:28s} {truth:9s} {decision.score:+9.5f} {threshold:+10.5f} "
                f"{decision.decision:9s} {scores['frozen'][-1]:+9.5f} {scores['static'][-1]:+9.5f}"
            )
    truth_of = np.array([is_genuine for _, is_genuine in probes])
    for name, values in scores.items():
        x = np.round(values, 6)  # a frozen clip has no motion at all: what differs is rounding
        auc = roc_auc(x[truth_of], x[~truth_of])
        print(f"{name:7s} AUC {auc:.3f} ({truth_of.sum()} genuine, {(~truth_of).sum()} impostors)")
    print("One speaker, perhaps told apart by framing: not an accuracy.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
