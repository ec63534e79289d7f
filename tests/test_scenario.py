"""The Scenario: defaults, what each field allows, and the rules between fields."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.errors import InputError
from aggsim.scenario import (
    GROUPS,
    PARAMETER,
    PARAMETERS,
    LinearLaw,
    ParallelLayout,
    Quantization,
    Scenario,
    Workload,
)
from tests.factories import make_complete_scenario, make_scenario, scenarios, valid_values

PROPERTY = settings(max_examples=200, deadline=None, derandomize=True)
LAW = LinearLaw(fixed_s=0.01, memory_gib=20)


def error_of(**values: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        Scenario(**values)
    return caught.value


def field_blamed(values: dict[str, Any]) -> str | None:
    try:
        Scenario(**values)
    except InputError as error:
        return error.field
    return None


# --- one field by itself ---


def test_fields_are_the_table_in_its_order() -> None:
    assert [field.name for field in dataclasses.fields(Scenario)] == [parameter.key for parameter in PARAMETERS]


def test_defaults() -> None:
    assert dataclasses.asdict(Scenario()) == {
        "model": "Qwen/Qwen3-32B",
        "device": "H200_SXM_141G",
        "devices": 8,
        "tp": None,
        "pp": 1,
        "dp": None,
        "ep": None,
        "moe_dp": None,
        "linear": None,
        "experts": None,
        "attention": "none",
        "input": 3500,
        "output": 1500,
        "batch": None,
        "prefix_hit": 0.0,
        "mtp": 0,
        "mtp_rates": (0.9, 0.6, 0.4, 0.2),
        "max_batched_tokens": None,
        "reserved_gib": 10.0,
        "ttft": None,
        "tpot": 50.0,
        "engine": "auto",
        "backend": "vllm",
        "law": None,
        "corrections": "auto",
        "scheduler": "decode_first_with_slack",
        "timing": "auto",
        "rules": "current",
        "arrival": "burst",
        "users": None,
        "rate": None,
        "cv": 1.0,
        "trace": None,
        "length_spread": "fixed",
        "max_num_seqs": None,
        "kv_block": None,
        "mixed": "fused",
        "percentile": "mean",
        "seeds": 5,
    }


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.key)
def test_every_parameter_is_ready_for_the_form(parameter: Any) -> None:
    assert parameter.group in GROUPS
    assert parameter.label
    assert parameter.help.endswith(".")
    assert bool(parameter.none_word) == bool(parameter.none_help)
    assert parameter.check(parameter.default) == parameter.default
    assert parameter.parse(parameter.format(parameter.default)) == parameter.default
    if parameter.kind in ("whole", "number") and parameter.key != "prefix_hit":
        assert parameter.unit


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("devices", 1, 4096),
        ("input", 1, 1_000_000),
        ("output", 1, 1_000_000),
        ("batch", 1, 100_000),
        ("max_batched_tokens", 1, 10_000_000),
        ("mtp", 0, 9),
        ("reserved_gib", 0, 1_000_000),
    ],
)
def test_ends_of_a_range(key: str, low: int, high: int) -> None:
    rates = {"mtp_rates": (0.5,) * 9}
    assert getattr(Scenario(**{key: low, **rates}), key) == low
    assert getattr(Scenario(**{key: high, **rates}), key) == high
    for value in (low - 1, high + 1):
        error = error_of(**{key: value})
        assert (error.field, error.value, error.allowed) == (key, value, PARAMETER[key].allowed)


@pytest.mark.parametrize("key", [p.key for p in PARAMETERS if p.kind in ("whole", "number")])
@pytest.mark.parametrize(
    "value", [True, "8", math.nan, math.inf, -math.inf, -1, 10**400, 10**5000, [8], {"a": 8}, 8j], ids=range(11)
)
def test_not_a_number_of_this_kind(key: str, value: object) -> None:
    assert error_of(**{key: value}).field == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tp", 2.5),
        ("input", None),
        ("prefix_hit", 1),
        ("prefix_hit", None),
        ("ttft", 0),
        ("tpot", 0.0),
        ("model", ""),
        ("model", " padded"),
        ("model", "nul\0"),
        ("model", "line\nbreak"),
        ("model", "\udc80"),
        ("model", "x" * 513),
        ("device", None),
        ("device", 7),
        ("linear", "w8a8"),
        ("linear", "W8A8_DYNAMIC"),
        ("attention", None),
        ("attention", "fp4"),
        ("engine", "Roof line"),
        ("scheduler", ["decode_first_with_slack"]),
        ("mtp_rates", ()),
        ("mtp_rates", (0.5,) * 10),
        ("mtp_rates", (1.01,)),
        ("mtp_rates", (0.5, math.nan)),
        ("mtp_rates", (True,)),
        ("mtp_rates", 0.9),
        ("mtp_rates", "0.9"),
        ("law", {}),
        ("law", {"fixed": 1}),
        ("law", {"fixed_s": "1"}),
        ("law", "fixed_s:1"),
        ("arrival", "poisson"),
        ("users", 0),
        ("rate", 0),
        ("rate", 1e7),
        ("cv", -0.1),
        ("cv", 10.5),
        ("length_spread", "uniform:1.1"),
        ("length_spread", 2),
        ("length_spread", "table:5/0/1"),
        ("length_spread", None),
        ("trace", "0/512"),
        ("trace", "sha256:abc"),
        ("trace", 5),
        ("max_num_seqs", 0),
        ("kv_block", 4097),
        ("mixed", "min"),
        ("percentile", "p100"),
        ("seeds", 21),
    ],
    ids=ascii,
)
def test_bad_values_name_field_and_allowed(key: str, value: object) -> None:
    error = error_of(**{key: value})
    assert error.field == key
    assert error.allowed == PARAMETER[key].allowed
    assert str(error).isprintable()


def test_values_take_their_one_normal_form() -> None:
    loose = Scenario(
        devices=8.0, tp=np.int64(4), mtp_rates=[1, 0.5], tpot=50, prefix_hit=-0.0, reserved_gib=np.float32(2)
    )
    assert loose == Scenario(devices=8, tp=4, mtp_rates=(1.0, 0.5), tpot=50.0, prefix_hit=0.0, reserved_gib=2.0)
    assert [type(v) for v in (loose.devices, loose.tp, loose.tpot, loose.reserved_gib)] == [int, int, float, float]
    assert math.copysign(1, loose.prefix_hit) == 1
    assert hash(loose) == hash(Scenario(devices=8, tp=4, mtp_rates=(1.0, 0.5), reserved_gib=2.0))


@PROPERTY
@given(st.data())
def test_parse_undoes_format(data: st.DataObject) -> None:
    parameter = data.draw(st.sampled_from(PARAMETERS))
    value = parameter.check(data.draw(valid_values(parameter.key)))
    text = parameter.format(value)
    assert parameter.parse(text) == value
    assert parameter.parse(f"  {text} ") == value
    assert parameter.format(parameter.parse(text)) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("tp", ""),
        ("tp", "none"),
        ("tp", "4,8"),
        ("tp", "1_0"),
        ("tp", "٤"),
        ("tp", "0x8"),
        ("tp", "2.7"),
        ("tp", "9" * 5000),
        ("tpot", "auto"),
        ("tpot", "nan"),
        ("tpot", "1e400"),
        ("tpot", "50 ms"),
        ("mtp_rates", "0.9,,0.4"),
        ("mtp_rates", "0.9;0.6"),
        ("law", "fixed_s"),
        ("law", "fixed_s:1,fixed_s:2"),
        ("law", "fixed_s:1,speed:2"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_text_that_is_no_value(key: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        PARAMETER[key].parse(text)
    assert caught.value.field == key


# --- rules between fields ---


@pytest.mark.parametrize(
    ("values", "field", "allowed"),
    [
        ({"devices": 6, "tp": 4}, "tp", "a divisor of devices (6): 1, 2, 3, 6"),
        ({"devices": 8, "pp": 3}, "pp", "a divisor of devices (8): 1, 2, 4, 8"),
        ({"devices": 8, "pp": 4, "tp": 4}, "tp", "a divisor of devices ÷ pp = 8 ÷ 4 (2): 1, 2"),
        ({"devices": 8, "tp": 4, "dp": 4}, "dp", "devices ÷ (tp · pp) = 8 ÷ (4 · 1) = 2, or auto"),
        ({"devices": 8, "dp": 3}, "dp", "a divisor of devices (8): 1, 2, 4, 8"),
        ({"devices": 8, "ep": 16}, "ep", "a divisor of tp · dp (8): 1, 2, 4, 8"),
        ({"devices": 8, "ep": 4, "moe_dp": 4}, "moe_dp", "a divisor of tp · dp ÷ ep (2): 1, 2"),
        ({"mtp": 6}, "mtp", "at most 5, one more than there are acceptance rates (mtp_rates)"),
        ({"law": LAW}, "law", "none, since engine is auto; a law goes with engine linear"),
        (
            {"arrival": "trace"},
            "arrival",
            "trace together with a trace: up to 64 requests arrival_s/input/output joined by commas, or sha256: and "
            "the 64 digits that name an uploaded trace, or none",
        ),
        (
            {"scheduler": "static_batch"},
            "scheduler",
            "decode_first_with_slack for a burst; the others need requests that arrive: arrival closed, open or trace",
        ),
        (
            {"timing": "wave", "max_batched_tokens": 2048},
            "timing",
            "auto or stepped: the prompt's 3,500 tokens exceed max_batched_tokens 2,048",
        ),
    ],
)
def test_fields_that_contradict_each_other(values: dict[str, Any], field: str, allowed: str) -> None:
    error = error_of(**values)
    assert (error.field, error.allowed) == (field, allowed)


def test_many_divisors_are_abridged() -> None:
    assert error_of(devices=3600, tp=7).allowed.endswith("20, 24, …, 3600")


def test_engine_linear_needs_its_law() -> None:
    assert error_of(engine="linear").field == "engine"
    assert Scenario(engine="linear", law={"fixed_s": 1}).law == LinearLaw(fixed_s=1.0)


def test_spreads_and_traces_have_one_spelling() -> None:
    loose = Scenario(arrival="trace", trace="1/20/3, 0.50/10/2".replace(" ", ""), length_spread="0.20")
    assert (loose.trace, loose.length_spread) == ("0.5/10/2,1/20/3", "uniform:0.2")
    assert Scenario(length_spread=0.2).length_spread == "uniform:0.2"


def test_what_arrivals_use() -> None:
    open_loop = Scenario(arrival="open")
    assert [key for key in ("users", "rate", "cv", "trace", "percentile", "input") if open_loop.uses(key)] == [
        "rate",
        "cv",
        "percentile",
        "input",
    ]
    assert not open_loop.as_burst().is_load
    assert Scenario(arrival="open", scheduler="static_batch").as_burst().scheduler == "decode_first_with_slack"


def test_rules_at_their_edge() -> None:
    assert Scenario(mtp=5).mtp == 5
    assert Scenario(timing="wave", max_batched_tokens=3500).timing == "wave"
    assert Scenario(timing="wave", max_batched_tokens=350, prefix_hit=0.9).prefix_hit == 0.9
    assert Scenario(devices=24, tp=4, pp=2, dp=3, ep=6, moe_dp=2).dp == 3


@PROPERTY
@given(st.dictionaries(st.sampled_from(list(PARAMETER)), st.none(), max_size=8), st.data())
def test_a_rule_blames_a_field_that_was_given(keys: dict[str, None], data: st.DataObject) -> None:
    """Reading a link tolerantly rests on this: dropping the blamed field is always a step towards a valid scenario."""
    values = {key: PARAMETER[key].check(data.draw(valid_values(key))) for key in keys}
    while blamed := field_blamed(values):
        assert values.pop(blamed) != PARAMETER[blamed].default


# --- what a scenario is made of ---


@PROPERTY
@given(scenarios(complete=True))
def test_a_complete_scenario_has_a_layout_and_a_workload(scenario: Scenario) -> None:
    layout, workload = scenario.layout(), scenario.workload()
    assert scenario.is_complete
    assert layout.num_devices == scenario.devices
    assert layout.ep * layout.moe_tp * layout.moe_dp == layout.tp * layout.dp
    assert 1 <= workload.effective_input_tokens <= scenario.input
    assert scenario.quantization().linear == scenario.linear


@pytest.mark.parametrize("key", ["tp", "dp", "ep", "moe_dp", "linear", "experts", "batch", "max_batched_tokens"])
def test_one_auto_makes_it_incomplete(key: str) -> None:
    assert not make_complete_scenario(**{key: None}).is_complete


def test_complete_or_not() -> None:
    assert make_complete_scenario(ttft=None, tpot=None, model="auto").is_complete
    assert not make_complete_scenario(engine="auto").is_complete
    assert not make_complete_scenario(timing="auto").is_complete
    found = {"max_num_seqs": 16, "kv_block": 16}
    assert make_complete_scenario(arrival="open", rate=5, **found).is_complete
    assert not make_complete_scenario(arrival="open", **found).is_complete
    assert not make_complete_scenario(arrival="closed", **found).is_complete
    assert not make_complete_scenario(arrival="open", rate=5, kv_block=16).is_complete


def test_what_is_auto_has_no_layout() -> None:
    with pytest.raises(InputError, match=r"^tp: .auto.") as caught:
        make_scenario().layout()
    assert caught.value.field == "tp"
    with pytest.raises(InputError, match=r"^experts: "):
        make_scenario(linear="fp8").quantization()


def test_a_dense_layout_splits_nothing_by_expert() -> None:
    assert make_complete_scenario().layout() == ParallelLayout(tp=4, dp=2, ep=1, moe_tp=8, moe_dp=1)


def test_replace_checks_and_leaves_the_original() -> None:
    scenario = make_scenario()
    assert scenario.replace(tp=2).tp == 2
    assert scenario.tp is None
    with pytest.raises(InputError, match=r"^tp: "):
        scenario.replace(tp=3)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: ParallelLayout(tp=0), "tp"),
        (lambda: ParallelLayout(moe_dp=True), "moe_dp"),
        (lambda: ParallelLayout(tp=4, dp=2, ep=4), "ep"),
        (lambda: Quantization(linear="int4"), "linear"),
        (lambda: Quantization(attention="nvfp4"), "attention"),
        (lambda: Workload(num_input_tokens=0, num_output_tokens=1), "input"),
        (lambda: Workload(num_input_tokens=1, num_output_tokens=1, prefix_cache_hit_rate=1.0), "prefix_hit"),
        (lambda: Workload(num_input_tokens=1, num_output_tokens=1, num_mtp_tokens=6), "mtp"),
        (lambda: LinearLaw(), "law"),
        (lambda: LinearLaw(fixed_s=-1), "law"),
        (lambda: LinearLaw(fixed_s=1, memory_gib=math.inf), "law"),
    ],
)
def test_parts_check_themselves(build: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        build()
    assert caught.value.field == field


@PROPERTY
@given(st.integers(1, 1_000_000), st.floats(0, 1, exclude_max=True))
def test_a_prefix_hit_always_leaves_a_token(num_input_tokens: int, rate: float) -> None:
    workload = Workload(num_input_tokens=num_input_tokens, num_output_tokens=1, prefix_cache_hit_rate=rate)
    assert workload.effective_input_tokens == num_input_tokens - math.floor(num_input_tokens * rate) >= 1
