"""Workload presets: valid, told where they come from, found again from the values."""

from __future__ import annotations

import pytest

from aggsim import service
from aggsim.scenario import PARAMETER, Scenario
from aggsim.scenario_presets import CUSTOM, FIELDS, PRESETS, Preset, preset_named

WANTED = {"chat", "RAG", "code completion", "summarization", "reasoning", "agentic", "batch"}


def preset_of(scenario: Scenario) -> str:
    return preset_named({key: getattr(scenario, key) for key in FIELDS}, scenario.arrival)


def test_every_use_has_one() -> None:
    assert {preset.name for preset in PRESETS} == WANTED
    assert len({tuple(preset.values.items()) for preset in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_valid_workload_with_sources(preset: Preset) -> None:
    for key, value in preset.values.items():
        assert PARAMETER[key].check(value) == value
    scenario = Scenario(engine="analytic", **preset.values)
    assert preset_of(scenario) == preset.name
    for key in FIELDS:
        other = {"input": 7, "output": 7, "prefix_hit": 0.123, "ttft": 7.0, "tpot": 7.0, "percentile": "p50"}[key]
        changed = scenario.replace(**{key: other})
        assert preset_of(changed.replace(arrival="closed")) == CUSTOM
        assert preset_of(changed) == (preset.name if key == "percentile" else CUSTOM)  # a burst has means only
    assert preset.about.endswith(".")
    assert preset.lengths_source
    assert preset.limits_source
    assert service.evaluate(scenario.replace(batch=1)).output_tokens_per_s > 0


def test_limits_stated_for_a_percentile_hold_for_it() -> None:
    for preset in PRESETS:
        said = {"MLPerf": "p99", "DistServe": "p90"}
        source = next((name for name in said if name in preset.limits_source and preset.ttft), "")
        assert preset.percentile == said.get(source, "mean")


def test_the_default_is_custom() -> None:
    assert preset_of(Scenario()) == CUSTOM
