"""The JSON that scripts read: an evaluation, one forward pass, an error. What is infinite is null."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from aggsim.errors import AggsimError, EngineError, InputError, UnsupportedModelError
from aggsim.forward.cost import BoundTimes, ForwardCost, MemoryUse, OpCost
from aggsim.forward.names import tensor_cast_name
from aggsim.planning.evaluation import Evaluation, Verdict
from aggsim.report.load_json import load_json
from aggsim.report.provenance import SOURCES, shares
from aggsim.report.rows import result_row
from aggsim.serving.timeline import Timeline
from aggsim.share import to_json
from aggsim.units import gib, ms

__all__ = ["error_json", "evaluation_json", "evaluation_text", "finite", "forward_json", "verdict_json"]

Json = dict[str, Any]


def evaluation_json(evaluation: Evaluation) -> Json:
    """An answered scenario, complete: seconds become ms and bytes GiB where the key says so. load is of simulated
    arrivals only; then the times, throughput and verdict above are its own, at the percentile asked for."""
    run = evaluation.run
    return {
        "scenario": to_json(evaluation.scenario),
        "engine": _engine(evaluation),
        "ttft_ms": finite(ms(evaluation.ttft_s)),
        "tpot_ms": finite(ms(evaluation.tpot_s)),
        "output_tokens_per_s": finite(evaluation.output_tokens_per_s),
        "output_tokens_per_s_per_device": finite(evaluation.output_tokens_per_s_per_device),
        "prompt_tokens_per_s": finite(evaluation.prompt_tokens_per_s),
        "requests_per_s": finite(evaluation.requests_per_s),
        "concurrency": evaluation.concurrency,
        "num_chunks": run.num_chunks,
        "prefill_latency_ms": finite(ms(run.prefill_latency_s)),
        "prefill_last_latency_ms": finite(ms(run.prefill_last_latency_s)),
        "decode_latency_ms": finite(ms(run.decode_latency_s)),
        "memory_left_gib": finite(gib(run.memory_left_bytes)),
        "prefill_memory_left_gib": finite(gib(run.prefill_memory_left_bytes)),
        "memory": _memory(evaluation.memory),
        "breakdown": {"prefill": _bound(evaluation.prefill), "decode": _bound(evaluation.decode)},
        "ops": {"prefill": _ops(evaluation.prefill), "decode": _ops(evaluation.decode)},
        "verdict": verdict_json(evaluation.verdict),
        "timeline": _timeline(run.timeline),
        "row": {name: finite(value) for name, value in result_row(evaluation).items()},
        "warnings": list(evaluation.warnings),
    } | ({"load": load_json(evaluation.load)} if evaluation.load else {})


def evaluation_text(evaluation: Evaluation) -> str:
    """The same as a file: what the command line prints."""
    return json.dumps(evaluation_json(evaluation), indent=2, allow_nan=False) + "\n"


def _engine(evaluation: Evaluation) -> Json:
    """Who answered, who was asked, why nobody better answered, and how much of each pass's time is from where."""
    engine = evaluation.engine
    passes = {"prefill": evaluation.prefill, "decode": evaluation.decode}
    return {
        "name": engine.name,
        "version": engine.version,
        "source": engine.source,
        "asked": engine.asked,
        "fallback": engine.fallback,
        "shares": {name: _shares(cost) for name, cost in passes.items()},
    }


def _shares(cost: ForwardCost | None) -> dict[str, float]:
    """Source, as the operators have it → share of the pass's time."""
    source_of = {word: source for source, word in SOURCES.items()}
    return {source_of[word]: share for word, share in shares(cost).items()} if cost else {}


def forward_json(cost: ForwardCost) -> Json:
    """One forward pass, with the field names of the recorded passes; *_gb is GiB per device."""
    bound, memory = cost.bound_s, cost.memory
    return {
        "latency_s": cost.latency_s,
        "weight_gb": gib(memory.weight),
        "kv_cache_gb": gib(memory.kv_cache),
        "activation_gb": gib(memory.activation),
        "available_gb": gib(memory.available),
        "breakdown_s": {
            "memory_bound": bound.memory,
            "communication_bound": bound.communication,
            "compute_bound_mma": bound.mma,
            "compute_bound_gp": bound.gp,
        },
        "ops": _totals_by_name(cost),
    }


def error_json(error: AggsimError) -> Json:
    """What a bad line gets in its answer's place."""
    match error:
        case InputError():
            field, value, allowed = error.field, error.value, error.allowed
        case UnsupportedModelError():
            field, value, allowed = "model", error.architecture, str(error)
        case EngineError():
            field, value, allowed = "engine", error.engine, error.reason
        case _:
            field, value, allowed = "scenario", None, str(error)
    plain = value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    return {"error": {"field": field, "value": value if plain else repr(value), "allowed": allowed}}


def finite(value: Any) -> Any:
    """The value; null for what is infinite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _memory(memory: MemoryUse) -> Json:
    names = ("weight", "kv_cache", "activation", "reserved", "available")
    return {name: finite(gib(getattr(memory, name))) for name in names}


def _bound(cost: ForwardCost | None) -> Json:
    """Seconds; a pass that never ran was bound by nothing for 0 s."""
    return dataclasses.asdict(cost.bound_s if cost else BoundTimes())


def _ops(cost: ForwardCost | None) -> list[Json]:
    def op_json(op: OpCost) -> Json:
        return {"name": op.name, "calls": op.calls, "total_s": op.total_s, "bound": op.bound, "source": op.source}

    return [op_json(op) for op in cost.ops] if cost else []


def _totals_by_name(cost: ForwardCost) -> dict[str, list[float]]:
    """[seconds, calls] of each operator under the name that the recorded passes have for it."""
    totals: dict[str, list[float]] = {}
    for op in cost.ops:
        entry = totals.setdefault(tensor_cast_name(op.kernel or op.name), [0.0, 0])
        entry[0] += op.total_s
        entry[1] += op.calls
    return totals


def verdict_json(verdict: Verdict) -> Json:
    """A verdict's fields."""
    margin = finite(verdict.margin)
    return {"ok": verdict.ok, "limit": verdict.limit, "margin": margin, "step": verdict.step}


def _timeline(timeline: Timeline) -> list[Json]:
    names = [field.name for field in dataclasses.fields(timeline.steps[0])] if timeline.steps else []
    return [{name: finite(getattr(step, name)) for name in names} for step in timeline.steps]
