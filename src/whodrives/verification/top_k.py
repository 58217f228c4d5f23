"""The k best templates of very many, exactly: coarse scores first, then each that could still be among them.

The k-th best coarse score, less a margin, is a score that k templates reach for certain. A template whose coarse score
is more than another margin below cannot be one of the k best; all others are scored exactly. So the answer is that of a
scan of everything, whatever the templates are; how many are scored exactly depends on how crowded they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from whodrives.verification.coarse import CoarseQueries, CoarseRows, coarse_queries, whole_products
from whodrives.verification.search_threads import search_threads, thread_count

Rows = NDArray[np.int64]
Block = slice | Rows
# At most so many rows, and coarse scores, at a time and thread: 8 MB of bytes, 512 KB of scores.
BLOCK, SCORES = 32768, 1 << 17
# Many windows at once still take blocks of so many rows.
LEAST = 2048
# Under this share of wanted rows they are picked out first, over it all are scored.
_SPARSE = 0.15
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, eq=False)
class Best:
    """rows : (k,) best first, equal scores by row number. scores : (k,) float64. checked : rows scored exactly.

    sound : whether all of these were as near to their coarse scores as they must be; if not, the bytes have changed.
    """

    rows: Rows
    scores: NDArray[np.float64]
    checked: int
    sound: bool


@dataclass
class _Pool:
    """What may still be among the k best of one probe; `floor` is the least coarse score that may."""

    k: int
    margin: float
    floor: float = _LOWEST
    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def take(self, scores: NDArray[np.float32], rows: Block) -> None:
        """Keep the rows of a block that may be among the best, and raise the floor."""
        if self.floor == _LOWEST and len(scores) >= self.k:
            # The best of each of many parts are so many rows: cheaper than sorting all.
            parts = min(max(4 * self.k, 256), len(scores))
            best = scores[: len(scores) // parts * parts].reshape(parts, -1).max(axis=1)
            self.raise_to(float(np.partition(best, -self.k)[-self.k]))
        # Rounded down: a float32 above the floor would lose a row that lies on it.
        floor = np.float32(self.floor)
        if self.floor > _LOWEST:
            floor = np.nextafter(floor, np.float32(-np.inf))
        hits = np.flatnonzero(scores >= floor)
        if not len(hits):
            return
        self._add(hits + rows.start if isinstance(rows, slice) else rows[hits], scores[hits])

    def merge(self, other: _Pool) -> None:
        """Take what another thread found in other rows."""
        self.floor = max(self.floor, other.floor)
        self._add(other.rows, other.scores)

    def _add(self, rows: Rows, scores: NDArray[np.float32]) -> None:
        self.rows = np.concatenate([self.rows, rows])
        self.scores = np.concatenate([self.scores, scores])
        if len(self.rows) >= self.k:
            self.raise_to(float(np.partition(self.scores, -self.k)[-self.k]))
            keep = self.scores >= self.floor
            self.rows, self.scores = self.rows[keep], self.scores[keep]

    def raise_to(self, kth: float) -> None:
        """k rows have a coarse score of at least `kth`."""
        self.floor = max(self.floor, kth - 2 * self.margin)


def exact_top_k(
    coarse: CoarseRows,
    exact: Callable[[Rows], NDArray[np.float64]],
    queries: NDArray[np.float64],
    k: int,
    keep: NDArray[np.bool_] | None = None,
    trim: int | None = None,
) -> list[Best]:
    """The k best rows for each query, or, with `trim`, for all queries together.

    Parameters
    ----------
    coarse : the N templates as bytes. exact : rows (n,) -> their templates (n, D). queries : (Q, D). k : at least 1;
        fewer rows come back when there are fewer. keep : (N,) the rows that take part. trim : the queries are windows
        of one probe, and its score is the mean without the `trim` lowest and as many highest.

    Scores are dot products in double precision, each row by itself: they depend on no other row.
    """
    asked = coarse_queries(queries, coarse.centre, coarse.bounds)
    # The mean of the middle scores moves no more than the scores do; its own sum is rounded, too.
    margins = asked.margin
    if trim is not None:
        longest = float(np.linalg.norm(queries, axis=1).max())
        margins = np.array([margins.max() + len(queries) * 2.0**-21 * longest])
    picked = None
    if keep is not None and np.count_nonzero(keep) < _SPARSE * len(keep):
        picked, keep = np.flatnonzero(keep), None
    count = len(coarse.codes) if picked is None else len(picked)
    block = max(min(BLOCK, SCORES // max(len(queries), 1)), LEAST)
    todo = deque(range(0, count, block))
    workers = min(thread_count(), len(todo) // 2)

    def work(_: int) -> list[_Pool]:
        pools = [_Pool(k, float(margin)) for margin in margins]
        while True:
            try:
                start = todo.popleft()
            except IndexError:
                return pools
            rows: Block = slice(start, start + block)
            _scan(pools, asked, coarse, rows if picked is None else picked[rows], keep, trim)

    if workers < 2:
        pools = work(0)
    else:
        done = list(search_threads(workers).map(work, range(workers)))
        pools = done[0]
        for number, pool in enumerate(pools):
            for other in done[1:]:
                pool.merge(other[number])
    return [
        _settle(pool, exact, queries if trim is not None else queries[number : number + 1], trim)
        for number, pool in enumerate(pools)
    ]


def _scan(
    pools: list[_Pool],
    asked: CoarseQueries,
    coarse: CoarseRows,
    rows: Block,
    keep: NDArray[np.bool_] | None,
    trim: int | None,
) -> None:
    """Score a block of rows coarsely, and let every pool take what may be among its best."""
    wanted = None if keep is None else keep[rows]
    if wanted is not None and not wanted.any():
        return
    products = whole_products(asked.codes, coarse.tensor[rows if isinstance(rows, slice) else torch.from_numpy(rows)])
    scales, along = coarse.scales[rows], coarse.along[rows]
    each = (asked.scores(number, one, scales, along) for number, one in enumerate(products))
    for pool, scores in zip(pools, each if trim is None else [middle_mean(np.stack([*each]), trim)]):
        if wanted is not None:
            scores[~wanted] = -np.inf
        pool.take(scores, rows)


def middle_mean(scores: NDArray[np.floating], trim: int) -> NDArray[np.floating]:
    """(W, B) -> (B,) mean over W without the `trim` lowest and as many highest; 2 trim < W."""
    if trim == 0:
        return scores.mean(axis=0)
    if trim == 1:
        return (scores.sum(axis=0) - scores.max(axis=0) - scores.min(axis=0)) / (len(scores) - 2)
    return np.sort(scores.T, axis=1)[:, trim : len(scores) - trim].mean(axis=1)


def _settle(
    pool: _Pool, exact: Callable[[Rows], NDArray[np.float64]], queries: NDArray[np.float64], trim: int | None
) -> Best:
    order = np.argsort(pool.rows)  # in the order of the file, which is how the disk likes it
    rows, coarse = pool.rows[order], pool.scores[order]
    scores = np.empty(len(rows))
    for start in range(0, len(rows), 2048):
        templates = exact(rows[start : start + 2048])
        single = np.stack([(templates * query).sum(axis=1) for query in queries])
        scores[start : start + 2048] = single[0] if trim is None else middle_mean(single, trim)
    sound = bool((np.abs(scores - coarse) <= pool.margin).all())
    order = np.lexsort((rows, -scores))[: pool.k]
    return Best(rows[order], scores[order], len(rows), sound)
