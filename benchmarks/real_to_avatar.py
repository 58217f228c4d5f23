"""Real to avatar (the KYC case): enrol real clips of a person, probe avatars driven by OTHER clips of that person.

    python benchmarks/real_to_avatar.py VIDEO/grid_s1 VIDEO/grid_other VIDEO/liveportrait \
        [--portraits FOLDER] [--generators warp,mesh,keypoint] [--faces 3] [--json]

The first folder is one speaker's: the first half of its clips (by name) is enrolled as they are; the other half is
read by FaceMesh (extra `landmarks`) into tracks, rendered through every generator on `--faces` faces (H.264, 256 x
256, 25 fps, nuisance of its own for each video) and probed as genuine. The clips of the other folders drive the
impostors, on the same faces. Beside the bundled weights' scores stand

- `avatar to avatar`: the enrolled half is rendered too, on a face of its own: what the step from real to avatar
  costs;
- `neutral`: the same probes with all motion replaced by the neutral: what appearance alone gives;
- `untrained`: the same network with random weights.

One speaker filmed in one place is no test of accuracy: the tracks carry camera and tracker as well as the person.
Exit status 1 when a video cannot be scored.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track as progress

from whodrives.avatars.encode import write_mp4
from whodrives.avatars.faces import Face, load_portraits
from whodrives.avatars.generator import load_generator
from whodrives.avatars.motion.from_video import read_video
from whodrives.avatars.nuisance import sample_nuisance
from whodrives.avatars.procedural import procedural_face
from whodrives.avatars.tracks import MotionTrack
from whodrives.evaluation.embed_videos import embed_windows
from whodrives.evaluation.metrics import roc_auc
from whodrives.models import FingerprintModel
from whodrives.training.release import unit
from whodrives.training.weights import load_weights
from whodrives.video.frames import load_frames
from whodrives.video.windows import cut_windows, gather

VIDEO = {".mp4", ".mpg", ".avi", ".mov", ".mkv", ".webm"}
FPS, SIZE, LENGTH = 25.0, 256, 64
# Of longer clips only the beginning is shown, so that nobody gets more evidence than others.
SECONDS = 6.0


def clips_of(folder: str) -> list[Path]:
    found = sorted(path for path in Path(folder).iterdir() if path.suffix in VIDEO)
    if not found:
        raise SystemExit(f"{folder}: no videos")
    return found


def render(generator: str, face: Face, track: MotionTrack, seed: Sequence[int], path: Path, neutral: bool) -> None:
    """One avatar video of a whole track."""
    made = load_generator(generator)
    values = track.resample(FPS).values[: round(SECONDS * FPS)]
    controls = torch.from_numpy(np.zeros_like(values) if neutral else values)
    nuisance = sample_nuisance(np.random.default_rng(list(seed)))
    with torch.inference_mode():
        frames = made.render([made.rig(face, SIZE)], controls[None], [nuisance], grey=False)[0]
    pixels = (frames * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    write_mp4(path, pixels, FPS, crf=nuisance.crf)


def fingerprint(model: FingerprintModel, path: Path) -> NDArray[np.floating]:
    """Unit mean of the windows of a video."""
    frames = load_frames(path).frames
    windows = np.stack([gather(frames, window) for window in cut_windows(len(frames), LENGTH)])
    return unit(embed_windows(model, windows[None])[0].mean(axis=0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speaker")
    parser.add_argument("others", nargs="+")
    parser.add_argument("--portraits", help="folder of portraits, its split `test` is used [procedural faces]")
    parser.add_argument("--generators", default="warp,mesh,keypoint")
    parser.add_argument("--faces", type=int, default=3)
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    faces = (
        load_portraits(options.portraits, split="test")
        if options.portraits
        else [procedural_face(9_000_000 + number) for number in range(options.faces + 1)]
    )[: options.faces + 1]
    own = clips_of(options.speaker)
    enrolled, genuine = own[: len(own) // 2], own[len(own) // 2 :]
    probes = [(path, True) for path in genuine] + [(path, False) for f in options.others for path in clips_of(f)]
    models = {"bundled": load_weights(options.weights).model, "untrained": load_weights("paper").model}
    tracks = {p: read_video(p, p.parent.name, p.stem) for p, _ in progress(probes, "tracking probes")}
    tracks |= {path: read_video(path, "speaker", path.stem) for path in progress(enrolled, "tracking enrolled")}
    lines, table = [], {}
    with tempfile.TemporaryDirectory() as folder:
        real = {n: unit(np.mean([fingerprint(m, p) for p in enrolled], axis=0)) for n, m in models.items()}
        for generator in options.generators.split(","):

            def shown(path: Path, face: int, neutral: bool = False, generator: str = generator) -> Path:
                out = Path(folder, f"{generator}-{face}-{int(neutral)}-{path.stem}.mp4")
                seed = [face, int(neutral), *generator.encode(), *path.stem.encode()]
                render(generator, faces[face], tracks[path], seed, out, neutral)
                return out

            avatar = unit(np.mean([fingerprint(models["bundled"], shown(p, options.faces)) for p in enrolled], axis=0))
            scores: dict[str, list[float]] = {
                n: [] for n in ("real to avatar", "avatar to avatar", "neutral", "untrained")
            }
            truth = []
            for path, is_genuine in progress(probes, generator):
                for face in range(options.faces):
                    video = shown(path, face)
                    vector = fingerprint(models["bundled"], video)
                    scores["real to avatar"].append(float(vector @ real["bundled"]))
                    scores["avatar to avatar"].append(float(vector @ avatar))
                    scores["untrained"].append(float(fingerprint(models["untrained"], video) @ real["untrained"]))
                    still = fingerprint(models["bundled"], shown(path, face, neutral=True))
                    scores["neutral"].append(float(still @ real["bundled"]))
                    truth.append(is_genuine)
                    row = {name: round(values[-1], 5) for name, values in scores.items()}
                    row |= {"generator": generator, "clip": f"{path.parent.name}/{path.name}", "face": face}
                    lines.append(row | {"genuine": is_genuine})
            mask = np.array(truth)
            same = np.array([line["clip"].startswith("grid") for line in lines if line["generator"] == generator])
            for name, values in scores.items():
                x = np.array(values)
                table[f"{generator}, {name}"] = {
                    "auc": roc_auc(x[mask], x[~mask]),
                    "auc_same_corpus": roc_auc(x[mask], x[~mask & same]) if (~mask & same).any() else None,
                    "genuine": int(mask.sum()),
                    "impostor": int((~mask).sum()),
                }
    if options.json:
        print(json.dumps({"schema_version": 1, "table": table, "scores": lines}))
        return 0
    for line in lines:
        numbers = "  ".join(
            f"{n} {line[n]:+.4f}" for n in ("real to avatar", "avatar to avatar", "neutral", "untrained")
        )
        kind = "genuine" if line["genuine"] else "impostor"
        print(f"{line['generator']:9s} {line['clip']:28s} face {line['face']}  {kind:9s} {numbers}")
    for name, cell in table.items():
        corpus = "-" if cell["auc_same_corpus"] is None else f"{cell['auc_same_corpus']:.3f}"
        print(f"{name:28s} AUC {cell['auc']:.3f}, same corpus {corpus}  ({cell['genuine']} / {cell['impostor']})")
    print("One speaker, perhaps told apart by camera and tracker: not an accuracy.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
