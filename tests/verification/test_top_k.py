"""The search against a naive loop over every template."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.verification import coarse as coarse_module
from whodrives.verification import top_k
from whodrives.verification.aggregation import trimmed_mean
from whodrives.verification.coarse import CoarseRows, coarse_queries, coarse_rows, whole_products
from whodrives.verification.search_threads import search_threads
from whodrives.verification.top_k import Best, exact_top_k

DIM = 16


def halves(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float16)


def direction(templates: np.ndarray) -> np.ndarray:
    total = templates.astype(np.float64).sum(axis=0)
    size = np.linalg.norm(total)
    return (total / size if size > 1e-9 else total).astype(np.float32)


def find(
    templates: np.ndarray, queries: np.ndarray, k: int, keep: np.ndarray | None = None, trim: int | None = None
) -> tuple[list[Best], CoarseRows]:
    table = coarse_rows(templates, direction(templates))
    return exact_top_k(table, lambda rows: templates[rows].astype(np.float64), queries, k, keep, trim), table


def naive(templates: np.ndarray, query: np.ndarray, k: int, keep: np.ndarray | None) -> list[tuple[float, int]]:
    scored = []
    for row, template in enumerate(templates):
        if keep is None or keep[row]:
            score = sum(float(a) * float(b) for a, b in zip(template, query, strict=True))
            scored.append((-score, row))
    return [(-score, row) for score, row in sorted(scored)[:k]]


@st.composite
def dyadic(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, np.ndarray | None]:
    """Templates of four entries of a half, and queries of small fractions: sums are exact in any order, ties abound."""
    count, seed = draw(st.integers(1, 90)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    templates = np.zeros((count, DIM), np.float16)
    spread = draw(st.integers(4, DIM))
    for row in templates:
        row[rng.choice(spread, 4, replace=False)] = 0.5 * rng.choice([-1, 1], 4, p=[0.2, 0.8])
    queries = rng.integers(-8, 9, (draw(st.integers(1, 3)), DIM)) / 8.0
    share = draw(st.sampled_from([None, 0.0, 0.03, 0.5, 1.0]))
    keep = None if share is None else rng.random(count) < share
    return templates, queries, draw(st.integers(1, 100)), keep


@given(dyadic(), st.integers(1, 3))
@settings(max_examples=60)
def test_the_same_as_a_naive_loop_with_ties_by_row(case: tuple, workers: int) -> None:
    templates, queries, k, keep = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "BLOCK", 7)
        patch.setattr(top_k, "LEAST", 7)
        patch.setattr(top_k, "thread_count", lambda: workers)
        found, _ = find(templates, queries, k, keep)
    for query, best in zip(queries, found, strict=True):
        expected = naive(templates, query, k, keep)
        assert best.sound
        assert best.rows.tolist() == [row for _, row in expected]
        assert best.scores.tolist() == [score for score, _ in expected]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 30.0]), st.integers(1, 40))
@settings(max_examples=30)
def test_crowded_templates_and_long_queries(seed: int, crowd: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    templates = halves(rng.normal(size=(200, DIM)) + crowd * rng.normal(size=DIM))
    queries = rng.normal(size=(2, DIM)) * np.array([[1e-3], [1e3]]) + templates[:2].astype(np.float64)
    found, table = find(templates, queries, k)
    asked = coarse_queries(queries, table.centre, table.bounds)
    products = whole_products(asked.codes, table.tensor)
    for number, (query, best) in enumerate(zip(queries, found, strict=True)):
        scores = np.array([(row.astype(np.float64) * query).sum() for row in templates])
        order = np.lexsort((np.arange(len(scores)), -scores))[:k]
        assert best.rows.tolist() == order.tolist()
        assert best.scores.tolist() == scores[order].tolist()
        coarse = asked.scores(number, products[number], table.scales, table.along)
        assert np.abs(coarse.astype(np.float64) - scores).max() <= asked.margin[number]


@given(st.integers(0, 2**32 - 1), st.integers(3, 31))
@settings(max_examples=20)
def test_windows_of_one_probe_are_folded_as_a_video_score(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    templates = halves(rng.normal(size=(150, DIM)))
    windows = halves(templates[3].astype(np.float64) + rng.normal(0, 0.3, (count, DIM))).astype(np.float64)
    trim = max(1, count // 10)
    (best,), _ = find(templates, windows, 4, trim=trim)
    every = [
        trimmed_mean([float((row * window).sum()) for window in windows], trim / count + 1e-9) for row in templates
    ]
    order = np.argsort(-np.array(every), kind="stable")[:4]
    assert best.rows.tolist() == order.tolist()
    assert best.scores == pytest.approx(np.array(every)[order], abs=1e-12)


def test_few_rows_are_scored_exactly_even_when_all_templates_crowd() -> None:
    rng = np.random.default_rng(3)
    for crowd in (0.0, 20.0):
        templates = halves(rng.normal(size=(40000, 64)) + crowd * rng.normal(size=64))
        (best,), _ = find(templates, rng.normal(size=(1, 64)) + crowd * templates[:1].astype(np.float64), 5)
        assert best.checked < 400


def test_equal_templates_are_all_checked_and_come_by_row() -> None:
    templates = halves(np.ones((3000, DIM)))
    (best,), _ = find(templates, np.ones((1, DIM)), 5)
    assert best.rows.tolist() == [0, 1, 2, 3, 4]
    assert best.checked == 3000


def test_zero_query_and_no_rows() -> None:
    templates = halves(np.random.default_rng(0).normal(size=(20, DIM)))
    (best,), _ = find(templates, np.zeros((1, DIM)), 3)
    assert best.rows.tolist() == [0, 1, 2]
    (none,), _ = find(templates, np.ones((1, DIM)), 3, keep=np.zeros(20, bool))
    assert (len(none.rows), none.checked) == (0, 0)
    (empty,), _ = find(templates[:0], np.ones((1, DIM)), 3)
    assert len(empty.rows) == 0


def test_both_ways_of_multiplying_bytes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    a = torch.randint(-127, 128, (5, 256), dtype=torch.int8, generator=generator)
    b = torch.randint(-127, 128, (5000, 256), dtype=torch.int8, generator=generator)
    a[0], b[0], b[1] = 127, 127, -127
    expected = a.to(torch.int64) @ b.to(torch.int64).T
    assert np.array_equal(whole_products(a, b), expected.numpy())
    monkeypatch.setattr(coarse_module, "_trusted", lambda: False)
    assert np.array_equal(whole_products(a, b), expected.numpy())
    assert whole_products(a, b[:0]).shape == (5, 0)


def test_a_processor_that_saturates_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def saturating(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        pairs = (a.long()[:, None] * b.long()[None]).unflatten(2, (-1, 2)).sum(dim=3).clamp(-32768, 32255)
        return pairs.sum(dim=2)

    monkeypatch.setattr(coarse_module, "_fast_products", saturating)
    coarse_module._trusted.cache_clear()
    try:
        assert not coarse_module._trusted()
    finally:
        coarse_module._trusted.cache_clear()


def test_search_threads_leave_the_callers_threads_alone() -> None:
    import torch

    before = torch.get_num_threads()
    pool = search_threads(2)
    assert pool is search_threads(2)
    assert {one.result() for one in [pool.submit(torch.get_num_threads) for _ in range(8)]} == {1}
    assert torch.get_num_threads() == before
