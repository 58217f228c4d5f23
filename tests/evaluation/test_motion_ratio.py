"""Motion ratio and adjacent-frame cosine against loops, on every backbone, in chunks, with padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.evaluation.motion_ratio import INPUT, STAGES, adjacent, motion_ratio
from whodrives.models import FingerprintModel, build_model
from whodrives.models.fingerprint import BACKBONES
from whodrives.models.normalise import standardise


def clips(count: int, steps: int) -> torch.Tensor:
    return torch.rand(count, steps, 1, 128, 128, generator=torch.Generator().manual_seed(1))


def network(backbone: str = "f5c", representation: str = "feat_diff") -> FingerprintModel:
    torch.manual_seed(0)
    # Several equal neighbours could swap between chunks of another size.
    return build_model("paper", backbone=backbone, representation=representation, neighbours=1).eval()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 1000), st.floats(0.1, 10))
def test_adjacent_equals_a_loop_and_ignores_scale(steps: int, size: int, seed: int, scale: float) -> None:
    h = torch.randn(steps, size, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ratio, cosine, step = adjacent(h)
    rows = h.reshape(steps, -1).numpy()
    for t in range(steps - 1):
        a, b = rows[t], rows[t + 1]
        assert float(ratio[t]) == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
        assert float(step[t]) == pytest.approx(np.linalg.norm(b - a))
        assert float(cosine[t]) == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert torch.allclose(adjacent(h * scale)[0], ratio)


def test_stages_are_those_of_a_run_by_hand() -> None:
    model, batch = network(), clips(2, 4)
    found = motion_ratio(model, batch)
    assert list(found.ratio) == [INPUT, "conv1", "conv2", "conv3", "conv4", "fcc", "ccc"] == list(found.cosine)
    for number, clip in enumerate(batch):
        x = standardise(clip[None], "clip")[0]
        stages = {INPUT: x}
        with torch.inference_mode():
            for n, block in enumerate(model.backbone.conv_stack):
                x = stages[f"conv{n + 1}"] = block(x, 4)
            x = stages["fcc"] = model.backbone.fcc(x)
            stages["ccc"] = model.backbone.ccc(x)
        for stage, h in stages.items():
            ratio, cosine, _ = adjacent(h)
            assert found.ratio[stage][number] == pytest.approx(float(ratio.mean()), rel=1e-5)
            assert found.cosine[stage][number] == pytest.approx(float(cosine.mean()), rel=1e-5)


@pytest.mark.parametrize("backbone", list(STAGES))
def test_every_backbone_has_its_stages(backbone: str) -> None:
    found = motion_ratio(network(backbone), clips(1, 3))
    assert list(found.ratio) == [INPUT, *STAGES[backbone]]
    assert all(np.isfinite(values).all() and values.shape == (1,) and values > 0 for values in found.ratio.values())
    assert all(-1 <= values[0] <= 1 for values in found.cosine.values())
    assert {*STAGES, "none"} == set(BACKBONES)


def test_optical_flow_has_no_stages() -> None:
    with pytest.raises(InputError, match="no features of single frames"):
        motion_ratio(build_model("plus"), clips(1, 3))


def test_the_stem_is_what_enters_layer1_and_the_pool_what_the_head_gets() -> None:
    model, batch = network("resnet18_released"), clips(1, 3)
    found = motion_ratio(model, batch)
    x = standardise(batch, "clip")[0]
    trunk = model.backbone.trunk
    with torch.inference_mode():
        stem = torch.max_pool2d(torch.relu(trunk.bn1(trunk.conv1(x))), 3, 2, 1)
        assert found.ratio["stem"][0] == pytest.approx(float(adjacent(stem)[0].mean()), rel=1e-5)
        assert found.ratio["layer4"][0] == pytest.approx(float(adjacent(trunk(x))[0].mean()), rel=1e-5)
        pooled = torch.nn.functional.normalize(trunk(x).mean(dim=(2, 3)), dim=1)
    assert found.ratio["pooled"][0] == pytest.approx(float(adjacent(pooled)[0].mean()), rel=1e-4)


@pytest.mark.parametrize("representation", ["feat_diff", "concat"])
def test_chunks_and_padding_change_nothing(representation: str) -> None:
    model, short = network(representation=representation), clips(2, 5)
    padded = torch.cat([short, short[:, -1:].expand(-1, 3, -1, -1, -1)], dim=1)
    whole = motion_ratio(model, short, chunk=100)
    for other in (motion_ratio(model, short, chunk=2), motion_ratio(model, padded, np.array([5, 5]), chunk=3)):
        for stage, values in whole.ratio.items():
            np.testing.assert_allclose(other.ratio[stage], values, rtol=1e-4)
            np.testing.assert_allclose(other.cosine[stage], whole.cosine[stage], rtol=1e-4)
            np.testing.assert_allclose(other.centred[stage], whole.centred[stage], rtol=1e-4)


def test_centred_takes_out_what_all_inputs_share() -> None:
    model, batch = network(), clips(3, 4)
    found = motion_ratio(model, batch)
    # Noise: every frame is as far from the next as from any other.
    assert found.centred[INPUT] == pytest.approx(1, abs=0.1)
    x = torch.stack([standardise(clip[None], "clip")[0] for clip in batch])
    with torch.inference_mode():
        h = torch.stack([model.backbone.conv_stack[0](clip, 4) for clip in x]).double().flatten(2)
    before = h[:, :-1].flatten(0, 1)
    spread = (2 * ((before - before.mean(0)) ** 2).sum(1).mean()).sqrt()
    expected = (h[:, 1:] - h[:, :-1]).norm(dim=2).mean(1) / spread
    np.testing.assert_allclose(found.centred["conv1"], expected, rtol=1e-4)
    with torch.no_grad():
        model.backbone.fcc.fusion.bias += 1000
    shifted = motion_ratio(model, batch)
    assert shifted.ratio["fcc"] == pytest.approx(0, abs=1e-2)
    np.testing.assert_allclose(shifted.centred["fcc"], found.centred["fcc"], rtol=1e-2)


def test_a_still_clip_has_no_motion_and_an_even_one_no_ratio() -> None:
    still = clips(1, 1).expand(-1, 3, -1, -1, -1)
    found = motion_ratio(network(), torch.cat([still, torch.full_like(still, 0.5)]))
    for stage, values in found.ratio.items():
        assert values[0] == pytest.approx(0, abs=1e-6), stage
        assert found.cosine[stage][0] == pytest.approx(1), stage
    assert np.isnan(found.ratio[INPUT][1])
    assert np.isnan(motion_ratio(network(), still).centred[INPUT]).all()


def test_the_model_is_left_as_it_was() -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    motion_ratio(model, clips(1, 3))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_too_little_is_refused() -> None:
    with pytest.raises(InputError, match=r"2\.\.1"):
        motion_ratio(network(), clips(1, 1))
    with pytest.raises(InputError, match=r"3\.\.2"):
        motion_ratio(network(representation="concat"), clips(1, 2))
    with pytest.raises(InputError, match="real frames"):
        motion_ratio(network(), clips(1, 3), np.array([4]))
    with pytest.raises(InputError, match="chunk"):
        motion_ratio(network(), clips(1, 3), chunk=0)
