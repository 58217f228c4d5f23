import numpy as np
import pytest

from whodrives.errors import InputError
from whodrives.evaluation.calibration import threshold_from_trials


@pytest.mark.parametrize("far", [0.01, 0.05, 0.2])
def test_threshold_keeps_the_rate_and_counts_match(far: float) -> None:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(0.6, 0.2, 300), rng.normal(0.0, 0.2, 1000)
    point = threshold_from_trials(genuine, impostor, far)
    accepted = sum(score >= point.threshold for score in impostor)
    assert accepted / 1000 == point.far <= far + 1e-9
    assert sum(score < point.threshold for score in genuine) / 300 == pytest.approx(point.frr)
    # One more accepted impostor would break the promise.
    assert (impostor >= np.sort(impostor[impostor < point.threshold])[-1]).mean() > far - 1e-9


def test_too_few_trials_and_bad_input_are_refused() -> None:
    with pytest.raises(InputError, match="at least 100"):
        threshold_from_trials([0.5], np.zeros(99), 0.01)
    with pytest.raises(InputError, match="finite"):
        threshold_from_trials([], [0.1], 0.5)
    with pytest.raises(InputError, match="finite"):
        threshold_from_trials([float("nan")], [0.1], 0.5)
    with pytest.raises(InputError, match="between 0 and 1"):
        threshold_from_trials([0.5], [0.1], 1.5)
