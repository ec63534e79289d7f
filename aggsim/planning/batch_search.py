"""The batch sizes a search looks at: double the right end while nothing stops it, then bisect."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aggsim.planning.evaluation import TriedBatch

__all__ = ["MAX_BATCH_SIZE", "best_of", "next_stop_of", "search_batch_sizes"]

FIRST_RIGHT_END = 512
MAX_DOUBLINGS = 10
MAX_BATCH_SIZE = 100_000


def search_batch_sizes(look: Callable[[int], TriedBatch]) -> tuple[TriedBatch, ...]:
    """Every batch size looked at, ascending; each is looked at once. Only batch size 1 where that already stops."""
    tried: dict[int, TriedBatch] = {}

    def stops(batch_size: int) -> bool:
        if batch_size not in tried:
            tried[batch_size] = look(batch_size)
        return not tried[batch_size].verdict.ok

    left, right = 1, FIRST_RIGHT_END
    if not stops(left):
        for _ in range(MAX_DOUBLINGS):
            if stops(right) or right == MAX_BATCH_SIZE:
                break
            left, right = right, min(2 * right, MAX_BATCH_SIZE)
        while left <= right:
            middle = (left + right) // 2
            if stops(middle):
                right = middle - 1
            else:
                left = middle + 1
    return tuple(tried[batch_size] for batch_size in sorted(tried))


def best_of(tried: Iterable[TriedBatch]) -> TriedBatch | None:
    """The feasible point with the most output tokens/s (of equals the smallest batch); None: nothing is feasible."""
    feasible = [point for point in tried if point.verdict.ok]
    return max(feasible, key=lambda point: (point.output_tokens_per_s, -point.batch_size), default=None)


def next_stop_of(tried: Iterable[TriedBatch], batch_size: int) -> TriedBatch | None:
    """The smallest point above batch_size that a limit stopped."""
    above = [point for point in tried if point.batch_size > batch_size and not point.verdict.ok]
    return min(above, key=lambda point: point.batch_size, default=None)
