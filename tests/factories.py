"""Objects with sensible defaults, and strategies that draw valid ones: a test names only what it is about."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from aggsim.devices import DeviceSpec, LinkLevel
from aggsim.forward.batch import RequestGroup
from aggsim.scenario import PARAMETER, LinearLaw, Scenario

RESOLVED: dict[str, Any] = {
    "tp": 4,
    "dp": 2,
    "ep": 1,
    "moe_dp": 1,
    "linear": "fp8",
    "experts": "fp8",
    "batch": 16,
    "max_batched_tokens": 14_000,
    "engine": "analytic",
    "corrections": "none",
    "timing": "wave",
}
"""What the default scenario lacks to be complete."""


def make_scenario(**changes: Any) -> Scenario:
    return Scenario(**changes)


def make_complete_scenario(**changes: Any) -> Scenario:
    return Scenario(**{**RESOLVED, **changes})


def make_group(**changes: Any) -> RequestGroup:
    """One decode request with 1,000 tokens of context."""
    return RequestGroup(**{"num_requests": 1, "query_len": 1, "seq_len": 1000, "is_decode": True, **changes})


def make_device(**changes: Any) -> DeviceSpec:
    """Round numbers: 100 T matrix, 10 T vector, 1 TB/s, 64 GiB, nodes of 8, nothing lost, nothing to wait for."""
    values: dict[str, Any] = {
        "device_id": "ROUND_64G",
        "vendor": "test",
        "mma_ops_per_s": {"bf16": 100e12, "fp16": 100e12, "int8": 200e12, "fp8": 200e12},
        "gp_ops_per_s": {"fp32": 10e12, "bf16": 10e12, "fp16": 10e12},
        "memory_bytes": 64.0 * 1024**3,
        "memory_bandwidth_bytes_per_s": 1e12,
        "compute_efficiency": 1.0,
        "memory_efficiency": 1.0,
        "mma_op_cost_s": 0.0,
        "gp_op_cost_s": 0.0,
        "comm_op_cost_s": 0.0,
        "links": (
            LinkLevel(size=4, bandwidth_bytes_per_s=10e9, latency_s=1e-5, efficiency=1.0),
            LinkLevel(size=8, bandwidth_bytes_per_s=100e9, latency_s=1e-6, efficiency=1.0),
        ),
        "source": "made up for tests",
    }
    return DeviceSpec(**{**values, **changes})


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


_PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)
_TIMES = st.floats(0, 1e3, exclude_min=True)


def valid_values(key: str) -> st.SearchStrategy[Any]:
    """Values that one parameter allows by itself (not None)."""
    parameter = PARAMETER[key]
    match parameter.kind:
        case "choice":
            return st.sampled_from(parameter.choices)
        case "whole":
            return st.integers(int(parameter.minimum), int(parameter.maximum))
        case "number":
            return st.floats(
                parameter.minimum,
                parameter.maximum,
                exclude_min=parameter.above_minimum,
                exclude_max=parameter.below_maximum,
            )
        case "rates":
            return st.lists(st.floats(0, 1), min_size=1, max_size=9).map(tuple)
        case "law":
            return st.builds(LinearLaw, fixed_s=_TIMES, per_token_s=_TIMES, memory_gib=st.floats(0, 1e4))
        case "spread":
            amounts = st.floats(0, 1).map(lambda x: f"uniform:{x!r}")
            return st.one_of(
                amounts, st.sampled_from(("fixed", "lognormal:0.5", "table:200-800/50-150/0.7,2000/300/3"))
            )
        case "trace":
            return st.sampled_from(("0/512/128,0.25/300/40", "0/1/1", f"sha256:{'0f' * 32}"))
        case _:
            return _PRINTABLE


@st.composite
def scenarios(draw: st.DrawFn, *, complete: bool = False) -> Scenario:
    """Any valid scenario: as asked (with autos here and there) or complete."""
    values = {key: draw(valid_values(key)) for key in PARAMETER}
    stage = draw(st.integers(1, 64))
    values["pp"] = draw(st.integers(1, 8))
    values["devices"] = stage * values["pp"]
    values["tp"] = draw(st.sampled_from(divisors(stage)))
    values["dp"] = stage // values["tp"]
    values["ep"] = draw(st.sampled_from(divisors(stage)))
    values["moe_dp"] = draw(st.sampled_from(divisors(stage // values["ep"])))
    values["mtp"] = draw(st.integers(0, min(9, len(values["mtp_rates"]) + 1)))
    values["max_batched_tokens"] = draw(st.integers(values["input"], 10_000_000))
    if values["engine"] != "linear":
        values["law"] = None
    if values["arrival"] == "burst":
        values["scheduler"] = "decode_first_with_slack"
    if complete:
        values["engine"] = draw(st.sampled_from(["analytic", "linear" if values["law"] else "silicon"]))
        values["law"] = values["law"] if values["engine"] == "linear" else None
        values["corrections"] = draw(st.sampled_from(["none", "all"]))
        values["timing"] = draw(st.sampled_from(["wave", "stepped"]))
        limits = [key for key in ("ttft", "tpot") if draw(st.booleans())]
        return Scenario(**{**values, **dict.fromkeys(limits)})
    needed = {"law", "trace"} if values["arrival"] == "trace" else {"law"}
    open_keys = [key for key, parameter in PARAMETER.items() if parameter.none_word and key not in needed]
    return Scenario(**{**values, **dict.fromkeys(key for key in open_keys if draw(st.booleans()))})
