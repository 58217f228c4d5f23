import numpy as np
import pytest

from fake_weights import embedding
from whodrives.errors import InputError
from whodrives.verification.embedding import Embedding, unit_mean, window_problem


def test_template_is_the_unit_mean_of_usable_windows(rng: np.random.Generator) -> None:
    good, bad = embedding(rng.normal(size=(3, 256)), "a"), embedding(rng.normal(size=(2, 256)), "b", problem="still")
    joined = Embedding.join([good, bad])
    mean = good.vectors.mean(axis=0)
    assert joined.template == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert bad.template is None


def test_split_undoes_join(rng: np.random.Generator) -> None:
    parts = [embedding(rng.normal(size=(n, 256)), f"{n}.mp4") for n in (1, 3, 2)]
    joined = Embedding.join(parts)
    assert [window.video for window in joined.windows] == [0, 1, 1, 1, 2, 2]
    for part, back in zip(parts, joined.split(), strict=True):
        assert np.array_equal(part.vectors, back.vectors)
        assert part.windows == back.windows
        assert part.videos == back.videos


def test_vectors_cannot_be_changed_and_must_be_finite(rng: np.random.Generator) -> None:
    made = embedding(rng.normal(size=(1, 256)))
    with pytest.raises(ValueError, match="read-only"):
        made.vectors[0, 0] = 2.0
    with pytest.raises(InputError, match=r"video\.mp4.*finite"):
        Embedding(np.full((1, 256), np.nan, np.float32), made.windows, made.videos, made.model, made.contract)
    with pytest.raises(InputError, match="shape"):
        Embedding(np.zeros((2, 256), np.float32), made.windows, made.videos, made.model, made.contract)


def test_opposite_vectors_have_no_mean() -> None:
    row = np.eye(256, dtype=np.float32)[:1]
    assert unit_mean(np.concatenate([row, -row])) is None
    assert unit_mean(row[:0]) is None


@pytest.mark.parametrize(
    ("valid", "share", "gated", "expected"),
    [(32, 0.0, False, None), (31, 0.0, True, "short"), (64, 0.34, True, "rate"), (64, 0.33, True, "still")],
)
def test_window_problem(valid: int, share: float, gated: bool, expected: str | None) -> None:
    assert window_problem(valid, share, gated) == expected
