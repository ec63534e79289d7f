"""The answer to a SearchQuestion: numbers only, in the order of merit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aggsim.planning.batch_search import best_of, next_load_stop, next_stop_of
from aggsim.planning.evaluation import Limit, TriedBatch
from aggsim.scenario import ParallelLayout, Quantization, Scenario
from aggsim.scenario_search import SearchQuestion, Value

__all__ = ["Candidate", "Rejected", "SearchPoint", "SearchResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One layout on one kind and number of devices, and every batch size that was evaluated for it."""

    scenario: Scenario
    """Complete, at the best batch size (1 where none is feasible): evaluating it gives the same numbers."""
    layout: ParallelLayout
    quantization: Quantization
    is_moe: bool
    num_chunks: int
    effective_input_tokens: int
    tried: tuple[TriedBatch, ...]
    """What the rules look at, ascending."""
    between: tuple[TriedBatch, ...] = ()
    """Further batch sizes for the curves, where they cost nothing: they do not decide."""
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> TriedBatch | None:
        """The feasible tried point with the most output tokens/s; None: even batch size 1 is stopped."""
        return best_of(self.tried)

    @property
    def next_stop(self) -> TriedBatch | None:
        """The smallest tried batch size, or load, above the best that a limit stopped."""
        if self.scenario.is_load:
            return next_load_stop(self.tried, self.output_tokens_per_s)
        return next_stop_of(self.tried, self.scenario.batch or 0)

    @property
    def points(self) -> tuple[TriedBatch, ...]:
        """Everything evaluated, by batch size."""
        return tuple(sorted((*self.tried, *self.between), key=lambda point: point.batch_size))

    @property
    def output_tokens_per_s(self) -> float:
        """Of the best point; 0 where there is none."""
        return self.best.output_tokens_per_s if self.best else 0.0

    @property
    def output_tokens_per_s_per_device(self) -> float:
        return self.output_tokens_per_s / self.layout.num_devices

    @property
    def requests_per_s(self) -> float:
        """Finished requests of the best point."""
        return self.output_tokens_per_s / self.scenario.output

    @property
    def prompt_tokens_per_s(self) -> float:
        """Prompt tokens of those requests, those from the prefix cache included."""
        return self.requests_per_s * self.scenario.input

    def at(self, point: TriedBatch) -> Scenario:
        """The scenario of one of its points."""
        if self.scenario.is_load:
            return self.scenario.replace(users=point.users, rate=point.rate)
        return self.scenario.replace(batch=point.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A layout without an answer."""

    asked: dict[str, Value]
    """What distinguishes it: the keys of scenario_search.AXES that were settled."""
    reason: str
    """One sentence."""
    limit: Limit | None = None
    """The limit that stops it at batch size 1; None: it is impossible in itself."""
    candidate: Candidate | None = None
    """What was evaluated all the same."""


class SearchPoint(NamedTuple):
    """One batch size of one candidate: a dot in a chart."""

    candidate: Candidate
    tried: TriedBatch

    @property
    def output_tokens_per_s_per_device(self) -> float:
        return self.tried.output_tokens_per_s / self.candidate.layout.num_devices

    @property
    def output_tokens_per_s_per_user(self) -> float:
        """1 / TPOT: how fast one reader sees text; 0 where none arrives."""
        return 1 / self.tried.tpot_s if self.tried.tpot_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Layouts by output tokens/s, per device where the numbers of devices differ."""

    question: SearchQuestion
    candidates: tuple[Candidate, ...]
    """Those with an answer, best first."""
    rejected: tuple[Rejected, ...]
    """In the order they were looked at."""
    by_device: bool
    """The order is that of output tokens/s per device."""
    seconds: float = field(compare=False)
    """What the search took when it was made."""

    @property
    def best(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None

    def rate_of(self, candidate: Candidate) -> float:
        """What the order goes by: output tokens/s, per device where the numbers of devices differ."""
        return candidate.output_tokens_per_s_per_device if self.by_device else candidate.output_tokens_per_s

    @property
    def evaluated(self) -> int:
        """Points, over all layouts."""
        return sum(1 for _ in self.points())

    @property
    def num_layouts(self) -> int:
        return len(self.candidates) + len(self.rejected)

    def points(self) -> Iterator[SearchPoint]:
        """Every evaluated point, the stopped ones of rejected layouts too."""
        evaluated = (*self.candidates, *(r.candidate for r in self.rejected if r.candidate))
        return (SearchPoint(candidate, point) for candidate in evaluated for point in candidate.points)
