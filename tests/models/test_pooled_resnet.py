"""The backbone of Table VIII as released: pooled ResNet-18 features, a mean over time, an MLP of its own."""

import pytest
import torch
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models import FingerprintModel, build_model
from whodrives.models.batchnorm import ClipBatchNorm
from whodrives.models.normalise import standardise

REPRESENTATIONS = ("feat_diff", "pixel_diff", "raw_feat", "static", "concat")


def clips(batch: int, steps: int) -> torch.Tensor:
    return torch.rand(batch, steps, 1, 128, 128, generator=torch.Generator().manual_seed(0))


def released(representation: str, **fields: object) -> FingerprintModel:
    torch.manual_seed(0)
    return build_model("paper", backbone="resnet18_released", representation=representation, **fields).eval()


def by_hand(model: FingerprintModel, clip: torch.Tensor, representation: str) -> torch.Tensor:
    """One clip (T, 1, 128, 128), frame by frame, as the released code is described."""
    x = standardise(clip[None], "clip")[0]

    def pooled(frame: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(model.backbone.trunk(frame[None]), 1).flatten()

    steps = range(len(x) - 1)
    if representation == "static":
        feature = pooled(x[len(x) // 2])
    elif representation == "raw_feat":
        feature = sum(pooled(frame) for frame in x) / len(x)
    elif representation == "feat_diff":
        unit = [F.normalize(pooled(frame), dim=0) for frame in x]
        feature = sum(unit[t + 1] - unit[t] for t in steps) / len(steps)
    elif representation == "pixel_diff":
        feature = sum(pooled(x[t + 1] - x[t]) for t in steps) / len(steps)
    else:
        feature = sum(pooled(torch.cat((x[t], x[t + 1]))) for t in steps) / len(steps)
    hidden, final = model.head.mlp
    out = final(F.relu(model.head.norm(hidden(feature)[None])))[0]
    return out / out.norm()


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_it_is_the_released_network(representation: str) -> None:
    model, batch = released(representation), clips(2, 3)
    with torch.inference_mode():
        expected = torch.stack([by_hand(model, clip, representation) for clip in batch])
        assert torch.allclose(model(batch), expected, atol=1e-5)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_masked_padding_equals_the_short_clip(representation: str) -> None:
    model, short = released(representation), clips(1, 3)
    padded = torch.cat([short, short[:, -1:].expand(-1, 2, -1, -1, -1)], dim=1)
    with torch.inference_mode():
        expected, masked, unmasked = model(short), model(padded, torch.tensor([3])), model(padded)
    assert torch.allclose(masked, expected, atol=1e-5)
    assert not torch.allclose(unmasked, expected, atol=1e-5)


def test_averaged_differences_see_the_first_and_last_frame_only() -> None:
    model, clip = released("feat_diff", normalisation="fixed"), clips(1, 4)
    middle, last = clip.clone(), clip.clone()
    middle[:, 1:3] = 0.5
    last[:, 3] = 0.5
    with torch.inference_mode():
        expected = model(clip)
        assert torch.allclose(model(middle), expected, atol=1e-6)
        assert not torch.allclose(model(last), expected, atol=1e-4)


def test_training_on_a_single_clip_is_refused() -> None:
    with pytest.raises(InputError, match="piece_clips"):
        ClipBatchNorm(4).train()(torch.zeros(1, 4))
