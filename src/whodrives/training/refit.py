"""A fresh end of the head on trained features: cheap, because the features of a clip are computed once.

A learning rate that suits convolutions can kill the hidden units of the small MLP behind them; the embedding then keeps
few dimensions, and everything learned below is seen through them. Refitting the MLP alone costs minutes. Of a head that
reads step by step (`series_head`) everything behind the reading layer is fitted, on the series that it reads: 8 KiB a
clip, so that many thousands of clips can be kept. Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.series_head import SeriesHead
from whodrives.training.config import RecipeConfig
from whodrives.training.head_fit import entry, fit_head
from whodrives.training.loss import Prototypes
from whodrives.training.source import AvatarSource, Batch
from whodrives.training.stored import StoredSource
from whodrives.training.validation import DTYPES

# Batches for refitting come after every step that a run could take.
FIRST_STEP = 1_000_000_000


def batches_ahead(
    source: AvatarSource | StoredSource, recipe: RecipeConfig, batches: int, first: int = FIRST_STEP
) -> Iterator[Batch]:
    """Batches from number `first` on, which no training step sees.

    With recipe.prefetch the next is made while one is looked at.
    """

    def make(number: int) -> Batch:
        return source.batch(first + number, recipe.identities, recipe.samples)

    if not recipe.prefetch:
        yield from map(make, range(batches))
        return
    # torch's thread count is a setting of each thread.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as renderer:
        pending = renderer.submit(make, 0)
        for number in range(1, batches + 1):
            made = pending.result()
            if number < batches:
                pending = renderer.submit(make, number)
            yield made


@torch.no_grad()
def pooled_features(
    model: FingerprintModel,
    frames: Tensor,
    batch_size: int = 8,
    precision: str = "bf16",
    valid: Tensor | None = None,
) -> Tensor:
    """What the layer of the head that `fit_head` begins with gets to see, in evaluation mode, where the model is.

    Parameters
    ----------
    frames : (N, T, 1, 128, 128). valid : int64 (N,) leading real frames; None: all.

    Returns
    -------
    float32 (N, 512); of a `SeriesHead` (N, CONTROLS, S).
    """
    device = next(model.parameters()).device
    seen: list[Tensor] = []
    hook = entry(model.head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(frames), batch_size):
            part = slice(start, start + batch_size)
            real = None if valid is None else valid[part].to(device)
            with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
                model(frames[part].to(device), real)
    finally:
        hook.remove()
        model.train(was_training)
    return torch.cat(seen)


def collect_features(
    model: FingerprintModel, source: AvatarSource | StoredSource, recipe: RecipeConfig, batches: int
) -> tuple[Tensor, Tensor]:
    """`pooled_features` and drivers (N,) of `batches` batches that no training step sees.

    Raises
    ------
    InputError
        Padding is to be masked under a `SeriesHead`, whose kept steps do not say which of them are real.
    """
    features: Tensor | None = None
    labels = []
    size = recipe.identities * recipe.samples
    for number, batch in enumerate(batches_ahead(source, recipe, batches)):
        if batch.valid is not None and isinstance(model.head, SeriesHead):
            raise InputError("config: data.mask_padding with --refit-head needs head = 'conv3d'; set it to false")
        found = pooled_features(model, batch.frames, precision=recipe.precision, valid=batch.valid)
        if features is None:
            features = found.new_empty(batches * size, *found.shape[1:])
        features[number * size : (number + 1) * size] = found
        labels.append(batch.driver.to(found.device))
    assert features is not None
    return features, torch.cat(labels)


def refit_head(
    model: FingerprintModel,
    prototypes: Prototypes,
    source: AvatarSource | StoredSource,
    recipe: RecipeConfig,
    steps: int,
) -> None:
    """`collect_features` of recipe.refit_batches batches, then `fit_head`.

    Raises
    ------
    InputError
        `resnet18_released`, whose MLP has a BatchNorm, or a recipe with no loss that looks at embeddings.
    """
    # Before minutes of rendering.
    entry(model.head)
    if not recipe.learns_drivers:
        raise InputError("config: --refit-head needs train.contrastive_weight or cross_entropy_weight above 0")
    features, drivers = collect_features(model, source, recipe, recipe.refit_batches)
    fit_head(model, prototypes, features, drivers, source.pools, recipe, steps)
