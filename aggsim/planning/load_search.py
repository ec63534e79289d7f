"""How much a deployment carries within the limits: the highest rate, or the most users. Deterministic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aggsim.planning.batch_search import best_of
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.load_result import LoadResult
from aggsim.planning.load_runs import Hooks
from aggsim.planning.loads import MAX_USERS, Loads

__all__ = ["LoadPoint", "answer_of", "max_rate_within_limits", "max_users_within_limits", "tried_loads"]

RATE_STEPS = 128
"""Rates looked at are so many parts of what the deployment carries, written with three digits."""
FINE_USERS = 16
"""Users are told apart to one part in so many."""
LEAST_GAIN = 0.01
"""Users are doubled while that makes at least so many more output tokens/s."""

LoadPoint = tuple[TriedBatch, LoadResult]


def max_rate_within_limits(loads: Loads) -> tuple[LoadPoint, ...]:
    """Rates looked at, ascending; the last one that is ok is the answer, and none is where the lowest is not.

    Bisection with the first seed, since waiting gets longer with the rate; then all seeds have their say. Resolution is
    1/128 of what the deployment carries.
    """
    carried = loads.carried_per_s

    def rate_at(step: int) -> float:
        return float(f"{carried * step / RATE_STEPS:.3g}")

    def look(step: int, watch: Hooks, *, first_seed_only: bool) -> LoadPoint:
        rate = rate_at(step)
        result = loads.open(rate, watch, first_seed_only=first_seed_only)
        return loads.point(result, rate=rate), result

    return _bisected(look, loads.hooks, 1, RATE_STEPS, 1)


def max_users_within_limits(loads: Loads) -> tuple[LoadPoint, ...]:
    """Numbers of users looked at, ascending: doubled while that pays and nothing stops it, then as rates are."""
    replicas = loads.stage.replicas

    def look(per_replica: int, watch: Hooks, *, first_seed_only: bool) -> LoadPoint:
        users = per_replica * replicas
        result = loads.closed(users, watch, first_seed_only=first_seed_only)
        return loads.point(result, users=users), result

    doubled: dict[int, LoadPoint] = {}
    number, gain = 1, 1.0
    while number <= MAX_USERS and gain >= LEAST_GAIN:
        found = look(number, loads.hooks.part(len(doubled), len(doubled) + 4), first_seed_only=True)
        before = doubled.get(number // 2)
        doubled[number] = found
        if not found[0].verdict.ok:
            break
        if before:
            gain = found[0].output_tokens_per_s / before[0].output_tokens_per_s - 1
        number *= 2
    ok = [number for number, (point, _) in doubled.items() if point.verdict.ok]
    if not ok:
        return (look(1, loads.hooks, first_seed_only=False),)
    best = max(ok, key=lambda number: (doubled[number][0].output_tokens_per_s, -number))
    stopped = [number for number in doubled if number not in ok]
    return _bisected(look, loads.hooks, best, stopped[0] if stopped else best + 1, max(1, best // FINE_USERS), doubled)


def _bisected(
    look: Callable[..., LoadPoint],
    hooks: Hooks,
    low: int,
    high: int,
    resolution: int,
    seen: dict[int, LoadPoint] | None = None,
) -> tuple[LoadPoint, ...]:
    """low: expected to be ok; high: known not to be, or not to be looked at."""
    seen = dict(seen or {})
    parts = max(1, (high - low) // resolution).bit_length() + 3
    done = 0

    def judged(step: int, *, first_seed_only: bool) -> bool:
        nonlocal done
        if first_seed_only and step in seen:
            return seen[step][0].verdict.ok
        seen[step] = look(step, hooks.part(min(done, parts - 1), parts), first_seed_only=first_seed_only)
        done += 1
        return seen[step][0].verdict.ok

    if judged(low, first_seed_only=True):
        while high - low > resolution:
            middle = (low + high) // 2
            low, high = (middle, high) if judged(middle, first_seed_only=True) else (low, middle)
    back = resolution
    while not judged(low, first_seed_only=False) and low > 1:
        low, back = max(1, low - back), 2 * back
    # What only the first seed found good enough beyond the answer is not an answer.
    return tuple(seen[step] for step in sorted(seen) if step <= low or not seen[step][0].verdict.ok)


def tried_loads(loads: Loads) -> tuple[LoadPoint, ...]:
    """What the scenario asks for: one load, or a search where it leaves users or rate open."""
    scenario = loads.scenario
    if scenario.arrival == "trace":
        result = loads.trace()
        return ((loads.point(result), result),)
    if scenario.arrival == "open":
        if scenario.rate is None:
            return max_rate_within_limits(loads)
        result = loads.open(scenario.rate)
        return ((loads.point(result, rate=scenario.rate), result),)
    users, layout = scenario.users, loads.deployment.layout
    if users is None and scenario.batch is None:
        return max_users_within_limits(loads)
    users = users or (scenario.batch or 1) * layout.dp * layout.pp
    result = loads.closed(users)
    return ((loads.point(result, users=users), result),)


def answer_of(tried: Sequence[LoadPoint]) -> LoadPoint:
    """The feasible one with the most output tokens/s, else the first."""
    best = best_of(point for point, _ in tried)
    return next((pair for pair in tried if pair[0] is best), tried[0])
