"""The Timeline page where requests arrive: nothing gets lost between a simulated replica and the screen."""

from __future__ import annotations

import numpy as np
import pytest

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_runs import Measured
from aggsim.report import load_timeline_charts as charts
from aggsim.report import load_timeline_tables as tables
from aggsim.report import load_timeline_words as words
from aggsim.report import timeline_charts, timeline_tables
from aggsim.report.export_load_trace import load_trace, load_trace_json
from aggsim.report.theme import DARK, LIGHT, Theme
from aggsim.scenario import LinearLaw, Scenario
from aggsim.serving.request_times import Span
from aggsim.units import US_PER_S
from tests.trace_format import problems

LAW = LinearLaw(fixed_s=0.005, per_token_s=2e-5, memory_gib=8, gib_per_ctx=1e-4)
OPEN = Scenario(
    engine="linear", law=LAW, devices=2, tp=1, input=256, output=64, arrival="open", rate=40, seeds=2, max_num_seqs=16,
    scheduler="chunked_prefill",
)  # fmt: skip
TIGHT = OPEN.replace(law=LinearLaw(fixed_s=0.005, per_token_s=2e-5, memory_gib=0.25, gib_per_ctx=1e-4), rate=60)
SCENARIOS = {
    "open": OPEN,
    "saturated": OPEN.replace(rate=500),
    "preempting": TIGHT,
    "closed": OPEN.replace(arrival="closed", users=12, length_spread="uniform:0.5"),
    "trace": OPEN.replace(arrival="trace", trace="0/200/10,0.5/300/20,4/100/5"),
    "endless": OPEN.replace(law=LinearLaw(fixed_s=0.005, per_token_s=2e-5)),
}
Case = tuple[Evaluation, Measured]


@pytest.fixture(scope="module", params=SCENARIOS)
def case(request: pytest.FixtureRequest) -> Case:
    return found(SCENARIOS[request.param])


def found(scenario: Scenario) -> Case:
    evaluation = service.evaluate(scenario)
    return evaluation, service.load_run(evaluation.scenario)


def test_the_overview_keeps_all_time(case: Case) -> None:
    frame = tables.runs_frame(case[1])
    bins = timeline_tables.overview(frame)
    for kind in timeline_tables.KINDS:
        part = frame[frame["kind"] == kind]
        spent = (bins[kind] * (bins["end_s"] - bins["start_s"])).sum()
        assert spent == pytest.approx((part["end_s"] - part["start_s"]).sum(), abs=1e-9)
    assert (bins[list(timeline_tables.KINDS)].sum(axis=1) <= 1 + 1e-9).all(), "what is missing is idle"


def test_merging_keeps_steps(case: Case) -> None:
    frame = tables.runs_frame(case[1])
    bars = tables.merged(frame, 50)
    assert len(bars) <= max(50, len(frame) if len(frame) <= 50 else 0)
    assert bars["repeat"].sum() == case[1].served.runs.repeat.sum()
    assert bars["entries"].sum() == len(frame)
    assert bars["kv_blocks"].max() == frame["kv_blocks"].max()


def test_the_window_opens_on_what_is_measured(case: Case) -> None:
    _, measured = case
    begin, end = tables.default_window(measured)
    assert 0 <= begin < end <= measured.served.runs.end_s[-1]
    assert len(measured.served.runs) <= tables.WHOLE_RUNS or begin == tables.warm_up_s(measured)
    assert len(timeline_tables.within(tables.runs_frame(measured), (begin, end)))


def test_the_queue_is_that_of_the_requests(case: Case) -> None:
    _, measured = case
    times, end = measured.times, float(measured.served.runs.end_s[-1])
    whole = Span(start_s=0.0, end_s=end)
    for max_points in (50, 10**9):
        frame = tables.queue_frame(times, (0.0, end), max_points)
        for queue, mean in (
            ("waiting", times.mean_waiting(whole)),
            ("served", times.mean_in_system(whole) - times.mean_waiting(whole)),
        ):
            part = frame[frame["queue"] == queue]
            assert (np.diff(part["time_s"]) >= 0).all()
            area = (np.diff(part["time_s"]) * part["requests"].to_numpy()[:-1]).sum()
            assert area / end == pytest.approx(mean, rel=1e-6, abs=1e-9)
    inside = tables.queue_frame(times, (0.3 * end, 0.4 * end))
    for queue, begun in (("waiting", times.arrival_s), ("served", times.start_s)):
        left = times.start_s if queue == "waiting" else times.end_s
        there = ((begun <= 0.3 * end) & (left > 0.3 * end)).sum()
        if len(inside) < tables.MAX_BARS:
            assert inside.loc[inside["queue"] == queue, "requests"].iloc[0] == there


def test_kv_blocks_never_exceed_what_there_is(case: Case) -> None:
    evaluation, measured = case
    kv = measured.kv
    if kv.blocks is None:
        assert evaluation.load is not None
        assert evaluation.load.kv_share is None
        return
    end = float(measured.served.runs.end_s[-1])
    frame = tables.kv_frame(tables.merged(tables.runs_frame(measured), 10**9), (0.0, end), kv.blocks)
    assert 0 < frame["share"].max() <= 1
    assert frame["blocks"].max() == measured.served.runs.kv_blocks.max()
    length = np.diff(frame["time_s"])
    assert (length >= 0).all()
    runs = measured.served.runs
    held = float(((runs.end_s - runs.start_s) * runs.kv_blocks).sum())
    assert (length * frame["blocks"].to_numpy()[:-1]).sum() == pytest.approx(held, rel=1e-9)


