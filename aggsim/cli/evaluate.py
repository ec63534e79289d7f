"""python -m aggsim evaluate"""

from __future__ import annotations

import argparse
from typing import Any

from aggsim import service
from aggsim.cli.jsonl import answer_lines, dump, model_at, tell_notes
from aggsim.errors import InputError
from aggsim.forward.cost import ForwardCost
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import duration, memory, number, percent
from aggsim.report.json_form import evaluation_json
from aggsim.report.load_words import load_rows
from aggsim.report.provenance import evidence
from aggsim.report.words import scenario_words, verdict_words
from aggsim.share import decode, from_json
from aggsim.units import seconds

__all__ = ["run"]

LABEL_WIDTH = 14


def run(options: argparse.Namespace) -> int:
    """One query as text or JSON, or a file of scenarios."""
    if options.jsonl and options.law:
        raise InputError("law", options.law, "only with a QUERY: a JSON scenario says its own law")
    if options.jsonl:
        return answer_lines(options.jsonl, _answer_line)
    decoded = decode(options.query)
    tell_notes(decoded)
    scenario = decoded.scenario
    if options.law:
        from aggsim.cli.fit import with_law  # brings pandas: only who asks for it waits

        scenario = with_law(scenario, options.law)
    evaluation = service.evaluate(scenario, model=model_at(scenario.model))
    print(dump(evaluation_json(evaluation), indent=2) if options.json else _summary(evaluation))
    return 0


def _answer_line(line: Any) -> Any:
    scenario = from_json(line)
    return evaluation_json(service.evaluate(scenario, model=model_at(scenario.model)))


def _summary(evaluation: Evaluation) -> str:
    run, scenario, use = evaluation.run, evaluation.scenario, evaluation.memory
    other = "after the first token" if evaluation.tpot_timing == "wave" else "with TTFT spread over the output"
    verdict, more = verdict_words(evaluation)
    told = evidence(evaluation)
    rows = {
        "TTFT": duration(evaluation.ttft_s) + _limit(scenario.ttft),
        "TPOT": f"{duration(evaluation.tpot_s)}{_limit(scenario.tpot)}; {duration(evaluation.tpot_other_s)} {other}",
        "Output": f"{number(evaluation.output_tokens_per_s)} tokens/s, "
        f"{number(evaluation.output_tokens_per_s_per_device)} per device",
        "Prompts": f"{number(evaluation.prompt_tokens_per_s)} tokens/s",
        "Requests": f"{number(evaluation.requests_per_s)} per s, {duration(evaluation.end_to_end_s)} end to end",
        "Concurrency": f"{number(evaluation.concurrency)}, batch {number(run.batch_size)} per replica",
        "Prefill": _pass(evaluation.prefill, run.prefill_latency_s),
        "Decode": _pass(evaluation.decode, run.decode_latency_s),
        "Memory": f"weights {memory(use.weight)}, KV cache {memory(use.kv_cache)}, "
        f"activations {memory(use.activation)}, reserved {memory(use.reserved)} of {memory(use.total)} per device",
        "Memory left": f"{memory(run.memory_left_bytes)}, "
        f"{memory(evaluation.memory_left_at_last_token_bytes)} at the last token",
        "Engine": f"{told.version}{', ' if told.chosen else ''}{told.chosen}",
        "Sources": "; ".join(told.shares),
    }
    if evaluation.load is not None:
        rows = load_rows(evaluation.load) | {name: rows[name] for name in ("Prefill", "Decode", "Engine", "Sources")}
    return "\n".join(
        (
            scenario_words(evaluation),
            " ".join(part for part in ("✓" if evaluation.verdict.ok else "✗", verdict, more) if part),
            "",
            *(f"{label:<{LABEL_WIDTH}}{text}" for label, text in rows.items()),
            *(f"{'Note':<{LABEL_WIDTH}}{warning}" for warning in evaluation.warnings),
        )
    )


def _limit(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f" (limit {duration(seconds(milliseconds))})"


def _pass(cost: ForwardCost | None, latency_s: float) -> str:
    if cost is None:
        return "no pass ran"
    bound = cost.bound_s
    shares = {"memory": bound.memory, "communication": bound.communication, "matrix": bound.mma, "vector": bound.gp}
    text = ", ".join(f"{name} {percent(value / bound.total)}" for name, value in shares.items() if bound.total > 0)
    return duration(latency_s) + (f": {text}" if text else "")
