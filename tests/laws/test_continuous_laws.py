"""Continuous batching against the loop that is written down step by step, on many small random cases."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from aggsim.engines.linear import LinearForward
from aggsim.parameters_arrivals import TraceRow
from aggsim.scenario import LinearLaw
from aggsim.serving.arrivals import Traffic
from aggsim.serving.continuous import Served, serve
from aggsim.serving.price_curves import CurvedPasses
from aggsim.serving.replica import Replica
from aggsim.serving.request_times import mean_in_bins, request_times, token_gaps
from aggsim.serving.schedulers import SCHEDULERS
from aggsim.serving.step_prices import ReplicaPasses
from tests.plain_continuous import PlainServed, plain_serve

LAW = LinearLaw(fixed_s=0.01, per_token_s=1e-4, per_token_ctx_s=1e-8, per_ctx_s=2e-6)
EXACT = {"rtol": 1e-9, "atol": 1e-12}
CASES = 300


@dataclass(frozen=True)
class Case:
    """One replica, its requests, and how long to look."""

    scheduler: str
    budget: int
    seats: int
    kv_blocks: int
    block: int
    rows: list[tuple[float, int, int]]
    users: int
    dp: int
    query_len: int
    tokens_per_pass: float
    prefix_hit: float
    mixed: str

    def served(self) -> Served:
        replica = Replica(
            scheduler=SCHEDULERS[self.scheduler],
            max_batched_tokens=self.budget,
            max_num_seqs=self.seats,
            kv_blocks=self.kv_blocks,
            kv_block_tokens=self.block,
            prefix_hit=self.prefix_hit,
            decode_query_len=self.query_len,
            tokens_per_pass=self.tokens_per_pass,
        )
        forward = LinearForward(law=LAW, dp=self.dp)
        prices = ReplicaPasses(forward=forward, replicas=self.dp, decode_query_len=self.query_len, mixed=self.mixed)
        rows = iter([TraceRow(*row) for row in self.rows])
        return serve(replica, Traffic(rows, self.users), prices, completions=self.completions)

    def plain(self) -> PlainServed:
        return plain_serve(
            scheduler=SCHEDULERS[self.scheduler],
            budget=self.budget,
            seats=self.seats,
            kv_blocks=self.kv_blocks,
            block=self.block,
            rows=self.rows,
            users=self.users,
            completions=self.completions,
            forward=LinearForward(law=LAW, dp=self.dp),
            dp=self.dp,
            query_len=self.query_len,
            tokens_per_pass=self.tokens_per_pass,
            prefix_hit=self.prefix_hit,
            mixed=self.mixed,
        )

    @property
    def completions(self) -> int:
        return len(self.rows) - 3 * self.users


def random_case(seed: int) -> Case:
    rng = random.Random(seed)
    scheduler = rng.choice(list(SCHEDULERS))
    number, block = rng.randint(4, 30), rng.choice((1, 4, 16))
    users = rng.choice((0, rng.randint(1, 6)))
    # The clock decides who is there in time: with drafts it is not exact (see below), so those come as users.
    drafts = rng.choice((0, 1, 2)) if users else 0
    longest = rng.choice((8, 60))
    rows = sorted(
        (0.0 if users else round(rng.uniform(0, number * 0.1), 3), rng.randint(1, longest), rng.randint(1, longest))
        for _ in range(number + 3 * users)
    )
    if users:
        rng.shuffle(rows)
    seats = rng.randint(1, 12)
    least = max(-(-(i + o + drafts) // block) for _, i, o in rows) + 1
    whole = max(2 * longest, seats * (drafts + 1))
    return Case(
        scheduler=scheduler,
        budget=rng.randint(seats * (drafts + 1), whole) if SCHEDULERS[scheduler].cuts_prompts else whole,
        seats=seats,
        kv_blocks=rng.choice((least, 2 * least, 10**6)),
        block=block,
        rows=rows,
        users=users,
        dp=rng.choice((1, 2)),
        query_len=drafts + 1,
        tokens_per_pass=1 + drafts * rng.choice((0.3, 0.8)),
        prefix_hit=rng.choice((0.0, 0.0, 0.6)),
        mixed=rng.choice(("fused", "max", "sum")),
    )


@pytest.mark.parametrize("block_of_cases", range(10))
def test_the_simulation_is_the_plain_loop(block_of_cases: int) -> None:
    for seed in range(block_of_cases * CASES // 10, (block_of_cases + 1) * CASES // 10):
        case = random_case(seed)
        served, plain = case.served(), case.plain()
        times = request_times(served)
        ended = np.isfinite(times.end_s)
        assert len(served.ended) >= case.completions, seed
        assert [r.number for r in served.ended] == [plain.requests.index(r) for r in plain.ended], seed
        # With drafts a pass yields 1 or 2 tokens, never 1.3: runs of passes then are not quite straight.
        close = EXACT if case.tokens_per_pass == 1 else {"rtol": 2e-4, "atol": 1e-12}
        done = [r for r in plain.requests if r in plain.ended]
        np.testing.assert_allclose(times.end_s[ended], [r.token_s[-1] for r in done], **close)
        np.testing.assert_allclose(times.first_s[ended], [r.token_s[0] for r in done], **close)
        np.testing.assert_allclose(times.arrival_s, [r.arrival_s for r in plain.requests], **close)
        assert times.preemptions.tolist() == [r.preemptions for r in plain.requests], seed
        assert served.runs.repeat.sum() == len(plain.step_s), seed
        assert served.runs.kv_blocks.max() == max(plain.blocks) <= case.kv_blocks, seed


def test_the_random_cases_are_worth_it() -> None:
    cases = [random_case(seed) for seed in range(CASES)]
    runs = [case.served() for case in cases[:120]]
    assert {case.scheduler for case in cases} == set(SCHEDULERS)
    assert sum(request_times(run).preemptions.any() for run in runs) > 5
    assert sum(bool(run.runs.is_blocked.any()) for run in runs) > 20
    assert sum(int((run.runs.repeat > 1).any()) for run in runs) > 60


def test_gaps_are_those_between_the_tokens_of_the_plain_loop() -> None:
    for seed in range(60):
        case = random_case(seed)
        if case.query_len > 1:
            continue
        served, plain = case.served(), case.plain()
        times = request_times(served)
        gaps, counts = token_gaps(served, times.after(0))
        tokens = [np.diff(r.token_s) for r in plain.requests]
        until = served.runs.end_s[-1]
        assert sum(len(t) for t in tokens) == pytest.approx(counts.sum()), seed
        total = sum(r.token_s[-1] - r.token_s[0] for r in plain.requests if r.token_s)
        assert (gaps * counts).sum() == pytest.approx(total, rel=2e-3), (seed, until)


def test_nothing_idles_while_somebody_waits_and_no_work_is_lost() -> None:
    for seed in range(80):
        case = random_case(seed)
        served = case.served()
        runs, times = served.runs, request_times(served)
        idle = runs.start_s[1:] - runs.end_s[:-1]
        for i in np.flatnonzero(idle > 1e-12):
            inside = (times.arrival_s < runs.start_s[i + 1] - 1e-12) & (times.end_s > runs.end_s[i] + 1e-12)
            assert not inside.any(), seed
        if not times.preemptions.any() and np.isfinite(times.end_s).all():
            cached = np.floor(times.input_tokens * case.prefix_hit).astype(int)
            assert runs.prefill_tokens.sum() == (times.input_tokens - cached).sum(), seed


def test_curves_meet_a_linear_engine_exactly() -> None:
    exact = ReplicaPasses(forward=LinearForward(law=LAW, dp=2), replicas=2)
    rng = np.random.default_rng(1)
    curves = [CurvedPasses(passes=exact), CurvedPasses(passes=exact, repeats=False)]
    for trial in range(50):
        curved = curves[trial % 2]
        number = rng.integers(0, 5, 6)
        total = number * rng.integers(1, 5000, 6) + rng.integers(0, 3, 6) * (number > 0)
        chunks: list[Any] = [() if n and rng.random() < 0.5 else ((1, 7, 7),) for n in number]
        np.testing.assert_allclose(
            curved.latency_s(number, total, chunks), exact.latency_s(number, total, chunks), rtol=1e-12
        )


def test_means_in_bins() -> None:
    changes, by = np.array([0.5, 1.0, 2.5]), np.array([1.0, 1.0, -2.0])
    assert mean_in_bins(changes, by, np.array([0.0, 1.0, 2.0, 3.0, 4.0])).tolist() == [0.5, 2.0, 1.0, 0.0]
