"""Windows that share frames against windows one by one, over shots, padded windows and batches."""

import numpy as np
import pytest
import torch

from whodrives.models import ModelConfig, build_model
from whodrives.verification.forward import PlainForward, SharedForward, window_forward
from whodrives.video.windows import cut_windows, gather

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_shared_frames_change_no_row(batch: int) -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(normalisation="frame")).eval()
    frames = np.random.default_rng(0).integers(0, 255, (40, 128, 128), np.uint8)
    # Shots of 17, 5 (shorter than a window: padded), 8 (just one window) and 10 frames.
    windows = cut_windows(40, 8, 3, scene_cuts=(17, 22, 30))
    assert [window.valid < window.length for window in windows] == [False] * 4 + [True] + [False] * 2
    cuts = [(window, gather(frames, window)) for window in windows]
    shared, plain = window_forward(model, 8, 3, CPU), PlainForward(model, CPU)
    assert isinstance(shared, SharedForward)
    parts = [cuts[first : first + batch] for first in range(0, len(cuts), batch)]
    rows = np.concatenate([shared(part) for part in parts])
    expected = np.concatenate([plain([cut]) for cut in cuts])
    # Rounding may swap near neighbours of the graph.
    assert np.allclose(rows, expected, atol=1e-3)
    assert (rows * expected).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_frames_are_shared_only_where_that_is_exact_and_saves_something() -> None:
    frame, clip = (build_model(ModelConfig(normalisation=name)).eval() for name in ("frame", "clip"))
    assert isinstance(window_forward(clip, 8, 4, CPU), PlainForward)
    assert isinstance(window_forward(frame, 8, 8, CPU), PlainForward)
    assert isinstance(window_forward(torch.nn.Identity(), 8, 4, CPU), PlainForward)
    assert isinstance(window_forward(frame, 8, 7, CPU), SharedForward)
