"""An answer in sentences: the scenario's name, the verdict, what the timeline shows, what the numbers assume."""

from __future__ import annotations

import math

from aggsim.planning.evaluation import Evaluation, TriedBatch
from aggsim.report.format import MISSING, compared, count, duration, memory, number, percent
from aggsim.report.load_words import load_assumptions, load_name, load_stop_words, load_verdict_words
from aggsim.scenario import Scenario
from aggsim.units import seconds

LIMIT_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "memory": "memory", "rate": "the rate"}
TPOT_LABELS = {"wave": "incl. TTFT", "stepped": "after first token"}
"""What the TPOT of each timing counts: wave spreads TTFT over the output, stepped starts after the first token."""


def short_model(model: str) -> str:
    """The model's name without its organisation."""
    return model.rsplit("/", 1)[-1]


def scenario_words(evaluation: Evaluation) -> str:
    """E.g. "Qwen3-32B · 8 × H200 SXM 141G · TP 4 DP 2 · FP8 · 3,500 → 1,500 tokens · TPOT ≤ 50 ms"."""
    scenario, layout = evaluation.scenario, evaluation.layout
    cuts = {"TP": layout.tp, "PP": layout.pp, "DP": layout.dp}
    shown = {name: size for name, size in cuts.items() if size > 1} or {"TP": layout.tp}
    if evaluation.is_moe:
        shown["EP"] = layout.ep
    parts = [
        short_model(scenario.model_name),
        f"{number(scenario.devices)} × {scenario.device_name.replace('_', ' ')}",
        " ".join(f"{name} {size}" for name, size in shown.items()),
        _quantization_words(evaluation),
        f"{number(scenario.input)} → {number(scenario.output)} tokens",
    ]
    if scenario.prefix_hit:
        parts.append(f"{number(scenario.prefix_hit * 100)}% of the prompt cached")
    if scenario.mtp:
        parts.append(f"MTP {scenario.mtp}")
    if scenario.is_load:
        parts.append(load_name(scenario))
    elif evaluation.asked.batch is not None:
        parts.append(f"batch {number(evaluation.asked.batch)}")
    parts += [
        f"{name} ≤ {duration(seconds(limit))}"
        for name, limit in (("TTFT", scenario.ttft), ("TPOT", scenario.tpot))
        if limit is not None
    ]
    return " · ".join(parts)


def _quantization_words(evaluation: Evaluation) -> str:
    quantization = evaluation.quantization
    parts = [mode_words(quantization.linear, "unquantized")]
    if evaluation.is_moe and quantization.experts != quantization.linear:
        parts.append(f"experts {mode_words(quantization.experts, 'unquantized')}")
    if quantization.attention != "none":
        parts.append(f"KV {mode_words(quantization.attention, '')}")
    return ", ".join(parts)


def mode_words(label: str, none: str) -> str:
    """A number format as people write it: "FP8", "W8A8 dynamic"; `none` for none."""
    name, _, variant = label.partition("_")
    return none if label == "none" else f"{name.upper()} {variant}".rstrip()


def verdict_words(evaluation: Evaluation) -> tuple[str, str]:
    """The verdict in one sentence, and a second one: what stops the next batch size, or what to change."""
    verdict, batch = evaluation.verdict, evaluation.run.batch_size
    if evaluation.load is not None:
        return load_verdict_words(evaluation, evaluation.load)
    searched = evaluation.asked.batch is None
    if verdict.ok:
        limits = [evaluation.scenario.ttft, evaluation.scenario.tpot]
        met = "Fits and meets the limits" if any(limit is not None for limit in limits) else "Fits"
        stop = evaluation.next_stop
        more = [stop_words(evaluation.scenario, stop)] if searched and stop else []
        last = evaluation.memory_left_at_last_token_bytes
        if last < 0:
            more.append(f"At the last token {memory(-last)} would be missing.")
        return f"{met} at batch {number(batch)}.", " ".join(more)
    where = "even at batch 1" if searched and batch == 1 else f"at batch {number(batch)}"
    if verdict.limit == "memory":
        short = f"{_gib(verdict.margin)} short" if verdict.margin is not None else "out of memory"
        return (
            f"Does not fit {where}: {short} per device.",
            "More devices, a larger TP or a smaller KV cache would help.",
        )
    if verdict.limit is None:
        return f"No answer {where}.", ""
    value, limit = limit_words(evaluation.scenario, verdict.limit, _value_s(evaluation, verdict.limit))
    over = f", {percent(verdict.margin)} over" if verdict.margin is not None and math.isfinite(verdict.margin) else ""
    return f"Too slow {where}: {LIMIT_NAMES[verdict.limit]} {value} > {limit}{over}.", _slow_advice(verdict.limit)


def _slow_advice(limit: str) -> str:
    if limit == "ttft":
        return "A smaller burst, more replicas or a larger token budget would shorten the wait."
    return "More devices per replica or a smaller batch would shorten a token."