def test_the_waterfall_is_the_life_of_each_request(case: Case) -> None:
    _, measured = case
    times = measured.times
    end = float(measured.served.runs.end_s[-1])
    frame, there = tables.waterfall(measured, (0.0, end), 10**6)
    assert there == (times.arrival_s < end).sum()
    spent = frame.assign(length=frame["end_s"] - frame["start_s"]).groupby("request")["length"].sum()
    lives = np.minimum(times.end_s, end) - times.arrival_s
    lives = lives[times.arrival_s < end]
    assert spent.sum() == pytest.approx(lives.sum())
    some, there = tables.waterfall(measured, (0.2 * end, 0.7 * end))
    assert some["row"].nunique() <= tables.MAX_REQUESTS
    happens = (times.arrival_s > 0.2 * end) & (times.arrival_s < 0.7 * end) & (times.end_s < 0.7 * end)
    assert happens.sum() > tables.MAX_REQUESTS or set(np.flatnonzero(happens) + 1) <= set(some["request"])
    assert some["request"].nunique() == min(there, tables.MAX_REQUESTS)
    assert (some["start_s"] >= 0.2 * end).all()
    assert (some["end_s"] <= 0.7 * end).all()


def test_the_request_table_is_what_was_measured(case: Case) -> None:
    evaluation, measured = case
    table = tables.requests_frame(measured)
    counted = table[table["measured"]]
    assert (counted["ttft_ms"] / 1e3).to_numpy() == pytest.approx(measured.ttft_s)
    assert (counted["end_to_end_ms"] / 1e3).to_numpy() == pytest.approx(measured.end_to_end_s)
    assert (counted["waiting_ms"] <= counted["ttft_ms"]).all()
    load = evaluation.load
    assert load is not None
    assert len(counted) * load.num_seeds == pytest.approx(load.num_requests, rel=0.05)
    last = len(measured.times.arrival_s) - 1
    assert tables.requests_frame(measured, np.array([last]))["request"].tolist() == [last + 1]


def test_the_step_table_has_the_window(case: Case) -> None:
    _, measured = case
    frame, window = tables.runs_frame(measured), tables.default_window(measured)
    table = tables.step_table(frame, window)
    assert table["step"].iloc[0] == 1 or table["start_ms"].iloc[0] <= window[0] * 1e3 < table["end_ms"].iloc[0]
    assert table["end_ms"].iloc[-1] >= window[1] * 1e3 * (1 - 1e-12)
    assert set(table["kind"]) <= set(timeline_tables.KINDS)


def test_the_trace_is_one(case: Case) -> None:
    evaluation, measured = case
    text = load_trace_json(evaluation, measured)
    assert problems(text) == []
    assert load_trace_json(evaluation, measured) == text
    events = load_trace(evaluation, measured)["traceEvents"]
    steps = [event for event in events if event["ph"] == "X" and event["tid"] == 1]
    assert sum(event["args"]["steps"] for event in steps) == measured.served.runs.repeat.sum()
    ends = {event["id"]: event["ts"] for event in events if event["ph"] == "e" and event["name"] == "decode"}
    ended = np.isfinite(measured.times.end_s) & (measured.times.end_s > measured.times.first_s)
    assert len(ends) == ended.sum()
    assert max(ends.values()) == pytest.approx(measured.times.end_s[ended].max() * US_PER_S)
    counters = {event["name"] for event in events if event["ph"] == "C"}
    assert counters == {"queue"} | ({"KV blocks"} if measured.kv.blocks else set())


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_charts_are_valid_vega_lite(case: Case, theme: Theme) -> None:
    _, measured = case
    frame, window = tables.runs_frame(measured), tables.default_window(measured)
    bars = tables.merged(timeline_tables.within(frame, window))
    queue = tables.queue_frame(measured.times, window)
    requests, there = tables.waterfall(measured, window)
    marks = charts.warm_up_marks(theme, tables.warm_up_s(measured), float(measured.served.runs.end_s[-1]))
    drawn = [
        timeline_charts.overview_chart(
            timeline_tables.overview(frame), theme, words.overview_title(measured), window, marks
        ),
        timeline_charts.lanes_chart(tables.lanes(bars, window), theme, "Steps", window, charts.LOAD_HOVER),
        charts.queue_chart(queue, theme, words.queue_title(queue), window),
        charts.waterfall_chart(requests, theme, words.waterfall_title(requests["row"].nunique(), there), window),
    ]
    if measured.kv.blocks:
        held = tables.kv_frame(bars, window, measured.kv.blocks)
        drawn.append(charts.kv_chart(held, theme, words.kv_title(held, measured), window))
    for chart in drawn:
        assert chart.to_dict(validate=True)["description"]


def test_the_headline_says_the_finding() -> None:
    evaluation, measured = found(TIGHT)
    said = words.headline(evaluation, measured)
    shares = measured.kv_shares()
    assert shares is not None
    assert measured.times.preemptions[measured.ended].any(), "else there is nothing to say"
    assert f"KV cache {shares[0]:.0%} full" in said
    assert "of requests preempted." in said
    assert "one of 2 equal replicas, the first of 2 seeds" in words.run_words(evaluation, measured)
    assert words.headline(*found(SCENARIOS["saturated"])).startswith(
        "The queue grows without end: 500 requests/s asked"
    )
    assert "KV cache without end" in words.headline(*found(SCENARIOS["endless"]))
    alone, run = found(SCENARIOS["trace"])
    assert "of warm-up" not in words.run_words(alone, run)
    assert "idle" in words.overview_title(run)


def test_so_many_requests_are_drawn_and_no_more() -> None:
    assert words.waterfall_title(80, 312).startswith("80 of 312 requests in the window, first those to which ")
    assert words.waterfall_title(1, 1).startswith("1 request in the window; ")
    assert words.waterfall_title(0, 0) == "No request in the window"
