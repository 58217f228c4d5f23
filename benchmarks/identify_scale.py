"""Top-5 among a million templates: the template index against a full scan in NumPy.

    python benchmarks/identify_scale.py [--count 1000000] [--dim 256] [--crowd 0] [--rounds 25] [--threads 2] [--seed 7]
        [--file PATH] [--build-only] [--json FILE]

Templates are random directions, a third of their length shared within clusters of about fifty, and with --crowd C a
direction that all share on top (C = 2 gives a mean cosine of 0.8; fingerprints of our weights crowd like that). Groups:
`one` 1%, `half` 50%. Probes are disturbed templates. Two processes take turns, case by case, in one run:

index   `TemplateIndex.search`, on a file of half-precision templates
scan    the same templates as one float32 matrix in memory, `matrix @ probe` and `argpartition`; filters by masking

The file is made when it is not there (--build-only stops then), and stays with --file. Before everything the file is
put out of the page cache, and opening and the first search are timed (cold). The answer of every round is compared
with the scan's: the rows must be those of an exact (double-precision) ranking of the scan's best 200; so ties and
rounding of the scan itself are settled. Memory is the peak of the whole process, mapped pages included.

Exit status 1 when a search of one probe takes more than 100 ms (median, warm), the index's process more than 600 MB
(1e6 bytes), or an answer differs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MILLISECONDS, MEGABYTES, AGREE = 100.0, 600.0, 200
# Case -> probes, windows of each (0: the probe is one vector), k, group.
CASES: dict[str, tuple[int, int, int, str | None]] = {
    "1 probe, top 1": (1, 0, 1, None),
    "1 probe, top 5": (1, 0, 5, None),
    "1 probe, top 5, filter 50%": (1, 0, 5, "half"),
    "1 probe, top 5, filter 1%": (1, 0, 5, "one"),
    "16 probes, top 5": (16, 0, 5, None),
    "16 probes, top 5, filter 50%": (16, 0, 5, "half"),
    "16 probes, top 5, filter 1%": (16, 0, 5, "one"),
    "1 video of 12 windows, top 5": (1, 12, 5, None),
    "1 video of 45 windows, top 5": (1, 45, 5, None),
}


def pieces(options: argparse.Namespace) -> Any:
    """Templates (n, dim) float32 and groups, the same for the same seed."""
    rng = np.random.default_rng(options.seed)
    centres = rng.standard_normal((max(options.count // 50, 1), options.dim), dtype=np.float32)
    shared = options.crowd * rng.standard_normal(options.dim, dtype=np.float32)
    for start in range(0, options.count, 8192):
        size = min(8192, options.count - start)
        rows = np.sqrt(2 / 3) * rng.standard_normal((size, options.dim), dtype=np.float32)
        rows += np.sqrt(1 / 3) * centres[rng.integers(len(centres), size=size)] + shared
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        draw = rng.random(size)
        yield start, rows, np.where(draw < 0.01, "one", np.where(draw < 0.51, "half", "rest"))


def build(options: argparse.Namespace, path: Path) -> float:
    """Write the index; returns seconds."""
    from whodrives.verification.index_labels import Label
    from whodrives.verification.index_write import IndexWriter, describe

    start = time.perf_counter()
    info = describe(options.count, options.dim, "benchmark", f"seed {options.seed}, crowd {options.crowd:g}")
    with IndexWriter(path, info) as writer:
        for first, rows, groups in pieces(options):
            names = [f"driver-{number:07d}" for number in range(first, first + len(rows))]
            writer.append(names, rows, [Label(str(group)) for group in groups])
    return time.perf_counter() - start


def memory() -> dict[str, float]:
    """MB (1e6 bytes) of this process: peak, and now by kind."""
    wanted = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(wanted)}
    return {name: found[name] for name in wanted}


def probes(options: argparse.Namespace, templates: Callable[[Any], Any], number: int, case: str) -> Any:
    """(probes, dim), or (windows, dim) of one video: templates, disturbed."""
    count, windows, _, _ = CASES[case]
    rng = np.random.default_rng([options.seed, number, sorted(CASES).index(case)])
    rows = np.sort(rng.choice(options.count, count, replace=False))
    start = templates(rows) if not windows else np.repeat(templates(rows), windows, axis=0)
    found = start + rng.normal(0, 0.6 / np.sqrt(options.dim), start.shape)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def serve(options: argparse.Namespace) -> None:
    """One of the two processes: answers lines of JSON, [round, case], with what it found and how long it took."""
    import torch

    torch.set_num_threads(options.threads)
    from whodrives.verification.template_index import TemplateIndex

    opened = time.perf_counter()
    index = TemplateIndex.open(options.file)
    if options.role == "scan":
        matrix = np.empty((options.count, options.dim), np.float32)
        for start in range(0, options.count, 8192):
            rows = np.arange(start, min(start + 8192, options.count))
            # Unchecked: a million checksums are no part of a scan.
            matrix[start : start + 8192] = index._file.templates(rows)
        names = index.info.groups
        group_of = np.array(index._file.section("groups"))
    print("ready", flush=True)
    for line in sys.stdin:
        number, case = json.loads(line)
        if case == "cold":
            index.search(np.ones(options.dim), 5)
            print(json.dumps({"ms": 1e3 * (time.perf_counter() - opened), "memory": memory()}), flush=True)
            continue
        _, windows, k, group = CASES[case]
        asked = probes(options, index.templates, number, case)
        trim = windows // 10
        busy, start = time.process_time(), time.perf_counter()
        checked = 0
        if options.role == "index":
            groups = None if group is None else [group]
            found = [index.search_windows(asked, trim, k, groups)] if windows else index.search(asked, k, groups)
            best, checked = [hits.rows.tolist() for hits in found], max(hits.checked for hits in found)
        else:
            best = scan(
                matrix, asked, trim if windows else None, None if group is None else group_of == names.index(group)
            )
        took = {"ms": 1e3 * (time.perf_counter() - start), "cpu": 1e3 * (time.process_time() - busy)}
        if options.role == "scan":
            best = [
                exact(index, np.array(rows), asked, one, trim if windows else None, k) for one, rows in enumerate(best)
            ]
        print(json.dumps({**took, "rows": best, "checked": checked, "memory": memory()}), flush=True)


def scan(matrix: Any, asked: Any, trim: int | None, keep: Any) -> list[list[int]]:
    """The best `AGREE` rows of each probe in single precision; the k best are among them for certain."""
    scores = matrix @ asked.T.astype(np.float32)
    if trim is not None:
        scores = np.sort(scores, axis=1)[:, trim : scores.shape[1] - trim].mean(axis=1, keepdims=True)
    if keep is not None:
        scores[~keep] = -np.inf
    return [np.argpartition(-column, AGREE)[:AGREE].tolist() for column in scores.T]


def exact(index: Any, rows: Any, asked: Any, number: int, trim: int | None, k: int) -> list[int]:
    """The k best of some rows in double precision."""
    rows = np.sort(rows)
    templates = index.templates(rows)
    if trim is None:
        scores = (templates * asked[number]).sum(axis=1)
    else:
        every = np.sort(np.stack([(templates * window).sum(axis=1) for window in asked]), axis=0)
        scores = every[trim : len(every) - trim].mean(axis=0)
    return [int(row) for row in rows[np.lexsort((rows, -scores))][:k]]


class Worker:
    """A process of `serve`."""

    def __init__(self, role: str, options: argparse.Namespace) -> None:
        words = [sys.executable, __file__, "--role", role, "--file", str(options.file)]
        for name in ("count", "dim", "crowd", "threads", "seed"):
            words += [f"--{name}", str(getattr(options, name))]
        env = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "OPENBLAS_NUM_THREADS": str(options.threads)}
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", f"{role} did not start"

    def ask(self, number: int, case: str) -> dict[str, Any]:
        """One answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([number, case]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """Let it go."""
        self._process.communicate()


def measure(options: argparse.Namespace) -> int:
    """Both processes in turn; returns the exit status."""
    with options.file.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    alone = Worker("index", options)
    cold = alone.ask(0, "cold")
    warm_start = alone.ask(0, "1 probe, top 5")
    alone.end()
    print(f"cold: opening and first search {cold['ms']:.0f} ms; peak {cold['memory']['VmHWM']:.0f} MB")
    print(
        f"{'ms':30} {'index':>8} {'p95':>7} {'least':>7} {'cpu':>7} {'scan':>8} {'p95':>7} {'scan / index':>13} "
        f"{'checked':>8}",
        flush=True,
    )
    rows, slow = {}, []
    workers = {role: Worker(role, options) for role in ("index", "scan")}
    times: dict[str, dict[str, list[float]]] = {case: {"index": [], "scan": [], "cpu": []} for case in CASES}
    checked: dict[str, int] = {}
    peak: dict[str, dict[str, float]] = {}
    wrong = 0
    for case in CASES:
        rounds = options.rounds if CASES[case][1] == 0 else max(options.rounds // 8, 1)
        for number in range(rounds + 1):
            answers = {role: worker.ask(number, case) for role, worker in workers.items()}
            wrong += answers["index"]["rows"] != answers["scan"]["rows"]
            peak = {role: answer["memory"] for role, answer in answers.items()}
            checked[case] = max(checked.get(case, 0), answers["index"]["checked"])
            if number:  # the first round of a case only warms up
                for role, answer in answers.items():
                    times[case][role].append(answer["ms"])
                times[case]["cpu"].append(answers["index"]["cpu"])
        both = times[case]
        middle = {role: statistics.median(values) for role, values in both.items()}
        high = {role: float(np.percentile(values, 95)) for role, values in both.items()}
        print(
            f"{case:30} {middle['index']:8.1f} {high['index']:7.1f} {min(both['index']):7.1f} {middle['cpu']:7.1f} "
            f"{middle['scan']:8.1f} {high['scan']:7.1f} {middle['scan'] / middle['index']:13.2f} {checked[case]:8}",
            flush=True,
        )
        rows[case] = {"median": middle, "p95": high, "least": min(both["index"]), "checked": checked[case]}
        if CASES[case][0] == 1 and CASES[case][1] == 0 and middle["index"] > MILLISECONDS:
            slow.append(case)
    for worker in workers.values():
        worker.end()
    for role, values in peak.items():
        parts = ", ".join(f"{name} {value:.0f}" for name, value in values.items() if name != "VmHWM")
        print(f"memory, {role:5}: peak {values['VmHWM']:.0f} MB (at the end {parts})")
    print(f"answers that differ from the exact ranking: {wrong}")
    if options.json:
        result = {"cold": cold, "warm start": warm_start, "cases": rows, "memory": peak, "wrong": wrong}
        options.json.write_text(
            json.dumps({**result, "options": {k: str(v) for k, v in vars(options).items()}}, indent=1)
        )
    failed = [f"over {MILLISECONDS:g} ms: {case}" for case in slow]
    if peak["index"]["VmHWM"] > MEGABYTES:
        failed.append(f"over {MEGABYTES:g} MB")
    if wrong:
        failed.append("answers differ")
    print("; ".join(failed) if failed else f"within {MILLISECONDS:g} ms and {MEGABYTES:g} MB, all answers exact")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--crowd", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--role", choices=("index", "scan"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        serve(options)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.file = options.file or Path(folder) / "templates.idx"
        if not options.file.exists():
            print(f"built in {build(options, options.file):.1f} s")
        size = options.file.stat().st_size / 1e6
        print(
            f"{options.count:,} templates of {options.dim}, seed {options.seed}, crowd {options.crowd:g}, "
            f"{options.threads} threads; file of {size:.0f} MB"
        )
        return 0 if options.build_only else measure(options)


if __name__ == "__main__":
    sys.exit(main())
