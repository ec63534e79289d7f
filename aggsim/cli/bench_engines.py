"""Engines beside each other: analytic ÷ silicon by kind of operator, and what each engine takes to answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from aggsim.cli.measurement import Measurement
from aggsim.devices.catalog import load_device
from aggsim.engines import engine_names, load_engine
from aggsim.engines.base import ForwardModel
from aggsim.errors import AggsimError
from aggsim.forward.batch import Batch, RequestGroup
from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import load_model
from aggsim.planning.operator_kinds import seconds_by_kind
from aggsim.planning.resolve import Deployment, resolve
from aggsim.planning.search import search_batches
from aggsim.report.format import duration
from aggsim.scenario import Scenario

__all__ = ["engines"]

MODELS = ("Qwen/Qwen3-32B", "meta-llama/Meta-Llama-3.1-70B", "Qwen/Qwen3-235B-A22B")
DEVICES = ("H100_SXM_80G", "H200_SXM_141G", "B200_SXM_180G")
ENGINES = ("analytic", "silicon")
NEW_SHAPES = 200
SLOW_SHAPES = 2
REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A shape that all models and devices are compared at, in FP8 on eight devices with tp 8."""

    name: str
    batch: Batch


PREFILL = (RequestGroup(num_requests=4, query_len=4096, seq_len=4096, is_decode=False),)
DECODE = (RequestGroup(num_requests=64, query_len=1, seq_len=4096, is_decode=True),)
PASSES = (Pass(name="prefill 4 × 4,096", batch=PREFILL), Pass(name="decode 64 at 4,096", batch=DECODE))


def engines() -> Iterator[Measurement]:
    """Seconds to bind, to price and to search; then ratios by kind of operator for three models on three devices."""
    for name in engine_names():
        yield from _speed(name)
    if load_engine("silicon").availability() is None:
        for model in MODELS:
            for device in DEVICES:
                yield from _ratios(model, device)


def _ratios(model: str, device: str) -> Iterator[Measurement]:
    bound = {name: _deployment(name, model, device).bind() for name in ENGINES}
    short = f"{model.rsplit('/', 1)[-1]}, {device.partition('_')[0]}"
    for shape in PASSES:
        ours, measured = (bound[name].cost(shape.batch) for name in ENGINES)
        yield _ratio(f"{short}, {shape.name}: whole pass", ours.latency_s, measured.latency_s, measured)
        one, two = seconds_by_kind(ours), seconds_by_kind(measured)
        for kind in dict.fromkeys((*one, *two)):
            if two.get(kind):
                yield _ratio(f"{short}, {shape.name}: {kind}", one.get(kind, 0.0), two[kind], measured)


def _ratio(name: str, ours_s: float, measured_s: float, measured: ForwardCost) -> Measurement:
    share = measured_s / measured.latency_s
    against = f"silicon: {duration(measured_s)}, {share:.0%} of the pass"
    return Measurement(name=name, value=ours_s / measured_s, unit="×", compared_with=against)


def _speed(name: str) -> Iterator[Measurement]:
    """The first bind of the process (tables are opened), another one, one new shape, one whole search."""
    engine = load_engine(name)
    reason = engine.availability()
    if reason is not None:
        return
    device = "TEST_DEVICE" if name == "tensor_cast" else "H100_SXM_80G"
    try:  # an engine may do its work when it is asked whether it can
        first_s = _seconds(lambda: _bound(name, device))
        other_s = _seconds(lambda: _bound(name, device, tp=4))
        forward = _bound(name, device)
    except AggsimError:
        return  # it needs a law, or does not know the model
    is_slow = bool(getattr(engine, "slow", False))
    yield Measurement(name=f"{name}: first bind", value=first_s, unit="s", compared_with="opens what it needs")
    yield Measurement(name=f"{name}: another layout", value=other_s, unit="s", compared_with="the first bind")
    count = SLOW_SHAPES if is_slow else NEW_SHAPES
    forward.cost(DECODE)
    shape_s = _seconds(lambda: _price(forward, count)) / count
    yield Measurement(name=f"{name}: a new shape", value=1e3 * shape_s, unit="ms", compared_with="one call a shape")
    if not is_slow:
        spent = min(_seconds(partial(_search, name, device, 3500 + more)) for more in range(REPEATS))
        yield Measurement(name=f"{name}: batch search", value=spent, unit="s", compared_with="one layout, bound anew")


def _price(forward: ForwardModel, count: int) -> None:
    for size in range(1, count + 1):
        forward.price(((RequestGroup(num_requests=size, query_len=1, seq_len=5000 + size, is_decode=True),),))


def _search(name: str, device: str, num_input_tokens: int) -> None:
    """Another length each time: shapes may be remembered."""
    deployment = _deployment(name, MODELS[0], device, input=num_input_tokens)
    search_batches(deployment, deployment.bind())


def _bound(name: str, device: str, tp: int = 8) -> ForwardModel:
    return _deployment(name, MODELS[0], device, tp=tp).bind()


def _deployment(engine: str, model: str, device: str, **asked: Any) -> Deployment:
    linear = "fp8" if device != "TEST_DEVICE" else "w8a8_dynamic"
    values: dict[str, Any] = {"model": model, "device": device, "tp": 8, "linear": linear, "engine": engine}
    return resolve(Scenario(**(values | asked)), load_model(model), load_device(device))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
