"""Where the variance lies: between people, between a person's recordings, within a recording; real and built-in.

    python benchmarks/driver_variance.py ../shared/motion/mu3d.parquet [--builtin 48] [--seed 0] [--markdown]

Features as the linear reference sees them (log std, autocorrelations at 1, 3, 8 frames, correlations of frame
differences) of 64-frame windows that do not overlap, of the conditioned tracks at 30 fps. Variances are unbiased
method-of-moments estimates of a nested random-effects model, so small ones may come out below 0. Shares are per
feature, then averaged over the features of a group; "overall" carries a jackknife standard error over people. Real
people are those of the split `train`. Built-in people get as many recordings, of as many seconds, each with a script
and a session of its own; a second table crosses sessions with scripts. Real and built-in people never share a row.

Exit status 1 when built-in people vary less from recording to recording and within recordings (session and content)
than real ones, by share or in feature units, or when a linear model tells them apart better than real ones by more than
0.03 (4-fold, one window or the mean of four, 30 or 25 fps).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from linear_reference import (
    BUILTIN_SECONDS,
    EXTENDED,
    LENGTH,
    SETS,
    builtin,
    cut,
    four_fold,
    line,
    too_easy,
)
from whodrives.avatars.drivers.builtin import BuiltinDriver
from whodrives.avatars.motion.tables import load_table
from whodrives.avatars.tracks import AU_CHANNELS, CHANNELS, GAZE_CHANNELS, MotionTrack
from whodrives.evaluation.linear_reference import LAGS, window_features

Floats = NDArray[np.float64]
FPS = 30.0
CROSSED = 3  # sessions and scripts of a person in the crossed table
NESTED = ("people", "recordings", "within")
BY_DESIGN = ("people", "sessions", "scripts", "session x script", "within")


def kind(channel: int) -> str:
    """What a channel belongs to, as the tables name it."""
    name = CHANNELS[channel]
    if name in AU_CHANNELS:
        return "action units"
    if name in GAZE_CHANNELS:
        return "gaze"
    return "roll, yaw" if name in ("roll", "yaw") else "pitch, sides"


def groups(channels: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """Group -> its columns in `window_features` of these channels, and "overall"."""
    kinds = [kind(channel) for channel in channels]
    labels = [f"log std, {name}" for name in kinds]
    labels += [f"autocorrelation, {name}" for _ in LAGS for name in kinds]
    for a, b in zip(*np.triu_indices(len(kinds), 1)):
        if kinds[a] == kinds[b] == "action units":
            labels.append("difference correlation, action units")
        elif "pitch, sides" in (kinds[a], kinds[b]):
            labels.append("difference correlation, with pitch, sides")
        else:
            labels.append("difference correlation, with gaze, roll, yaw")
    names = np.array(labels)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(labels)} | {"overall": np.arange(len(names))}


def nested_variance(x: Floats, person: NDArray[np.str_], recording: NDArray[np.str_]) -> Floats:
    """Variances (3, F) of `NESTED` for windows x (W, F) of recordings (W,) of people (W,), any number of each.

    Analysis of variance: each sum of squares has an expectation linear in the three variances (Searle, Casella and
    McCulloch, Variance Components, 1992, chapter 5); solving for them gives unbiased estimates, which may be negative.
    """
    _, first, r = np.unique(recording, return_index=True, return_inverse=True)
    _, p = np.unique(person[first], return_inverse=True)  # person of each recording
    n_r = np.bincount(r).astype(float)
    n_p = np.bincount(p, weights=n_r)
    total = n_r.sum()
    sums = _sums(x, r, len(n_r))
    people = _sums(sums, p, len(n_p))
    grand = people.sum(axis=0)
    mean_r, mean_p = sums / n_r[:, None], people / n_p[:, None]
    ss_w = (x * x).sum(axis=0) - (n_r[:, None] * mean_r**2).sum(axis=0)
    ss_r = (n_r[:, None] * mean_r**2).sum(axis=0) - (n_p[:, None] * mean_p**2).sum(axis=0)
    ss_p = (n_p[:, None] * mean_p**2).sum(axis=0) - grand**2 / total
    per_person = (np.bincount(p, weights=n_r**2) / n_p).sum()
    within = ss_w / (total - len(n_r))
    between = (ss_r - (len(n_r) - len(n_p)) * within) / (total - per_person)
    of_recordings = (per_person - (n_r**2).sum() / total) * between
    apart = (ss_p - (len(n_p) - 1) * within - of_recordings) / (total - (n_p**2).sum() / total)
    return np.stack([apart, between, within])


def _sums(x: Floats, label: NDArray[np.int64], count: int) -> Floats:
    out = np.zeros((count, x.shape[1]))
    np.add.at(out, label, x)
    return out


def crossed_variance(x: Floats) -> Floats:
    """Variances (5, F) of `BY_DESIGN` for x (people, sessions, scripts, windows, F): scripts crossed with sessions."""
    people, sessions, scripts, windows = x.shape[:4]
    cell = x.mean(axis=3)
    s, c = cell.mean(axis=2, keepdims=True), cell.mean(axis=1, keepdims=True)
    p = cell.mean(axis=(1, 2), keepdims=True)

    def mean_square(deviation: Floats, weight: int, freedom: int) -> Floats:
        return weight * (deviation**2).sum(axis=tuple(range(deviation.ndim - 1))) / freedom

    both = (sessions - 1) * (scripts - 1)
    ms_w = mean_square(x - cell[:, :, :, None], 1, people * sessions * scripts * (windows - 1))
    ms_sc = mean_square(cell - s - c + p, windows, people * both)
    ms_s = mean_square(s - p, windows * scripts, people * (sessions - 1))
    ms_c = mean_square(c - p, windows * sessions, people * (scripts - 1))
    ms_p = mean_square(p - p.mean(axis=0, keepdims=True), windows * sessions * scripts, people - 1)
    return np.stack(
        [
            (ms_p - ms_s - ms_c + ms_sc) / (windows * sessions * scripts),
            (ms_s - ms_sc) / (windows * scripts),
            (ms_c - ms_sc) / (windows * sessions),
            (ms_sc - ms_w) / windows,
            ms_w,
        ]
    )


def shares(variances: Floats, columns: NDArray[np.int64]) -> Floats:
    """Mean share of each variance (K,) over the features `columns`."""
    part = variances[:, columns]
    return (part / part.sum(axis=0)).mean(axis=1)


def jackknife(estimate: Callable[[NDArray[np.bool_]], Floats], person: NDArray[np.str_]) -> Floats:
    """Standard error of `estimate` (of kept windows) with every person left out once."""
    names = np.unique(person)
    values = np.stack([estimate(person != name) for name in names])
    return np.sqrt((len(names) - 1) / len(names) * ((values - values.mean(axis=0)) ** 2).sum(axis=0))


def features(tracks: Sequence[MotionTrack], channels: list[int]) -> tuple[Floats, NDArray[np.str_], NDArray[np.str_]]:
    """Features (W, F) of windows that do not overlap, their people and recordings."""
    windows, person, recording = cut(tracks, channels, hop=LENGTH)
    return window_features(windows), person, recording


def nested_table(title: str, tracks: Sequence[MotionTrack], channels: list[int], markdown: bool) -> tuple[float, float]:
    """Print a table; return session and content together, as a share and in feature units."""
    x, person, recording = features(tracks, channels)
    variances = nested_variance(x, person, recording)
    found = groups(channels)

    def overall(keep: NDArray[np.bool_]) -> Floats:
        return shares(nested_variance(x[keep], person[keep], recording[keep]), found["overall"])

    error = jackknife(overall, person)
    rows = []
    for name, columns in found.items():
        cells = [f"{100 * share:.1f}" for share in shares(variances, columns)]
        if name == "overall":
            cells = [f"{cell} ± {100 * se:.1f}" for cell, se in zip(cells, error)]
        rows.append([name, str(len(columns)), *cells, f"{variances[:, columns].sum(axis=0).mean():.4f}"])
    counts = f"{len(np.unique(person))} people, {len(np.unique(recording))} recordings, {len(x)} windows"
    print_table(
        f"{title}: {counts}", ["group", "features", *(f"{name}, %" for name in NESTED), "variance"], rows, markdown
    )
    moving = variances[1:].sum(axis=0)
    return float((moving / variances.sum(axis=0)).mean()), float(moving.mean())


def crossed_table(seeds: range, channels: list[int], markdown: bool) -> None:
    """Print what sessions and scripts (content) do to built-in people when crossed by design."""
    cells = []
    for seed in seeds:
        driver = BuiltinDriver(seed)
        for session in range(CROSSED):
            for script in range(CROSSED):
                track = driver.recording(seed * 1000 + 500 + script, 500 + session, BUILTIN_SECONDS, FPS)
                cells.append(features([track], channels)[0])
    x = np.stack(cells).reshape(len(seeds), CROSSED, CROSSED, *cells[0].shape)
    variances = crossed_variance(x)
    rows = []
    for name, columns in groups(channels).items():
        cell = [f"{100 * share:.1f}" for share in shares(variances, columns)]
        rows.append([name, str(len(columns)), *cell, f"{variances[:, columns].sum(axis=0).mean():.4f}"])
    title = f"built-in, {CROSSED} sessions x {CROSSED} scripts a person: {len(seeds)} people, {x[..., 0].size} windows"
    print_table(title, ["group", "features", *(f"{name}, %" for name in BY_DESIGN), "variance"], rows, markdown)


def print_table(title: str, head: list[str], rows: list[list[str]], markdown: bool) -> None:
    """Print rows under a title, aligned, or as Markdown."""
    if markdown:
        print(f"**{title}**\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
        print("".join(f"| {' | '.join(row)} |\n" for row in rows), flush=True)
        return
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    print(title)
    for row in [head, *rows]:
        print("  " + row[0].ljust(widths[0]) + "".join(f"  {cell:>{w}}" for cell, w in zip(row[1:], widths[1:])))
    print(flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="Parquet motion table with a split.csv beside it")
    parser.add_argument("--builtin", type=int, default=48, help="number of built-in drivers")
    parser.add_argument("--seed", type=int, default=0, help="first built-in driver")
    parser.add_argument("--markdown", action="store_true", help="tables as Markdown")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.builtin)
    shown = SETS["rendered"]
    train = load_table(options.table, "train")
    real_share, real_size = nested_table("real, train", [t.resample(FPS) for t in train], shown, options.markdown)
    people = builtin(seeds, FPS)
    made_share, made_size = nested_table("built-in", people, shown, options.markdown)
    nested_table("built-in, with pitch and sides (no real counterpart)", people, EXTENDED, options.markdown)
    crossed_table(seeds, shown, options.markdown)
    print(f"real: session and content {100 * real_share:.1f}% of the variance, {real_size:.4f} in feature units")
    print(f"built-in: session and content {100 * made_share:.1f}% of the variance, {made_size:.4f} in feature units")
    failures = []
    if made_share < real_share or made_size < real_size:
        failures.append("built-in people vary less over sessions and content than real ones")
    for fps in (30.0, 25.0):
        people = builtin(seeds, fps)
        real = four_fold([t.resample(fps) for t in train], shown)
        made, more = four_fold(people, shown), four_fold(people, EXTENDED)
        print(line("real, train, 4-fold", fps, real[:1], real[1:]))
        print(line("built-in, 4-fold", fps, made[:1], made[1:]))
        print(line("built-in, 4-fold, pitch, sides", fps, more[:1], more[1:]), flush=True)
        failures += too_easy(fps, real, made, more)
    for failure in failures:
        print(f"FAIL: {failure}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
