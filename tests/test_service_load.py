"""Requests that arrive, from the outside: kept answers, traces by their hash, jobs, JSON and the command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aggsim import service, service_traces
from aggsim.cli import main
from aggsim.devices.catalog import load_device
from aggsim.errors import EngineError, InputError
from aggsim.models.catalog import load_model
from aggsim.parameters_arrivals import TraceRow, parse_spread
from aggsim.planning.deployment import Load
from aggsim.planning.load_evaluate import evaluate_any
from aggsim.planning.resolve import resolve
from aggsim.report.json_form import evaluation_json
from aggsim.report.load_words import saturation_words, steady_words
from aggsim.report.rows import result_row
from aggsim.report.tables import result_table
from aggsim.report.words import assumptions, scenario_words, verdict_words
from aggsim.scenario import LinearLaw, Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.serving.arrivals import draw_lengths, open_traffic, parse_trace_csv, write_trace
from aggsim.share import decode, encode, from_json
from aggsim.store import default_store

LAW = LinearLaw(fixed_s=0.005, per_token_s=2e-5, memory_gib=8, gib_per_ctx=1e-4)
QUESTION = Scenario(
    engine="linear", law=LAW, devices=2, tp=1, input=256, output=64, arrival="open", rate=10, seeds=1, max_num_seqs=16,
    scheduler="chunked_prefill",
)  # fmt: skip
CSV = "input,arrival_s,output,who\n300,0.5,20,b\n200,0,10,a\n\n100,1.25,5,c\n"


@pytest.fixture(autouse=True)
def fresh_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGGSIM_CACHE_DIR", str(tmp_path))
    default_store.cache_clear()
    service.forget()


def test_an_answer_is_kept_whole() -> None:
    found = service.evaluate(QUESTION)
    service.forget()
    stored = service.evaluate(QUESTION)
    assert stored == found
    assert stored is not found
    saturated = service.evaluate(QUESTION.replace(rate=500))
    service.forget()
    assert service.evaluate(QUESTION.replace(rate=500)) == saturated


def test_the_numbers_of_an_answer_are_those_of_its_load() -> None:
    found = service.evaluate(QUESTION.replace(percentile="p90", ttft=1000))
    load = found.load
    assert load is not None
    assert (found.ttft_s, found.tpot_s) == (load.ttft.value.p90, load.tpot.value.p90)
    assert (found.requests_per_s, found.output_tokens_per_s) == (pytest.approx(10), pytest.approx(640))
    assert found.scenario.is_complete
    assert decode(encode(found.scenario)).scenario == found.scenario
    assert not any("burst" in warning for warning in found.warnings)
    row = result_row(found)
    assert (row["ttft"], row["tpot"]) == (round(1e3 * found.ttft_s, 3), round(1e3 * found.tpot_s, 3))
    assert result_table(found)["chosen"].tolist() == [True]
    assert verdict_words(found)[0] == "Meets the limits at 10 requests/s."
    assert "10 requests/s" in scenario_words(found)
    assert all(sentence.endswith(".") for sentence in assumptions(found))


def test_words_of_a_queue_that_grows() -> None:
    found = service.evaluate(QUESTION.replace(rate=500, tpot=None))
    load = found.load
    assert load is not None
    assert load.carried_per_s is not None
    words = verdict_words(found)[0]
    assert words == saturation_words(load)
    assert words.startswith("The queue grows without end: 500 requests/s asked, ")
    assert words.endswith(" carried.")
    slow = service.evaluate(QUESTION.replace(ttft=1, percentile="p99"))
    assert verdict_words(slow)[0].startswith("Too slow at 10 requests/s: P99 TTFT ")


def test_json_of_a_load() -> None:
    form = evaluation_json(service.evaluate(QUESTION.replace(rate=500, percentile="p95")))
    load = json.loads(json.dumps(form, allow_nan=False))["load"]
    assert load["ttft_ms"]["p99"] is None
    assert load["tpot_ms"]["p50"] <= load["tpot_ms"]["p99"]
    assert (load["state"], form["ttft_ms"], form["verdict"]["limit"]) == ("saturated", None, "rate")
    assert form["scenario"]["rate"] == 500
    assert len(load["series"]["time_s"]) == len(load["series"]["waiting"]) == 200
    assert from_json(form["scenario"]) == service.evaluate(QUESTION.replace(rate=500, percentile="p95")).scenario
    assert "load" not in evaluation_json(service.evaluate(QUESTION.as_burst()))


def test_the_steady_state_beside_a_burst() -> None:
    burst = service.evaluate(QUESTION.as_burst().replace(batch=4))
    load = service.steady_state(QUESTION.as_burst().replace(batch=4))
    assert load is not None
    assert (load.arrival, load.concurrency) == ("closed", pytest.approx(burst.concurrency))
    assert load.max_num_seqs == 4
    assert load.ttft.value.mean < burst.ttft_s * 1.5
    assert steady_words(load, burst.concurrency).startswith("Steady state, 8 users asking again and again: TTFT ")
    tight = LinearLaw(fixed_s=0.005, memory_gib=0.01, gib_per_ctx=1e-4)
    assert service.steady_state(QUESTION.as_burst().replace(law=tight, batch=1)) is None


def test_one_simulation_whole() -> None:
    found = service.evaluate(QUESTION)
    run = service.load_run(found.scenario)
    assert service.load_run(found.scenario) is run
    assert found.load is not None
    assert run.ttft_s.mean() == pytest.approx(found.load.ttft.value.mean)
    assert (run.served.runs.end_s >= run.served.runs.start_s).all()
    with pytest.raises(InputError, match="open with a rate"):
        service.load_run(QUESTION.replace(rate=None))


def test_a_job_says_how_far_it_is_and_can_be_stopped() -> None:
    job = service.start_evaluation(QUESTION.replace(length_spread="uniform:0.5", seeds=2))
    job.join(60)
    found = job.result()
    assert found is not None
    assert (job.share, job.error, job.is_running) == (1.0, None, False)
    assert found == service.evaluate(QUESTION.replace(length_spread="uniform:0.5", seeds=2))
    stopped = service.start_evaluation(QUESTION.replace(length_spread="uniform:0.4", seeds=20))
    stopped.cancel()
    stopped.join(60)
    assert (stopped.result(), stopped.error, stopped.is_cancelled) == (None, None, True)
    wrong = service.start_evaluation(QUESTION.replace(arrival="trace", trace=f"sha256:{'0' * 64}"))
    wrong.join(60)
    assert isinstance(wrong.error, InputError)


def test_engines_that_take_seconds_are_refused() -> None:
    deployment = resolve(QUESTION, load_model(QUESTION.model), load_device(QUESTION.device))
    slow: Any = SimpleNamespace(name="slow", version="1", slow=True)
    with pytest.raises(EngineError, match="thousands of different ones"):
        evaluate_any(replace(deployment, engine=slow), deployment.bind())


# --- traces ---


def test_a_trace_is_named_by_what_it_says() -> None:
    name = service.keep_trace(CSV)
    assert name == service.keep_trace("\ufeffarrival_s,input,output\n0,200,10\n0.50,300,20\n1.25,100,5\n")
    assert name != service.keep_trace("arrival_s,input,output\n0,200,11\n")
    scenario = QUESTION.replace(arrival="trace", rate=None, trace=name)
    load = service.evaluate(scenario).load
    assert load is not None
    assert decode(encode(scenario)).scenario == scenario
    inline = service.evaluate(scenario.replace(trace="0/200/10,0.5/300/20,1.25/100/5")).load
    assert inline == load
    service_traces._remembered.clear()
    service.forget()
    assert service.evaluate(scenario).load == load
    with pytest.raises(InputError, match="upload its CSV once more"):
        service.evaluate(scenario.replace(trace=f"sha256:{'f' * 64}"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 without a column arrival_s"),
        ("arrival_s,input\n0,1\n", "line 1 without a column output"),
        ("arrival_s,input,output\n", "no requests"),
        ("arrival_s,input,output\n0,5,5\n1,x,5\n", "line 3, column input: x"),
        ("arrival_s,input,output\n-1,5,5\n", "line 2, column arrival_s: -1"),
        ("arrival_s,input,output\n0,5,0\n", "line 2, column output: 0"),
        ("arrival_s,input,output\n0,5.5,1\n", "line 2, column input: 5.5"),
        ("arrival_s,input,output\n0,5\n", "line 2, column output: nothing"),
        ("arrival_s,input,output\nnan,5,5\n", "line 2, column arrival_s: nan"),
        ("arrival_s,input,output\n0,1_0,5\n", "line 2, column input: 1_0"),
    ],
)
def test_a_bad_row_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        service.keep_trace(text)
    assert caught.value.field == "trace"
    assert words in str(caught.value)


def test_a_trace_comes_back_as_it_was() -> None:
    rows = parse_trace_csv(CSV)
    assert rows == (TraceRow(0.0, 200, 10), TraceRow(0.5, 300, 20), TraceRow(1.25, 100, 5))
    assert parse_trace_csv(write_trace(rows)) == rows


# --- what is drawn ---


@pytest.mark.parametrize("text", ["uniform:0.4", "lognormal:0.7", "table:100-300/10-20/3,1000/50/1"])
def test_lengths_have_the_mean_that_is_said(text: str) -> None:
    spread = parse_spread(text)
    assert spread is not None
    drawn = [pair for pair, _ in zip(draw_lengths(spread, 400, 100, 0), range(20_000), strict=False)]
    for i, mean in enumerate(spread.mean_tokens(400, 100)):
        assert sum(pair[i] for pair in drawn) / len(drawn) == pytest.approx(mean, rel=0.03)
    again = [pair for pair, _ in zip(draw_lengths(spread, 400, 100, 0), range(100), strict=False)]
    assert drawn[:100] == again
    assert drawn[:100] != [pair for pair, _ in zip(draw_lengths(spread, 400, 100, 1), range(100), strict=False)]


@pytest.mark.parametrize(("cv", "replicas"), [(0.0, 1), (1.0, 1), (2.0, 1), (1.0, 4)])
def test_requests_come_at_the_rate_and_with_the_burstiness(cv: float, replicas: int) -> None:
    spread = parse_spread("fixed")
    assert spread is not None
    rows = open_traffic(8.0, cv, draw_lengths(spread, 10, 10, 0), replicas=replicas, seed=3).rows
    times = [row.arrival_s for row, _ in zip(rows, range(40_000), strict=False)]
    gaps = [b - a for a, b in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread_of = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) / mean
    assert mean == pytest.approx(replicas / 8.0, rel=0.03)
    assert spread_of == pytest.approx(cv / math.sqrt(replicas), abs=0.05)


# --- searches ---


def test_search_finds_the_highest_rate_of_every_layout() -> None:
    asked = QUESTION.replace(rate=None, tp=None, dp=None, ttft=100, percentile="p95", engine="analytic", law=None,
                             device="TEST_DEVICE")  # fmt: skip
    result = service.search(asked)
    assert {candidate.layout.tp for candidate in result.candidates} == {1, 2}
    for candidate in result.candidates:
        best, stop = candidate.best, candidate.next_stop
        assert best is not None
        assert stop is not None
        assert best.rate == candidate.scenario.rate
        assert stop.rate is not None
        assert stop.rate > (best.rate or 0)
        assert service.evaluate(candidate.scenario).verdict.ok
        assert candidate.at(stop).rate == stop.rate
    rates = [candidate.scenario.rate or 0 for candidate in result.candidates]
    assert rates == sorted(rates, reverse=True)


def test_the_smallest_deployment_for_a_rate() -> None:
    question = SearchQuestion(base=QUESTION.replace(rate=1, tp=None, devices=1, ttft=100))
    sizing = service.size(question, Load(requests_per_s=100)).sizings[0]
    rate = sizing.candidate.scenario.rate
    searched = service.evaluate(QUESTION.replace(rate=None, ttft=100))
    assert result_table(searched)["chosen"].sum() == 1
    assert len(result_table(searched)) == len(searched.tried) > 3
    assert rate is not None
    assert sizing.num_replicas == math.ceil(100 / rate)
    assert sizing.carries


def test_a_layout_that_misses_the_limits_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    query = encode(QUESTION.replace(ttft=1, percentile="p99"))
    assert main(["search", query]) == 0
    assert "10 requests/s would be too slow: P99 TTFT " in capsys.readouterr().out


def test_the_command_line_answers_a_load(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", encode(QUESTION)]) == 0
    shown = capsys.readouterr().out
    assert "10 requests/s" in shown
    assert "P99" in shown
    assert main(["evaluate", encode(QUESTION), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["load"]["asked_per_s"] == 10
