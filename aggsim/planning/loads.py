"""Loads of one deployment: everything about a replica is settled, only users or rate are left to choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aggsim.engines.base import ForwardModel
from aggsim.errors import EngineError, InputError
from aggsim.parameters_arrivals import LengthSpread, TraceRow, parse_spread, parse_trace
from aggsim.planning.evaluation import TriedBatch, Verdict
from aggsim.planning.kv_capacity import default_block, kv_capacity
from aggsim.planning.load_result import LoadResult
from aggsim.planning.load_runs import Hooks, Measured, Stage, carried_by_replica
from aggsim.planning.load_summary import summarize
from aggsim.planning.points import Points
from aggsim.planning.resolve import Deployment
from aggsim.planning.verdict import Limits, judge
from aggsim.scenario import Scenario
from aggsim.serving.chunks import expected_tokens_per_pass
from aggsim.serving.price_curves import CurvedPasses
from aggsim.serving.replica import Replica
from aggsim.serving.schedulers import SCHEDULERS
from aggsim.serving.step_prices import ReplicaPasses
from aggsim.units import gib

__all__ = ["DEFAULT_SEATS", "MAX_USERS", "Loads", "settle_budget"]

DEFAULT_SEATS = 256
"""max_num_seqs where nothing says otherwise: vLLM's own default."""
LEAST_BUDGET = 2048
"""Tokens of a step, at least, where no budget is given: vLLM's default for chunked prefill."""
SEARCHED_SEATS = 1024
"""The same where the most users are looked for."""
MAX_SEATS = 100_000
MAX_USERS = 20_000
"""Of one replica."""


