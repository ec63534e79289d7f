"""Does a run fit and meet the limits; if not, which limit stops it, by how much, at which step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aggsim.planning.evaluation import Verdict
from aggsim.serving.run import ServingRun
from aggsim.units import gib, seconds

__all__ = ["Limits", "blame_step", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the planner promises, mean over requests; None: no promise."""

    ttft_s: float | None = None
    tpot_s: float | None = None

    @classmethod
    def of_ms(cls, *, ttft: float | None, tpot: float | None) -> Limits:
        """Limits as a Scenario holds them."""
        return cls(ttft_s=None if ttft is None else seconds(ttft), tpot_s=None if tpot is None else seconds(tpot))


def judge(*, memory_left_bytes: float, ttft_s: float, tpot_s: float, limits: Limits) -> Verdict:
    """Memory first, then TPOT, then TTFT; exactly on a limit still meets it. No step is named yet."""
    if memory_left_bytes < 0:
        return Verdict(ok=False, limit="memory", margin=gib(memory_left_bytes), step=None)
    if limits.tpot_s is not None and tpot_s > limits.tpot_s:
        return Verdict(ok=False, limit="tpot", margin=tpot_s / limits.tpot_s - 1, step=None)
    if limits.ttft_s is not None and ttft_s > limits.ttft_s:
        return Verdict(ok=False, limit="ttft", margin=ttft_s / limits.ttft_s - 1, step=None)
    return Verdict(ok=True, limit=None, margin=None, step=None)


def blame_step(verdict: Verdict, run: ServingRun, limits: Limits) -> Verdict:
    """The verdict with the timeline step that broke the limit, where one can be named.

    memory: the first pass that did not fit. ttft: the prefill step still at work when the limit passed.
    tpot: the first step that makes a decoding request wait longer for its token than the limit; none when only the
    mean of the whole run is over it.
    """
    step: int | None = None
    if verdict.limit == "memory":
        step = run.out_of_memory_step
    elif verdict.limit == "ttft" and limits.ttft_s is not None:
        late = (i for i, s in enumerate(run.timeline.steps) if s.prefill_requests and s.end_s > limits.ttft_s)
        step = next(late, None)
    elif verdict.limit == "tpot" and limits.tpot_s is not None:
        slow = (i for i, s in enumerate(run.timeline.steps) if s.decode_requests and s.step_s > limits.tpot_s)
        step = next(slow, None)
    return replace(verdict, step=step)
