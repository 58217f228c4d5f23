"""How long listing and splitting a data set of NVFAIR's size takes, and in how much memory.

Makes a tree of empty files in NVFAIR's layout (650,000 by default: 161 identities, originals and three generators) with
its list of splits, reads it with `open_layout` in a process of its own, and compares with the obvious way: pathlib's
rglob and one `parse_path` a file, on a part of the tree and scaled up.

    python benchmarks/listing_scale.py [--files 650000] [--keep DIR]

Exit status 1 when listing takes over 30 s, or is less than 3 times as fast as the reference.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from whodrives.data.layouts import list_dataset
from whodrives.data.nvfair import parse_path
from whodrives.data.splits import read_splits

MAX_SECONDS, MIN_RATIO = 30.0, 3.0
GENERATORS = ("facevid2vid", "lia", "tps")
SOURCES = {
    "NVIDIA-VC-subset": [f"id{n:03d}" for n in range(1, 47)],
    "RAVDESS": [f"Actor_{n:02d}" for n in range(1, 25)],
    "CREMA-D": [str(n) for n in range(1001, 1092)],
}
SPLITS = {"test": 35, "validation": 15, "train": 111}
SPLITS_FILE = "train_val_test_splits.txt"
REFERENCE = ("RAVDESS", "lia-generated")


def make_tree(root: Path, files: int) -> int:
    """Fill `root` with empty files; every target gets the same number in each generator's folder. Returns how many."""
    everybody = [name for names in SOURCES.values() for name in names]
    each = max(1, round((files / len(everybody) - 1) / len(GENERATORS)))
    made = 0
    for source, targets in SOURCES.items():
        for target in targets:
            folder = root / source / "originals" / target
            folder.mkdir(parents=True)
            (folder / f"{target}_IEO_FEA_LO.mp4").touch()
            made += 1
            for generator in GENERATORS:
                folder = root / source / f"{generator}-generated" / target
                folder.mkdir(parents=True)
                for number in range(each):
                    driver = everybody[number % len(everybody)]
                    (folder / f"{target}--{driver}_{number // len(everybody):03d}_FEA_LO--{driver}.mp4").touch()
                made += each
    people = iter(everybody)
    lines = []
    for split, count in SPLITS.items():
        lines += [f"identities in {split} set:", ", ".join(next(people) for _ in range(count)), ""]
    (root / SPLITS_FILE).write_text("\n".join(lines))
    return made


def measure(root: Path) -> dict[str, float]:
    """Seconds, records, records in a split, and MiB that the peak of memory lies above the start."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    records = list_dataset(root, "nvfair").records
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    in_split = sum(bool(record.split) for record in records)
    start = time.perf_counter()
    for record in records:
        record.path  # noqa: B018 (building the Paths is what is timed)
    paths = time.perf_counter() - start
    return {
        "seconds": seconds, "records": len(records), "in_split": in_split, "mib": (peak - before) / 1024, "paths": paths
    }  # fmt: skip


def reference(root: Path) -> tuple[float, int]:
    """Seconds and files of the obvious way on one generator's folder."""
    splits = read_splits(root / SPLITS_FILE).of
    start = time.perf_counter()
    records = [parse_path(root, path, splits) for path in sorted(root.joinpath(*REFERENCE).rglob("*.mp4"))]
    return time.perf_counter() - start, len(records)


def main() -> int:
    """Make the tree, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=650_000, help="how many files (default 650000)")
    parser.add_argument("--keep", type=Path, help="make the tree here and leave it; one that is there is used again")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0
    with tempfile.TemporaryDirectory(prefix="listing-scale-") as temporary:
        root = options.keep or Path(temporary) / "NVFAIR-v2-release"
        if not (root / SPLITS_FILE).is_file():
            start = time.perf_counter()
            made = make_tree(root, options.files)
            print(f"made {made:,} files in {time.perf_counter() - start:.1f} s")
        # The first run finds the folders cold or warm as the system has it, the second certainly warm.
        for run in ("first", "second"):
            words = [sys.executable, __file__, "--measure", str(root)]
            got = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            speed = got["records"] / got["seconds"]
            print(
                f"{run} run: {got['records']:,} records, {got['in_split']:,} in a split, in {got['seconds']:.2f} s, "
                f"{speed:,.0f} records/s, {got['mib']:.0f} MiB above the start; all Paths {got['paths']:.2f} s more"
            )
        seconds, files = reference(root)
        whole = seconds / files * got["records"]
    ratio = whole / got["seconds"]
    print(
        f"reference (rglob + parse_path): {files:,} files in {seconds:.2f} s, so {whole:.1f} s for all: {ratio:.1f} x"
    )
    good = got["seconds"] <= MAX_SECONDS and ratio >= MIN_RATIO
    print(f"{'pass' if good else 'FAIL'}: at most {MAX_SECONDS:.0f} s and at least {MIN_RATIO:.0f} x the reference")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
