"""Answer one question: find the batch size where none is given, serve it, judge it."""

from __future__ import annotations

import math

from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import RequestGroup
from aggsim.forward.cost import ForwardCost
from aggsim.planning.batch_search import best_of, next_stop_of
from aggsim.planning.evaluation import EngineInfo, Evaluation, TriedBatch
from aggsim.planning.points import Points
from aggsim.planning.resolve import Deployment
from aggsim.planning.verdict import Limits, blame_step
from aggsim.serving import ServingRun

__all__ = ["evaluate", "evaluation_of", "warnings_of"]


def evaluate(deployment: Deployment, forward: ForwardModel) -> Evaluation:
    """The answer to a burst (load_evaluate.py: to requests that arrive); forward is the deployment's engine, bound (and
    perhaps wrapped in a cache).

    With scenario.batch absent the feasible batch size with the most output tokens/s is the answer, or batch size 1 and
    what stops it. Raises InputError where the serving rules refuse the scenario.
    """
    points = Points.of(deployment, forward)
    batch_size = deployment.scenario.batch
    tried: tuple[TriedBatch, ...] = ()
    if batch_size is None:
        tried = points.search()
        batch_size = (best_of(tried) or tried[0]).batch_size
    run = points.run(batch_size, detail=True)
    return evaluation_of(deployment, forward, run, tried or (points.point_of(run),), points.limits)


def evaluation_of(
    deployment: Deployment, forward: ForwardModel, run: ServingRun, tried: tuple[TriedBatch, ...], limits: Limits
) -> Evaluation:
    """The answer that a run in detail comes to; tried: batch sizes that were looked at, the run's among them."""
    scenario = deployment.scenario
    answer = next(point for point in tried if point.batch_size == run.batch_size)
    end_to_end_s, tpot_other_s = _request_times(run, scenario.output)
    tightest = run.tightest_cost or run.prefill_cost or run.decode_cost
    if tightest is None:
        raise RuntimeError("a run in detail prices at least one pass")
    return Evaluation(
        asked=deployment.asked,
        scenario=scenario.replace(batch=run.batch_size, max_batched_tokens=run.max_batched_tokens, timing=run.timing),
        engine=EngineInfo(
            name=deployment.engine.name,
            version=deployment.engine.version,
            source=_sources(run.prefill_cost, run.decode_cost, tightest),
            asked=deployment.asked.engine,
            fallback=deployment.fallback,
        ),
        layout=deployment.layout,
        quantization=deployment.quantization,
        is_moe=deployment.model.is_moe,
        run=run,
        verdict=blame_step(answer.verdict, run, limits),
        ttft_s=run.ttft_s,
        tpot_s=run.tpot_s,
        tpot_other_s=tpot_other_s,
        output_tokens_per_s=run.output_tokens_per_s,
        output_tokens_per_s_per_device=run.output_tokens_per_s / deployment.layout.num_devices,
        requests_per_s=run.output_tokens_per_s / scenario.output,
        end_to_end_s=end_to_end_s,
        concurrency=run.concurrency,
        memory=tightest.memory,
        memory_left_at_last_token_bytes=_memory_left_at_last_token(deployment, forward, run.concurrency),
        prefill=run.prefill_cost,
        decode=run.decode_cost,
        tried=tried,
        next_stop=next_stop_of(tried, run.batch_size),
        warnings=warnings_of(deployment, forward),
    )


def _request_times(run: ServingRun, num_output_tokens: int) -> tuple[float, float]:
    """Mean end-to-end seconds of a request, and TPOT by the definition that `run` does not use."""
    if math.isinf(run.tpot_s):
        return math.inf, math.inf
    if run.timing == "wave":
        return run.ttft_s + run.decode_latency_s * num_output_tokens, run.decode_latency_s
    end_to_end_s = run.ttft_s + run.tpot_s * (num_output_tokens - 1)
    return end_to_end_s, end_to_end_s / num_output_tokens


def _memory_left_at_last_token(deployment: Deployment, forward: ForwardModel, concurrency: int) -> float:
    """Bytes left in a decode pass in which every request of the burst is at its last token."""
    workload = deployment.scenario.workload()
    query_len = workload.num_mtp_tokens + 1
    context = workload.num_input_tokens + workload.num_output_tokens - 1
    group = RequestGroup(num_requests=concurrency, query_len=query_len, seq_len=context + query_len, is_decode=True)
    return float(forward.price(((group,),)).available_bytes[0])


def warnings_of(deployment: Deployment, forward: ForwardModel) -> tuple[str, ...]:
    """What a reader of the numbers should know, one sentence each."""
    scenario, model = deployment.scenario, deployment.model
    sentences = list(deployment.notes)
    if not scenario.is_load and scenario.percentile != "mean":
        sentences.append(f"A burst has means only: percentile {scenario.percentile} needs requests that arrive.")
    if not deployment.is_label_only:
        context = scenario.input + scenario.output
        if context > model.max_position_embeddings:
            sentences.append(
                f"Input + output is {context:,} tokens; {model.model_id} was made for "
                f"{model.max_position_embeddings:,} (max_position_embeddings)."
            )
        if scenario.mtp and not model.num_mtp_layers:
            sentences.append(f"{model.model_id} has no MTP layer of its own; one like its last layer is assumed.")
        sentences += model.warnings
    sentences += forward.warnings
    return tuple(dict.fromkeys(sentences))


def _sources(*costs: ForwardCost | None) -> str:
    return ", ".join(sorted({cost.source for cost in costs if cost is not None}))
