"""Damaged video files: every outcome must be frames with a report or a typed error, and none may hang.

    python benchmarks/corrupt_media.py [--variants 200] [--seed 0] [--suffix mp4] [--verify]
    python benchmarks/corrupt_media.py --command "whodrives embed {} -o x"

Makes one good file (an mp4 with its tables last, and first) and damages it in many seeded ways (cut short, bits
flipped, blocks zeroed, blocks lost).
Each variant is read through `iter_windows` in this process; or with --verify by `whodrives verify` against a template
of the good file, which must end in a decision or a typed error; or by a command line in which {} stands for the file
and which must end with status 0, 1 or 2 and print no traceback. Prints a table of outcomes and the slowest variant.
Exit status 1 on any other exception or status, or above 10 s.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from whodrives.errors import WhodrivesError
from whodrives.video import iter_windows

MAX_SECONDS = 10.0
CODECS = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4", "mpg": "mpeg1video", "flv": "flv"}

Reader = Callable[[Path], str]


def good_video(suffix: str, folder: Path, frames: int = 100, faststart: bool = False) -> bytes:
    """A moving bright blob on a textured ground, 160 x 128 at 25 fps; `faststart` puts the tables of an mp4 first."""
    path = folder / f"good.{suffix}"
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(60, 160, (16, 20)), np.ones((8, 8))).astype(np.uint8)
    rows, columns = np.mgrid[:128, :160]
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(CODECS[suffix], rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.gop_size = 25
        for i in range(frames):
            x, y = 80 + 30 * np.sin(i / 6), 64 + 20 * np.cos(i / 9)
            luma = np.where((columns - x) ** 2 + (rows - y) ** 2 < 500, 220, ground).astype(np.uint8)
            picture = np.vstack([luma, np.full((64, 160), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
    return path.read_bytes()


def damage(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """One damaged copy of `data`."""
    raw = np.frombuffer(data, dtype=np.uint8).copy()
    if kind == "cut short":
        return raw[: int(rng.integers(1, len(raw)))].tobytes()
    if kind == "few flips" or kind == "many flips":
        count = int(rng.integers(1, 10)) if kind == "few flips" else int(rng.integers(20, 2000))
        where = rng.integers(0, len(raw), count)
        raw[where] ^= (1 << rng.integers(0, 8, count)).astype(np.uint8)
        return raw.tobytes()
    size = int(rng.integers(16, max(17, len(raw) // 4)))
    start = int(rng.integers(0, len(raw) - size))
    if kind == "zeroed block":
        raw[start : start + size] = 0
        return raw.tobytes()
    if kind == "header flips":
        # The first and the last tenth: where containers keep their tables.
        tenth = len(raw) // 10
        where = np.concatenate([rng.integers(0, tenth, 8), len(raw) - 1 - rng.integers(0, tenth, 8)])
        raw[where] = rng.integers(0, 256, len(where), dtype=np.uint8)
        return raw.tobytes()
    return np.delete(raw, slice(start, start + size)).tobytes()


KINDS = ("cut short", "few flips", "many flips", "zeroed block", "header flips", "lost block")


def read_in_process(path: Path) -> str:
    """Outcome of `iter_windows` in words; exceptions that are not ours go through."""
    try:
        stream = iter_windows(path)
        for _ in stream:
            pass
    except WhodrivesError as error:
        if str(path) not in str(error):
            raise AssertionError(f"the message does not name the file: {error}") from error
        return type(error).__name__
    report = stream.report
    marks = ["damage reported"] if report.corrupt else []
    marks += ["truncated"] if report.truncated else []
    return "frames" + (f" ({', '.join(marks)})" if marks else "")


def read_by_command(command: str) -> Reader:
    """A reader that runs a command line and looks at its exit status and its error output."""

    def read(path: Path) -> str:
        words = [str(path) if word == "{}" else word for word in shlex.split(command)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        if done.returncode not in (0, 1, 2) or "Traceback (most recent call last)" in done.stderr + done.stdout:
            raise AssertionError(f"exit status {done.returncode}: {done.stderr[-500:]}")
        return f"exit status {done.returncode}"

    return read


def read_by_verify(good: Path, folder: Path) -> Reader:
    """A reader that verifies a file as the driver of the good one, through the command line in this process."""
    from click.testing import CliRunner

    from whodrives.cli.main import cli

    gallery = str(folder / "gallery.db")
    enrolled = CliRunner().invoke(cli, ["enroll", "good", str(good), "--gallery", gallery, "--json"])
    if enrolled.exit_code != 0:
        raise SystemExit(f"cannot enrol the good file: {enrolled.output}")

    def read(path: Path) -> str:
        done = CliRunner().invoke(cli, ["verify", str(path), "--as", "good", "--gallery", gallery, "--json"])
        if not isinstance(done.exception, SystemExit | None):
            raise done.exception
        answer = json.loads(done.stdout)
        if done.exit_code in (0, 1):
            return str(answer["decision"])
        if done.exit_code != 2 or path.name not in answer["error"]["message"]:
            raise AssertionError(f"exit status {done.exit_code}: {answer}")
        return str(answer["error"]["type"])

    return read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", choices=sorted(CODECS), default="mp4")
    parser.add_argument("--verify", action="store_true", help="go on to a decision with the bundled weights")
    parser.add_argument("--command", help="command line to test instead of the library; {} is the file")
    parser.add_argument("--keep", type=Path, help="folder for the variants that failed")
    arguments = parser.parse_args()
    reader = read_by_command(arguments.command) if arguments.command else read_in_process
    rng = np.random.default_rng(arguments.seed)
    table: dict[str, Counter[str]] = defaultdict(Counter)
    slowest, failures = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        # With its tables last, an mp4 that is cut short is lost; with its tables first, most of it can be read.
        layouts = (False, True) if arguments.suffix == "mp4" else (False,)
        good = [good_video(arguments.suffix, Path(folder), faststart=first) for first in layouts]
        if arguments.verify:
            reader = read_by_verify(Path(folder, f"good.{arguments.suffix}"), Path(folder))
        for number in range(arguments.variants):
            kind = KINDS[number % len(KINDS)]
            path = Path(folder) / f"variant_{number:04d}.{arguments.suffix}"
            path.write_bytes(damage(good[number // len(KINDS) % len(good)], kind, rng))
            start = time.perf_counter()
            try:
                outcome = reader(path)
            except Exception as error:
                outcome = f"UNTYPED {type(error).__name__}"
                traceback.print_exception(error)
                failures += 1
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / path.name).write_bytes(path.read_bytes())
            slowest = max(slowest, time.perf_counter() - start)
            table[outcome][kind] += 1
            path.unlink()
    print(f"{'outcome':44s}" + "".join(f"{kind:>14s}" for kind in KINDS))
    for outcome in sorted(table):
        print(f"{outcome:44s}" + "".join(f"{table[outcome][kind]:14d}" for kind in KINDS))
    short = failures > 0 or slowest > MAX_SECONDS
    verdict = "FALLS SHORT" if short else "ok"
    print(
        f"{arguments.variants} variants of a {len(good[0])} byte {arguments.suffix}, slowest {slowest:.2f} s (limit "
        f"{MAX_SECONDS:g}), {failures} untyped errors (limit 0): {verdict}"
    )
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
