"""Chart titles that say the finding."""

from __future__ import annotations

from aggsim.forward.cost import ForwardCost
from aggsim.planning.evaluation import Evaluation
from aggsim.report.charts import ColourBy
from aggsim.report.format import count, duration, memory, number, percent
from aggsim.report.provenance import shares
from aggsim.report.tables import main_bound, passes
from aggsim.report.timeline_tables import Window
from aggsim.units import gib

_BOUND_WORDS = {
    "memory": "memory-bound",
    "communication": "communication-bound",
    "matrix": "bound by matrix units",
    "vector": "bound by vector units",
}


def time_split(evaluation: Evaluation) -> str:
    """E.g. "Decode is memory-bound: 86%; prefill is bound by matrix units: 71%"."""
    parts = []
    for name, cost in reversed(passes(evaluation).items()):
        concept, share = main_bound(cost)
        parts.append(f"{name} is {_BOUND_WORDS[concept]}: {percent(share)}")
    return "; ".join(parts[:1] + [part[0].lower() + part[1:] for part in parts[1:]])


def memory_use(evaluation: Evaluation) -> str:
    """E.g. "KV cache takes 61.2 of 140 GiB; 23.7 GiB left"."""
    use = evaluation.memory
    if use.available < 0:
        return f"Does not fit: {memory(-use.available)} short of {memory(use.total)}"
    parts = {"Weights take": use.weight, "KV cache takes": use.kv_cache, "Activations take": use.activation}
    largest = max(parts, key=parts.__getitem__)
    return f"{largest} {number(gib(parts[largest]))} of {memory(use.total)}; {memory(use.available)} left"


def operators(name: str, cost: ForwardCost, by: ColourBy = "bound") -> str:
    """E.g. "Decode: attention takes 41%; 39.6 ms per pass, coloured by what bounds each operator", or in place of the
    last part, "39.6 ms per pass: 79% measured, 21% computed"."""
    total = sum(op.total_s for op in cost.ops)
    longest = max(cost.ops, key=lambda op: op.total_s)
    share = longest.total_s / total if total > 0 else 0.0
    length = duration(cost.latency_s)
    finding = f"{name}: {longest.name} takes {percent(share)}; {length} per pass"
    if by == "source":
        return f"{finding}: {', '.join(f'{percent(part)} {word}' for word, part in shares(cost).items())}"
    known = any(op.bound != "unknown" for op in cost.ops)
    return f"{finding}, {'coloured by what bounds each operator' if known else 'what bounds it is not known'}"


def overview(evaluation: Evaluation) -> str:
    """E.g. "74.4 s in 1,502 steps; drag to choose the window below"."""
    timeline = evaluation.run.timeline
    return f"{duration(timeline.end_s)} in {count(timeline.num_steps, 'step')}; drag to choose the window below"


def window(shown: Window, num_steps: int) -> str:
    """E.g. "0 to 4.2 s: 60 steps"."""
    return f"{number(shown[0], 4)} to {number(shown[1], 4)} s: {count(num_steps, 'step')}"


def queues(longest_wait: int) -> str:
    """The most requests that wait for prefill in the window."""
    return (
        f"Up to {count(longest_wait, 'request')} wait for prefill" if longest_wait else "No request waits for prefill"
    )
