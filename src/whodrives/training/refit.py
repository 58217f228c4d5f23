"""A fresh end of the head on trained features: cheap, because the features of a clip are computed once.

A learning rate that suits convolutions can kill the hidden units of the small MLP behind them; the embedding then keeps
few dimensions, and everything learned below is seen through them. Refitting the MLP alone costs minutes. Of a head that
reads step by step (`series_head`) everything behind the reading layer is fitted, on the series that it reads: 8 KiB a
clip, so that many thousands of clips can be kept. Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.head import TemporalHead
from whodrives.models.series_head import SeriesHead
from whodrives.training.config import RecipeConfig
from whodrives.training.loss import Prototypes, driver_cross_entropy, supervised_contrastive
from whodrives.training.schedule import learning_rate_factor
from whodrives.training.source import AvatarSource, Batch
from whodrives.training.stored import StoredSource
from whodrives.training.validation import DTYPES

# Batches for refitting come after every step that a run could take.
FIRST_STEP = 1_000_000_000
PROTOTYPE_SCALE = 0.25
LEARNING_RATE = 1e-3
WARM_UP = 20


def _entry(head: nn.Module) -> nn.Module:
    """The first layer that is refitted; its input is kept."""
    if isinstance(head, SeriesHead):
        return head.norm
    if isinstance(head, TemporalHead):
        return head.mlp[0]
    raise InputError(
        "the head of backbone resnet18_released cannot be refitted; leave --refit-head out, or take another backbone"
    )


def _refitted(head: nn.Module) -> list[nn.Module]:
    """The layers that `fit_head` replaces."""
    if isinstance(head, SeriesHead):
        return [head.norm, *head.blocks.modules(), *head.mlp]
    assert isinstance(head, TemporalHead)
    return [*head.mlp]


def _rest(head: nn.Module, x: Tensor) -> Tensor:
    """The head's output from what `_entry` sees."""
    if isinstance(head, SeriesHead):
        return head.finish(x)
    assert isinstance(head, TemporalHead)
    hidden, final = head.mlp
    out: Tensor = final(head.dropout(F.relu(hidden(x))))
    return out


# Sign of a series that is read backwards in time; other representations cannot be turned round.
BACKWARDS = {"feat_diff": -1.0, "flow": -1.0, "raw_feat": 1.0, "static": 1.0}


def _varied(series: Tensor, rng: np.random.Generator, sign: float | None = -1.0) -> Tensor:
    """Other clips of the same people for nothing: (N, K, S) -> (N, K, S'), a part of it, half of them backwards.

    sign : of `BACKWARDS`; None: none of them backwards.
    """
    steps = series.shape[2]
    length = int(rng.integers(max(1, steps * 5 // 8), steps + 1))
    first = int(rng.integers(0, steps - length + 1))
    part = series[:, :, first : first + length]
    if sign is None:
        return part
    back = torch.from_numpy(rng.random(len(part)) < 0.5).to(part.device)
    return torch.where(back[:, None, None], sign * part.flip(2), part)


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
    hook = _entry(model.head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
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


def fit_head(
    model: FingerprintModel,
    prototypes: Prototypes,
    features: Tensor,
    drivers: Tensor,
    pools: list[list[int]],
    recipe: RecipeConfig,
    steps: int,
) -> None:
    """Replace the head from `_entry` on and the prototypes by new ones, trained alone on `collect_features`' output.

    A `SeriesHead` sees parts of the clips, half of them backwards.

    Loss and batch shape are the recipe's; a batch stays within one of `pools`, as in training. The learning rate is
    1e-3, that of a `SeriesHead` goes down a cosine from there. Deterministic under recipe.seed.

    Raises
    ------
    InputError
        The features leave too few drivers.
    """
    numbers = drivers.cpu().numpy()
    clips = {int(driver): np.flatnonzero(numbers == driver) for driver in np.unique(numbers)}
    usable = [[d for d in pool if len(clips.get(d, ())) >= recipe.samples] for pool in pools]
    usable = [pool for pool in usable if len(pool) >= recipe.identities]
    if not usable:
        raise InputError(
            f"{len(features)} clips leave fewer than {recipe.identities} drivers with {recipe.samples}; refit on more"
        )
    shares = np.array([sum(len(clips[d]) for d in pool) for pool in usable], dtype=float)
    rng = np.random.default_rng([recipe.seed, FIRST_STEP])
    torch.manual_seed(recipe.seed)
    head = model.head
    fresh = _refitted(head)
    for module in fresh:
        if isinstance(module, nn.Linear | nn.Conv1d | nn.BatchNorm1d):
            module.reset_parameters()
    with torch.no_grad():
        prototypes.weight.normal_(0.0, PROTOTYPE_SCALE)
    parameters = [p for module in fresh for p in module.parameters(recurse=False)] + [prototypes.weight]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=1e-2)
    whole, was_training = isinstance(head, SeriesHead), head.training
    head.train()
    for step in range(steps):
        if whole:
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * learning_rate_factor(step, steps, min(WARM_UP, steps // 10))
        pool = usable[rng.choice(len(usable), p=shares / shares.sum())]
        chosen = rng.choice(pool, recipe.identities, replace=False)
        rows = np.concatenate([rng.choice(clips[driver], recipe.samples, replace=False) for driver in chosen])
        x, y = features[rows], drivers[rows]
        if whole:
            x = _varied(x, rng, BACKWARDS.get(model.config.representation))
        embedding = F.normalize(_rest(head, x), dim=1)
        loss = embedding.new_zeros(())
        if recipe.contrastive_weight > 0:
            found = supervised_contrastive(embedding, y, recipe.temperature, recipe.loss_reduction)
            loss = recipe.contrastive_weight * found
        if recipe.cross_entropy_weight > 0:
            extra = driver_cross_entropy(embedding, prototypes.weight, y, recipe.cross_entropy_scale)
            loss = loss + recipe.cross_entropy_weight * extra
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if whole:
            nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimiser.step()
    head.train(was_training)


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
    _entry(model.head)
    if not recipe.learns_drivers:
        raise InputError("config: --refit-head needs train.contrastive_weight or cross_entropy_weight above 0")
    features, drivers = collect_features(model, source, recipe, recipe.refit_batches)
    fit_head(model, prototypes, features, drivers, source.pools, recipe, steps)