def stop_words(scenario: Scenario, stop: TriedBatch) -> str:
    """Which limit stops a batch size, and by how much: "TPOT stops batch 194: 50.02 ms > 50 ms."; "": none does."""
    if scenario.is_load:
        return load_stop_words(scenario, stop)
    batch, limit = f"batch {number(stop.batch_size)}", stop.verdict.limit
    if limit == "memory":
        margin = stop.verdict.margin
        return f"Memory stops {batch}" + (f": {_gib(margin)} short." if margin is not None else ".")
    if limit is None:
        return ""
    value, allowed = limit_words(scenario, limit, stop.ttft_s if limit == "ttft" else stop.tpot_s)
    return f"{LIMIT_NAMES[limit]} stops {batch}: {value} > {allowed}."


def _gib(margin_gib: float) -> str:
    return f"{number(abs(margin_gib))} GiB"


def _value_s(evaluation: Evaluation, limit: str) -> float:
    return evaluation.ttft_s if limit == "ttft" else evaluation.tpot_s


def limit_words(scenario: Scenario, name: str, value_s: float) -> tuple[str, str]:
    """A time and its limit, with as many digits as it takes to tell them apart."""
    limit_ms = scenario.ttft if name == "ttft" else scenario.tpot
    return compared(value_s, seconds(limit_ms)) if limit_ms is not None else (duration(value_s), MISSING)


def result_words(evaluation: Evaluation) -> str:
    """The answer in short: "✓ 3,875 tokens/s, TPOT 49.8 ms, batch 193"."""
    mark = "✓" if evaluation.verdict.ok else "✗"
    rate = f"{number(evaluation.output_tokens_per_s)} tokens/s"
    return f"{mark} {rate}, TPOT {duration(evaluation.tpot_s)}, batch {number(evaluation.run.batch_size)}"


def timeline_words(evaluation: Evaluation) -> str:
    """E.g. "3 prefill chunks per prompt; decode starts after 0.42 s; 12% of steps mix both"."""
    timeline, chunks = evaluation.run.timeline, evaluation.run.num_chunks
    if not timeline.steps:
        return "No step could run."
    start = next((step.start_s for step in timeline.steps if step.decode_requests > 0), None)
    decode = "no decode step ran" if start is None else f"decode starts after {duration(start)}"
    mixed = sum(s.repeat for s in timeline.steps if s.prefill_requests and s.decode_requests) / timeline.num_steps
    both = f"{percent(mixed)} of steps mix both" if mixed else "no step mixes both"
    return f"{count(chunks, 'prefill chunk')} per prompt; {decode}; {both}"


def timing_words(evaluation: Evaluation) -> str:
    """What kind of run the timeline is: the wave that is assumed, or the scheduler that was simulated."""
    run, steps = evaluation.run, evaluation.run.timeline.steps
    requests = f"all {number(run.concurrency)} requests arrive at once"
    if run.timing == "wave":
        waves = sum(step.repeat for step in steps if step.prefill_requests)
        passes = sum(step.repeat for step in steps if step.decode_requests)
        together = f"then decode together in {count(passes, 'pass', 'passes')}, each priced in the middle of the output"
        return (
            f"Assumed, not simulated: {requests}, are prefilled in {count(waves, 'wave')}, "
            f"{together if passes else 'and none decodes'}."
        )
    return (
        f"Simulated: {requests}; {evaluation.scenario.scheduler} decided {count(run.timeline.num_steps, 'step')} "
        f"under a budget of {number(run.max_batched_tokens)} tokens per replica and step."
    )


def out_of_memory_words(evaluation: Evaluation) -> str | None:
    """Where the run ended for want of memory; None: it did not."""
    index = evaluation.run.out_of_memory_step
    steps = evaluation.run.timeline.steps
    if index is None:
        return None
    if not 0 <= index < len(steps):
        return "The first pass does not fit in memory: no step ran."
    first = sum(step.repeat for step in steps[:index]) + 1
    missing = evaluation.run.memory_left_bytes
    by = f" ({memory(-missing)} short per device)" if missing < 0 else ""
    return f"Step {number(first)}, after {duration(steps[index].start_s)}, does not fit in memory{by}."


def assumptions(evaluation: Evaluation) -> list[str]:
    """What these numbers take for granted, one sentence each."""
    scenario, run = evaluation.scenario, evaluation.run
    if evaluation.load is not None:
        return [*load_assumptions(evaluation, evaluation.load), *_corrected(evaluation)]
    middle = scenario.input + scenario.output // 2
    spread = "spreads TTFT over the output tokens" if run.timing == "wave" else "starts after the first token"
    return [
        f"All {number(run.concurrency)} requests arrive at once; TTFT, TPOT and end to end are means over them.",
        f"Timing {run.timing}: TPOT {spread}; the other definition is shown beside it.",
        f"Decode passes are priced in the middle of the output, at {number(middle)} tokens of context.",
        f"{number(scenario.reserved_gib)} GiB per device are reserved for the serving software.",
        *_corrected(evaluation),
    ]


def _corrected(evaluation: Evaluation) -> list[str]:
    if evaluation.engine.name != "analytic" or evaluation.scenario.corrections != "all":
        return []
    return ["Known mistakes of the original's arithmetic are corrected; corrections=none answers as TensorCast does."]
