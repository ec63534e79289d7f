"""One number of the Plan page followed down to the operator: each rung says how it comes from the next."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from aggsim.devices.spec import DeviceSpec
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import count, duration, memory, number
from aggsim.report.rungs import DIGITS, Rung, context, decoded_per_replica, exact, pass_rungs
from aggsim.report.timeline_tables import steps_frame
from aggsim.report.words import TPOT_LABELS, out_of_memory_words
from aggsim.units import gib

__all__ = ["FOLLOWED", "Rung", "derivation", "headline"]


def headline(evaluation: Evaluation) -> str:
    """TPOT, the number that limits are about, in one line."""
    run, value = evaluation.run, f"TPOT {duration(evaluation.tpot_s)}"
    if math.isinf(evaluation.tpot_s):
        return out_of_memory_words(evaluation) or "There is no number to follow."
    if run.timing == "wave":
        wait = duration(evaluation.ttft_s / evaluation.scenario.output)
        return f"{value} = {wait} of waiting for the first token + {duration(run.decode_latency_s)} of decode"
    tokens = count(evaluation.scenario.output, "token")
    return f"{value}: {tokens} in {duration(evaluation.end_to_end_s)}, the first after {duration(evaluation.ttft_s)}"


def derivation(evaluation: Evaluation, followed: str, device: DeviceSpec | None) -> list[Rung]:
    """followed: a key of FOLLOWED; device: whose rates bound the operators, None where that is not known."""
    top, name = FOLLOWED[followed](evaluation)
    cost = {"Prefill": evaluation.prefill, "Decode": evaluation.decode}.get(name)
    return [*top, *(pass_rungs(name, cost, evaluation, device) if cost and cost.ops else ())]


def _tpot(evaluation: Evaluation) -> tuple[list[Rung], str]:
    run, output = evaluation.run, evaluation.scenario.output
    tile = Rung(name=f"TPOT {TPOT_LABELS[run.timing]}", value=duration(evaluation.tpot_s), formula="")
    if math.isinf(evaluation.tpot_s):
        return [_stopped(tile, evaluation)], "Prefill"
    ttft = f"TTFT {exact(evaluation.ttft_s)}"
    if run.timing == "wave":
        token = exact(run.decode_latency_s)
        tile = replace(
            tile,
            formula=f"({ttft} + {count(output, 'token')} × {token}) ÷ {count(output, 'token')}",
            words="The whole time of a request, waiting for prefill included, spread over its output tokens.",
            followed=token,
        )
        return [tile, *_accepted(evaluation)], "Decode"
    whole = f"end to end {exact(evaluation.end_to_end_s)}"
    tile = replace(
        tile,
        formula=f"({whole} − {ttft}) ÷ {count(output - 1, 'token')}" if output > 1 else "no token follows the first",
        words="Mean over the requests of the time from the first token to the last, per token after the first.",
        followed=whole if output > 1 else "",
    )
    return [tile, _whole_run(evaluation)], "Decode" if output > 1 else "Prefill"


def _ttft(evaluation: Evaluation) -> tuple[list[Rung], str]:
    run = evaluation.run
    tile = Rung(name="TTFT", value=duration(evaluation.ttft_s), formula="")
    if math.isinf(evaluation.tpot_s):
        tile = _stopped(tile, evaluation)
    elif run.timing == "wave":
        tile = _wave_ttft(tile, evaluation)
    else:
        steps, last_chunk = run.timeline.steps, run.num_chunks - 1
        ends = [exact(step.end_s) for step in steps if step.prefill_requests and step.chunk == last_chunk]
        pieces = [number(chunk.query_len) for chunk in run.chunks[:4]] + ["…"] * (run.num_chunks > 4)
        tile = replace(
            tile,
            formula=f"mean of {count(run.concurrency, 'first token')}, the first after {ends[0]}, the last {ends[-1]}",
            words=f"A prompt takes {count(run.num_chunks, 'prefill pass', 'prefill passes')} ({' + '.join(pieces)} "
            "tokens), and the last of them makes the first token.",
        )
    return [tile], "Prefill"


def _wave_ttft(tile: Rung, evaluation: Evaluation) -> Rung:
    """Mean over waves that wait for one another: of k equal ones (k + 1) ÷ 2 passes."""
    run = evaluation.run
    waves = [step for step in run.timeline.steps if step.prefill_requests]
    full, last = waves[0], waves[-1]
    wave, k = exact(full.prefill_s), full.repeat
    formula = f"{wave} × ({number(k)} + 1) ÷ 2" if k > 1 else wave
    if full is not last:
        waiting = f"{number(k)} × {wave} + {exact(last.prefill_s)}"
        formula = f"({number(k * full.prefill_requests)} × {formula} + {number(last.prefill_requests)} × ({waiting}))"
        formula += f" ÷ {number(run.concurrency)}"
    alone = full is last and k == 1
    return replace(
        tile,
        formula=formula,
        words=f"Mean over {count(run.concurrency, 'request')} that arrive together, "
        f"{count(full.prefill_requests, 'prompt')} of {number(run.effective_input_tokens)} tokens in one prefill pass"
        f"{'.' if alone else '; each pass waits for those before it.'}",
        followed=wave,
    )


def _output(evaluation: Evaluation) -> tuple[list[Rung], str]:
    run, output = evaluation.run, evaluation.scenario.output
    tile = Rung(name="Output", value=f"{number(evaluation.output_tokens_per_s)} tokens/s", formula="")
    if not evaluation.output_tokens_per_s:
        return [_stopped(tile, evaluation)], "Prefill"
    made = f"{count(output, 'token')} × {count(run.concurrency, 'request')}"
    if run.timing != "wave":
        whole = exact(run.finish_s)
        words = "All output tokens over the time until the last request has finished."
        tile = replace(tile, formula=f"{made} ÷ {whole}", words=words, followed=whole)
        return [tile, _whole_run(evaluation)], "Decode" if output > 1 else "Prefill"
    twice = evaluation.scenario.rules == "seed"
    each = exact(evaluation.tpot_s if twice else run.decode_latency_s)
    tile = replace(
        tile,
        formula=f"{made} ÷ (TTFT {exact(evaluation.ttft_s)} + {number(output)} × {each})",
        words="The seed's rules count TTFT twice: TPOT holds it already."
        if twice
        else "All output tokens over the time of one request; all requests are served side by side.",
        followed=each,
    )
    return [tile, *_accepted(evaluation)], "Decode"


def _memory_left(evaluation: Evaluation) -> tuple[list[Rung], str]:
    use, scenario = evaluation.memory, evaluation.scenario
    is_decode = evaluation.decode is not None and evaluation.decode.memory == use
    parts = {
        "reserved": use.reserved,
        "weights": use.weight,
        "activations": use.activation,
        "KV cache": use.kv_cache,
    }
    terms = [f"{name} {_gib(size)}" for name, size in parts.items() if size]
    rungs = [
        Rung(
            name="Memory left",
            value=memory(evaluation.run.memory_left_bytes),
            formula=f"{' − '.join([_gib(use.total), *terms])} GiB",
            words=f"Of one device in the tightest pass, a {'decode' if is_decode else 'prefill'} pass.",
            followed=terms[-1] if is_decode and use.kv_cache else "",
        )
    ]
    if is_decode and use.kv_cache > 0:
        requests = decoded_per_replica(evaluation)
        rungs.append(
            Rung(
                name="KV cache",
                value=memory(use.kv_cache),
                formula=f"{count(requests, 'request')} × {number(gib(use.kv_cache / requests) * 1024, DIGITS)} MiB",
                words=f"Each holds {number(context(evaluation))} tokens: the prompt and half of its output.",
            )
        )
    rungs.append(
        Rung(
            name="At the last token",
            value=memory(evaluation.memory_left_at_last_token_bytes),
            formula=f"the same with {number(scenario.input + scenario.output)} tokens a request",
            words="When every request of the burst is at its last token, memory is needed most.",
        )
    )
    return rungs, ""


FOLLOWED: dict[str, Callable[[Evaluation], tuple[list[Rung], str]]] = {
    "TPOT": _tpot,
    "TTFT": _ttft,
    "Output": _output,
    "Memory left": _memory_left,
}
"""Tiles of the Plan page that can be followed: their rungs down to a pass, and which pass that is."""


def _stopped(tile: Rung, evaluation: Evaluation) -> Rung:
    words = out_of_memory_words(evaluation) or ""
    return replace(tile, formula="the run ends at the first pass that does not fit", words=words)


def _accepted(evaluation: Evaluation) -> list[Rung]:
    """Wave with MTP: what a token takes where a pass makes more than one."""
    scenario, run = evaluation.scenario, evaluation.run
    if not scenario.mtp:
        return []
    rates = scenario.mtp_rates[: scenario.mtp]
    per_pass = 1 + sum(rates)
    priced = f"decode pass {exact(run.decode_latency_s * per_pass)}"
    return [
        Rung(
            name="One token",
            value=duration(run.decode_latency_s),
            formula=f"{priced} ÷ {count(per_pass, 'token')}",
            words=f"A pass makes 1 + {' + '.join(number(rate) for rate in rates)} tokens of each request on average: "
            "one, and the accepted drafts.",
            followed=priced,
        )
    ]


def _whole_run(evaluation: Evaluation) -> Rung:
    """Stepped: the run by kinds of steps."""
    frame = steps_frame(evaluation.run.timeline)
    frame["seconds"] = frame["end_s"] - frame["start_s"]
    kinds = frame.groupby("kind", sort=False)[["repeat", "seconds"]].sum()
    parts = [
        f"{number(n)} {kind} {exact(seconds)}"
        for kind, n, seconds in zip(kinds.index, kinds["repeat"], kinds["seconds"], strict=True)
    ]
    return Rung(
        name="The whole run",
        value=duration(evaluation.run.timeline.end_s),
        formula=" + ".join(parts),
        words="Steps by what runs in them; a step takes as long as the longer of its prefill and its decode pass.",
        followed=parts[-1],
    )


def _gib(num_bytes: float) -> str:
    return number(gib(num_bytes), DIGITS)
