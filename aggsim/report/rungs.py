"""Rungs of a derivation: a pass as the sum of its operators, the longest of them, and why one call takes its time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.cost import ForwardCost, OpCost
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import count, duration, number, percent
from aggsim.report.method_tables import ranked, si
from aggsim.units import TERA, US_PER_S

__all__ = ["DIGITS", "Rung", "context", "decoded_per_replica", "exact", "pass_rungs"]

DIGITS = 4
"""Of the figures in a formula: enough to check it by hand."""
NUM_SUMMANDS = 3
MAX_LAUNCHES = 20
"""Of one call: what an operator takes beyond this is not launch cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One number and where it comes from. `followed` is the part of the formula that the next rung explains."""

    name: str
    value: str
    formula: str
    words: str = ""
    followed: str = ""


def pass_rungs(name: str, cost: ForwardCost, evaluation: Evaluation, device: DeviceSpec | None) -> list[Rung]:
    """A priced pass as the sum of its operators, the longest of them, and one call of it."""
    first, *others = ranked(cost)
    shown = [f"{op.name} {exact(op.total_s)}" for op in (first, *others[: NUM_SUMMANDS - 1])]
    if rest := others[NUM_SUMMANDS - 1 :]:
        shown.append(f"{number(len(rest))} more {exact(sum(op.total_s for op in rest))}")
    call = _short(first.total_s / first.calls)
    share = first.total_s / cost.latency_s if cost.latency_s > 0 else 0.0
    formula, words = _reason(first, device)
    return [
        Rung(
            name=f"{name} pass",
            value=duration(cost.latency_s),
            formula=" + ".join(shown),
            words=f"{_pass_words(name, evaluation)} Its operators run one after the other.",
            followed=shown[0],
        ),
        Rung(
            name=first.name[:1].upper() + first.name[1:],
            value=duration(first.total_s),
            formula=f"{count(first.calls, 'call')} × {call}",
            words=f"The longest operator: {percent(share)} of the pass.",
            followed=call,
        ),
        Rung(name="One call", value=_short(first.total_s / first.calls, 3), formula=formula, words=words),
    ]


def _pass_words(name: str, evaluation: Evaluation) -> str:
    """What goes through the pass."""
    run = evaluation.run
    which = "" if run.timing == "wave" else "The first one of the run. "
    if name == "Prefill":
        return f"{which}Prompts, {number(run.chunks[0].query_len)} new tokens each."
    new = count(evaluation.scenario.mtp + 1, "new token")
    requests = count(decoded_per_replica(evaluation), "request")
    return f"{which}{requests} per replica, {new} each, at {number(context(evaluation))} tokens of context."


def decoded_per_replica(evaluation: Evaluation) -> int:
    """Requests of one replica in the first decode pass, the one that is reported."""
    decoded = (step.decode_requests for step in evaluation.run.timeline.steps if step.decode_requests)
    return -(-next(decoded, evaluation.concurrency) // evaluation.layout.dp)


def context(evaluation: Evaluation) -> int:
    """Tokens of one request in a priced decode pass, the new ones included."""
    scenario = evaluation.scenario
    return scenario.input + scenario.output // 2 + scenario.mtp + 1


_SOURCE_WORDS = {
    "measured": "measured at this shape",
    "interpolated": "interpolated between measured shapes",
    "analytic": "computed by the engine, which reports no FLOPs and bytes",
    "fitted": "by the law that was given",
}


def _reason(op: OpCost, device: DeviceSpec | None) -> tuple[str, str]:
    """Formula and words of one call: the side of the roofline that decides."""
    if device is None or not op.memory_bytes:
        return _SOURCE_WORDS[op.source], ""
    each, moved, exchanged = (amount / op.calls for amount in (op.total_s, op.memory_bytes, op.communication_bytes))
    flops, static = (op.mma_ops, device.mma_op_cost_s) if op.mma_ops else (op.gp_ops, device.gp_op_cost_s)
    rate, efficiency = device.memory_bandwidth_bytes_per_s, device.memory_efficiency
    launch = each - moved / (rate * efficiency)
    if op.bound == "memory" and launch <= MAX_LAUNCHES * max(static, 1 / US_PER_S):
        return (
            f"{si(moved, 'B', DIGITS)} ÷ ({si(rate, 'B/s')} × {percent(efficiency)}) + {_short(launch)} launch",
            "Moving its bytes takes longer than its arithmetic: memory bandwidth decides.",
        )
    if op.bound == "communication" and each > device.comm_op_cost_s:
        speed = si(exchanged / (each - device.comm_op_cost_s), "B/s", DIGITS)
        return (
            f"{si(exchanged, 'B', DIGITS)} at {speed} + {_short(device.comm_op_cost_s)} launch",
            "The faster of two algorithms over the slowest link that the group needs, its latency included.",
        )
    if op.bound in ("mma", "gp") and each > static:
        rate = flops / op.calls / (each - static)
        return (
            f"{si(flops / op.calls, 'FLOP', DIGITS)} at {si(rate, 'FLOP/s', DIGITS)} + {_short(static)} launch",
            f"{_peak_words(rate, device)}Its arithmetic takes longer than moving its {si(moved, 'B')}.",
        )
    return f"{si(moved, 'B', DIGITS)} and {si(flops / op.calls, 'FLOP', DIGITS)} on average", "Its calls differ."


def _peak_words(rate: float, device: DeviceSpec) -> str:
    """Which peak a rate is the reachable part of, if it is one."""
    share = device.compute_efficiency
    peaks = device.mma_ops_per_s.items()
    near = {dtype.upper(): peak for dtype, peak in peaks if math.isclose(rate, peak * share, rel_tol=0.01)}
    if not near:
        return ""
    return f"That is {percent(share)} of the peak in {' or '.join(near)}, {number(max(near.values()) / TERA)} TFLOP/s. "


def exact(seconds: float) -> str:
    """A duration for a formula."""
    return duration(seconds, DIGITS)


def _short(seconds: float, digits: int = DIGITS) -> str:
    """Microseconds up to a millisecond; a difference of floats is not shown to its last bit."""
    return f"{number(round(seconds * US_PER_S, 6), digits)} µs" if seconds < 1e-3 else duration(seconds, digits)
