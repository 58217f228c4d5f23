"""A fresh projection on trained features: cheap, because the features of a clip are computed once.

A learning rate that suits convolutions can kill the hidden units of the small MLP behind them; the embedding then keeps
few dimensions, and everything learned below is seen through them. Refitting the MLP alone costs minutes. Source: ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models import FingerprintModel
from whodrives.models.head import TemporalHead
from whodrives.training.config import RecipeConfig
from whodrives.training.loss import Prototypes, driver_cross_entropy, supervised_contrastive
from whodrives.training.source import AvatarSource
from whodrives.training.stored import StoredSource
from whodrives.training.validation import DTYPES

# Batches for refitting come after every step that a run could take.
FIRST_STEP = 1_000_000_000
PROTOTYPE_SCALE = 0.25


@torch.no_grad()
def pooled_features(
    model: FingerprintModel,
    frames: Tensor,
    batch_size: int = 8,
    precision: str = "bf16",
    valid: Tensor | None = None,
) -> Tensor:
    """What the MLP of the head gets to see, in evaluation mode: (N, T, 1, 128, 128) -> (N, 512) float32, where the
    model is. valid : int64 (N,) leading real frames; None: all."""
    device = next(model.parameters()).device
    seen: list[Tensor] = []
    hook = model.head.mlp[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
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
    """Pooled features (N, 512) and drivers (N,) of `batches` batches that no training step sees."""
    features, labels = [], []
    for number in range(batches):
        batch = source.batch(FIRST_STEP + number, recipe.identities, recipe.samples)
        features.append(pooled_features(model, batch.frames, precision=recipe.precision, valid=batch.valid))
        labels.append(batch.driver.to(features[-1].device))
    return torch.cat(features), torch.cat(labels)


def fit_head(
    model: FingerprintModel,
    prototypes: Prototypes,
    features: Tensor,
    drivers: Tensor,
    pools: list[list[int]],
    recipe: RecipeConfig,
    steps: int,
) -> None:
    """Replace the MLP of the head and the prototypes by new ones, trained alone on `collect_features`' output.

    Loss and batch shape are the recipe's; a batch stays within one of `pools`, as in training. Deterministic under
    recipe.seed. Raises InputError when the features leave too few drivers.
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
    hidden, final = model.head.mlp
    assert isinstance(hidden, torch.nn.Linear)
    assert isinstance(final, torch.nn.Linear)
    hidden.reset_parameters()
    final.reset_parameters()
    with torch.no_grad():
        prototypes.weight.normal_(0.0, PROTOTYPE_SCALE)
    parameters = [*hidden.parameters(), *final.parameters(), prototypes.weight]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    for _ in range(steps):
        pool = usable[rng.choice(len(usable), p=shares / shares.sum())]
        chosen = rng.choice(pool, recipe.identities, replace=False)
        rows = np.concatenate([rng.choice(clips[driver], recipe.samples, replace=False) for driver in chosen])
        x, y = features[rows], drivers[rows]
        embedding = F.normalize(final(F.dropout(F.relu(hidden(x)), model.config.dropout)), dim=1)
        loss = supervised_contrastive(embedding, y, recipe.temperature, recipe.loss_reduction)
        if recipe.cross_entropy_weight > 0:
            extra = driver_cross_entropy(embedding, prototypes.weight, y, recipe.cross_entropy_scale)
            loss = loss + recipe.cross_entropy_weight * extra
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def refit_head(
    model: FingerprintModel,
    prototypes: Prototypes,
    source: AvatarSource | StoredSource,
    recipe: RecipeConfig,
    steps: int,
) -> None:
    """`collect_features` of recipe.refit_batches batches, then `fit_head`.

    Raises InputError for `resnet18_released`, whose MLP has a BatchNorm.
    """
    if not isinstance(model.head, TemporalHead):
        raise InputError(
            f"the head of backbone {model.config.backbone} cannot be refitted; leave --refit-head out, or take f5c"
        )
    features, drivers = collect_features(model, source, recipe, recipe.refit_batches)
    fit_head(model, prototypes, features, drivers, source.pools, recipe, steps)
