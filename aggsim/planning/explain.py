"""What holds an answer back: how far each limit alone would let it go, and what single changes would buy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import ForwardModel
from aggsim.errors import AggsimError
from aggsim.models.spec import ModelSpec
from aggsim.planning.batch_search import MAX_BATCH_SIZE, best_of, search_batch_sizes
from aggsim.planning.changes import Change, Proposal, proposals
from aggsim.planning.evaluation import Limit, TriedBatch
from aggsim.planning.layouts import lacking_units
from aggsim.planning.points import Points
from aggsim.planning.resolve import Deployment, resolve
from aggsim.planning.search import Bind
from aggsim.planning.verdict import Limits, blame_step, judge
from aggsim.scenario import Scenario

__all__ = ["Explanation", "LimitReach", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReach:
    """How far one limit alone would let the batch size grow."""

    limit: Limit
    largest_batch: int
    """0: batch size 1 is too much already."""
    stop: TriedBatch | None
    """The first batch size beyond it, with this limit's verdict; None: it stops nothing that was looked at."""
    is_exact: bool
    """False: only the batch sizes that the search tried anyway were looked at, or memory ended the run first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Of a scenario with its batch size searched for, whatever batch size it asks for."""

    scenario: Scenario
    """Complete, at the best batch size (1 where none is feasible)."""
    best: TriedBatch | None
    num_devices: int
    engine: str
    reaches: tuple[LimitReach, ...]
    """The binding limit first."""
    stop_scenario: Scenario | None
    """Where the binding limit stops, for the timeline; None: nothing does."""
    step: int | None
    """Index into that timeline of the step that broke the limit, where one can be named."""
    changes: tuple[Change, ...]
    """Possible single changes, the one that buys most first."""
    skipped: tuple[Change, ...]
    """Changes that are impossible here, each with its reason."""

    @property
    def binding(self) -> LimitReach | None:
        return self.reaches[0] if self.reaches and self.reaches[0].stop else None


def explain(
    asked: Scenario, model: ModelSpec, devices: Mapping[str, DeviceSpec], bind: Bind = Deployment.bind
) -> Explanation:
    """devices: by id, the scenario's own and those that may be proposed instead.

    Raises InputError and EngineError as resolve does; what rules out a change is that change's reason.
    """
    searched = asked.as_burst().replace(batch=None)  # requests that arrive: what limits a burst of them
    bench = _Bench(model, devices, bind)
    points = bench.points(searched)
    deployment = points.deployment
    tried = points.search()
    best = best_of(tried)
    settled = points.settled((best or tried[0]).batch_size)
    allowed: dict[Limit, float | None] = {"memory": 0.0, "tpot": points.limits.tpot_s, "ttft": points.limits.ttft_s}
    given = [limit for limit, most in allowed.items() if most is not None]
    reaches = sorted((_reach(limit, points, tried) for limit in given), key=lambda reach: reach.largest_batch)
    stop = reaches[0].stop
    changes = (
        [] if deployment.is_slow else [bench.try_out(p, deployment) for p in proposals(searched, deployment, devices)]
    )
    possible = [change for change in changes if not change.reason]
    return Explanation(
        scenario=settled,
        best=best,
        num_devices=deployment.layout.num_devices,
        engine=deployment.engine.name,
        reaches=tuple(reaches),
        stop_scenario=settled.replace(batch=stop.batch_size) if stop else None,
        step=_step(points, reaches[0].limit, stop) if stop and not deployment.is_slow else None,
        changes=tuple(sorted(possible, key=_merit, reverse=True)),
        skipped=tuple(change for change in changes if change.reason),
    )


def _merit(change: Change) -> float:
    """What it buys; where now there is nothing to compare with, all of it."""
    return change.output_tokens_per_s_per_device / (change.now_per_device or 1.0)


