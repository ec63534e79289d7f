"""Searches of the real optimizer, whole: its layouts in its order, from one link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aggsim.devices.catalog import load_device
from aggsim.models.catalog import load_model
from aggsim.planning.search import search
from aggsim.planning.search_result import SearchPoint, SearchResult
from aggsim.report.rows import point_row
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion

FILE = Path(__file__).parent / "search_tensorcast.jsonl"
SEARCHES = [json.loads(line) for line in FILE.read_text().splitlines()]


def searched(recorded: dict[str, Any], **changes: Any) -> SearchResult:
    case, row = recorded["case"], recorded["best_per_layout"][0]
    label = row["quantize_linear_action"].lower()
    base = Scenario(
        model=case["id"],
        device=case["device"],
        devices=case["devices"],
        linear="none" if label == "disabled" else label,
        input=case["input"],
        output=case["output"],
        tpot=case["tpot"],
        max_batched_tokens=case.get("max_batched_tokens"),
        **changes,
    )
    question = SearchQuestion.of(base, tp=case["tp_sizes"])
    return search(question, load_model(base.model), {base.device: load_device(base.device)})


@pytest.mark.parametrize("recorded", SEARCHES, ids=[f"{s['case']['id']} {s['case']['output']}" for s in SEARCHES])
def test_the_same_layouts_in_the_same_order(recorded: dict[str, Any]) -> None:
    rows = recorded["best_per_layout"]
    result = searched(recorded)
    assert [point_row(SearchPoint(c, c.tried[0]))["parallel"] for c in result.candidates] == [
        row["parallel"] for row in rows
    ]
    for candidate, row in zip(result.candidates, rows, strict=True):
        assert candidate.best is not None
        assert candidate.best.batch_size == pytest.approx(row["batch_size"], rel=0.02, abs=1)
        same = searched(recorded, batch=row["batch_size"])
        ours = next(c for c in same.candidates if c.layout == candidate.layout)
        assert ours.best is not None
        figures = point_row(SearchPoint(ours, ours.best))
        for name in ("ttft", "tpot", "token/s"):
            assert figures[name] == pytest.approx(row[name], rel=0.015), name
