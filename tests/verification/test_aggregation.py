import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from whodrives.errors import InputError
from whodrives.verification.aggregation import independent_windows, trimmed_mean

scores = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


@given(scores)
def test_trimmed_mean_matches_scipy(values: list[float]) -> None:
    assert trimmed_mean(values) == pytest.approx(trim_mean(values, 0.1), abs=1e-12)


@given(scores)
def test_up_to_nine_windows_are_a_plain_mean(values: list[float]) -> None:
    # The card's thresholds are measured on plain means of one and four windows.
    assert trimmed_mean(values[:9]) == pytest.approx(float(np.mean(values[:9])), abs=1e-12)


def test_one_wild_window_in_ten_does_not_move_the_score() -> None:
    assert trimmed_mean([0.5] * 19 + [-1.0]) == pytest.approx(0.5)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_bad_scores_are_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="finite"):
        trimmed_mean(values)


def test_bad_trim_is_refused() -> None:
    with pytest.raises(InputError, match="trim"):
        trimmed_mean([0.1], trim=0.5)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 4)), max_size=7))
def test_independent_windows_is_the_largest_set_without_overlap(spans: list[tuple[int, int, int]]) -> None:
    def free(subset: list[tuple[int, int, int]]) -> bool:
        frames = [(video, frame) for video, start, length in subset for frame in range(start, start + length)]
        return len(frames) == len(set(frames))

    best = max(
        bin(mask).count("1")
        for mask in range(2 ** len(spans))
        if free([span for bit, span in enumerate(spans) if mask >> bit & 1])
    )
    assert independent_windows(spans) == best