def _reach(limit: Limit, points: Points, tried: tuple[TriedBatch, ...]) -> LimitReach:
    def alone(point: TriedBatch) -> TriedBatch:
        """Judged by this limit only; times that memory left unmeasured count as too long."""
        limits = Limits(
            ttft_s=points.limits.ttft_s if limit == "ttft" else None,
            tpot_s=points.limits.tpot_s if limit == "tpot" else None,
        )
        left = point.memory_left_bytes if limit == "memory" else 0.0
        verdict = judge(memory_left_bytes=left, ttft_s=point.ttft_s, tpot_s=point.tpot_s, limits=limits)
        return replace(point, verdict=verdict)

    if points.is_wave and not points.deployment.is_slow:
        judged = search_batch_sizes(lambda size: alone(points.look(size)), points.look_ahead)
    else:
        judged = tuple(map(alone, tried))
    largest = max((point.batch_size for point in judged if point.verdict.ok), default=0)
    stop = next((point for point in judged if not point.verdict.ok and point.batch_size > largest), None)
    if stop and not points.deployment.is_slow:
        # A simulated run is too dear to look beyond what was tried, but what lies between can be told apart.
        while stop.batch_size - largest > 1:
            between = alone(points.look((largest + stop.batch_size) // 2))
            largest, stop = (between.batch_size, stop) if between.verdict.ok else (largest, between)
    unmeasured = stop is not None and limit != "memory" and stop.memory_left_bytes < 0 and stop.output_tokens_per_s == 0
    never = stop is None and points.is_wave
    return LimitReach(
        limit=limit,
        largest_batch=MAX_BATCH_SIZE if never else largest,
        stop=stop,
        is_exact=(stop is not None or never) and not points.deployment.is_slow and not unmeasured,
    )


def _step(points: Points, limit: Limit, stop: TriedBatch) -> int | None:
    run = points.run(stop.batch_size, detail=True)
    return blame_step(replace(stop.verdict, limit=limit), run, points.limits).step


@dataclass(slots=True)
class _Bench:
    """Deployments by scenario; what differs in limits and workload only is bound once."""

    model: ModelSpec
    devices: Mapping[str, DeviceSpec]
    bind: Bind
    bound: dict[object, ForwardModel] = field(default_factory=dict)
    per_device: dict[str, float] = field(default_factory=dict)
    """Of things as they are, by the engine that says so."""

    def points(self, scenario: Scenario) -> Points:
        deployment = resolve(scenario, self.model, self.devices[scenario.device])
        key = (scenario.device, deployment.engine.name, deployment.layout, deployment.quantization, deployment.options)
        if key not in self.bound:
            self.bound[key] = self.bind(deployment)
        return Points.of(deployment, self.bound[key])

    def try_out(self, proposal: Proposal, now: Deployment) -> Change:
        """A proposal, searched: compared with what the same engine says of things as they are."""
        if proposal.reason or proposal.scenario is None:
            return Change.impossible(proposal, proposal.reason)
        try:
            points = self.points(proposal.scenario)
            deployment = points.deployment
            lacking = lacking_units(deployment.device, deployment.quantization)
            if lacking and proposal.key in ("device", "linear", "attention"):
                return Change.impossible(proposal, lacking)
            if deployment.is_slow:
                return Change.impossible(proposal, f"Engine {deployment.engine.name} takes seconds a pass.")
            yardstick = self._per_device(now, deployment.engine.name)
        except AggsimError as error:
            return Change.impossible(proposal, str(error))
        if not yardstick and self._per_device(now, now.engine.name):
            reason = f"Engine {deployment.engine.name} would answer, and sees no batch size within the limits even now."
            return Change.impossible(proposal, reason)
        tried = points.search()
        return Change(
            key=proposal.key,
            value=proposal.value,
            scenario=proposal.scenario,
            best=best_of(tried),
            first=tried[0],
            num_devices=deployment.layout.num_devices,
            engine=deployment.engine.name,
            now_per_device=yardstick,
        )

    def _per_device(self, now: Deployment, engine: str) -> float:
        """Output tokens/s per device of things as they are, in the words of this engine."""
        if engine not in self.per_device:
            scenario = now.asked if engine == now.engine.name else now.asked.replace(engine=engine)
            best = best_of(self.points(scenario).search())
            per_s = best.output_tokens_per_s if best else 0.0
            self.per_device[engine] = per_s / now.layout.num_devices
        return self.per_device[engine]
