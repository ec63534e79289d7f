"""Batch sizes of one deployment, served and judged: one by one, or many at once where that is cheap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aggsim.engines.base import ForwardModel
from aggsim.planning.batch_search import search_batch_sizes
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.resolve import Deployment
from aggsim.planning.verdict import Limits, judge
from aggsim.scenario import Scenario, Workload
from aggsim.serving import Scheduler, ServingRun, WaveRuns, choose_max_batched_tokens, simulate, wave_many
from aggsim.serving.chunks import effective_input_tokens
from aggsim.serving.schedulers import burst_scheduler
from aggsim.serving.simulate import AUTO_TOKEN_FACTORS

__all__ = ["Points"]

BULK_SIZES = range(1, 513)
"""Priced together: the interval that most searches stay in."""


@dataclass(slots=True, kw_only=True, eq=False)
class Points:
    """Everything but the batch size is settled, the token budget too. Looking twice gives equal answers."""

    deployment: Deployment
    forward: ForwardModel
    limits: Limits
    max_batched_tokens: int
    workload: Workload
    _bulk: WaveRuns | None = field(default=None, init=False)
    _ahead: dict[int, tuple[WaveRuns, int]] = field(default_factory=dict, init=False)
    """Batch size → where it is among runs that were priced together."""
    _alone: dict[int, ServingRun] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, deployment: Deployment, forward: ForwardModel) -> Points:
        """Decides the token budget where the scenario leaves it open."""
        scenario = deployment.scenario

        limits, workload = Limits.of_ms(ttft=scenario.ttft, tpot=scenario.tpot), scenario.workload()

        def points(budget: int) -> Points:
            return cls(
                deployment=deployment, forward=forward, limits=limits, workload=workload, max_batched_tokens=budget
            )

        if scenario.max_batched_tokens:
            return points(scenario.max_batched_tokens)
        if scenario.batch is None and deployment.prices_in_bulk and scenario.timing != "stepped":
            # choose_max_batched_tokens' rule, by a run that the search needs anyway.
            for factor in AUTO_TOKEN_FACTORS:
                found = points(factor * scenario.input)
                runs, first = found._in_bulk(1)
                if runs.prefill_memory_left_bytes[first] >= 0:
                    break
            return found
        budget = choose_max_batched_tokens(
            forward,
            workload,
            deployment.layout,
            scheduler=_scheduler(deployment),
            timing=scenario.timing,
            rules=scenario.rules,
        )
        return points(budget)

    @property
    def is_wave(self) -> bool:
        """The closed form answers; else every step is simulated."""
        scenario = self.deployment.scenario
        return scenario.timing != "stepped" and self.num_prompt_tokens <= self.max_batched_tokens

    @property
    def num_prompt_tokens(self) -> int:
        """Of one prompt, without what the prefix cache holds."""
        return effective_input_tokens(self.workload)

    def settled(self, batch_size: int) -> Scenario:
        """The scenario, complete: evaluating it gives the numbers of this batch size."""
        timing = "wave" if self.is_wave else "stepped"
        budget = self.max_batched_tokens
        return self.deployment.scenario.replace(batch=batch_size, max_batched_tokens=budget, timing=timing)

    def run(self, batch_size: int, *, detail: bool) -> ServingRun:
        """The burst at one batch size."""
        scenario = self.deployment.scenario
        return simulate(
            self.forward,
            self.workload,
            self.deployment.layout,
            batch_size=batch_size,
            max_batched_tokens=self.max_batched_tokens,
            scheduler=_scheduler(self.deployment),
            timing=scenario.timing,
            rules=scenario.rules,
            detail=detail,
        )

    def search(self) -> tuple[TriedBatch, ...]:
        """The batch sizes that the rules look at, judged; one where the scenario says which."""
        batch_size = self.deployment.scenario.batch
        if batch_size is not None:
            return (self.point_of(self.run(batch_size, detail=False)),)
        return search_batch_sizes(self.look, self.look_ahead)

    def look(self, batch_size: int) -> TriedBatch:
        """One batch size with its verdict."""
        if self.is_bulk:
            return self._point_in_bulk(batch_size)
        if batch_size not in self._alone:
            self._alone[batch_size] = self.run(batch_size, detail=False)
        return self.point_of(self._alone[batch_size])

    def look_ahead(self, batch_sizes: Sequence[int]) -> None:
        """These may be asked for next: priced together where that is cheap."""
        if self.is_bulk:
            self._price(size for size in batch_sizes if size not in BULK_SIZES)

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
    def is_bulk(self) -> bool:
        """A thousand batch sizes cost little more than one."""
        return self.deployment.prices_in_bulk and self.is_wave

    def _in_bulk(self, batch_size: int) -> tuple[WaveRuns, int]:
        """Batch size 1 is priced by itself: where it is stopped already, nothing else is asked for."""
        if batch_size in BULK_SIZES and batch_size > 1:
            self._bulk = self._bulk or self._wave_runs(BULK_SIZES)
            return self._bulk, batch_size - BULK_SIZES.start
        if batch_size not in self._ahead:
            self._price((batch_size,))
        return self._ahead[batch_size]

    def _price(self, batch_sizes: Iterable[int]) -> None:
        new = sorted({size for size in batch_sizes if size not in self._ahead})
        if new:
            runs = self._wave_runs(new)
            self._ahead.update((size, (runs, i)) for i, size in enumerate(new))

    def _wave_runs(self, batch_sizes: Sequence[int]) -> WaveRuns:
        return wave_many(
            self.forward,
            self.workload,
            self.deployment.layout,
            batch_sizes=batch_sizes,
            max_batched_tokens=self.max_batched_tokens,
            rules=self.deployment.scenario.rules,
        )

    def _point_in_bulk(self, batch_size: int) -> TriedBatch:
        runs, index = self._in_bulk(batch_size)
        return self._point(
            batch_size,
            int(runs.concurrency[index]),
            float(runs.ttft_s[index]),
            float(runs.tpot_s[index]),
            float(runs.output_tokens_per_s[index]),
            float(runs.memory_left_bytes[index]),
        )

    def _point(
        self,
        batch_size: int,
        concurrency: int,
        ttft_s: float,
        tpot_s: float,
        per_s: float,
        left_bytes: float,
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
    return burst_scheduler(deployment.scenario.scheduler)
