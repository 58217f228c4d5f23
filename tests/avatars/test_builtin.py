"""Built-in drivers: repeatable, three seeds kept apart, band-limited, in plausible amounts."""

import hashlib
import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks, welch
from scipy.stats import spearmanr

from whodrives.avatars.drivers.builtin import BuiltinDriver, Traits
from whodrives.avatars.drivers.events import INNER_FPS, wander
from whodrives.avatars.drivers.repertoire import SIDE_PERSON
from whodrives.avatars.drivers.sides import levels
from whodrives.avatars.tracks import CHANNELS, INDEX, SIDE_CHANNELS
from whodrives.errors import InputError

SIDES = [INDEX[name] for name in SIDE_CHANNELS]
SHOWN = [*range(INDEX["tx"]), *SIDES]


def digest(values: np.ndarray) -> str:
    # Rounded, since the last bits of exp and tanh may differ between builds of numpy.
    return hashlib.sha256(np.round(values, 3).tobytes()).hexdigest()


def test_same_seeds_give_the_same_motion_in_another_process() -> None:
    code = (
        "import numpy as np, hashlib; from whodrives.avatars.drivers.builtin import BuiltinDriver;"
        "v = BuiltinDriver(7).recording(3, 1, 4.0).values;"
        "print(hashlib.sha256(np.round(v, 3).tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    BuiltinDriver(8).recording(3, 1, 2.0)  # drivers share no state
    assert digest(BuiltinDriver(7).recording(3, 1, 4.0).values) == other


@pytest.mark.parametrize("fps", [25.0, 30.0, 12.5])
def test_shape_rate_and_labels(fps: float) -> None:
    track = BuiltinDriver(1).recording(2, 3, 6.0, fps)
    assert track.values.shape == (round(6 * fps), len(CHANNELS))
    assert track.values.dtype == np.float32
    assert track.fps == fps
    assert track.valid.all()
    assert (track.driver, track.recording) == ("builtin-1", "builtin-1_c2_s3")
    assert len(BuiltinDriver(1).recording(2, 3, 0.04, fps)) >= 1


def test_rates_show_the_same_motion() -> None:
    fast, slow = (BuiltinDriver(2).recording(0, 0, 10.0, fps).values for fps in (50.0, 25.0))
    np.testing.assert_allclose(fast[::2][: len(slow)], slow, atol=1e-4)


def test_every_seed_matters_by_itself() -> None:
    driver = BuiltinDriver(4)
    base = driver.recording(0, 0, 5.0).values
    for other in (
        driver.recording(1, 0, 5.0).values,
        driver.recording(0, 1, 5.0).values,
        BuiltinDriver(5).recording(0, 0, 5.0).values,
    ):
        assert np.abs(other - base).max() > 0.1


def test_traits_belong_to_the_driver_and_content_to_the_script() -> None:
    assert np.array_equal(Traits.draw(3).visemes, BuiltinDriver(3).traits.visemes)
    assert not np.array_equal(Traits.draw(3).visemes, Traits.draw(4).visemes)
    # Without spread only the day's form differs: the same script then moves two drivers alike, another one does not.
    one, two = BuiltinDriver(1, spread=0.0), BuiltinDriver(2, spread=0.0)
    channels = [INDEX["yaw"], INDEX["gaze_x"], INDEX["gaze_y"]]  # their timing does not depend on arousal

    def agreement(a: int, b: int) -> float:
        x, y = (driver.recording(c, 0, 20.0).values[:, channels] for driver, c in ((one, a), (two, b)))
        return float(np.mean([np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(3)]))

    assert np.mean([agreement(k, k) for k in range(6)]) > 0.2
    assert abs(np.mean([agreement(k, k + 10) for k in range(6)])) < 0.15


def test_neutral_is_removed_and_translation_not_shown() -> None:
    values = BuiltinDriver(6).recording(0, 0, 60.0).values
    np.testing.assert_allclose(np.percentile(values[:, :17], 10, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.median(values[:, 17:22], axis=0), 0, atol=0.02)
    assert not values[:, INDEX["tx"] : INDEX["tz"] + 1].any()
    assert (values[:, SHOWN].std(axis=0) > 1e-4).all()


@pytest.mark.parametrize("seed", [9, 10, 11])
def test_band_limits(seed: int) -> None:
    values = BuiltinDriver(seed).recording(0, 0, 60.0, fps=50.0).values
    frequency, power = welch(values[:, SHOWN], fs=50.0, nperseg=512, axis=0)
    share = power / power.sum(axis=0)
    # The low-pass is down by half (in power by three quarters) at 6 Hz.
    assert share[frequency > 6].sum(axis=0).max() < 0.02
    assert share[frequency > 8].sum(axis=0).max() < 0.01  # sides: where their bound bites
    assert share[frequency > 8][:, : INDEX["tx"]].sum(axis=0).max() < 0.001
    pose = [INDEX["pitch"], INDEX["yaw"], INDEX["roll"]]
    assert share[frequency > 4][:, pose].sum(axis=0).max() < 0.01


def test_amounts_are_human() -> None:
    tracks = [BuiltinDriver(seed).recording(seed, 0, 20.0).values for seed in range(30)]
    everything = np.concatenate(tracks)
    assert everything[:, :17].max() <= 6
    assert everything[:, :17].min() > -2
    assert np.percentile(np.abs(everything[:, 17:22]), 99) < 0.8  # radians
    spread = np.stack([values.std(axis=0) for values in tracks])
    assert 0.25 < np.median(spread[:, INDEX["AU25"]]) < 1.0
    assert 0.03 < np.median(spread[:, INDEX["roll"]]) < 0.15
    # People differ: lively and still ones.
    assert np.log(spread[:, :17] + 0.02).std(axis=0).mean() > 0.2


def test_wrong_arguments() -> None:
    with pytest.raises(InputError, match="seed"):
        BuiltinDriver(-1)
    driver = BuiltinDriver(0)
    for seeds in ((-1, 0), (0, -1)):
        with pytest.raises(InputError, match="seeds"):
            driver.recording(*seeds, seconds=1.0)
    for seconds, fps in ((0.0, 25.0), (1e6, 25.0), (float("nan"), 25.0), (1.0, 0.0)):
        with pytest.raises(InputError, match="seconds"):
            driver.recording(0, 0, seconds, fps)


PEOPLE = 40


@pytest.fixture(scope="module")
def twice() -> list[tuple[np.ndarray, np.ndarray]]:
    """Two recordings each of `PEOPLE` drivers, neither script nor session shared, 30 s at 50 fps."""
    return [_pair(BuiltinDriver(seed)) for seed in range(PEOPLE)]


@pytest.fixture(scope="module")
def clones() -> list[tuple[np.ndarray, np.ndarray]]:
    """The same of drivers without traits: whatever persists here is an artefact."""
    return [_pair(BuiltinDriver(seed, spread=0.0)) for seed in range(PEOPLE)]


def _pair(driver: BuiltinDriver) -> tuple[np.ndarray, np.ndarray]:
    first, second = (driver.recording(10 * driver.seed + k, k, 30.0, 50.0).values for k in range(2))
    return first, second


def persistence(pairs: list[tuple[np.ndarray, np.ndarray]], measure: Callable[[np.ndarray], float]) -> float:
    """Rank correlation over people of a measure in one recording with the same in the other."""
    values = np.array([[measure(a), measure(b)] for a, b in pairs])
    return float(spearmanr(values[:, 0], values[:, 1]).statistic)


def blinks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height, top closing speed and top opening speed (per second) of every blink in AU45 at 50 fps."""
    lid = values[:, INDEX["AU45"]].astype(float)
    peaks, found = find_peaks(lid, prominence=0.6, distance=8, width=(None, 30))
    speed = np.gradient(lid) * 50
    closing = np.array([speed[max(p - 12, 0) : p + 1].max() for p in peaks])
    opening = np.array([-speed[p : p + 16].min() for p in peaks])
    return found["prominences"], closing, opening


BLINK_MEASURES = {
    "rate": lambda v: len(blinks(v)[0]),
    "depth": lambda v: np.median(blinks(v)[0]),
    "closing / opening": lambda v: np.median(np.log(blinks(v)[1] / blinks(v)[2])),
}


@pytest.mark.parametrize("name", BLINK_MEASURES)
def test_blinks_are_a_persons_own(
    name: str, twice: list[tuple[np.ndarray, np.ndarray]], clones: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    # 40 people: a rank correlation of 0.31 has p = 0.05 by chance (two-sided). Real people: 0.53, 0.75, 0.41.
    assert persistence(twice, BLINK_MEASURES[name]) > 0.35
    assert abs(persistence(clones, BLINK_MEASURES[name])) < 0.31


def test_lids_close_faster_than_they_open(twice: list[tuple[np.ndarray, np.ndarray]]) -> None:
    ratios = [np.median(closing / opening) for a, _ in twice for _, closing, opening in [blinks(a)]]
    assert 1.05 < np.median(ratios) < 2.5
    # Partial blinks are there: some stay under half of the person's usual depth.
    low = np.concatenate([height < 0.55 * np.median(height) for a, _ in twice for height, _, _ in [blinks(a)]])
    assert 0.02 < low.mean() < 0.35


def test_amplitudes_are_a_persons_own(
    twice: list[tuple[np.ndarray, np.ndarray]], clones: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    def persist(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        shown = [k for k in SHOWN if k < INDEX["tx"]]
        return np.array([persistence(pairs, lambda values, k=k: values[:, k].std()) for k in shown])

    # Real people, 30 s: 0.11 (AU02) to 0.75 (AU14), 0.53 on average.
    assert 0.4 < persist(twice).mean() < 0.7
    assert abs(persist(clones).mean()) < 0.1


def leaning(values: np.ndarray) -> np.ndarray:
    """Share of the activity that goes to the left, for every side channel (8,)."""
    values = values.astype(float)
    level = levels(values)
    return (values[:, SIDES] * level).sum(axis=0) / np.maximum((level**2).sum(axis=0), 1e-9)


def test_asymmetry_keeps_its_sign(
    twice: list[tuple[np.ndarray, np.ndarray]], clones: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    def agreement(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        signs = np.array([[np.sign(leaning(a)), np.sign(leaning(b))] for a, b in pairs])
        return (signs[:, 0] == signs[:, 1]).mean(axis=0)

    own, none = agreement(twice), agreement(clones)
    # 320 pairs; by chance half agree, with a standard deviation of 0.03. Not all: asymmetry is weak and has its days.
    assert own.mean() > 0.72
    assert own.min() > 0.5
    assert 0.4 < none.mean() < 0.6
    # The sign is that of the trait, and it is plain where the trait is strong.
    traits = np.array([Traits.draw(seed).asymmetry for seed in range(PEOPLE)])
    seen = np.array([leaning(a) for a, _ in twice])
    strong = np.abs(traits) > 1.5 * SIDE_PERSON
    assert strong.sum() > 10
    assert (np.sign(traits[strong]) == np.sign(seen[strong])).mean() > 0.85


def test_one_lid_leads() -> None:
    """The lag of a driver's lids, measured on the two lids, is the trait in sign and order of magnitude."""
    lags, seen = [], []
    for seed in range(16):
        driver = BuiltinDriver(seed)
        values = driver.recording(seed, 0, 30.0, 50.0).values.astype(float)
        both, apart = values[:, INDEX["AU45"]], values[:, INDEX["AU45_lr"]]
        speed = np.gradient(both) * 50
        design = np.stack([0.5 * speed, both], axis=1)
        seen.append(np.linalg.lstsq(design, apart, rcond=None)[0][0])
        lags.append(driver.traits.blink_lag)
    assert np.corrcoef(lags, seen)[0, 1] > 0.9
    assert 0.5 < np.std(seen) / np.std(lags) < 1.2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 100), st.sampled_from([12.5, 25.0, 29.97, 60.0]))