@dataclass(slots=True, kw_only=True, eq=False)
class Loads:
    """Looking twice gives equal answers, and costs nothing."""

    deployment: Deployment
    """Its scenario has a token budget, seats and a KV block."""
    forward: ForwardModel
    stage: Stage
    limits: Limits
    hooks: Hooks
    _carried: float | None = field(default=None, init=False)
    _seen: dict[tuple[float, int], LoadResult] = field(default_factory=dict, init=False)

    @classmethod
    def of(
        cls, deployment: Deployment, forward: ForwardModel, rows: tuple[TraceRow, ...] = (), hooks: Hooks | None = None
    ) -> Loads:
        """rows: of a trace that the scenario only names.

        Raises EngineError for an engine whose passes take seconds, InputError for a trace that is not at hand.
        """
        if deployment.is_slow:
            reason = "a pass takes seconds, and simulated arrivals need thousands of different ones: use another engine"
            raise EngineError(deployment.engine.name, reason)
        scenario = deployment.scenario
        spread = parse_spread(scenario.length_spread) or LengthSpread(kind="fixed")
        if scenario.arrival == "trace":
            rows = rows or parse_trace(scenario.trace or "") or ()
            spread = LengthSpread(kind="fixed")
            if not rows:
                raise InputError("trace", scenario.trace, "a trace that was uploaded here: upload its CSV once more")
        scenario = _settle(_with_lengths_of(rows, deployment), forward)
        deployment = replace(deployment, scenario=scenario)
        workload, dp = scenario.workload(), deployment.layout.dp
        budget, seats, block = scenario.max_batched_tokens or 0, scenario.max_num_seqs or 0, scenario.kv_block or 0
        kv = kv_capacity(
            forward,
            workload,
            replicas=dp,
            block_tokens=block,
            max_batched_tokens=budget,
            max_num_seqs=seats,
        )
        replica = Replica(
            scheduler=SCHEDULERS[scenario.scheduler],
            max_batched_tokens=budget,
            max_num_seqs=seats,
            kv_blocks=kv.blocks,
            kv_block_tokens=block,
            prefix_hit=scenario.prefix_hit,
            decode_query_len=scenario.mtp + 1,
            tokens_per_pass=expected_tokens_per_pass(workload),
        )
        passes = ReplicaPasses(forward=forward, replicas=dp, decode_query_len=scenario.mtp + 1, mixed=scenario.mixed)
        stage = Stage(
            replica=replica,
            prices=CurvedPasses(passes=passes, repeats=not (spread.is_random or rows)),
            kv=kv,
            replicas=dp,
            lengths=(scenario.input, scenario.output),
            spread=spread,
            rows=rows,
        )
        limits = Limits.of_ms(ttft=scenario.ttft, tpot=scenario.tpot)
        return cls(deployment=deployment, forward=forward, stage=stage, limits=limits, hooks=hooks or Hooks())

    @property
    def scenario(self) -> Scenario:
        return self.deployment.scenario

    @property
    def missing_bytes(self) -> float:
        """Per device, that the longest request asked for lacks; ≤ 0: it fits."""
        kv, drafts = self.stage.kv, self.scenario.mtp
        longest = self.scenario.input + self.scenario.output
        if self.stage.rows:
            longest = max(row.input_tokens + row.output_tokens for row in self.stage.rows)
        elif self.stage.spread.kind == "table":
            longest = max(b.input_tokens[1] + b.output_tokens[1] for b in self.stage.spread.bins)
        return max(kv.missing_bytes(longest + drafts), -kv.free_bytes)

    @property
    def carried_per_s(self) -> float:
        """Requests per second that the deployment ends while no queue is ever empty."""
        if self._carried is None:
            self._carried = self.stage.replicas * carried_by_replica(self.stage, Hooks(cancel=self.hooks.cancel))
        return self._carried

    def closed(self, users: int, hooks: Hooks | None = None, *, first_seed_only: bool = False) -> LoadResult:
        """So many users of the deployment, dealt to its replicas as evenly as can be: the fullest one is simulated."""
        per_replica = -(-users // self.stage.replicas)
        if per_replica > MAX_USERS:
            raise InputError("users", users, f"at most {MAX_USERS * self.stage.replicas:,} on these replicas")
        many = self.stage.spread.is_random
        return self._result(
            users,
            lambda seed, watch: self.stage.closed(per_replica, seed, watch),
            seeds=self.scenario.seeds if many and not first_seed_only else 1,
            factor=users / per_replica,
            asked=None,
            hooks=hooks or self.hooks,
        )

    def open(self, rate: float, hooks: Hooks | None = None, *, first_seed_only: bool = False) -> LoadResult:
        """So many requests per second."""
        cv = self.scenario.cv
        many = self.stage.spread.is_random or cv > 0
        return self._result(
            rate,
            lambda seed, watch: self.stage.open(rate, cv, seed, watch),
            seeds=self.scenario.seeds if many and not first_seed_only else 1,
            factor=self.stage.replicas,
            asked=rate,
            hooks=hooks or self.hooks,
        )

    def trace(self) -> LoadResult:
        """The requests of the trace."""
        rows = self.stage.rows
        length_s = rows[-1].arrival_s - rows[0].arrival_s
        return self._result(
            -1.0,
            lambda _, watch: self.stage.trace(watch),
            seeds=1,
            factor=len(rows) / len(rows[:: self.stage.replicas]),
            asked=(len(rows) - 1) / length_s if length_s > 0 else None,
            hooks=self.hooks,
        )

    def verdict(self, result: LoadResult) -> Verdict:
        """Memory first, then a queue that grows without end, then TPOT and TTFT at the percentile asked for."""
        asked, carried = result.asked_per_s, result.carried_per_s
        if result.arrival == "open" and result.state == "saturated" and asked and carried:
            return Verdict(ok=False, limit="rate", margin=asked / carried - 1, step=None)
        name = self.scenario.percentile
        return judge(
            memory_left_bytes=-self.missing_bytes,
            ttft_s=result.ttft.value.at(name),
            tpot_s=result.tpot.value.at(name),
            limits=self.limits,
        )

    def no_room(self) -> Verdict:
        """Not even one request fits."""
        return Verdict(ok=False, limit="memory", margin=-gib(self.missing_bytes), step=None)

    def point(self, result: LoadResult, *, users: int | None = None, rate: float | None = None) -> TriedBatch:
        """A load with its verdict, as a search keeps it."""
        name = self.scenario.percentile
        return TriedBatch(
            batch_size=self.batch_size(result),
            concurrency=max(1, round(result.concurrency)),
            ttft_s=result.ttft.value.at(name),
            tpot_s=result.tpot.value.at(name),
            output_tokens_per_s=self.output_tokens_per_s(result),
            memory_left_bytes=self.stage.kv.free_bytes * (1 - (result.kv_share_max or 0.0)),
            verdict=self.verdict(result),
            users=users,
            rate=rate,
        )

    def output_tokens_per_s(self, result: LoadResult) -> float:
        """As measured; of an open loop whose queue does not grow, what comes: in the long run that is served."""
        if result.arrival != "open" or result.state == "saturated" or result.asked_per_s is None:
            return result.output_tokens_per_s
        return result.asked_per_s * self.stage.mean_lengths[1]

    def batch_size(self, result: LoadResult) -> int:
        """About that of the burst that is served like these requests."""
        return max(1, round(result.running / self.deployment.layout.pp))

    def _result(
        self,
        key: float,
        simulate: Callable[[int, Hooks], Measured],
        *,
        seeds: int,
        factor: float,
        asked: float | None,
        hooks: Hooks,
    ) -> LoadResult:
        if (key, seeds) not in self._seen:
            carried = self.carried_per_s if asked is not None else None
            runs = [simulate(seed, hooks.part(seed, seeds)) for seed in range(seeds)]
            self._seen[key, seeds] = summarize(
                runs,
                self.stage,
                arrival=self.scenario.arrival,
                factor=factor,
                asked=asked,
                carried=carried,
                limits=self.limits,
            )
        return self._seen[key, seeds]


def settle_budget(deployment: Deployment, forward: ForwardModel, seats: int) -> int:
    """The token budget of a step: as given, else the burst's, but enough for all seats to decode together."""
    scenario = deployment.scenario
    if scenario.max_batched_tokens:
        return scenario.max_batched_tokens
    burst = replace(deployment, scenario=scenario.as_burst().replace(batch=scenario.batch or 1))
    needed = min(seats, LEAST_BUDGET) * (scenario.mtp + 1)
    return max(Points.of(burst, forward).max_batched_tokens, LEAST_BUDGET, needed)


def _with_lengths_of(rows: tuple[TraceRow, ...], deployment: Deployment) -> Deployment:
    """The mean lengths of a trace in place of those asked for."""
    if not rows:
        return deployment
    means = [max(1, round(sum(row[i] for row in rows) / len(rows))) for i in (1, 2)]
    return replace(deployment, scenario=deployment.scenario.replace(input=int(means[0]), output=int(means[1])))


def _settle(deployment: Deployment, forward: ForwardModel) -> Scenario:
    """Seats, KV block and token budget, where they are left open."""
    scenario, layout = deployment.scenario, deployment.layout
    seats = scenario.max_num_seqs
    if seats is None:
        seats = DEFAULT_SEATS
        if deployment.asked.batch:
            seats = deployment.asked.batch * layout.pp
        elif scenario.arrival == "closed":
            seats = max(seats, -(-scenario.users // layout.dp) if scenario.users else SEARCHED_SEATS)
    seats = min(seats, MAX_SEATS)
    return scenario.replace(
        max_num_seqs=seats,
        kv_block=scenario.kv_block or default_block(deployment.device.vendor),
        max_batched_tokens=settle_budget(deployment, forward, seats),
    )
