"""Windows that share frames against each window by itself."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whodrives.errors import InputError
from whodrives.models import PRESETS, FingerprintModel, ModelConfig, build_model
from whodrives.models.sliding import SlidingWindows, is_streamable, sliding_embeddings


def trained(config: ModelConfig, seed: int = 0) -> FingerprintModel:
    """A network whose running statistics, biases and slopes are not those of a new one, in double precision: near
    neighbours of the graph must not change places through rounding."""
    torch.manual_seed(seed)
    model = build_model(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.train()
        model(torch.rand(2, 6, 1, 128, 128, dtype=torch.float64))
    return model.eval()


def alone(model: FingerprintModel, frames: Tensor, length: int, hop: int) -> tuple[list[int], Tensor]:
    starts = list(range(0, len(frames) - length + 1, hop))
    with torch.inference_mode():
        return starts, torch.cat([model(frames[None, start : start + length]) for start in starts])


def check(model: FingerprintModel, frames: Tensor, length: int, hop: int, pieces: list[int]) -> None:
    sliding = SlidingWindows(model, length, hop)
    for _ in range(2):  # and once more after a reset
        starts, rows = [], []
        for part in frames.split(pieces):
            some, embeddings = sliding.push(part)
            assert embeddings.shape == (len(some), model.config.embedding_dim)
            starts += some
            rows.append(embeddings)
        expected_starts, expected = alone(model, frames, length, hop)
        assert starts == expected_starts
        assert torch.allclose(torch.cat(rows), expected, atol=1e-9)
        sliding.reset()


CONFIGS = [
    ModelConfig(normalisation="frame"),
    ModelConfig(normalisation="fixed", halved_axis="W", fusion="none"),
    *(
        ModelConfig(normalisation="frame", representation=name)
        for name in ("pixel_diff", "raw_feat", "static", "concat")
    ),
    ModelConfig(normalisation="fixed", aggregation="edge_conv", include_self=False),
    ModelConfig(normalisation="frame", backbone="resnet18_released"),
    ModelConfig(normalisation="frame", backbone="residual", head="conv1d"),
    PRESETS["plus"],
]


CASES = (
    [(CONFIGS[0], length) for length in (2, 3, 4, 6, 9)] + [(config, 5) for config in CONFIGS[1:]] + [(CONFIGS[3], 2)]
)


@pytest.mark.parametrize(("config", "length"), CASES)
def test_windows_equal_those_computed_alone(config: ModelConfig, length: int) -> None:
    frames = torch.rand(14, 1, 128, 128, dtype=torch.float64)
    check(trained(config), frames, length, hop=2, pieces=[1, 5, 2, 0, 6])


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(0, 22), max_size=8), st.integers(5, 10), st.integers(1, 12))
def test_pieces_of_any_size_change_nothing(cuts: list[int], length: int, hop: int) -> None:
    edges = [0, *sorted(cuts), 22]
    frames = torch.rand(22, 1, 128, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(hop))
    pieces = [last - first for first, last in itertools.pairwise(edges)]
    check(trained(ModelConfig(normalisation="frame"), 1), frames, length, hop, pieces)


def test_memory_does_not_grow_with_the_video() -> None:
    model = trained(ModelConfig(normalisation="fixed"))
    sliding = SlidingWindows(model, 6, 2)
    sizes = []
    for _ in range(12):
        sliding.push(torch.rand(4, 1, 128, 128, dtype=torch.float64))
        shared = sliding._sums
        rows = [recent.rows for recent in (shared.taps_1, shared.taps_2, shared.pooled)]
        sizes.append((*(0 if row is None else row.untyped_storage().nbytes() for row in rows), len(shared.left)))
    assert len(set(sizes[4:])) == 1


@pytest.mark.parametrize("normalisation", ["frame", "clip"])
def test_a_whole_video_in_one_call(normalisation: str) -> None:
    model = trained(ModelConfig(normalisation=normalisation))
    assert is_streamable(model) == (normalisation == "frame")
    frames = (255 * torch.rand(13, 1, 128, 128)).to(torch.uint8)
    starts, rows = sliding_embeddings(model.float(), frames, 6, 3, chunk=4)
    expected_starts, expected = alone(model, frames, 6, 3)
    assert starts == expected_starts == [0, 3, 6]
    assert torch.allclose(rows, expected, atol=1e-3)
    assert sliding_embeddings(model, frames[:5], 6, 3)[0] == []


def test_what_cannot_slide_is_told() -> None:
    model = trained(ModelConfig(normalisation="frame"))
    with pytest.raises(InputError, match="at least 2 and 1"):
        SlidingWindows(model, 6, 0)
    with pytest.raises(InputError, match="statistics of its own"):
        SlidingWindows(trained(ModelConfig()), 6, 1)
    with pytest.raises(InputError, match=r"eval\(\)"):
        SlidingWindows(trained(ModelConfig(normalisation="frame")).train(), 6, 1)
    with pytest.raises(InputError, match="grey frames"):
        SlidingWindows(model, 6, 1).push(torch.rand(3, 128, 128))
