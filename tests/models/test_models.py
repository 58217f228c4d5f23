"""The networks: parity, batch independence, masks, gradients, graph oracle."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.avatars.tracks import CHANNELS
from whodrives.errors import InputError
from whodrives.models import ModelConfig, build_model
from whodrives.models.batchnorm import FrameBatchNorm
from whodrives.models.fcc import circulant
from whodrives.models.graph import nearest_positions, neighbour_max
from whodrives.models.normalise import standardise
from whodrives.models.series_head import CONTROLS

REPRESENTATIONS = ("feat_diff", "pixel_diff", "raw_feat", "static", "concat", "flow")


def shown(representation: str) -> dict[str, str]:
    """What makes a model see clips in this way."""
    return {"representation": representation, "backbone": "none" if representation == "flow" else "f5c"}


def clips(batch: int, steps: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (batch, steps, 1, 128, 128), generator=torch.Generator().manual_seed(seed)).to(
        torch.uint8
    )


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_match_the_paper() -> None:
    assert count(build_model("paper")) == 526_808
    assert count(build_model("release")) == 510_296
    assert count(build_model("release", dead_params=True)) == 526_808
    assert count(build_model("plus")) == 214_786
    assert count(build_model("paper", backbone="residual")) == 572_048
    assert count(build_model("paper", backbone="resnet18").backbone.trunk) == 11_170_240
    released = build_model("paper", backbone="resnet18_released")
    assert count(released.backbone.trunk) == count(released.backbone) == 11_170_240
    assert count(released) == 11_565_248


def test_the_series_head_reads_as_many_numbers_as_there_are_controls() -> None:
    assert len(CHANNELS) == CONTROLS


def test_a_backbone_with_a_head_of_its_own_takes_no_other() -> None:
    with pytest.raises(InputError, match="head of its own"):
        build_model("paper", head="conv1d", backbone="resnet18_released")


def test_flow_goes_without_a_backbone_and_nothing_else_does() -> None:
    for unfit in ({"representation": "flow"}, {"backbone": "none"}):
        with pytest.raises(InputError, match="'flow' goes with 'none'"):
            build_model("paper", **unfit)


def test_concat_changes_the_first_convolution_only() -> None:
    for backbone, added in (
        ("f5c", 8 * 4 * 4),
        ("resnet18", 64 * 7 * 7),
        ("resnet18_released", 64 * 7 * 7),
        ("residual", 16 * 5 * 5),
    ):
        one = build_model("paper", backbone=backbone).state_dict()
        two = build_model("paper", backbone=backbone, representation="concat").state_dict()
        assert one.keys() == two.keys()
        changed = [name for name in one if one[name].shape != two[name].shape]
        assert len(changed) == 1
        assert two[changed[0]].numel() - one[changed[0]].numel() == added
        assert two[changed[0]].shape[1] == 2


@pytest.mark.parametrize("backbone", ["resnet18", "resnet18_released"])
def test_resnet_has_torchvision_names(backbone: str) -> None:
    names = set(build_model(ModelConfig(backbone=backbone)).backbone.trunk.state_dict())
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.1.bn2.weight",
    } <= names
    assert len(names) == 120  # torchvision's resnet18 without fc


@pytest.mark.parametrize("preset", ["paper", "release"])
@pytest.mark.parametrize("head", ["conv3d", "conv1d"])
@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("steps", [2, 5])
def test_unit_vectors_for_any_length(preset: str, head: str, representation: str, steps: int) -> None:
    model = build_model(preset, head=head, **shown(representation)).eval()
    with torch.inference_mode():
        out = model(clips(2, steps))
    assert out.shape == (2, 256)
    assert torch.allclose(out.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_clip_is_embedded_alone_as_in_a_batch(representation: str) -> None:
    # In double precision, for the reason given at test_masked_padding_equals_the_short_clip.
    model = build_model("paper", **shown(representation)).eval().double()
    batch = clips(3, 4).double() / 255
    with torch.inference_mode():
        together, alone = model(batch), torch.cat([model(one[None]) for one in batch])
        permuted = model(batch[[2, 0, 1]])
    assert torch.allclose(together, alone, atol=1e-9)
    assert torch.allclose(permuted, together[[2, 0, 1]], atol=1e-9)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("normalisation", ["clip", "frame", "fixed"])
def test_masked_padding_equals_the_short_clip(representation: str, normalisation: str) -> None:
    # In double precision: sums of another length round otherwise, and in single precision that can swap two nearly
    # equal neighbours of the graph, on one CPU and not on the next.
    for head in ("conv3d", "conv1d"):
        check_masked(representation, normalisation, head)


def check_masked(representation: str, normalisation: str, head: str) -> None:
    model = build_model("paper", normalisation=normalisation, head=head, **shown(representation))
    model = model.eval().double()
    short = clips(2, 5).double() / 255
    padded = torch.cat([short, short[:, -1:].expand(-1, 4, -1, -1, -1)], dim=1)
    with torch.inference_mode():
        assert torch.allclose(model(padded, torch.tensor([5, 5])), model(short), atol=1e-9)


def test_every_parameter_gets_a_gradient() -> None:
    for preset in ("paper", "release"):
        for overrides in (
            {},
            {"head": "conv1d"},
            {"aggregation": "edge_conv"},
            {"backbone": "resnet18"},
            {"backbone": "residual"},
            {"representation": "concat"},
            {"backbone": "resnet18_released"},
            {"head": "conv1d", **shown("flow")},
        ):
            model = build_model(preset, **overrides).train()
            (model(clips(3, 3)) * torch.randn(3, 256)).sum().backward()
            # An affine fcc commutes with differencing, so positions of the later axis cancel only in value.
            without = [name for name, p in model.named_parameters() if p.grad is None]
            assert without == []


def test_every_parameter_of_the_residual_backbone_learns() -> None:
    model = build_model("paper", backbone="residual", head="conv1d").train()
    with torch.no_grad():  # in a new network the blocks are nothing but their shortcuts
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    (model(clips(3, 3)) * torch.randn(3, 256)).sum().backward()
    assert [name for name, p in model.backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_frames_are_brightness_invariant() -> None:
    model = build_model("paper").eval().double()
    clip = clips(1, 4).double() / 255
    with torch.inference_mode():
        assert torch.allclose(model(clip), model(clip * 0.5 + 0.2), atol=1e-4)


def test_per_frame_step_equals_a_loop_over_frames() -> None:
    torch.manual_seed(0)
    ours, loop = FrameBatchNorm(3, per_step=True).train(), torch.nn.BatchNorm2d(3).train()
    x = torch.randn(4 * 5, 3, 6, 6)
    expected = torch.stack([loop(frame) for frame in x.view(4, 5, 3, 6, 6).unbind(1)], dim=1).flatten(0, 1)
    assert torch.allclose(ours(x, steps=5), expected, atol=1e-5)
    assert torch.allclose(ours.running_mean, loop.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, loop.running_var, atol=1e-6)
    assert ours.num_batches_tracked == 5


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.sampled_from([4, 9, 16]), st.integers(1, 4), st.booleans(), st.integers(0, 10_000))
def test_graph_equals_a_naive_loop(batch: int, positions: int, k: int, include_self: bool, seed: int) -> None:
    k = min(k, positions - 1)
    nodes = torch.randn(batch, positions, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ours = nodes.clone().requires_grad_()
    index = nearest_positions(ours, k, include_self)
    out = neighbour_max(ours, index)
    reference = nodes.clone().requires_grad_()
    rows = []
    for n in range(batch):
        for i in range(positions):
            cosine = [
                float(nodes[n, i] @ nodes[n, j] / nodes[n, i].norm() / nodes[n, j].norm())
                if include_self or i != j
                else -9.0
                for j in range(positions)
            ]
            nearest = sorted(range(positions), key=lambda j: -cosine[j])[:k]
            assert set(nearest) == set(index[n, i].tolist())
            rows.append(torch.stack([reference[n, j] for j in nearest]).amax(0))
    expected = torch.stack(rows).view_as(out)
    assert torch.equal(out, expected)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(ours.grad, reference.grad, atol=1e-6)


def test_circulant_is_the_circular_convolution() -> None:
    kernel, x = torch.randn(2, 32), torch.randn(2, 16)
    expected = torch.stack(
        [torch.stack([sum(kernel[c, k] * x[c, (i + k) % 16] for k in range(16)) for i in range(16)]) for c in range(2)]
    )
    assert torch.allclose(torch.bmm(circulant(kernel, 16), x[:, :, None])[:, :, 0], expected, atol=1e-5)


def test_standardise_modes() -> None:
    clip = clips(2, 3)
    whole = standardise(clip, "clip")
    assert torch.allclose(whole.mean(dim=(1, 2, 3, 4)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(whole.std(dim=(1, 2, 3, 4)), torch.ones(2), atol=1e-4)
    frames = standardise(clip, "frame")
    assert torch.allclose(frames.std(dim=(2, 3, 4)), torch.ones(2, 3), atol=1e-4)
    assert torch.equal(standardise(clip, "fixed"), (clip.float() / 255 - 0.5) / 0.25)


def test_wrong_inputs_name_the_problem() -> None:
    model = build_model("paper").eval()
    with pytest.raises(InputError, match="T = 1"):
        model(clips(1, 1))
    with pytest.raises(InputError, match="expected"):
        model(torch.zeros(1, 4, 3, 128, 128))
    with pytest.raises(InputError, match="valid"):
        model(clips(1, 4), torch.tensor([9]))
    with pytest.raises(InputError, match="preset"):
        build_model("papper")
    with pytest.raises(InputError, match="did you mean"):
        build_model("paper", representaton="static")
    with pytest.raises(InputError, match="fusion"):
        build_model("paper", fusion="sum")


def test_reference_numbers(shared: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "check_reference.py"
    done = subprocess.run(
        [sys.executable, str(script), str(shared / "golden")], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ok") == 11
