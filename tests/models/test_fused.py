"""The inference form of the network against the network itself, in double precision."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sliding import trained

from whodrives.errors import InputError
from whodrives.models import ModelConfig, build_model
from whodrives.models.fused import FusedVolumeBlock, fused
from whodrives.models.graph import nearest_positions, neighbour_max
from whodrives.models.head import VolumeBlock
from whodrives.models.sliding import sliding_embeddings


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"representation": "pixel_diff", "normalisation": "frame"},
        {"representation": "raw_feat", "halved_axis": "W", "fusion": "none"},
        {"representation": "static", "fcc_norm": False, "fcc_bias": False},
        {"representation": "concat", "fcc_positions": False, "fcc_residual": False},
        {"aggregation": "edge_conv", "include_self": False},
        {"backbone": "resnet18"},
        {"backbone": "resnet18_released"},
        {"head": "conv1d"},
        {"backbone": "residual"},
        {"backbone": "residual", "representation": "concat", "batchnorm": "per_frame_step"},
    ],
    ids=str,
)
def test_embeddings_are_the_same(fields: dict[str, object]) -> None:
    model = trained(ModelConfig(**fields))
    before = copy.deepcopy(model.state_dict())
    clips = torch.rand(2, 13, 1, 128, 128, dtype=torch.float64)
    valid = torch.tensor([9, 13])
    with torch.inference_mode():
        quick = fused(model)
        assert torch.allclose(quick(clips), model(clips), atol=1e-10)
        assert torch.allclose(quick(clips, valid), model(clips, valid), atol=1e-10)
        assert torch.allclose(quick(clips[:, :3]), model(clips[:, :3]), atol=1e-10)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in quick.parameters())


def test_rounding_is_small_in_single_precision() -> None:
    model = trained(ModelConfig()).float()
    features = torch.nn.functional.interpolate(torch.rand(24, 1, 8, 8), size=(128, 128), mode="bilinear")[None]
    with torch.inference_mode():
        assert torch.allclose(fused(model)(features), model(features), atol=2e-5)


def test_sliding_windows_take_the_fused_network() -> None:
    model = trained(ModelConfig(normalisation="frame"))
    frames = torch.rand(30, 1, 128, 128, dtype=torch.float64)
    starts, rows = sliding_embeddings(fused(model), frames, 16, 4)
    again, expected = sliding_embeddings(model, frames, 16, 4)
    assert starts == again
    assert torch.allclose(rows, expected, atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(steps=st.integers(1, 30), batch=st.integers(1, 3), axis=st.sampled_from(["H", "W"]), seed=st.integers(0, 99))
def test_the_minimal_filter_is_the_convolution(steps: int, batch: int, axis: str, seed: int) -> None:
    torch.manual_seed(seed)
    block = VolumeBlock(3, 5, axis).double().eval()
    volume = torch.randn(batch, 3, steps, 6, 8, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(FusedVolumeBlock(block)(volume), block(volume), atol=1e-12)


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(InputError, match="eval"):
        fused(build_model("paper").train())


def test_neighbour_maximum_is_one_with_and_without_a_gradient() -> None:
    nodes = torch.randn(3, 40, 7)
    index = nearest_positions(nodes, 4)
    with_gradient = neighbour_max(nodes.clone().requires_grad_(), index)
    assert with_gradient.requires_grad
    assert torch.equal(neighbour_max(nodes, index), with_gradient.detach())
    naive = torch.stack([nodes[n, index[n]].amax(dim=1) for n in range(3)])
    assert torch.equal(with_gradient.detach(), naive)
