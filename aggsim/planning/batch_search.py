"""The batch sizes a search looks at: double the right end while nothing stops it, then bisect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from aggsim.planning.evaluation import TriedBatch

__all__ = ["MAX_BATCH_SIZE", "best_of", "next_load_stop", "next_stop_of", "search_batch_sizes"]

FIRST_RIGHT_END = 512
MAX_DOUBLINGS = 10
MAX_BATCH_SIZE = 100_000
LEVELS_AHEAD = 5
"""Of the bisection, announced together."""


def _nothing(batch_sizes: Sequence[int]) -> None:
    """For who prices one by one anyway."""


def search_batch_sizes(
    look: Callable[[int], TriedBatch], look_ahead: Callable[[Sequence[int]], object] = _nothing
) -> tuple[TriedBatch, ...]:
    """Every batch size looked at, ascending; each is looked at once. Only batch size 1 where that already stops.

    look_ahead hears of the sizes that may come next, so that they can be priced together.
    """
    tried: dict[int, TriedBatch] = {}

    def stops(batch_size: int) -> bool:
        if batch_size not in tried:
            tried[batch_size] = look(batch_size)
        return not tried[batch_size].verdict.ok

    left, right = 1, FIRST_RIGHT_END
    if not stops(left):
        if not stops(right):
            look_ahead([min(right << i, MAX_BATCH_SIZE) for i in range(1, MAX_DOUBLINGS)])
        for _ in range(MAX_DOUBLINGS):
            if stops(right) or right == MAX_BATCH_SIZE:
                break
            left, right = right, min(2 * right, MAX_BATCH_SIZE)
        level = 0
        while left <= right:
            if level % LEVELS_AHEAD == 0:
                look_ahead(list(_middles(left, right, LEVELS_AHEAD)))
            level += 1
            middle = (left + right) // 2
            if stops(middle):
                right = middle - 1
            else:
                left = middle + 1
    return tuple(tried[batch_size] for batch_size in sorted(tried))


def _middles(left: int, right: int, levels: int) -> Iterator[int]:
    """Where the next `levels` bisections may look."""
    if left <= right and levels:
        middle = (left + right) // 2
        yield middle
        yield from _middles(left, middle - 1, levels - 1)
        yield from _middles(middle + 1, right, levels - 1)


def best_of(tried: Iterable[TriedBatch]) -> TriedBatch | None:
    """The feasible point with the most output tokens/s (of equals the smallest batch); None: nothing is feasible."""
    feasible = [point for point in tried if point.verdict.ok]
    return max(feasible, key=lambda point: (point.output_tokens_per_s, -point.batch_size), default=None)


def next_stop_of(tried: Iterable[TriedBatch], batch_size: int) -> TriedBatch | None:
    """The smallest point above batch_size that a limit stopped."""
    above = [point for point in tried if point.batch_size > batch_size and not point.verdict.ok]
    return min(above, key=lambda point: point.batch_size, default=None)


def next_load_stop(tried: Iterable[TriedBatch], output_tokens_per_s: float) -> TriedBatch | None:
    """Of loads that were tried: the smallest above this throughput that a limit stopped."""
    above = [point for point in tried if not point.verdict.ok and point.output_tokens_per_s > output_tokens_per_s]
    return min(above, key=lambda point: point.output_tokens_per_s, default=None)
