"""Many short files to fingerprints: the loop over `Fingerprinter.embed`, the folder job, and a run that is killed.

    python benchmarks/embed_throughput.py make FOLDER [--files 500]
    python benchmarks/embed_throughput.py speed FOLDER [--files 100] [--workers 1 2] [--threads 1 2] [--rounds 2]
        [--device cpu]
    python benchmarks/embed_throughput.py kill FOLDER [--files 500] [--workers 2]

`make` renders 8 drivers and writes as many files as asked for, 256 x 256, H.264, 2.6 to 3.1 s, each of its own pixels.
`speed` runs the command line in processes of its own, ways in turn, start-up included: `loop` is ``whodrives embed
FILE... -o out.parquet``, which goes file by file with so many threads of the tensor library; the others ``whodrives
embed --manifest LIST -o out/ --workers N`` (one with one thread). Beside the clock, the processor time of all processes
of a way, which says more on a busy machine; memory is theirs together, pages they share counted once.
`kill` kills -9 a run when half of the files are finished, goes on, and looks whether each stands exactly once, with the
rows that `Fingerprinter.embed` gives for every tenth file.

Exit status 1: `speed`, when the most processes are under 1.2 times the faster loop; `kill`, when a file is lost or
doubled, a finished one was embedded again, or a row is off by more than 1e-4.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

WANTED, CLOSE = 1.2, 1e-4
WHODRIVES = [sys.executable, "-m", "whodrives"]
DRIVERS, LONGEST = 8, 78


def make(folder: Path, files: int) -> None:
    """Files of unlike length, mirrored, darkened and begun at another frame: no two hold the same pixels."""
    from whodrives.avatars.drivers.builtin import BuiltinDriver
    from whodrives.avatars.encode import write_mp4
    from whodrives.avatars.online import OnlineAvatars
    from whodrives.avatars.procedural import procedural_face

    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for driver in range(DRIVERS):
        number = 1_000_000 + driver
        avatars = OnlineAvatars(
            [[BuiltinDriver(number).recording(1, 0, 8.0)]], [procedural_face(number)], identities=1, samples=1,
            length=LONGEST + 40, size=256,
        )  # fmt: skip
        shown.append(avatars.batch(0).frames[0, :, 0].mul(255).round().byte().numpy())
    rng = np.random.default_rng(0)
    for number in range(files):
        path = folder / f"{number:05d}.mp4"
        length, start = int(rng.integers(65, LONGEST + 1)), int(rng.integers(40))
        gain = rng.uniform(0.7, 1.0)
        if path.exists():
            continue
        grey = shown[number % DRIVERS][start : start + length]
        grey = (grey[:, :, ::-1] if number // DRIVERS % 2 else grey) * gain
        write_mp4(path, np.repeat(grey.astype(np.uint8)[..., None], 3, axis=3))


def tree(process: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
        except (OSError, IndexError, ValueError):
            continue
    found = [process]
    for one in found:
        found += parents.get(one, [])
    return found


def held(process: int) -> float:
    """MiB that a process and all below it hold, shared pages in equal parts."""
    total = 0
    for one in tree(process):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total / 1024


def used(process: int) -> dict[int, float]:
    """Processor seconds of a process and all below it."""
    found = {}
    for one in tree(process):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            found[one] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            continue
    return found


def run(words: list[str], threads: int | None) -> tuple[float, float, float]:
    """Seconds by the clock, processor seconds of all processes, and the most MiB, that a call took."""
    more = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*WHODRIVES, *words, "--json"], stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **more}
        )
        most, worked = 0.0, dict[int, float]()
        while process.poll() is None:
            most = max(most, held(process.pid))
            worked |= used(process.pid)
            time.sleep(0.25)
        took = time.perf_counter() - start
        out.seek(0)
        if process.returncode:
            raise SystemExit(f"{words[0]} ended with {process.returncode}: {out.read().decode()[-2000:]}")
    return took, sum(worked.values()), most


def speed(names: list[Path], workers: list[int], threads: list[int], rounds: int, more: list[str], work: Path) -> int:
    """Files a second of each way."""
    manifest = work / "list.csv"
    write_list(manifest, names)
    loop = ["embed", *map(str, names), "-o", str(work / "out.parquet"), *more]
    ways: dict[str, tuple[list[str], int | None]] = {f"loop, {count} threads": (loop, count) for count in threads}
    for count in workers:
        words = ["embed", "--manifest", str(manifest), "-o", f"{work / 'out'}/", "--workers", str(count), *more]
        ways[f"{count} processes"] = (words, 1 if count == 1 else None)
    times: dict[str, list[float]] = {way: [] for way in ways}
    print(f"{len(names)} files, {rounds} rounds in turn, start-up included")
    for _ in range(rounds):
        for way, (words, count) in ways.items():
            shutil.rmtree(work / "out", ignore_errors=True)
            took, worked, memory = run(words, count)
            times[way].append(took)
            print(
                f"  {way:16} {took:6.1f} s, {len(names) / took:5.2f} files/s   {worked / len(names) * 1e3:5.0f} ms of "
                f"processor a file   at most {memory:.0f} MiB",
                flush=True,
            )
    best = min(statistics.median(times[way]) for way in ways if way.startswith("loop"))
    ratio = 0.0
    for way, values in times.items():
        ratio = best / statistics.median(values)
        print(f"  {way:16} {ratio:.2f} times as fast as the faster loop")
    return int(ratio < WANTED)


def write_list(path: Path, names: list[Path]) -> None:
    """A manifest."""
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["path"], *([str(name.resolve())] for name in names)])


def finished(out: Path) -> list[str]:
    """Names of all files in parts and journals."""
    from whodrives.verification.batch.rows import read_rows

    names = [name for part in (out / "files").glob("*.parquet") for name in pq.read_table(part)["paths"].to_pylist()]
    for journal in out.glob(".work/*/journal"):
        names += [name for rows, _ in read_rows(journal.read_bytes()) for name in rows.files["paths"].to_pylist()]
    return names


def kill(names: list[Path], workers: int, more: list[str], work: Path) -> int:
    """Killed at half, resumed, compared."""
    from whodrives.verification.fingerprinter import Fingerprinter

    out, manifest = work / "out", work / "list.csv"
    write_list(manifest, names)
    words = ["embed", "--manifest", str(manifest), "-o", f"{out}/", "--workers", str(workers), *more, "--json"]
    process = subprocess.Popen([*WHODRIVES, *words], stdout=subprocess.DEVNULL)
    begun, most = time.perf_counter(), 0.0
    while process.poll() is None and (not out.exists() or len(finished(out)) < len(names) // 2):
        most = max(most, held(process.pid))
        time.sleep(0.5)
    before = time.perf_counter() - begun
    process.send_signal(signal.SIGKILL)
    process.wait()
    at_kill = finished(out)
    begun = time.perf_counter()
    again = subprocess.run([*WHODRIVES, *words], capture_output=True, check=False)
    after = time.perf_counter() - begun
    told = json.loads(again.stdout)
    counts = Counter(pq.read_table(out / "files")["paths"].to_pylist())
    rows = pq.read_table(out / "embeddings")
    starts = Counter(zip(rows["paths"].to_pylist(), rows["start_frames"].to_pylist()))
    lost = len(names) - len(counts)
    doubled = sum(count > 1 for count in (*counts.values(), *starts.values()))
    fingerprinter, worst = Fingerprinter.load("bundled", "cpu"), 0.0
    for name in names[::10]:
        made = fingerprinter.embed(name).vectors
        here = rows.filter(np.array([path.endswith(name.name) for path in rows["paths"].to_pylist()]))
        kept = np.array(here["embeddings"].to_pylist(), np.float32)
        worst = max(worst, float(np.abs(made - kept).max()) if made.shape == kept.shape else 2.0)
    print(
        f"{len(names)} files, {workers} processes, killed -9 after {before:.1f} s with {len(at_kill)} files finished, "
        f"at most {most:.0f} MiB"
    )
    print(f"  resumed: {told['kept']} kept, {told['done']} embedded in {after:.1f} s, {told['failed']} failed")
    print(f"  in the folder: {len(counts)} files, {lost} lost, {doubled} doubled; rows off by at most {worst:.1e}")
    redone = told["kept"] < len(at_kill)
    return int(bool(lost or doubled or redone or told["failed"]) or worst > CLOSE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "speed", "kill"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device")
    options = parser.parse_args()
    if options.what == "make":
        make(options.folder, options.files or 500)
        return 0
    names = sorted(options.folder.glob("*.mp4"))[: options.files or (100 if options.what == "speed" else 500)]
    more = ["--device", options.device] if options.device else []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if options.what == "speed":
            return speed(names, options.workers, options.threads, options.rounds, more, work)
        return kill(names, max(options.workers), more, work)


if __name__ == "__main__":
    sys.exit(main())
