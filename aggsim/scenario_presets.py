"""Workloads to start from: lengths, prefix cache and limits that are typical of a use, each with where they come from.

MLPerf and DistServe state their limits for the 99th and the 90th percentile of a stream of requests, and so do the
presets that take them: where requests arrive one by one, that percentile is held against the limits. A burst has means
only, which its answer says. They are a start to argue from, not a promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aggsim.parameters_load import is_used

__all__ = ["CUSTOM", "FIELDS", "PRESETS", "Preset", "preset_named"]

CUSTOM: Final = "custom"
"""What a workload is called that is none of these."""
FIELDS: Final = ("input", "output", "prefix_hit", "ttft", "tpot", "percentile")
"""What a preset sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Values for FIELDS, as a Scenario holds them: tokens, a share, milliseconds (None: no limit)."""

    name: str
    about: str
    """Who sends such requests."""
    input: int
    output: int
    prefix_hit: float = 0.0
    ttft: float | None = None
    tpot: float | None = None
    percentile: str = "mean"
    """What of TTFT and TPOT the limits are for."""
    lengths_source: str
    limits_source: str

    @property
    def values(self) -> dict[str, Any]:
        """Key of a Scenario → value."""
        return {key: getattr(self, key) for key in FIELDS}


_AZURE = "medians of the {} requests in the Azure LLM inference traces of 2023 (Splitwise, ISCA 2024)"
_BY_HAND = "chosen by hand: {}"

PRESETS: Final[tuple[Preset, ...]] = (
    Preset(
        name="chat",
        about="A person types and reads along.",
        input=1020,
        output=129,
        ttft=450,
        tpot=40,
        percentile="p99",
        lengths_source=_AZURE.format("conversation"),
        limits_source="MLPerf Inference, Llama 2 70B, interactive scenario",
    ),
    Preset(
        name="RAG",
        about="A question together with retrieved passages; the answer quotes them.",
        input=4096,
        output=256,
        ttft=2000,
        tpot=50,
        percentile="p99",
        lengths_source=_BY_HAND.format("instructions and eight passages of about 480 tokens, an answer of a paragraph"),
        limits_source="TTFT: MLPerf Inference, Llama 3.1 8B, server scenario; TPOT chosen by hand: 20 tokens/s, faster "
        "than people read",
    ),
    Preset(
        name="code completion",
        about="An editor asks at every pause and wants the rest of a line at once.",
        input=1500,
        output=13,
        ttft=125,
        tpot=200,
        percentile="p90",
        lengths_source=_AZURE.format("coding"),
        limits_source="DistServe (OSDI 2024), code completion",
    ),
    Preset(
        name="summarization",
        about="A long document in, a page out.",
        input=10_000,
        output=600,
        ttft=6000,
        tpot=175,
        percentile="p99",
        lengths_source=_BY_HAND.format("a report of about 20 pages at 500 tokens, a summary of one"),
        limits_source="MLPerf Inference, Llama 3.1 405B, server scenario",
    ),
    Preset(
        name="reasoning",
        about="A short problem and a long chain of thought before the answer.",
        input=800,
        output=4000,
        ttft=2000,
        tpot=80,
        percentile="p99",
        lengths_source=_BY_HAND.format("a problem statement, and several thousand tokens of thought"),
        limits_source="MLPerf Inference, DeepSeek-R1, server scenario",
    ),
    Preset(
        name="agentic",
        about="A program calls tools in a loop: every call repeats most of the one before.",
        input=8596,
        output=182,
        prefix_hit=0.59,
        ttft=2000,
        tpot=50,
        lengths_source="means and prefix cache ratio of the tool and agent trace of Mooncake (FAST 2025)",
        limits_source=_BY_HAND.format("the next call waits for this one, but nobody reads along"),
    ),
    Preset(
        name="batch",
        about="Nobody waits: documents are worked through overnight.",
        input=1024,
        output=1024,
        lengths_source=_BY_HAND.format("the one-to-one shape that public throughput benchmarks use"),
        limits_source="none, as in MLPerf Inference's offline scenario",
    ),
)


def preset_named(given: Mapping[str, Any], arrival: str) -> str:
    """Name of the preset that has these values for FIELDS, else CUSTOM; what the arrival does not look at does not
    count."""
    counts = [key for key in FIELDS if is_used(key, arrival)]
    fit = (preset.name for preset in PRESETS if all(preset.values[key] == given[key] for key in counts))
    return next(fit, CUSTOM)
