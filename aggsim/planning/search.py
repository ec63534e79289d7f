"""Search: every layout of a question, each at every batch size that the rules look at, ranked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import ForwardModel
from aggsim.errors import AggsimError
from aggsim.models.spec import ModelSpec
from aggsim.parameters_arrivals import TraceRow
from aggsim.planning.batch_search import best_of
from aggsim.planning.evaluate import warnings_of
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.layouts import Variant, lacking_units, variants
from aggsim.planning.load_evaluate import evaluate_any
from aggsim.planning.points import Points
from aggsim.planning.resolve import Deployment, resolve
from aggsim.planning.search_result import Candidate, Rejected, SearchResult
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion

__all__ = ["LayoutTask", "Outcome", "answer_layout", "layout_tasks", "ranked", "search", "search_batches"]

Bind = Callable[[Deployment], ForwardModel]
CURVE_SIZES = tuple(sorted({n << i for i in range(9) for n in (2, 3)} | {1}))
"""1, 2, 3, 4, 6, 8, 12, … 512, 768: where curves are drawn through, where that is cheap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutTask:
    """One layout to look at: complete in itself, so that any process can do it."""

    variant: Variant
    scenario: Scenario
    model: ModelSpec
    device: DeviceSpec
    compares_formats: bool
    """Formats compete, or devices with their own: what lacks the units for its format is out of competition."""
    rows: tuple[TraceRow, ...] = ()
    """Of a trace that the scenario only names."""


Outcome = Candidate | Rejected


def search(
    question: SearchQuestion,
    model: ModelSpec,
    devices: Mapping[str, DeviceSpec],
    bind: Bind = Deployment.bind,
    rows: tuple[TraceRow, ...] = (),
) -> SearchResult:
    """All layouts, one after the other, in this process; rows: of a trace that the question only names.

    devices: by id, at least those that the question names; what device=all stands for. Raises KeyError without one.
    """
    start = time.perf_counter()
    outcomes = [
        task if isinstance(task, Rejected) else answer_layout(task, bind)
        for task in layout_tasks(question, model, devices, rows)
    ]
    return ranked(question, outcomes, time.perf_counter() - start)


def layout_tasks(
    question: SearchQuestion,
    model: ModelSpec,
    devices: Mapping[str, DeviceSpec],
    rows: tuple[TraceRow, ...] = (),
) -> list[LayoutTask | Rejected]:
    """What there is to look at, in order; rejected is what no scenario can say."""
    tasks: list[LayoutTask | Rejected] = []
    compares = bool(question.varied.keys() & {"device", "linear", "experts", "attention"})
    for variant in variants(question, model, tuple(devices)):
        device = devices[str(variant["device"])]
        try:
            scenario = question.base.replace(**variant)
        except AggsimError as error:
            tasks.append(Rejected(asked=variant, reason=str(error)))
            continue
        tasks.append(
            LayoutTask(
                variant=variant, scenario=scenario, model=model, device=device, compares_formats=compares, rows=rows
            )
        )
    return tasks


def answer_layout(task: LayoutTask, bind: Bind = Deployment.bind) -> Outcome:
    """The layout with all its batch sizes; whatever rules it out becomes the reason of its rejection."""
    try:
        deployment = resolve(task.scenario, task.model, task.device)
        lacking = lacking_units(task.device, deployment.quantization)
        if lacking and task.compares_formats and not deployment.is_label_only:
            return Rejected(asked=task.variant, reason=lacking)
        found = search_loads if task.scenario.is_load else search_batches
        candidate = found(deployment, bind(deployment), task.rows)
    except AggsimError as error:
        return Rejected(asked=task.variant, reason=str(error))
    if candidate.best is not None:
        return candidate
    return Rejected(asked=task.variant, reason="", limit=candidate.tried[0].verdict.limit, candidate=candidate)


def search_loads(deployment: Deployment, forward: ForwardModel, rows: tuple[TraceRow, ...] = ()) -> Candidate:
    """The highest rate or the most users within the limits, or the load that the scenario fixes."""
    answer = evaluate_any(deployment, forward, rows)
    return Candidate(
        scenario=answer.scenario,
        layout=answer.layout,
        quantization=answer.quantization,
        is_moe=answer.is_moe,
        num_chunks=answer.run.num_chunks,
        effective_input_tokens=answer.run.effective_input_tokens,
        tried=tuple(sorted(answer.tried, key=lambda point: point.output_tokens_per_s)),
        warnings=answer.warnings,
    )


def search_batches(
    deployment: Deployment,
    forward: ForwardModel,
    rows: tuple[TraceRow, ...] = (),  # noqa: ARG001
) -> Candidate:
    """Every batch size that the rules look at, or the one that the scenario fixes."""
    points = Points.of(deployment, forward)
    tried = points.search()
    best = best_of(tried)
    batch_size = (best or tried[0]).batch_size
    return Candidate(
        scenario=points.settled(batch_size),
        layout=deployment.layout,
        quantization=deployment.quantization,
        is_moe=deployment.model.is_moe,
        num_chunks=-(-points.num_prompt_tokens // points.max_batched_tokens),
        effective_input_tokens=points.num_prompt_tokens,
        tried=tried,
        between=_between(points, tried, batch_size) if best and len(tried) > 1 else (),
        warnings=warnings_of(deployment, forward),
    )


def ranked(question: SearchQuestion, outcomes: Iterable[Outcome], seconds: float) -> SearchResult:
    """Best first; of equals the one that was looked at first."""
    outcomes = list(outcomes)
    candidates = [outcome for outcome in outcomes if isinstance(outcome, Candidate)]
    by_device = len({candidate.layout.num_devices for candidate in candidates}) > 1
    result = SearchResult(
        question=question,
        candidates=tuple(candidates),
        rejected=tuple(outcome for outcome in outcomes if isinstance(outcome, Rejected)),
        by_device=by_device,
        seconds=seconds,
    )
    return replace(result, candidates=tuple(sorted(candidates, key=result.rate_of, reverse=True)))


def _between(points: Points, tried: tuple[TriedBatch, ...], best: int) -> tuple[TriedBatch, ...]:
    """Points for a smooth curve from batch size 1 to a little beyond the best."""
    if not points.is_wave or points.deployment.is_slow:
        return ()
    known = {point.batch_size for point in tried}
    return tuple(points.look(size) for size in CURVE_SIZES if size < 2 * best and size not in known)
