"""Links and JSON: they come back as the same scenario, and garbage is an InputError, never anything else."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.errors import InputError
from aggsim.scenario import PARAMETER, LinearLaw, Scenario
from aggsim.share import Decoded, decode, decode_lenient, encode, encode_short, from_json, to_json
from tests.factories import make_complete_scenario, make_scenario, scenarios

PROPERTY = settings(max_examples=200, deadline=None, derandomize=True)
LAW = LinearLaw(fixed_s=0.0089, per_token_s=1e-6, memory_gib=20)

any_scenario = st.one_of(scenarios(), scenarios(complete=True))


# --- the link ---


def test_the_default_link_to_the_letter() -> None:
    """Changing this string breaks links that people hold: raise the version instead."""
    assert encode(make_scenario()) == (
        "v=1&model=Qwen/Qwen3-32B&device=H200_SXM_141G&devices=8&tp=auto&pp=1&dp=auto&ep=auto&moe_dp=auto"
        "&linear=auto&experts=auto&attention=none&input=3500&output=1500&batch=auto&prefix_hit=0&mtp=0"
        "&mtp_rates=0.9,0.6,0.4,0.2&max_batched_tokens=auto&reserved_gib=10&ttft=none&tpot=50&engine=auto"
        "&backend=vllm&scheduler=decode_first_with_slack&timing=auto&rules=current"
    )


def test_a_complete_link_to_the_letter() -> None:
    scenario = make_complete_scenario(engine="linear", law=LAW, ttft=2000.5, tpot=None, prefix_hit=0.25)
    assert encode(scenario) == (
        "v=1&model=Qwen/Qwen3-32B&device=H200_SXM_141G&devices=8&tp=4&pp=1&dp=2&ep=1&moe_dp=1"
        "&linear=fp8&experts=fp8&attention=none&input=3500&output=1500&batch=16&prefix_hit=0.25&mtp=0"
        "&mtp_rates=0.9,0.6,0.4,0.2&max_batched_tokens=14000&reserved_gib=10&ttft=2000.5&tpot=none&engine=linear"
        "&backend=vllm&law=fixed_s:0.0089,per_token_s:1e-06,per_token_ctx_s:0,per_ctx_s:0,memory_gib:20,gib_per_ctx:0"
        "&scheduler=decode_first_with_slack&timing=wave&rules=current"
    )


@PROPERTY
@given(any_scenario)
def test_a_link_comes_back_as_it_was(scenario: Scenario) -> None:
    link = encode(scenario)
    assert decode(link) == Decoded(scenario=scenario)
    assert encode(decode(link).scenario) == link
    assert decode_lenient(link) == Decoded(scenario=scenario)
    assert link.isascii()
    assert " " not in link


@PROPERTY
@given(any_scenario)
def test_a_short_link_comes_back_as_it_was(scenario: Scenario) -> None:
    short = encode_short(scenario)
    assert decode(short).scenario == scenario
    assert len(short) < len(encode(scenario))


@PROPERTY
@given(any_scenario)
def test_a_complete_link_is_whole(scenario: Scenario) -> None:
    keys = [pair.partition("=")[0] for pair in encode(scenario).split("&")]
    known = {key for key, p in PARAMETER.items() if p.group != "Arrivals"} - (set() if scenario.law else {"law"})
    if scenario.corrections == ("auto" if scenario.engine == "auto" else "none"):
        known -= {"corrections"}
    arrivals = {key for key, p in PARAMETER.items() if p.group == "Arrivals"}
    if scenario.is_load:
        known |= {key for key in arrivals if scenario.uses(key)}
    known |= {key for key in arrivals if getattr(scenario, key) != PARAMETER[key].default}
    assert keys == ["v", *(key for key in PARAMETER if key in known)]


def test_a_link_with_arrivals_to_the_letter() -> None:
    scenario = make_complete_scenario(
        arrival="open", rate=12.5, scheduler="chunked_prefill", max_num_seqs=256, kv_block=16, percentile="p99"
    )
    assert encode(scenario).partition("&rules=current")[2] == (
        "&arrival=open&rate=12.5&cv=1&length_spread=fixed&max_num_seqs=256&kv_block=16&mixed=fused&percentile=p99&seeds=5"
    )
    trace = make_scenario(arrival="trace", trace="0/512/128,0.25/300/40")
    assert encode_short(trace) == "arrival=trace&trace=0/512/128,0.25/300/40"
    assert decode("arrival=trace&trace=0.25/300/40,0/512/128&rate=auto").scenario == trace


def test_short_links() -> None:
    assert encode_short(make_scenario()) == ""
    assert encode_short(make_scenario(tp=8, ttft=2000, tpot=None)) == "tp=8&ttft=2000&tpot=none"


@pytest.mark.parametrize(
    "query",
    [
        "tp=4&tpot=20",
        "?tp=4&tpot=20",
        " ?tp=4&tpot=20\n",
        "v=1&tp=4&tpot=20.0",
        "tp=+4+&tpot=2e1",
        "tp=%34&tpot=%2B20",
        "/timeline?tp=4&tpot=20",
        "http://planner.example:8501/?tp=4&tpot=20",
        "https://planner.example/plan;a=b?tp=4&tpot=20#top",
        {"tp": "4", "tpot": "20"},
        {"tp": ["8", "4"], "tpot": ["20"]},
        "tp=8&tpot=20&tp=4",
        "tp=none-sense&tpot=20&tp=4",
    ],
    ids=range(13),
)
def test_ways_to_write_the_same_link(query: Any) -> None:
    assert decode(query).scenario == make_scenario(tp=4, tpot=20)


@pytest.mark.parametrize("query", ["", "?", "http://planner.example/", "http://planner.example/plan#top", {}])
def test_no_query_is_the_default(query: Any) -> None:
    assert decode(query) == Decoded(scenario=make_scenario())


def test_a_parsed_query_is_as_good_as_its_text() -> None:
    link = encode(make_complete_scenario())
    assert decode(parse_qs(link)) == decode(link)


def test_an_absent_key_takes_the_default_and_none_is_no_limit() -> None:
    assert decode("ttft=100").scenario.tpot == 50
    assert decode("tpot=none").scenario.tpot is None
    assert decode("batch=auto&tp=auto&linear=auto").scenario == make_scenario()
    assert decode("linear=none").scenario.linear == "none"


def test_unknown_and_repeated_keys_are_reported_only() -> None:
    decoded = decode("tp=4&utm_source=mail&tp=2&colour=%00red&utm_source=x")
    assert decoded.scenario == make_scenario(tp=2)
    assert decoded.unknown_keys == ("utm_source", "colour")
    assert decoded.notes == ("tp is given 2 times; the last one counts",)


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("v=2", "v", "2"),
        ("v=", "v", ""),
        ("v=1&v=x", "v", "x"),
        ("tp=", "tp", ""),
        ("tp", "tp", ""),
        ("model=", "model", ""),
        ("input=2.7", "input", 2.7),
        ("input=true", "input", "true"),
        ("tp=4;dp=2", "tp", "4;dp=2"),
        ("tpot=1e400", "tpot", "1e400"),
        ("tpot=-1e400", "tpot", "-1e400"),
        ("batch=" + "9" * 5000, "batch", "9" * 5000),
        ("batch=100001", "batch", 100001),
        ("model=a%00b", "model", "a\\x00b"),
        ("model=%E2%80%A8x%E2%80%A8y", "model", "x\\u2028y"),
        ("tp=%ff", "tp", "�"),
        ("tp=\udc80", "tp", "?"),
        ("mtp=9", "mtp", 9),
        ("devices=6&tp=4", "tp", 4),
        ("link=" + "x" * 20_000, "link", "20,005 characters"),
    ],
    ids=range(20),
)
def test_bad_links(query: str, field: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        decode(query)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert decode_lenient(query).errors[0].field == field


def test_foreign_text_is_kept_as_it_is() -> None:
    scenario = make_scenario(model="模型/Qwen 3?&#+%", device="a=b")
    assert decode(encode(scenario)).scenario == scenario
    assert decode(f"model={quote('模型/Qwen 3?&#+%')}&device=a%3Db").scenario == scenario


# --- the tolerant reader ---


def test_nothing_else_is_lost() -> None:
    decoded = decode_lenient("v=7&devices=16&tp=3&input=lots&output=200&engine=linear&ep=8&mtp=99&ttft=none&x=1")
    assert decoded.scenario == make_scenario(devices=16, output=200, ep=8)
    assert [error.field for error in decoded.errors] == ["v", "input", "mtp", "tp", "engine"]
    assert decoded.unknown_keys == ("x",)


def test_a_bad_field_falls_back_to_the_base_and_an_absent_one_to_the_default() -> None:
    base = make_scenario(tp=2, input=100, output=7)
    assert decode_lenient("input=lots&tp=3", base).scenario == make_scenario(tp=2, input=100)


def test_a_base_that_does_not_fit_is_dropped_as_well_and_blamed_once() -> None:
    base = make_scenario(devices=8, tp=8)
    decoded = decode_lenient("devices=6&tp=4", base)
    assert decoded.scenario == make_scenario(devices=6)
    assert [error.field for error in decoded.errors] == ["tp"]


def decoded_or_error(query: str) -> Decoded | InputError:
    try:
        return decode(query)
    except InputError as error:
        return error


def garbage(rng: random.Random) -> str:
    """A random query: noise, a valid link with bytes changed, or known keys with wild values."""
    wild = [
        "",
        "0",
        "-1",
        "1e400",
        "9" * rng.randrange(1, 400),
        "nan",
        "auto",
        "none",
        "true",
        "%",
        "%zz",
        "%ff",
        "%00",
    ]
    wild += ["1,2,3", "fixed_s:1", "fixed_s:1,:2", ":", ",", "a" * 600, "٣", "1_0", "0x1", "+4", "{}", "[1]", "\udc80"]
    match rng.randrange(3):
        case 0:
            return "".join(chr(rng.randrange(1, 0x300)) for _ in range(rng.randrange(80)))
        case 1:
            link = list(encode(make_complete_scenario(tp=rng.choice([1, 2, 4, 8]), dp=None)))
            for _ in range(rng.randrange(1, 12)):
                link[rng.randrange(len(link))] = rng.choice("&=%?#;:,.+-0123456789aevx/ \0é")
            return "".join(link)
        case _:
            keys = rng.choices([*PARAMETER, "v", "x"], k=rng.randrange(1, 9))
            return "&".join(f"{key}={rng.choice([*wild, '1', '2', '4', '8', 'wave', 'linear', 'fp8'])}" for key in keys)


def test_ten_thousand_random_links() -> None:
    rng = random.Random(20_240_229)
    read = 0
    for _ in range(10_000):
        query = garbage(rng)
        lenient = decode_lenient(query)
        assert decode(encode(lenient.scenario)).scenario == lenient.scenario
        outcome = decoded_or_error(query)
        if isinstance(outcome, InputError):
            assert str(outcome) == str(lenient.errors[0])
            assert str(outcome).isprintable()
        else:
            assert outcome == lenient
            read += 1
    assert 1000 < read < 9000  # both kinds were really tried


# --- JSON ---


@PROPERTY
@given(any_scenario)
def test_json_comes_back_as_it_was(scenario: Scenario) -> None:
    text = json.dumps(to_json(scenario), allow_nan=False)
    assert from_json(json.loads(text)) == scenario
    named = {key for key, _, _ in (pair.partition("=") for pair in encode(scenario).split("&"))} | {
        "law",
        "corrections",
    }
    assert list(json.loads(text)) == [key for key in PARAMETER if key in named]


def test_json_values() -> None:
    values = to_json(make_scenario(engine="linear", law=LAW))
    assert (values["tp"], values["ttft"], values["mtp_rates"]) == (None, None, [0.9, 0.6, 0.4, 0.2])
    assert values["law"] == {
        "fixed_s": 0.0089,
        "per_token_s": 1e-6,
        "per_token_ctx_s": 0,
        "per_ctx_s": 0,
        "memory_gib": 20,
        "gib_per_ctx": 0,
    }


def test_json_reads_null_words_and_whole_floats() -> None:
    assert from_json({}) == make_scenario()
    assert from_json({"tpot": None, "tp": None}) == make_scenario(tpot=None)
    assert from_json({"tpot": "none", "tp": "auto", "devices": 16.0}) == make_scenario(tpot=None, devices=16)
    assert from_json({"mtp_rates": "0.5,0.25"}) == from_json({"mtp_rates": [0.5, 0.25]})
    assert from_json({"engine": "linear", "law": "fixed_s:1"}) == make_scenario(engine="linear", law={"fixed_s": 1})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tp": "8"}, "tp"),
        ({"tp": True}, "tp"),
        ({"input": None}, "input"),
        ({"tpot": float("nan")}, "tpot"),
        ({"law": [1]}, "law"),
        ({"inputs": 5}, "inputs"),
        ({3: 5}, "3"),
        ({"v": 1}, "v"),
        ([], "scenario"),
        (None, "scenario"),
        ("tp=8", "scenario"),
    ],
)
def test_bad_json(values: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        from_json(values)
    assert caught.value.field == field


def test_a_slip_in_a_json_key_is_named() -> None:
    with pytest.raises(InputError, match=r"^inptu: .*closest input;"):
        from_json({"inptu": 5})


def test_json_nested_deeply_is_only_a_bad_value() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InputError, match=r"^devices: .a list. is not possible"):
        from_json({"devices": nested})


def test_corrections_are_said_where_they_are_not_what_an_older_link_means() -> None:
    for engine, unsaid in (("auto", "auto"), ("analytic", "none"), ("silicon", "none")):
        for corrections in ("auto", "none", "all"):
            scenario = make_scenario(engine=engine, corrections=corrections)
            assert ("corrections=" in encode(scenario)) == (corrections != unsaid)
            assert decode(encode(scenario)).scenario == scenario
            assert from_json(to_json(scenario)) == scenario
