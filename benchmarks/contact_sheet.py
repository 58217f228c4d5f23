"""Contact sheets and a GIF of the generators, from built-in drivers on faces that are nobody's.

    python benchmarks/contact_sheet.py docs/images [--seed 11] [--portraits FOLDER] [--size 160]

One sheet a generator: one driver on three faces (rows), eight frames of the same two seconds (columns), no nuisance.
The GIF shows the same stretch through all generators side by side. Faces: two procedural ones and a CG head where the
extra `heads` is there, else a third procedural one. With --portraits the first three pictures of a folder are used
instead: never publish such sheets.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.faces import Face, load_portraits
from whodrives.avatars.generator import GENERATORS, load_generator
from whodrives.avatars.procedural import procedural_face
from whodrives.errors import InputError

FPS, SECONDS, COLUMNS = 25.0, 2.0, 8


def three_faces(seed: int, portraits: str | None) -> list[Face]:
    """Two drawn faces and a CG head, or the first three portraits of a folder."""
    if portraits:
        return load_portraits(portraits)[:3]
    drawn = [procedural_face(seed), procedural_face(seed + 1)]
    try:
        from whodrives.avatars.cgheads import cg_head

        return [*drawn, cg_head(seed)]
    except InputError as error:
        print(f"no CG head ({error}); a third procedural face instead")
        return [*drawn, procedural_face(seed + 2)]


def frames_of(generator: str, faces: Sequence[Face], controls: np.ndarray, size: int) -> np.ndarray:
    """uint8 (faces, T, size, size, 3)."""
    made = load_generator(generator)
    rigs = [made.rig(face, size) for face in faces]
    with torch.inference_mode():
        frames = made.render(rigs, torch.from_numpy(controls)[None].repeat(len(rigs), 1, 1), None, grey=False)
    return (frames * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--portraits")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--generators", default=",".join(GENERATORS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    faces = three_faces(options.seed, options.portraits)
    track = BuiltinDriver(options.seed).recording(options.seed, 0, 12.0, FPS)
    length = round(SECONDS * FPS)
    # The liveliest stretch, so that there is something to see.
    energy = np.convolve(np.abs(np.diff(track.values, axis=0)).sum(axis=1), np.ones(length - 1), "valid")
    start = int(energy.argmax())
    controls = track.values[start : start + length].astype(np.float32)
    strips = []
    for name in options.generators.split(","):
        frames = frames_of(name, faces, controls, options.size)
        picks = np.linspace(0, length - 1, COLUMNS).astype(int)
        sheet = np.concatenate([np.concatenate(list(row[picks]), axis=1) for row in frames], axis=0)
        Image.fromarray(sheet).save(options.out / f"{name}.jpg", quality=85)
        strips.append(np.concatenate(list(frames), axis=2))
    film = np.concatenate(strips, axis=1)
    pictures = [Image.fromarray(frame).resize((frame.shape[1] // 2, frame.shape[0] // 2)) for frame in film[::2]]
    palette = pictures[0].quantize(96)
    pictures = [picture.quantize(96, palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    pictures[0].save(
        options.out / "generators.gif", save_all=True, append_images=pictures[1:], duration=80, loop=0, optimize=True
    )
    for path in sorted(options.out.iterdir()):
        print(f"{path}  {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
