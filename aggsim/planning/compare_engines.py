"""The same scenario in the words of several engines: how far apart their figures are, and which operators say why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from aggsim.forward.cost import ForwardCost, MemoryUse
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.operator_kinds import KINDS, seconds_by_kind

__all__ = [
    "FIGURES",
    "LARGE_GAP",
    "Cause",
    "EngineAnswer",
    "EngineComparison",
    "Figure",
    "Gap",
    "KindDifference",
    "Phase",
    "differences",
    "gap",
    "large_gaps",
    "memory_used",
    "pass_of",
    "value_of",
]

LARGE_GAP = 0.25
"""Of the first engine's figure: from beyond it on engines disagree."""

Phase = Literal["prefill", "decode"]
Figure = Literal["ttft", "tpot", "throughput", "memory"]
FIGURES: tuple[Figure, ...] = ("ttft", "tpot", "throughput", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """What one engine says, or why it does not."""

    engine: str
    version: str
    evaluation: Evaluation | None
    reason: str = ""
    """Why there is no evaluation, in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineComparison:
    """All at the batch size, token budget and timing of the first."""

    base: Evaluation
    """The engine that the others are compared with."""
    others: tuple[EngineAnswer, ...]

    @property
    def answered(self) -> tuple[Evaluation, ...]:
        """The other engines' answers."""
        return tuple(other.evaluation for other in self.others if other.evaluation is not None)

    @property
    def unanswered(self) -> tuple[EngineAnswer, ...]:
        """The engines that have none."""
        return tuple(other for other in self.others if other.evaluation is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindDifference:
    """Operators of one kind in one pass; seconds. A kind that an engine does not have takes 0 there."""

    kind: str
    base_s: float
    other_s: float

    @property
    def difference_s(self) -> float:
        """Other minus base: positive where the other engine takes longer."""
        return self.other_s - self.base_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What moves a figure most in the direction of its gap."""

    what: str
    """A kind of operators, or a part of memory."""
    phase: Phase | None
    """Of the pass; None: memory."""
    difference: float
    """Other minus base: seconds of one pass, or bytes per device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One figure of two engines: seconds, tokens/s or bytes per device."""

    figure: Figure
    base: float
    other: float
    cause: Cause | None
    """None: nothing in what the engines tell explains it."""

    @property
    def share(self) -> float | None:
        """other ÷ base − 1; None where one of them is no number or base is 0."""
        known = math.isfinite(self.base) and math.isfinite(self.other) and self.base > 0
        return self.other / self.base - 1 if known else None

    @property
    def is_large(self) -> bool:
        """More than LARGE_GAP apart, or only one of the engines has a figure."""
        if self.share is not None:
            return abs(self.share) > LARGE_GAP
        return self.base != self.other


def pass_of(evaluation: Evaluation, phase: Phase) -> ForwardCost | None:
    """The pass that the breakdown is reported for."""
    return evaluation.prefill if phase == "prefill" else evaluation.decode


def differences(base: Evaluation, other: Evaluation, phase: Phase) -> tuple[KindDifference, ...]:
    """By kind of operator, the largest disagreement first; empty where one of the engines priced no such pass."""
    first, second = pass_of(base, phase), pass_of(other, phase)
    if first is None or second is None:
        return ()
    one, two = seconds_by_kind(first), seconds_by_kind(second)
    found = [
        KindDifference(kind=kind, base_s=one.get(kind, 0.0), other_s=two.get(kind, 0.0))
        for kind in KINDS
        if kind in one or kind in two
    ]
    return tuple(sorted(found, key=lambda entry: -abs(entry.difference_s)))


def memory_used(use: MemoryUse) -> float:
    """Bytes per device, what serving keeps for itself not counted."""
    return use.weight + use.kv_cache + use.activation


VALUES: dict[Figure, Callable[[Evaluation], float]] = {
    "ttft": lambda answer: answer.ttft_s,
    "tpot": lambda answer: answer.tpot_s,
    "throughput": lambda answer: answer.output_tokens_per_s,
    "memory": lambda answer: memory_used(answer.memory),
}


def value_of(evaluation: Evaluation, figure: Figure) -> float:
    """Seconds, output tokens/s of the deployment, or bytes per device of the tightest pass."""
    return VALUES[figure](evaluation)


def gap(base: Evaluation, other: Evaluation, figure: Figure) -> Gap:
    """One figure of both, and what moves it most."""
    one, two = value_of(base, figure), value_of(other, figure)
    cause = _memory_cause(base, other) if figure == "memory" else _time_cause(base, other, figure)
    return Gap(figure=figure, base=one, other=two, cause=cause)


def large_gaps(base: Evaluation, other: Evaluation) -> tuple[Gap, ...]:
    """The figures that the engines disagree on, by more than LARGE_GAP."""
    return tuple(found for figure in FIGURES if (found := gap(base, other, figure)).is_large)


def _memory_cause(base: Evaluation, other: Evaluation) -> Cause | None:
    names = {"weight": "weights", "kv_cache": "KV cache", "activation": "activations"}
    moved = {name: getattr(other.memory, part) - getattr(base.memory, part) for part, name in names.items()}
    sign = math.copysign(1.0, memory_used(other.memory) - memory_used(base.memory))
    what = max(moved, key=lambda name: sign * moved[name])
    return Cause(what=what, phase=None, difference=moved[what]) if sign * moved[what] > 0 else None


def _time_cause(base: Evaluation, other: Evaluation, figure: Figure) -> Cause | None:
    """The kind of operators whose difference, as far as this figure counts it, is largest in the figure's direction."""
    longer = value_of(other, figure) - value_of(base, figure)
    sign = math.copysign(1.0, -longer if figure == "throughput" else longer)
    best: tuple[float, Cause] | None = None
    for phase, weight in _weights(base, figure).items():
        for entry in differences(base, other, phase):
            merit = sign * weight * entry.difference_s
            if merit > 0 and (best is None or merit > best[0]):
                best = merit, Cause(what=entry.kind, phase=phase, difference=entry.difference_s)
    return best[1] if best else None


def _weights(base: Evaluation, figure: Figure) -> dict[Phase, float]:
    """How much a second of one pass moves the figure, up to a factor: through TTFT, and through the time of a token."""
    run = base.run
    if figure == "ttft":
        return {"prefill": 1.0}
    weights: dict[Phase, float] = {}
    if run.decode_cost and run.decode_cost.latency_s > 0:
        weights["decode"] = run.decode_latency_s / run.decode_cost.latency_s  # several tokens may come of one pass
    counts_ttft = figure == "throughput" or run.timing == "wave"
    if counts_ttft and run.prefill_cost and run.prefill_cost.latency_s > 0 and math.isfinite(run.ttft_s):
        weights["prefill"] = run.ttft_s / run.prefill_cost.latency_s / base.scenario.output
    return weights
