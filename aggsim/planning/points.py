"""Batch sizes of one deployment, served and judged: one by one, or the small ones all at once where that is cheap."""

from __future__ import annotations

from dataclasses import dataclass, field

from aggsim.engines.base import ForwardModel
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.resolve import Deployment
from aggsim.planning.verdict import Limits, judge
from aggsim.serving import SCHEDULERS, Scheduler, ServingRun, WaveRuns, choose_max_batched_tokens, simulate, wave_many
from aggsim.serving.chunks import effective_input_tokens

__all__ = ["Points"]

BULK_SIZE = 512
"""Batch sizes 1 to this are priced together: the interval that most searches stay in."""


@dataclass(slots=True, kw_only=True, eq=False)
class Points:
    """Everything but the batch size is settled, the token budget too. Looking twice gives equal answers."""

    deployment: Deployment
    forward: ForwardModel
    limits: Limits
    max_batched_tokens: int
    _bulk: WaveRuns | None = field(default=None, init=False)

    @classmethod
    def of(cls, deployment: Deployment, forward: ForwardModel) -> Points:
        """Decides the token budget where the scenario leaves it open."""
        scenario = deployment.scenario
        budget = scenario.max_batched_tokens or choose_max_batched_tokens(
            forward,
            scenario.workload(),
            deployment.layout,
            scheduler=_scheduler(deployment),
            timing=scenario.timing,
            rules=scenario.rules,
        )
        limits = Limits.of_ms(ttft=scenario.ttft, tpot=scenario.tpot)
        return cls(deployment=deployment, forward=forward, limits=limits, max_batched_tokens=budget)

    def run(self, batch_size: int, *, detail: bool) -> ServingRun:
        """The burst at one batch size."""
        scenario = self.deployment.scenario
        return simulate(
            self.forward,
            scenario.workload(),
            self.deployment.layout,
            batch_size=batch_size,
            max_batched_tokens=self.max_batched_tokens,
            scheduler=_scheduler(self.deployment),
            timing=scenario.timing,
            rules=scenario.rules,
            detail=detail,
        )

    def look(self, batch_size: int) -> TriedBatch:
        """One batch size with its verdict."""
        if batch_size <= BULK_SIZE and self._in_bulk:
            return self._look_in_bulk(batch_size - 1)
        return self.point_of(self.run(batch_size, detail=False))

    def point_of(self, run: ServingRun) -> TriedBatch:
        """A run that was made, with its verdict."""
        return self._point(
            run.batch_size,
            run.concurrency,
            run.ttft_s,
            run.tpot_s,
            run.output_tokens_per_s,
            run.memory_left_bytes,
        )

    @property
    def _in_bulk(self) -> bool:
        scenario = self.deployment.scenario
        is_wave = (
            scenario.timing != "stepped" and effective_input_tokens(scenario.workload()) <= self.max_batched_tokens
        )
        return is_wave and self.deployment.prices_in_bulk

    def _look_in_bulk(self, index: int) -> TriedBatch:
        if self._bulk is None:
            self._bulk = wave_many(
                self.forward,
                self.deployment.scenario.workload(),
                self.deployment.layout,
                batch_sizes=range(1, BULK_SIZE + 1),
                max_batched_tokens=self.max_batched_tokens,
                rules=self.deployment.scenario.rules,
            )
        runs = self._bulk
        return self._point(
            int(runs.batch_size[index]),
            int(runs.concurrency[index]),
            float(runs.ttft_s[index]),
            float(runs.tpot_s[index]),
            float(runs.output_tokens_per_s[index]),
            float(runs.memory_left_bytes[index]),
        )

    def _point(
        self, batch_size: int, concurrency: int, ttft_s: float, tpot_s: float, per_s: float, left_bytes: float
    ) -> TriedBatch:
        return TriedBatch(
            batch_size=batch_size,
            concurrency=concurrency,
            ttft_s=ttft_s,
            tpot_s=tpot_s,
            output_tokens_per_s=per_s,
            memory_left_bytes=left_bytes,
            verdict=judge(memory_left_bytes=left_bytes, ttft_s=ttft_s, tpot_s=tpot_s, limits=self.limits),
        )


def _scheduler(deployment: Deployment) -> Scheduler:
    return SCHEDULERS[deployment.scenario.scheduler]
