"""Every term has its explanation where it stands, and every chart says in words what it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from aggsim import service
from aggsim.report.columns import HELP
from aggsim.report.glossary import find_terms
from aggsim.report.tiles import tiles
from aggsim.scenario import PARAMETERS, Scenario
from tests.pages.conftest import App
from tests.pages.test_compare import comparing

Open = Callable[..., App]
PAGES = ("plan", "timeline", "method", "search", "compare", "catalog", "accuracy")
QUERY = "model=Qwen/Qwen3-30B-A3B&engine=analytic&devices=4&tpot=20"
SEARCHED = f"{QUERY}&device=H200_SXM_141G,L40S_48G&target_tokens_per_s=90000"


def columns(table: Any) -> dict[str, dict[str, Any]]:
    """Of a table on screen: name → its configuration; hidden ones are left out."""
    configured: dict[str, dict[str, Any]] = json.loads(table.proto.columns or "{}")
    order = list(table.proto.column_order) or [str(name) for name in table.value.columns]
    return {name: configured.get(name) or {} for name in order if not (configured.get(name) or {}).get("hidden")}


@pytest.mark.parametrize("page", PAGES)
def test_every_column_of_every_table_is_explained(open_app: Open, page: str) -> None:
    app = comparing(open_app, SEARCHED, page) if page == "search" else open_app(QUERY, page)
    tables = app.test.dataframe
    assert tables or page == "compare", "whose table is HTML and explains its rows"
    for table in tables:
        missing = [name for name, config in columns(table).items() if not (config.get("help") or "").strip()]
        assert missing == []
    if page == "search":
        assert len(tables) >= 3, "the best layouts, the rejected ones, the lost replica"


def test_column_help_is_plain_sentences() -> None:
    for name, text in HELP.items():
        assert re.fullmatch(r"[A-Z✓].*[.]", text), name


def test_every_tile_and_every_field_is_explained() -> None:
    shown = tiles(service.evaluate(Scenario(batch=8, engine="analytic")))
    assert all(tile.help.endswith(".") for tile in shown)
    assert all(parameter.help.endswith(".") for parameter in PARAMETERS)


@pytest.mark.parametrize(
    "term",
    [
        *("TTFT", "TPOT incl. TTFT", "TPOT after first token", "End-to-end latency", "Throughput", "Output per device"),
        *("Concurrency", "Batch size", "Memory left", "Requests per second", "Prompt tokens per second"),
        *("TP", "PP", "DP", "EP", "MoE-DP", "KV cache", "Quantization", "MTP", "Acceptance rate", "Prefix cache"),
        *("Token budget", "Reserved memory", "Engine", "Scheduler", "Timing", "Rule set", "Backend", "Law"),
        *(
            "N+1",
            "Headroom",
            "Spare",
            "Utilization",
            "Load",
            "Replica",
            "Preset",
            "Trace",
            "Verdict",
            "Step",
            "Chunk plan",
            "Closed loop",
            "Open loop",
            "Burstiness",
            "Percentile",
            "Seat",
            "KV block",
            "Preemption",
            "Saturation",
            "Warm-up",
        ),
    ],
)
def test_the_glossary_knows_every_word_of_the_pages(term: str) -> None:
    assert any(term.casefold() in f"{found.name} {found.full}".casefold() for found in find_terms(term)), term


@pytest.mark.parametrize("page", PAGES)
def test_every_chart_says_what_it_shows(open_app: Open, page: str) -> None:
    app = comparing(open_app, f"{QUERY}&pin1=tp:2", page) if page == "compare" else open_app(QUERY, page)
    assert app.all_charts
    for description in app.all_charts:
        name, _, finding = description.partition(": ")
        assert name
        assert len(finding.split()) >= 3, description
    assert len(set(app.all_charts)) == len(app.all_charts)
