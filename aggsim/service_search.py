"""Searches, explanations and sizings, kept as evaluations are."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aggsim.devices.catalog import device_ids
from aggsim.devices.spec import DeviceSpec
from aggsim.engines import AUTO_ORDER, load_engine
from aggsim.models.spec import ModelSpec
from aggsim.planning.deployment import Load, SizingResult, smallest_deployments
from aggsim.planning.explain import Explanation
from aggsim.planning.explain import explain as explain_scenario
from aggsim.planning.resolve import Deployment
from aggsim.planning.search import LayoutTask, Outcome, answer_layout, layout_tasks, ranked
from aggsim.planning.search_result import Rejected, SearchResult
from aggsim.scenario import Scenario
from aggsim.scenario_search import ALL, SearchQuestion
from aggsim.service_answers import answer_key, bind, kept, model_key
from aggsim.service_executors import Executor, Report, Watch, chosen_executor
from aggsim.service_own import find_device, find_model
from aggsim.service_passes import WatchedForward
from aggsim.service_traces import trace_rows

__all__ = ["Question", "answer_task", "explain", "is_slow", "search", "size", "takes_long"]

Question = SearchQuestion | Scenario
Devices = Mapping[str, DeviceSpec]


def search(
    question: Question,
    *,
    model: ModelSpec | None = None,
    devices: Devices | None = None,
    watch: Watch | None = None,
    executor: Executor | None = None,
) -> SearchResult:
    """Every layout of the question at every batch size that the rules look at, ranked.

    model: instead of the catalog's. devices: by id, before the catalog's. watch hears of every layout and pass, and may
    end the search (CancelledError passes through; every pass of a slow engine that was priced is kept).
    Raises AggsimError for a question that has no layouts to look at: an unknown model or device, a bad value.
    """
    asked = SearchQuestion(base=question) if isinstance(question, Scenario) else question
    specs = _specs(_device_ids(asked, devices), devices)
    slow = is_slow(asked.base)

    def compute() -> SearchResult:
        start = time.perf_counter()
        tasks = layout_tasks(asked, model or find_model(asked.base.model), specs, trace_rows(asked.base))
        outcomes = _answers(tasks, executor or chosen_executor(slow=slow), watch or Watch())
        return ranked(asked, outcomes, time.perf_counter() - start)

    return kept(
        SearchResult,
        _key(SearchResult, asked.base, model, specs, question=asked),
        compute,
        wait=not takes_long(asked.base),
    )


def explain(
    scenario: Scenario,
    *,
    model: ModelSpec | None = None,
    devices: Devices | None = None,
    other_devices: bool = True,
    watch: Watch | None = None,
) -> Explanation:
    """What limits a scenario, and what single changes would buy; other_devices: also on the vendor's other devices.

    watch hears of every pass and may end the work (CancelledError passes through). Raises AggsimError as evaluate does.
    """
    own = _specs((scenario.device,), devices)
    specs = own | (_specs((*device_ids(), *(devices or ())), devices) if other_devices else {})
    vendor = own[scenario.device].vendor
    specs = {device_id: spec for device_id, spec in specs.items() if spec.vendor == vendor}

    report = (watch or Watch()).count_pass

    def watched(deployment: Deployment) -> WatchedForward:
        return WatchedForward(forward=bind(deployment), report=report)

    def compute() -> Explanation:
        return explain_scenario(scenario, model or find_model(scenario.model), specs, watched)

    key = _key(Explanation, scenario, model, specs, question=scenario)
    return kept(Explanation, key, compute, wait=not is_slow(scenario))


def size(
    question: Question, load: Load, *, model: ModelSpec | None = None, devices: Devices | None = None
) -> SizingResult:
    """The smallest deployment of each kind of device that carries the load. Raises AggsimError as search does."""
    asked = SearchQuestion(base=question) if isinstance(question, Scenario) else question
    specs = _specs(_device_ids(asked, devices), devices)

    def compute() -> SizingResult:
        return smallest_deployments(asked, load, model or find_model(asked.base.model), specs, bind)

    key = _key(SizingResult, asked.base, model, specs, question=asked, load=load)
    return kept(SizingResult, key, compute, wait=not takes_long(asked.base))


def is_slow(scenario: Scenario) -> bool:
    """The engine that answers takes seconds a pass; auto never chooses such a one. Raises InputError for a name that
    is none."""
    return scenario.engine != "auto" and bool(getattr(load_engine(scenario.engine), "slow", False))


def takes_long(scenario: Scenario) -> bool:
    """A layout takes seconds: worth a progress bar and a way to stop."""
    return scenario.is_load or is_slow(scenario)


def answer_task(task: LayoutTask, report: Report) -> Outcome:
    """One layout, in whichever process; report hears of every pass before it is priced."""
    return answer_layout(task, lambda deployment: WatchedForward(forward=bind(deployment), report=report))


def _answers(tasks: list[LayoutTask | Rejected], executor: Executor, watch: Watch) -> list[Outcome]:
    """In the order of the tasks, whatever order they are done in."""
    outcomes: dict[int, Outcome] = {i: task for i, task in enumerate(tasks) if isinstance(task, Rejected)}
    todo = [(i, task) for i, task in enumerate(tasks) if isinstance(task, LayoutTask)]
    watch.begin(len(tasks))
    for i in sorted(outcomes):
        watch.done(i, outcomes[i])
    for position, outcome in executor.map_layouts(answer_task, [task for _, task in todo], watch):
        index = todo[position][0]
        outcomes[index] = outcome
        watch.done(index, outcome)
    return [outcomes[i] for i in range(len(tasks))]


def _device_ids(question: SearchQuestion, own: Devices | None) -> tuple[str, ...]:
    values = question.varied.get("device", (question.base.device,))
    named = (*device_ids(), *(own or ())) if values == (ALL,) else map(str, values)
    return tuple(dict.fromkeys(named))


def _specs(named: tuple[str, ...], own: Devices | None) -> dict[str, DeviceSpec]:
    return {name: (own or {}).get(name) or find_device(name) for name in named}


def _key(kind: type, scenario: Scenario, model: ModelSpec | None, devices: Devices, **question: object) -> str:
    names = AUTO_ORDER if scenario.engine == "auto" else (scenario.engine,)
    engines = [load_engine(name) for name in names]
    return answer_key(
        kind,
        model=model_key(scenario.model, model),
        devices=dict(devices),
        engines=[[engine.name, engine.version, engine.availability()] for engine in engines],
        **question,
    )
