"""python -m aggsim bench: how fast, as ratios measured in one run on one machine.

BENCHES is the list; each bench yields a few lines of name, value, unit and what the value is compared with.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np

from aggsim import service
from aggsim.cli.bench_engines import engines
from aggsim.cli.bench_goldens import goldens
from aggsim.cli.bench_load import load
from aggsim.cli.jsonl import dump
from aggsim.cli.measurement import Measurement
from aggsim.devices.catalog import load_device
from aggsim.engines.base import ForwardModel
from aggsim.errors import InputError
from aggsim.forward.batch import Batches
from aggsim.models.catalog import load_model
from aggsim.planning.evaluate import evaluate as evaluate_deployment
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.explain import explain
from aggsim.planning.resolve import Deployment, resolve
from aggsim.planning.search import search as search_layouts
from aggsim.planning.search import search_batches
from aggsim.report.format import number
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.service_passes import WatchedForward
from aggsim.store import default_store

__all__ = ["BENCHES", "Measurement", "run"]

QUESTION = Scenario(model="Qwen/Qwen3-32B", device="TEST_DEVICE", devices=8, tp=8, linear="w8a8_dynamic")
EXPERTS = Scenario(model="deepseek-ai/DeepSeek-V3", device="TEST_DEVICE", devices=64, tp=8, linear="w8a8_dynamic")
LONG_PROMPT = QUESTION.replace(input=8192, output=1024, max_batched_tokens=2048, batch=32)
REPEATS = 7
NUM_SHAPES = 50_000
REAL_OPTIMIZER_S = 111.4 / 4
"""What the real optimizer took for QUESTION, per layout, on two cores of another machine (recorded searches)."""


def evaluate() -> Iterator[Measurement]:
    """One question with batch search: bound and searched anew, read from the store, remembered."""
    deployment = _deployment(QUESTION)
    cold_s = _seconds(lambda: _answer(QUESTION))
    searched = evaluate_deployment(deployment, deployment.bind())
    yield Measurement(name="evaluate cold", value=1e3 * cold_s, unit="ms", compared_with="20 ms allowed")
    yield Measurement(
        name="evaluate cold, speed-up",
        value=REAL_OPTIMIZER_S / cold_s,
        unit="×",
        compared_with=f"{REAL_OPTIMIZER_S:.0f} s a layout of the real optimizer, recorded elsewhere",
    )
    yield Measurement(
        name="batch sizes tried", value=len(searched.tried), unit="", compared_with="100,000 possible ones"
    )
    with _fresh_store():
        service.evaluate(QUESTION)
        stored_s = _seconds(lambda: service.evaluate(QUESTION), before=service.forget)
        remembered_s = _seconds(lambda: service.evaluate(QUESTION))
    yield Measurement(name="evaluate from the store", value=1e3 * stored_s, unit="ms", compared_with="1 ms allowed")
    yield Measurement(name="store, speed-up", value=cold_s / stored_s, unit="×", compared_with="evaluate cold")
    yield Measurement(name="memory, speed-up", value=cold_s / remembered_s, unit="×", compared_with="evaluate cold")


def price() -> Iterator[Measurement]:
    """Forward passes: thousands of shapes in one call, and one by one."""
    for name, question in (("Qwen3-32B", QUESTION), ("DeepSeek-V3", EXPERTS)):
        yield from _prices(name, question)


def _prices(model: str, question: Scenario) -> Iterator[Measurement]:
    deployment = _deployment(question)
    bind_s = _seconds(deployment.bind)
    forward = deployment.bind()
    sizes = np.arange(1, NUM_SHAPES + 1)
    shapes = Batches.uniform(sizes, 1, 4096 + sizes, is_decode=True)
    together_s = _seconds(lambda: forward.price(shapes))
    alone_s = _seconds(lambda: _price_alone(forward, 100)) / 100
    yield Measurement(name=f"bind {model}", value=1e3 * bind_s, unit="ms", compared_with="3 ms allowed")
    yield Measurement(
        name=f"shapes {model}",
        value=NUM_SHAPES / together_s,
        unit="per s",
        compared_with="about 2 s a shape of the real engine, recorded elsewhere",
    )
    yield Measurement(
        name=f"one call {model}", value=alone_s * NUM_SHAPES / together_s, unit="×", compared_with="one call a shape"
    )


def stepped() -> Iterator[Measurement]:
    """Every scheduler step of chunked prefill: steps simulated against timeline entries computed."""
    deployment = _deployment(LONG_PROMPT)
    forward = deployment.bind()
    taken_s = _seconds(lambda: evaluate_deployment(deployment, forward))
    timeline = evaluate_deployment(deployment, forward).run.timeline
    yield Measurement(name="stepped run", value=1e3 * taken_s, unit="ms", compared_with=f"{timeline.num_steps:,} steps")
    yield Measurement(name="steps", value=timeline.num_steps / taken_s, unit="per s", compared_with="stepped run")
    yield Measurement(
        name="steps per entry",
        value=timeline.num_steps / len(timeline.steps),
        unit="×",
        compared_with="one entry a step",
    )


def search() -> Iterator[Measurement]:
    """Whole searches, cold inside a warm process, and how they grow."""
    dense = SearchQuestion(base=QUESTION.replace(tp=None))
    dense_s, layouts = _search_s(dense)
    yield Measurement(name="Qwen3-32B, 8 devices", value=1e3 * dense_s, unit="ms", compared_with="50 ms allowed")
    yield Measurement(
        name="Qwen3-32B, speed-up",
        value=layouts * REAL_OPTIMIZER_S / dense_s,
        unit="×",
        compared_with=f"{layouts * REAL_OPTIMIZER_S:.0f} s of the real optimizer, recorded elsewhere",
    )
    experts_s, many = _search_s(SearchQuestion(base=EXPERTS.replace(tp=None)))
    yield Measurement(
        name=f"DeepSeek-V3, 64 devices, {many} layouts", value=experts_s, unit="s", compared_with="1 s allowed"
    )
    varied = SearchQuestion.of(dense.base, attention="all", linear=["w8a8_dynamic", "fp8", "none"])
    varied_s, more = _search_s(varied)
    yield Measurement(
        name=f"{more // layouts} times the layouts",
        value=varied_s / dense_s,
        unit="×",
        compared_with="the time of Qwen3-32B, 8 devices",
    )
    for name, asked in (("wave", {}), ("stepped", {"max_batched_tokens": 2048, "output": 64})):
        points, runs = _effort(QUESTION.replace(**asked))
        yield Measurement(
            name=f"{name}: batch sizes looked at", value=points, unit="", compared_with=f"{runs} pricing calls"
        )
    spent_s = _seconds(lambda: explain(QUESTION, load_model(QUESTION.model), service.devices()))
    yield Measurement(name="what would help", value=1e3 * spent_s, unit="ms", compared_with="150 ms allowed")


def _search_s(question: SearchQuestion) -> tuple[float, int]:
    """Seconds of a search that nothing was kept of, and its layouts."""
    model, devices = load_model(question.base.model), service.devices()
    taken_s = _seconds(lambda: search_layouts(question, model, devices))
    return taken_s, search_layouts(question, model, devices).num_layouts


def _effort(scenario: Scenario) -> tuple[int, int]:
    """Batch sizes that a batch search looks at, and calls of price() that it takes."""
    deployment, calls = _deployment(scenario), [0]

    def count() -> None:
        calls[0] += 1

    found = search_batches(deployment, WatchedForward(forward=deployment.bind(), report=count))
    return len(found.tried), calls[0]


BENCHES: dict[str, Callable[[], Iterator[Measurement]]] = {
    "evaluate": evaluate,
    "price": price,
    "stepped": stepped,
    "search": search,
    "load": load,
    "goldens": goldens,
    "engines": engines,
}


def run(options: argparse.Namespace) -> int:
    """The named benches, or all. Raises InputError for a name that is none."""
    for name in options.names:
        if name not in BENCHES:
            raise InputError("bench", name, ", ".join(BENCHES))
    for name in options.names or BENCHES:
        for line in BENCHES[name]():
            if options.json:
                print(dump({"bench": name} | asdict(line)), flush=True)
            else:
                value = f"{number(line.value)} {line.unit}"
                print(f"{name:<10}{line.name:<72}{value:<18}against {line.compared_with}", flush=True)
    return 0


@contextmanager
def _fresh_store() -> Iterator[None]:
    """An empty store of this run's own, so that nothing is found and nothing is left behind."""
    before = os.environ.get("AGGSIM_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AGGSIM_CACHE_DIR"] = folder
        default_store.cache_clear()
        service.forget()
        try:
            yield
        finally:
            default_store().close()
            default_store.cache_clear()
            os.environ.pop("AGGSIM_CACHE_DIR")
            if before is not None:
                os.environ["AGGSIM_CACHE_DIR"] = before


def _deployment(scenario: Scenario) -> Deployment:
    return resolve(scenario, load_model(scenario.model), load_device(scenario.device))


def _answer(scenario: Scenario) -> Evaluation:
    deployment = _deployment(scenario)
    return evaluate_deployment(deployment, deployment.bind())


def _price_alone(forward: ForwardModel, num_shapes: int) -> None:
    for size in range(1, num_shapes + 1):
        forward.price(Batches.uniform([size], 1, 4096 + size, is_decode=True))


def _seconds(action: Callable[[], object], before: Callable[[], object] | None = None) -> float:
    """The fastest of a few runs; `before` is not counted."""
    best = float("inf")
    for _ in range(REPEATS):
        if before:
            before()
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best