def test_sides_stay_within_what_they_belong_to(seed: int, content: int, session: int, fps: float) -> None:
    values = BuiltinDriver(seed, spread=2.0).recording(content, session, 2.0, fps).values
    for name in SIDE_CHANNELS[:6]:
        whole = np.maximum(values[:, INDEX[name.removesuffix("_lr")]], 0)
        assert (np.abs(values[:, INDEX[name]]) <= whole + 1e-6).all(), name
    assert (np.abs(values[:, [INDEX["jaw_x"], INDEX["mouth_x"]]]) <= 1).all()


def test_content_changes_what_happens_and_nothing_else() -> None:
    driver = BuiltinDriver(3)
    before = Traits.draw(3)
    one, other = (driver.recording(content, 0, 20.0).values for content in (0, 1))
    for field in fields(Traits):
        np.testing.assert_array_equal(getattr(driver.traits, field.name), getattr(before, field.name))
    moving = [INDEX[name] for name in ("AU25", "AU45", "gaze_x", "yaw")]
    agreement = [np.corrcoef(one[:, k], other[:, k])[0, 1] for k in moving]
    assert np.abs(agreement).max() < 0.5
    # One script on two days is recognisably one script, unlike two scripts on one day.
    same, other = [], []
    for seed in range(6):
        driver = BuiltinDriver(seed, spread=0.0)
        takes = ((2 * seed, 0), (2 * seed, 1), (2 * seed + 1, 0))
        base, tomorrow, rewritten = (driver.recording(script, day, 20.0).values for script, day in takes)
        for k in (INDEX["gaze_x"], INDEX["gaze_y"], INDEX["yaw"]):
            same.append(np.corrcoef(base[:, k], tomorrow[:, k])[0, 1])
            other.append(np.corrcoef(base[:, k], rewritten[:, k])[0, 1])
    assert np.mean(same) > 0.2
    assert abs(np.mean(other)) < 0.12  # 18 correlations of about 0.2


