"""Links of every version and kind that aggsim has ever issued still mean what they meant. Add to them, change none."""

from __future__ import annotations

import pytest

from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.share import decode
from aggsim.share_compare import Comparison, decode_comparison_lenient
from aggsim.share_frozen import decode_frozen
from aggsim.share_search import decode_search

V1 = (
    "v=1&model=Qwen/Qwen3-32B&device=H200_SXM_141G&devices=8&tp=4&pp=1&dp=2&ep=1&moe_dp=1&linear=fp8&experts=fp8"
    "&attention=none&input=3500&output=1500&batch=373&prefix_hit=0&mtp=0&mtp_rates=0.9,0.6,0.4,0.2"
    "&max_batched_tokens=14000&reserved_gib=10&ttft=none&tpot=50&engine=analytic&backend=vllm"
    "&scheduler=decode_first_with_slack&timing=wave&rules=current"
)
V1_SCENARIO = Scenario(
    tp=4, dp=2, ep=1, moe_dp=1, linear="fp8", experts="fp8", batch=373, max_batched_tokens=14_000, engine="analytic",
    corrections="none", timing="wave",
)  # fmt: skip
V1_FROZEN = (
    "1,aggsim:0.1.0,inputs:60f86941,sum:11a0d08a;engine:analytic,version:2,model:f7b15097,device:185e67dd,verdict:ok,"
    "ttft_ms:18453.7293656,tpot_ms:49.9752276502,output_tokens_per_s:12426.1565019,end_to_end_ms:74962.8414752,"
    "concurrency:621,memory_left_gib:44.3379221261,prefill_ms:236.209460483,decode_ms:37.6727414064"
)


@pytest.mark.parametrize(
    ("link", "scenario"),
    [
        (V1, V1_SCENARIO),
        (f"https://planner.example/timeline?{V1}", V1_SCENARIO),
        ("tp=8&ttft=2000&tpot=none", Scenario(tp=8, ttft=2000, tpot=None)),
        ("", Scenario()),
    ],
)
def test_a_scenario_of_version_1(link: str, scenario: Scenario) -> None:
    assert decode(link).scenario == scenario


def test_a_search_of_version_1() -> None:
    link = f"{V1.replace('tp=4', 'tp=2,4').replace('dp=2', 'dp=auto').replace('attention=none', 'attention=all')}"
    base = V1_SCENARIO.replace(tp=None, dp=None)
    assert decode_search(link).question == SearchQuestion.of(base, tp=[2, 4], attention="all")


def test_a_comparison_of_version_1() -> None:
    link = f"{V1}&pin1=current&pin2=tp:8;dp:1;batch:621&pin3=device:H100_SXM_80G;tpot:40&current=hidden&baseline=2"
    decoded = decode_comparison_lenient(link)
    eight = V1_SCENARIO.replace(tp=8, dp=1, batch=621)
    pins = (V1_SCENARIO, eight, V1_SCENARIO.replace(device="H100_SXM_80G", tpot=40))
    assert decoded.errors == ()
    assert decoded.comparison == Comparison(current=V1_SCENARIO, pins=pins, is_current_hidden=True, baseline=eight)


def test_a_frozen_part_of_version_1() -> None:
    frozen = decode_frozen(V1_FROZEN)
    (answer,) = frozen.answers
    assert answer is not None
    assert (frozen.aggsim, answer.engine, answer.version, answer.verdict) == ("0.1.0", "analytic", "2", "ok")
    assert answer.numbers["tpot_ms"] == 49.9752276502
    assert len(answer.numbers) == 8
