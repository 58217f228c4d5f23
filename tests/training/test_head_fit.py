"""Heads fitted to features that are there: alone, and one that learns from several."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.models import FingerprintModel, build_model
from whodrives.training import head_fit
from whodrives.training.config import RecipeConfig
from whodrives.training.head_fit import fit_head
from whodrives.training.loss import Prototypes

RECIPE = RecipeConfig(identities=3, samples=2, cross_entropy_weight=1.0, temperature=0.1, seed=3)
STEPS = 12


def series(drivers: int = 5, each: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips of drivers who differ in how much each control moves: (N, 33, 20) and (N,)."""
    generator = torch.Generator().manual_seed(0)
    how = torch.rand(drivers, 33, 1, generator=generator).repeat_interleave(each, dim=0)
    return how * torch.randn(drivers * each, 33, 20, generator=generator), torch.arange(drivers).repeat_interleave(each)


def fitted(recipe: RecipeConfig, steps: int = STEPS, begun: int = 0) -> tuple[FingerprintModel, Prototypes]:
    torch.manual_seed(begun)
    model, prototypes = build_model("plus"), Prototypes(5, 256)
    features, drivers = series()
    fit_head(model, prototypes, features, drivers, [list(range(5))], recipe, steps)
    assert all(module.training for module in model.modules())
    return model.eval(), prototypes


@torch.no_grad()
def embedded(model: FingerprintModel) -> torch.Tensor:
    return F.normalize(model.head.finish(series()[0]), dim=1)


def with_teachers(count: int) -> RecipeConfig:
    return RecipeConfig(**{**vars(RECIPE), "refit_teachers": count})


@pytest.mark.parametrize("teachers", [0, 2])
def test_a_head_is_fitted_the_same_way_wherever_it_begins(teachers: int) -> None:
    recipe = with_teachers(teachers)
    assert torch.equal(embedded(fitted(recipe, begun=0)[0]), embedded(fitted(recipe, begun=1)[0]))


def test_a_head_in_evaluation_mode_stays_there() -> None:
    model = build_model("plus").eval()
    features, drivers = series()
    fit_head(model, Prototypes(5, 256), features, drivers, [list(range(5))], with_teachers(1), 1)
    assert not any(module.training for module in model.modules())


def test_the_papers_head_learns_from_others_too() -> None:
    torch.manual_seed(0)
    model, prototypes = build_model("paper"), Prototypes(5, 256)
    kept = {key: value.clone() for key, value in model.state_dict().items() if ".mlp." not in key}
    features = torch.randn(5, 512).repeat_interleave(4, dim=0) + 0.1 * torch.randn(20, 512)
    drivers = series()[1]
    fit_head(model, prototypes, features, drivers, [list(range(5))], with_teachers(2), 60)
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items() if key in kept)
    with torch.no_grad():
        rows = F.normalize(head_fit.rest(model.head.eval(), features), dim=1)
    same = drivers[:, None] == drivers[None]
    cosines = rows @ rows.T
    assert cosines[same].min() > cosines[~same].max()
    assert bool((F.normalize(prototypes.weight, dim=1) @ rows[::4].T).argmax(dim=1).eq(torch.arange(5)).all())


def test_the_last_head_learns_what_its_teachers_agree_on(monkeypatch: pytest.MonkeyPatch) -> None:
    taught: list[torch.nn.Module] = []
    learns_from = head_fit._learns_from
    monkeypatch.setattr(head_fit, "_learns_from", lambda teachers: learns_from(taught.extend(teachers) or teachers))
    model, prototypes = fitted(with_teachers(3), steps=60)
    assert len(taught) == 3
    assert not any(teacher.training for teacher in taught)
    with torch.no_grad():
        rows = [F.normalize(teacher.finish(series()[0]), dim=1) for teacher in taught]
    wanted = sum(row @ row.T for row in rows) / 3
    # Teachers from different random numbers.
    assert not torch.allclose(rows[0] @ rows[0].T, rows[1] @ rows[1].T, atol=1e-3)
    own = embedded(model)
    apart = (own @ own.T - wanted).square().mean()
    new = embedded(fitted(RECIPE, steps=0)[0])
    assert apart < 0.1 * (new @ new.T - wanted).square().mean()
    assert apart < 0.2 * wanted.var()
    # Prototypes lie at the drivers' means: training can go on from there.
    drivers = series()[1]
    for driver in range(5):
        mean = F.normalize(own[drivers == driver].mean(dim=0), dim=0)
        assert torch.allclose(F.normalize(prototypes.weight[driver], dim=0), mean, atol=1e-5)
    assert prototypes.weight.norm(dim=1).detach().numpy() == pytest.approx(np.full(5, 4.0), rel=1e-5)


def test_the_loss_of_learning_from_others_by_a_loop() -> None:
    torch.manual_seed(1)
    teachers = [build_model("plus").head.eval() for _ in range(2)]
    clips = series()[0][:5]
    embedding = F.normalize(torch.randn(5, 256), dim=1)
    total, pairs = 0.0, 0
    with torch.no_grad():
        rows = [[F.normalize(t.finish(clip[None]), dim=1)[0] for clip in clips] for t in teachers]
    for i in range(5):
        for j in range(5):
            if i != j:
                wanted = sum(float(row[i] @ row[j]) for row in rows) / 2
                total += (float(embedding[i] @ embedding[j]) - wanted) ** 2
                pairs += 1
    found = head_fit._learns_from(teachers)(clips, embedding, torch.zeros(5))
    assert float(found) == pytest.approx(head_fit.IMITATION * total / pairs, rel=1e-4)


def test_too_few_clips_are_named() -> None:
    features, drivers = series()
    with pytest.raises(InputError, match="leave fewer than 3 drivers with 2"):
        fit_head(build_model("plus"), Prototypes(5, 256), features[:6], drivers[:6], [list(range(5))], RECIPE, 1)
