"""The smallest deployment that carries a load: replicas of one layout, for each kind of device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aggsim.devices.spec import DeviceSpec
from aggsim.errors import InputError
from aggsim.models.spec import ModelSpec
from aggsim.parameters_arrivals import parse_spread
from aggsim.planning.batch_search import MAX_BATCH_SIZE
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.layouts import variants
from aggsim.planning.points import Points
from aggsim.planning.resolve import Deployment, resolve
from aggsim.planning.search import Bind, search
from aggsim.planning.search_result import Candidate, SearchResult
from aggsim.scenario import Scenario, shown
from aggsim.scenario_search import SearchQuestion

__all__ = ["Load", "Sizing", "SizingResult", "smallest_deployments"]

MAX_LOAD = 1e12
MOST_DEVICES = 256
"""Of one replica, where smaller ones do not meet the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be carried, within the limits of the question: the larger of the two counts."""

    output_tokens_per_s: float | None = None
    requests_per_s: float | None = None

    def __post_init__(self) -> None:
        given = {"target_tokens_per_s": self.output_tokens_per_s, "target_requests_per_s": self.requests_per_s}
        for key, value in given.items():
            if value is not None and not 0 < value <= MAX_LOAD:  # nan is neither
                raise InputError(key, shown(value), f"a number above 0 to {MAX_LOAD:,.0f}")
        if all(value is None for value in given.values()):
            raise InputError("target_tokens_per_s", "no load", "output tokens/s or requests/s to carry")

    def tokens_per_s(self, scenario: Scenario) -> float:
        """In output tokens/s of this scenario's requests."""
        spread = parse_spread(scenario.length_spread) if scenario.is_load else None
        mean = spread.mean_tokens(scenario.input, scenario.output)[1] if spread else scenario.output
        return max(self.output_tokens_per_s or 0.0, (self.requests_per_s or 0.0) * mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """num_replicas equal copies of one searched layout, each on its own devices, the load spread evenly."""

    candidate: Candidate
    num_replicas: int
    load_tokens_per_s: float
    beyond: tuple[TriedBatch, ...] = ()
    """Batch sizes that were looked at for the share of a lost replica, where one makes it at all."""

    @property
    def num_devices(self) -> int:
        return self.num_replicas * self.candidate.layout.num_devices

    @property
    def capacity_tokens_per_s(self) -> float:
        return self.num_replicas * self.candidate.output_tokens_per_s

    @property
    def utilization(self) -> float:
        """Load ÷ capacity: above 1 it is not carried."""
        return self.load_tokens_per_s / self.capacity_tokens_per_s if self.num_replicas else math.inf

    @property
    def headroom(self) -> float:
        """Share of the load that could come on top; negative: what is missing."""
        return 1 / self.utilization - 1

    @property
    def carries(self) -> bool:
        return self.capacity_tokens_per_s >= self.load_tokens_per_s

    @property
    def load_per_replica_tokens_per_s(self) -> float:
        return self.load_tokens_per_s / self.num_replicas if self.num_replicas else math.inf

    @property
    def shortfall_tokens_per_s(self) -> float:
        """Of the load; 0 where it is carried."""
        return max(0.0, self.load_tokens_per_s - self.capacity_tokens_per_s)

    @property
    def operating_point(self) -> TriedBatch | None:
        """The smallest evaluated batch size that fits and makes each replica's share of the load, within the limits or
        not: its verdict says which. None: none that fits makes it."""
        share = self.load_per_replica_tokens_per_s
        fits = (point for point in (*self.candidate.points, *self.beyond) if point.verdict.limit != "memory")
        makes = (point for point in fits if point.output_tokens_per_s >= share)
        return min(makes, key=lambda point: point.batch_size, default=None)

    def spares_needed(self, num_lost: int = 1) -> int:
        """Replicas to add so that the load is carried within the limits while so many are lost."""
        return max(0, _replicas_for(self.load_tokens_per_s, self.candidate) + num_lost - self.num_replicas)

    def with_replicas(self, num_replicas: int) -> Sizing:
        """More or fewer replicas under the same load: one less is one lost, one more is N+1."""
        return replace(self, num_replicas=max(0, num_replicas))


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingResult:
    """Of one load."""

    load_tokens_per_s: float
    sizings: tuple[Sizing, ...]
    """The smallest of each kind of device, fewest devices first."""
    without: tuple[str, ...]
    """Kinds of device on which no layout meets the limits."""
    searches: tuple[SearchResult, ...]
    """What they were chosen from, one a kind of device."""


def smallest_deployments(
    question: SearchQuestion,
    load: Load,
    model: ModelSpec,
    devices: Mapping[str, DeviceSpec],
    bind: Bind = Deployment.bind,
) -> SizingResult:
    """Of requests that arrive at a rate, each replica takes the highest one within the limits.

    Replicas take 1, 2, 4, … devices up to the question's own number, or those that it lists; more where none fits.

    Of equally many devices the deployment with most capacity is taken, then the one of more, smaller replicas.
    """
    needed = load.tokens_per_s(question.base)
    if question.base.arrival == "open":
        question = replace(question, base=question.base.replace(rate=None))
    device_ids = dict.fromkeys(str(variant["device"]) for variant in variants(question, model, tuple(devices)))
    searches = {d: _search_groups(question, model, d, devices[d], bind) for d in device_ids}
    sizings = []
    for result in searches.values():
        options = [_sized(candidate, needed) for candidate in result.candidates if candidate.output_tokens_per_s > 0]
        if options:
            chosen = min(options, key=lambda s: (s.num_devices, -s.capacity_tokens_per_s, -s.num_replicas))
            device = devices[chosen.candidate.scenario.device]
            deployment = resolve(chosen.candidate.scenario, model, device)
            sizings.append(replace(chosen, beyond=_taking_over(chosen, deployment, bind)))
    return SizingResult(
        load_tokens_per_s=needed,
        sizings=tuple(sorted(sizings, key=lambda s: s.num_devices)),
        without=tuple(device_id for device_id, result in searches.items() if not result.candidates),
        searches=tuple(searches.values()),
    )


def _sized(candidate: Candidate, needed: float) -> Sizing:
    return Sizing(
        candidate=candidate,
        num_replicas=_replicas_for(needed, candidate),
        load_tokens_per_s=needed,
    )


def _taking_over(sizing: Sizing, deployment: Deployment, bind: Bind) -> tuple[TriedBatch, ...]:
    """The smallest batch size that makes each replica's share of the load when one is lost: beyond the limits, else
    the deployment would need fewer. Nothing where memory ends before."""
    share = sizing.with_replicas(sizing.num_replicas - 1).load_per_replica_tokens_per_s
    low = high = sizing.candidate.scenario.batch or 1
    if math.isinf(share):
        return ()
    points = Points.of(deployment, bind(deployment))

    def is_enough(batch_size: int) -> bool:
        point = points.look(batch_size)
        return point.verdict.limit == "memory" or point.output_tokens_per_s >= share

    while not is_enough(high):
        if high == MAX_BATCH_SIZE:
            return ()
        low, high = high, min(2 * high, MAX_BATCH_SIZE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    found = points.look(high)
    return () if found.verdict.limit == "memory" else (found,)


def _replicas_for(load_tokens_per_s: float, candidate: Candidate) -> int:
    """The fewest that carry it within the limits."""
    return max(1, math.ceil(load_tokens_per_s / candidate.output_tokens_per_s))


def _search_groups(
    question: SearchQuestion, model: ModelSpec, device_id: str, device: DeviceSpec, bind: Bind
) -> SearchResult:
    """Every layout of one replica on this kind of device."""
    largest = question.base.devices
    listed = question.varied.get("devices")
    sizes = [int(size) for size in listed or _up_to(largest)]
    result = search(_on(question, device_id, sizes), model, {device_id: device}, bind)
    while not listed and not result.candidates and 2 * largest <= min(device.num_devices_max, MOST_DEVICES):
        largest = 2 * largest
        result = search(_on(question, device_id, [largest]), model, {device_id: device}, bind)
    return result


def _up_to(largest: int) -> list[int]:
    """The powers of two up to `largest`, and itself."""
    return sorted({*(1 << i for i in range(largest.bit_length())), largest})


def _on(question: SearchQuestion, device_id: str, sizes: list[int]) -> SearchQuestion:
    """The question for one kind of device and these sizes of a replica."""
    axes = {**question.varied, "device": (device_id,), "devices": tuple(sizes)}
    return SearchQuestion(base=question.base, axes=tuple(axes.items()))
