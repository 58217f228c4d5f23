"""How much behaviour survives rendering, and how much noise leaks? The linear model on true and on recovered tracks.

    python benchmarks/signal_audit.py TRAIN_DIR TEST_DIR [--workers 2] [--json]

Two data sets made by `whodrives simulate` from different people (e.g. `--split-name train` and `test`), every driver
in at least two recordings, videos of 64 frames or more. The linear reference (LDA on log std, autocorrelations and
correlations of frame differences; whodrives.evaluation.linear_reference) is fitted on the train people and scored on
the test people, pairs from different recordings on two different faces, 95% intervals over people, on

- `true`: the driven channels of the very videos;
- `recovered`: what FaceMesh reads from the pixels of each generator, conditioned like any recording;
- `above 6 Hz`: what conditioning removes from the recovered tracks. The driven motion has nothing there, so whatever
  tells drivers apart in it is noise of generator, codec and tracker that goes with the driver, or motion that FaceMesh
  smears upwards;
- `across`: fitted on the TRUE tracks of the train people, scored on the recovered tracks (does it mean the same?).

Exit status 1 when the recovered tracks of some generator tell people apart no better than chance (interval holds
0.5): then there is nothing to learn from its pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retracking import SMOOTH, Recovered, planned, recover
from whodrives.avatars.conditioning import bridge_gaps, low_pass
from whodrives.avatars.tracks import AU_CHANNELS, GAZE_CHANNELS, INDEX
from whodrives.evaluation.intervals import Interval, pairs_interval
from whodrives.evaluation.linear_reference import LinearReference, window_features
from whodrives.evaluation.protocols import cosines, recording_pairs

LENGTH, HOP = 64, 32
DRIVEN = [INDEX[name] for name in (*AU_CHANNELS, *GAZE_CHANNELS, "roll", "yaw")]


class Windows:
    """Features of windows with their labels."""

    def __init__(self) -> None:
        self.features: list[NDArray[np.float64]] = []
        self.labels: list[tuple[str, str, str]] = []

    def add(self, one: Recovered, values: NDArray[np.floating]) -> None:
        """All windows of one video with at least 90% of the frames seen."""
        record = one.video.record
        for start in range(0, len(values) - LENGTH + 1, HOP):
            part = slice(start, start + LENGTH)
            if one.valid[part].mean() >= 0.9:
                self.features.append(window_features(values[None, part][:, :, DRIVEN])[0])
                self.labels.append((record.driver, record.target, record.recording))

    def columns(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """features (W, F), driver, target, recording."""
        driver, target, recording = (np.array(column) for column in zip(*self.labels, strict=True))
        return np.stack(self.features), driver, target, recording


def fast_part(one: Recovered, root: Path) -> NDArray[np.float64]:
    """What lies above the cut-off in the raw recovered track: raw minus its low-passed self, (N, 33)."""
    from retracking import CACHE

    name = root / CACHE / (str(one.video.record.path).replace("/", "__") + ".npz")
    with np.load(name) as kept:
        raw, confidence, fps = kept["values"].astype(np.float64), kept["confidence"], float(kept["fps"])
    raw = raw[: len(one.valid)]
    good = (confidence[: len(one.valid)] >= SMOOTH.min_confidence) & np.isfinite(raw).all(axis=1)
    raw, _ = bridge_gaps(np.nan_to_num(raw), good, round(SMOOTH.max_gap_seconds * fps))
    return raw - low_pass(raw, fps, SMOOTH)


def collect(root: Path, workers: int) -> dict[str, dict[str, Windows]]:
    """generator -> kind -> windows."""
    out: dict[str, dict[str, Windows]] = {}
    for one in recover(root, planned(root), workers):
        kinds = out.setdefault(one.video.record.generator, {n: Windows() for n in ("true", "recovered", "above 6 Hz")})
        kinds["true"].add(one, one.driven)
        kinds["recovered"].add(one, one.recovered)
        kinds["above 6 Hz"].add(one, fast_part(one, root))
    return out


def score(train: Windows, test: Windows) -> Interval:
    features, driver, *_ = train.columns()
    model = LinearReference.fit(features, driver)
    features, driver, target, recording = test.columns()
    return pairs_interval(recording_pairs(cosines(model.embed(features)), driver, target, recording, "different"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    train, test = collect(options.train, options.workers), collect(options.test, options.workers)
    rows: dict[str, dict[str, Interval]] = {}
    failures = []
    for generator in sorted(set(train) & set(test)):
        fit, scored = train[generator], test[generator]
        if {d for d, *_ in fit["true"].labels} & {d for d, *_ in scored["true"].labels}:
            parser.error("the two data sets share drivers; the linear model must be scored on other people")
        table = {kind: score(fit[kind], scored[kind]) for kind in ("true", "recovered", "above 6 Hz")}
        table["across"] = score(fit["true"], scored["recovered"])
        rows[generator] = table
        if table["recovered"].low <= 0.5:
            failures.append(f"{generator}: recovered tracks tell nobody apart, {table['recovered']}")
    counts = {g: {"train": len(train[g]["true"].labels), "test": len(test[g]["true"].labels)} for g in rows}
    if options.json:
        cells = {g: {k: [i.value, i.low, i.high] for k, i in table.items()} for g, table in rows.items()}
        print(json.dumps({"schema_version": 1, "auc": cells, "windows": counts, "failures": failures}))
    else:
        for generator, table in rows.items():
            print(f"\n{generator}: {counts[generator]['train']} train and {counts[generator]['test']} test windows")
            for kind, interval in table.items():
                print(f"  {kind:12s} {interval}")
        print("\n" + ("\n".join(f"FAIL: {line}" for line in failures) or "every generator shows who drives"))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
