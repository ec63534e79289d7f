"""A law to start from: the one that comes closest to what an engine says of a deployment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aggsim.devices.catalog import load_device
from aggsim.forward.batch import Batch, RequestGroup
from aggsim.models.catalog import load_model
from aggsim.planning.law_fit import LawFit, fit_law
from aggsim.planning.law_rows import Measured, Measurements
from aggsim.planning.resolve import resolve
from aggsim.scenario import LinearLaw, Scenario
from aggsim.service_answers import bind
from aggsim.units import gib

__all__ = ["ProposedLaw", "propose_law"]

PREFILLS = tuple((n, q, q) for n in (1, 2, 4) for q in (512, 2048, 8192))
DECODES = tuple((n, 1, s) for n in (1, 16, 64, 256) for s in (1000, 4000, 16_000))
"""Requests of one replica, new tokens and context of each."""
DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedLaw:
    """A law with the memory that the engine says, and how well it says the engine's times."""

    engine: str
    fit: LawFit

    @property
    def law(self) -> LinearLaw:
        return self.fit.law


def propose_law(scenario: Scenario) -> ProposedLaw:
    """The law of the engine that `auto` takes for this deployment. Raises AggsimError as evaluate does."""
    asked = scenario.replace(engine="auto", law=None)
    deployment = resolve(asked, load_model(asked.model), load_device(asked.device))
    forward = bind(deployment)
    shapes = [*(("prefill", *shape) for shape in PREFILLS), *(("decode", *shape) for shape in DECODES)]

    def batch(phase: str, num: int, query: int, seq: int) -> Batch:
        requests = num * deployment.layout.dp
        is_decode = phase == "decode"
        return (RequestGroup(num_requests=requests, query_len=query, seq_len=seq, is_decode=is_decode),)

    prices = forward.price([batch(*shape) for shape in shapes])
    rows = tuple(
        Measured(line=i, phase=phase, requests=num, query_len=query, seq_len=seq, latency_s=latency_s)
        for i, ((phase, num, query, seq), latency_s) in enumerate(
            zip(shapes, prices.latency_s.tolist(), strict=True), start=1
        )
    )
    memory = _memory(rows[len(PREFILLS)], rows[-1], *prices.available_bytes[[len(PREFILLS), -1]].tolist())
    fit = fit_law(Measurements(rows=rows, problems=()), memory=memory)
    return ProposedLaw(engine=deployment.engine.name, fit=fit)


def _memory(small: Measured, large: Measured, left_small: float, left_large: float) -> LinearLaw:
    """The line through what two decode passes leave, bytes."""
    context_small, context_large = small.requests * small.seq_len, large.requests * large.seq_len
    slope = max(0.0, (left_small - left_large) / (context_large - context_small))
    whole = max(0.0, left_small + slope * context_small)
    return replace(
        LinearLaw(fixed_s=1.0),
        memory_gib=float(f"{gib(whole):.{DIGITS}g}"),
        gib_per_ctx=float(f"{gib(slope):.{DIGITS}g}"),
    )
