"""The points nothing beats: more tokens/s per device only for fewer tokens/s per user, and the other way round."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aggsim.planning.search_result import SearchPoint

__all__ = ["frontier"]


def frontier(points: Iterable[SearchPoint]) -> tuple[SearchPoint, ...]:
    """Feasible points that no other feasible one equals or beats in both, fastest for the user first.

    Of points equal in both the first one given is kept.
    """
    feasible = [point for point in points if point.tried.verdict.ok]
    ranked = sorted(feasible, key=lambda p: (-p.output_tokens_per_s_per_user, -p.output_tokens_per_s_per_device))
    kept: list[SearchPoint] = []
    most = -math.inf
    for point in ranked:
        if point.output_tokens_per_s_per_device > most:
            kept.append(point)
            most = point.output_tokens_per_s_per_device
    return tuple(kept)
