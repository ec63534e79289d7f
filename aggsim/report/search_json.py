"""A search as the JSON that scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aggsim.planning.deployment import Sizing, SizingResult
from aggsim.planning.evaluation import Evaluation, Verdict
from aggsim.planning.pareto import frontier
from aggsim.planning.search_result import Candidate, Rejected, SearchPoint, SearchResult
from aggsim.report.json_form import finite, verdict_json
from aggsim.report.rows import Row, point_row, result_row
from aggsim.report.search_words import rejected_layout, rejection_words
from aggsim.scenario import Scenario
from aggsim.share import to_json
from aggsim.share_search import question_json
from aggsim.units import ms

__all__ = ["search_json", "sizing_json"]

Json = dict[str, Any]


def search_json(result: SearchResult, evaluations: Mapping[Scenario, Evaluation], top: int | None = None) -> Json:
    """The `top` best layouts, or all, and everything else; an evaluation, by its scenario, lends its row breakdowns."""
    return {
        "scenario": question_json(result.question),
        "evaluated": result.evaluated,
        "seconds": result.seconds,
        "best_per_layout": [_best(candidate, evaluations) for candidate in result.candidates[:top]],
        "rejected": [_rejected(rejected) for rejected in result.rejected],
        "pareto": [{"row": _plain(point_row(point))} for point in frontier(result.points())],
    }


def sizing_json(result: SizingResult) -> Json:
    """The smallest deployments for a load, fewest devices first; without_one: the same with one replica lost."""
    return {
        "load_tokens_per_s": result.load_tokens_per_s,
        "smallest": [_sizing(sizing) for sizing in result.sizings],
        "without": list(result.without),
    }


def _sizing(sizing: Sizing) -> Json:
    candidate = sizing.candidate
    lost = sizing.with_replicas(sizing.num_replicas - 1)
    return {
        "device": candidate.scenario.device_name,
        "num_devices": sizing.num_devices,
        "num_replicas": sizing.num_replicas,
        "scenario": to_json(candidate.scenario),
        "capacity_tokens_per_s": sizing.capacity_tokens_per_s,
        "utilization": sizing.utilization,
        "headroom": sizing.headroom,
        "capacity_prompt_tokens_per_s": sizing.num_replicas * candidate.prompt_tokens_per_s,
        "capacity_requests_per_s": sizing.num_replicas * candidate.requests_per_s,
        "spares_needed": sizing.spares_needed(),
        "without_one": {
            "num_replicas": lost.num_replicas,
            "utilization": finite(lost.utilization),
            "carries": lost.carries,
            "headroom": finite(lost.headroom),
            "shortfall_tokens_per_s": lost.shortfall_tokens_per_s,
            "at": _operating_point(lost),
        },
    }


def _operating_point(sizing: Sizing) -> Json | None:
    """The smallest evaluated batch size at which each replica makes its share of the load; null: none does."""
    point = sizing.operating_point
    if point is None:
        return None
    return {
        "batch_size": point.batch_size,
        "ttft_ms": finite(ms(point.ttft_s)),
        "tpot_ms": finite(ms(point.tpot_s)),
        "output_tokens_per_s": point.output_tokens_per_s,
        "verdict": verdict_json(point.verdict),
    }


def _best(candidate: Candidate, evaluations: Mapping[Scenario, Evaluation]) -> Json:
    best = candidate.best or candidate.tried[0]
    evaluation = evaluations.get(candidate.scenario)
    row = result_row(evaluation) if evaluation else point_row(SearchPoint(candidate, best))
    verdict: Verdict = evaluation.verdict if evaluation else best.verdict
    requests_per_s = best.output_tokens_per_s / candidate.scenario.output
    return {
        "row": _plain(row),
        "verdict": verdict_json(verdict),
        "requests_per_s": finite(requests_per_s),
        "prompt_tokens_per_s": finite(requests_per_s * candidate.scenario.input),
    }


def _rejected(rejected: Rejected) -> Json:
    return {
        "layout": rejected_layout(rejected),
        "asked": rejected.asked,
        "limit": rejected.limit,
        "reason": rejection_words(rejected),
    }


def _plain(row: Row) -> Json:
    return {name: finite(value) for name, value in row.items()}
