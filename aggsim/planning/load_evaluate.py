"""Answer one question about requests that arrive: find users or rate where they are open, simulate, judge."""

from __future__ import annotations

from dataclasses import replace

from aggsim.engines.base import ForwardModel
from aggsim.errors import InputError
from aggsim.parameters_arrivals import TraceRow
from aggsim.planning.batch_search import next_load_stop
from aggsim.planning.evaluate import evaluate, evaluation_of
from aggsim.planning.evaluation import Evaluation, TriedBatch
from aggsim.planning.load_result import LoadResult, SteadyState
from aggsim.planning.load_runs import Hooks, Measured
from aggsim.planning.load_search import answer_of, tried_loads
from aggsim.planning.loads import Loads
from aggsim.planning.points import Points
from aggsim.planning.resolve import Deployment

__all__ = ["evaluate_any", "first_run", "steady_state"]


def evaluate_any(
    deployment: Deployment, forward: ForwardModel, rows: tuple[TraceRow, ...] = (), hooks: Hooks | None = None
) -> Evaluation:
    """The answer to a burst or to requests that arrive; rows: of a trace that the scenario only names.

    Raises as evaluate and Loads.of do, and CancelledError.
    """
    if not deployment.scenario.is_load:
        return evaluate(deployment, forward)
    loads = Loads.of(deployment, forward, rows, hooks)
    if loads.missing_bytes > 0:
        burst = _burst(loads, forward, 1, (), None)
        return replace(burst, verdict=loads.no_room())
    pairs = tried_loads(loads)
    tried = tuple(point for point, _ in pairs)
    point, result = answer_of(pairs)
    batch = deployment.asked.batch or point.batch_size
    return _with_load(_burst(loads, forward, batch, tried, point), loads, point, result)


def steady_state(
    deployment: Deployment, forward: ForwardModel, burst: Evaluation, hooks: Hooks | None = None
) -> SteadyState:
    """The closed loop beside a burst: as many users as the burst has requests, and so many seats."""
    closed = burst.scenario.replace(arrival="closed", users=burst.concurrency, max_num_seqs=None)
    loads = Loads.of(replace(deployment, asked=closed, scenario=closed), forward, hooks=hooks)
    return SteadyState(load=None if loads.missing_bytes > 0 else loads.closed(burst.concurrency))


def first_run(deployment: Deployment, forward: ForwardModel, rows: tuple[TraceRow, ...] = ()) -> Measured:
    """The simulation with the first seed, whole, of a scenario whose users or rate are known. InputError otherwise."""
    loads = Loads.of(deployment, forward, rows)
    scenario, stage = loads.scenario, loads.stage
    if loads.missing_bytes > 0:
        raise InputError("reserved_gib", scenario.reserved_gib, "less: not one request fits in memory")
    if scenario.arrival == "trace":
        return stage.trace(loads.hooks)
    if scenario.arrival == "open" and scenario.rate:
        return stage.open(scenario.rate, scenario.cv, 0, loads.hooks)
    if scenario.arrival == "closed" and scenario.users:
        return stage.closed(-(-scenario.users // stage.replicas), 0, loads.hooks)
    raise InputError("arrival", scenario.arrival, "closed with users, open with a rate, or trace")


def _burst(
    loads: Loads, forward: ForwardModel, batch: int, tried: tuple[TriedBatch, ...], answer: TriedBatch | None
) -> Evaluation:
    """A burst under the same budget: passes in detail, memory."""
    scenario = loads.scenario
    burst = replace(loads.deployment, scenario=scenario.as_burst().replace(batch=batch, percentile="mean"))
    points = Points.of(burst, forward)
    run = points.run(batch, detail=True)
    while run.memory_left_bytes < 0 and batch > 1 and loads.deployment.asked.batch is None:
        batch //= 2  # the burst's rules count a little more memory: what they refuse cannot be shown in detail
        run = points.run(batch, detail=True)
    found = evaluation_of(burst, forward, run, (points.point_of(run),), points.limits)
    settled = found.scenario.replace(
        arrival=scenario.arrival,
        percentile=scenario.percentile,
        scheduler=scenario.scheduler,
        users=answer.users if answer and answer.users else scenario.users,
        rate=answer.rate if answer and answer.rate else scenario.rate,
    )
    return replace(found, scenario=settled, tried=tried or found.tried)


def _with_load(burst: Evaluation, loads: Loads, point: TriedBatch, result: LoadResult) -> Evaluation:
    name = loads.scenario.percentile
    end_to_end_s = result.end_to_end.value.at(name)
    return replace(
        burst,
        verdict=point.verdict,
        ttft_s=point.ttft_s,
        tpot_s=point.tpot_s,
        tpot_other_s=end_to_end_s / result.mean_output_tokens,
        output_tokens_per_s=point.output_tokens_per_s,
        output_tokens_per_s_per_device=point.output_tokens_per_s / burst.layout.num_devices,
        requests_per_s=point.output_tokens_per_s / loads.stage.mean_lengths[1],
        end_to_end_s=end_to_end_s,
        concurrency=point.concurrency,
        next_stop=next_load_stop(burst.tried, point.output_tokens_per_s),
        load=result,
    )
