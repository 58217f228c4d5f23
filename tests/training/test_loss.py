"""The losses against naive loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from whodrives.errors import InputError
from whodrives.training.loss import driver_cross_entropy, supervised_contrastive


def naive(embeddings: torch.Tensor, labels: list[int], tau: float, reduction: str) -> float:
    count, losses = len(labels), []
    for i in range(count):
        positives = [p for p in range(count) if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        terms = [math.exp(float(embeddings[i] @ embeddings[a]) / tau) for a in range(count) if a != i]
        inner = [math.log(math.exp(float(embeddings[i] @ embeddings[p]) / tau) / sum(terms)) for p in positives]
        losses.append(-sum(inner) / len(inner))
    if not losses:
        return 0.0
    return sum(losses) / len(losses) if reduction == "mean" else sum(losses)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=9),
    st.sampled_from([0.07, 0.1, 0.5]),
    st.sampled_from(["mean", "sum"]),
    st.integers(0, 1000),
)
def test_supcon_equals_a_naive_loop(labels: list[int], tau: float, reduction: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    embeddings = F.normalize(torch.randn(len(labels), 6, generator=generator, dtype=torch.float64), dim=1)
    ours = supervised_contrastive(embeddings, torch.tensor(labels), tau, reduction, eps=0.0)
    assert float(ours) == pytest.approx(naive(embeddings, labels, tau, reduction), abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.permutations(list(range(8))), st.integers(0, 1000))
def test_supcon_does_not_depend_on_the_order(order: list[int], seed: int) -> None:
    embeddings = F.normalize(torch.randn(8, 6, generator=torch.Generator().manual_seed(seed)), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
    a = supervised_contrastive(embeddings, labels)
    b = supervised_contrastive(embeddings[order], labels[order])
    assert float(a) == pytest.approx(float(b), abs=1e-5)


def test_supcon_without_positives_is_zero_with_a_gradient() -> None:
    embeddings = F.normalize(torch.randn(3, 4), dim=1).requires_grad_()
    loss = supervised_contrastive(embeddings, torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(embeddings.grad, torch.zeros(3, 4))


def test_supcon_rejects_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="do not fit"):
        supervised_contrastive(torch.zeros(3, 4), torch.zeros(2))
    with pytest.raises(InputError, match="reduction"):
        supervised_contrastive(torch.zeros(2, 4), torch.zeros(2), reduction="max")


def test_cross_entropy_leaves_unknown_drivers_out() -> None:
    embeddings, prototypes = F.normalize(torch.randn(4, 5), dim=1), torch.randn(3, 5)
    classes = torch.tensor([0, -1, 2, -1])
    logits = 16.0 * embeddings @ F.normalize(prototypes, dim=1).T
    expected = sum(float(torch.logsumexp(logits[i], 0) - logits[i, c]) for i, c in ((0, 0), (2, 2))) / 2
    assert float(driver_cross_entropy(embeddings, prototypes, classes)) == pytest.approx(expected, abs=1e-5)
    assert float(driver_cross_entropy(embeddings, prototypes, torch.full((4,), -1))) == 0.0
