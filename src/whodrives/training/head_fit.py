"""The end of a head, fitted to features that were computed before.

Heads that are fitted to the same features from other seeds agree on what is a person's and differ in what is chance.
So several can be fitted, and one more learn what they agree on: the mean of their cosines (similarity-preserving
distillation, Tung and Mori 2019). It costs what one head costs wherever it is used. Source: ours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

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

# Random numbers of fitting: other ones than those of a run's steps.
STREAM = 1_000_000_000
PROTOTYPE_SCALE = 0.25
LEARNING_RATE = 1e-3
WARM_UP = 20
# Of the squared difference of cosines: AdamW does not mind, clipping does. And the steps of the head that learns from
# others, in steps of theirs (it cannot learn chance by heart as they can).
IMITATION, LONGER = 10.0, 2
# Clips, their embeddings and drivers -> loss.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def entry(head: nn.Module) -> nn.Module:
    """The first layer that is refitted; its input is kept. Raises InputError for a head that cannot be refitted."""
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


def rest(head: nn.Module, x: Tensor) -> Tensor:
    """What `entry` sees -> (N, embedding_dim), not yet normalised.

    x : float32 (N, 512); of a `SeriesHead` (N, CONTROLS, S).
    """
    if isinstance(head, SeriesHead):
        return head.finish(x)
    assert isinstance(head, TemporalHead)
    hidden, final = head.mlp
    out: Tensor = final(head.dropout(F.relu(hidden(x))))
    return out


# Sign of a series that is read backwards in time; other representations cannot be turned round.
BACKWARDS = {"feat_diff": -1.0, "flow": -1.0, "raw_feat": 1.0, "static": 1.0}


def varied(series: Tensor, rng: np.random.Generator, sign: float | None = -1.0) -> Tensor:
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


def _learns_drivers(recipe: RecipeConfig, prototypes: Prototypes) -> Loss:
    """The recipe's own losses."""

    def loss(_: Tensor, embedding: Tensor, driver: Tensor) -> Tensor:
        total = embedding.new_zeros(())
        if recipe.contrastive_weight > 0:
            found = supervised_contrastive(embedding, driver, recipe.temperature, recipe.loss_reduction)
            total = recipe.contrastive_weight * found
        if recipe.cross_entropy_weight > 0:
            extra = driver_cross_entropy(embedding, prototypes.weight, driver, recipe.cross_entropy_scale)
            total = total + recipe.cross_entropy_weight * extra
        return total

    return loss


def _learns_from(teachers: Sequence[nn.Module]) -> Loss:
    """Mean squared difference of cosines from the teachers' mean, over pairs of clips."""

    def loss(clips: Tensor, embedding: Tensor, _: Tensor) -> Tensor:
        with torch.no_grad():
            rows = [F.normalize(rest(teacher, clips), dim=1) for teacher in teachers]
            wanted = torch.stack([row @ row.T for row in rows]).mean(dim=0)
        pairs = ~torch.eye(len(clips), dtype=torch.bool, device=clips.device)
        found: Tensor = IMITATION * (embedding @ embedding.T - wanted)[pairs].square().mean()
        return found

    return loss


class _Clips:
    """Features and drivers, and which of them make a batch.

    Raises
    ------
    InputError
        The features leave too few drivers.
    """

    def __init__(self, features: Tensor, drivers: Tensor, pools: list[list[int]], recipe: RecipeConfig) -> None:
        self.features, self.drivers, self.recipe = features, drivers, recipe
        numbers = drivers.cpu().numpy()
        self.rows = {int(driver): np.flatnonzero(numbers == driver) for driver in np.unique(numbers)}
        usable = [[d for d in pool if len(self.rows.get(d, ())) >= recipe.samples] for pool in pools]
        self.pools = [pool for pool in usable if len(pool) >= recipe.identities]
        if not self.pools:
            raise InputError(
                f"{len(features)} clips leave fewer than {recipe.identities} drivers with {recipe.samples}; raise "
                "train.refit_batches"
            )
        shares = np.array([sum(len(self.rows[d]) for d in pool) for pool in self.pools], dtype=float)
        self.shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A batch within one pool: clips and drivers."""
        pool = self.pools[rng.choice(len(self.pools), p=self.shares)]
        chosen = rng.choice(pool, self.recipe.identities, replace=False)
        rows = np.concatenate([rng.choice(self.rows[d], self.recipe.samples, replace=False) for d in chosen])
        return self.features[rows], self.drivers[rows]


def fit_head(
    model: FingerprintModel,
    prototypes: Prototypes,
    features: Tensor,
    drivers: Tensor,
    pools: list[list[int]],
    recipe: RecipeConfig,
    steps: int,
) -> None:
    """Replace the head from `entry` on and the prototypes by new ones, trained alone on `collect_features`' output.

    A `SeriesHead` sees parts of the clips, half of them backwards.

    Loss and batch shape are the recipe's; a batch stays within one of `pools`, as in training. The learning rate is
    1e-3, that of a `SeriesHead` goes down a cosine from there. Deterministic under recipe.seed. With
    recipe.refit_teachers so many heads are fitted like that, and then one learns from them in twice as many steps; the
    prototypes are then its mean embeddings of the drivers.

    Parameters
    ----------
    features : float32 (M, 512), of a `SeriesHead` (M, CONTROLS, S). drivers : int64 (M,), rows of `prototypes`.
    pools : drivers that may share a batch. steps : of each head.

    Raises
    ------
    InputError
        The features leave too few drivers.
    """
    clips = _Clips(features, drivers, pools, recipe)
    of_drivers = _learns_drivers(recipe, prototypes)
    if not recipe.refit_teachers:
        _fit(model, prototypes, clips, of_drivers, steps, 0)
        return
    teachers = []
    for number in range(recipe.refit_teachers):
        _fit(model, prototypes, clips, of_drivers, steps, 1 + number)
        teachers.append(copy.deepcopy(model.head).eval())
    _fit(model, prototypes, clips, _learns_from(teachers), LONGER * steps, 0)
    _place_prototypes(model.head, prototypes, features, drivers)


def _fit(model: FingerprintModel, prototypes: Prototypes, clips: _Clips, loss: Loss, steps: int, number: int) -> None:
    """One new head. number : of its random numbers."""
    recipe, head = clips.recipe, model.head
    rng = np.random.default_rng([recipe.seed, STREAM, number] if number else [recipe.seed, STREAM])
    torch.manual_seed(recipe.seed + number)
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
        x, y = clips.draw(rng)
        if whole:
            x = varied(x, rng, BACKWARDS.get(model.config.representation))
        total = loss(x, F.normalize(rest(head, x), dim=1), y)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        if whole:
            nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimiser.step()
    head.train(was_training)


@torch.no_grad()
def _place_prototypes(head: nn.Module, prototypes: Prototypes, features: Tensor, drivers: Tensor) -> None:
    """Each driver's at its mean embedding, as long as a random one; those of drivers without clips stay."""
    was_training = head.training
    head.eval()
    rows = torch.cat([F.normalize(rest(head, part), dim=1) for part in features.split(256)])
    head.train(was_training)
    length = PROTOTYPE_SCALE * rows.shape[1] ** 0.5
    for driver in drivers.unique():
        prototypes.weight[driver] = length * F.normalize(rows[drivers == driver].mean(dim=0), dim=0)