def test_wandering_is_slow_and_of_unit_variance() -> None:
    curves = wander(np.random.default_rng(0), 40_000, 7.0, 6)
    assert curves.shape == (40_000, 6)
    assert 0.7 < curves.var() < 1.2
    near, far = (np.mean(curves[lag:] * curves[:-lag]) for lag in (int(1 * INNER_FPS), int(30 * INNER_FPS)))
    assert near > 0.85 * curves.var()
    assert abs(far) < 0.2


def test_speed() -> None:
    driver = BuiltinDriver(0)
    driver.recording(0, 0, 1.0)
    start = time.process_time()
    driver.recording(1, 1, 60.0)
    assert 60.0 / (time.process_time() - start) > 150  # measured: about 1,300 s of motion for a second of CPU


def _benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    return importlib.import_module("driver_variance")


def test_nested_variances_are_unbiased_for_any_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = _benchmark(monkeypatch).nested_variance
    rng = np.random.default_rng(0)
    counts = [(3, 9, 2), (5, 5), (2, 7, 4, 6), (8, 3, 3)]  # windows of each recording of each person
    person = np.array([f"p{p}" for p, own in enumerate(counts) for n in own for _ in range(n)])
    recording = np.array([f"p{p}r{r}" for p, own in enumerate(counts) for r, n in enumerate(own) for _ in range(n)])
    many = 20_000
    x = np.sqrt(0.2) * rng.standard_normal((len(person), many))
    for labels, variance in ((person, 1.0), (recording, 0.5)):
        for name in np.unique(labels):
            x[labels == name] += np.sqrt(variance) * rng.standard_normal(many)
    # Features are repetitions: their mean estimate meets the truth within its own standard error.
    found = estimate(x, person, recording)
    np.testing.assert_allclose(found.mean(axis=1), [1.0, 0.5, 0.2], rtol=0.04)
    # The order of the windows says nothing.
    shuffled = rng.permutation(len(x))
    np.testing.assert_allclose(estimate(x[shuffled, :5], person[shuffled], recording[shuffled]), found[:, :5])


def test_crossed_variances_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    truth = [1.0, 0.5, 0.3, 0.1, 0.2]
    shapes = [(4, 1, 1, 1), (4, 3, 1, 1), (4, 1, 2, 1), (4, 3, 2, 1), (4, 3, 2, 5)]
    x = sum(np.sqrt(variance) * rng.standard_normal((*shape, 20_000)) for variance, shape in zip(truth, shapes))
    found = _benchmark(monkeypatch).crossed_variance(x)
    np.testing.assert_allclose(found.mean(axis=1), truth, atol=0.025)
