"""Tables, words and charts of the Timeline page: nothing gets lost between the steps and the screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.report import timeline_charts as charts
from aggsim.report import timeline_tables as tables
from aggsim.report import titles, words
from aggsim.report.theme import DARK, LIGHT, Theme
from aggsim.scenario import Scenario
from aggsim.serving.timeline import Step, Timeline


def make_step(**changes: Any) -> Step:
    """One decode step of one request, a second long."""
    values: dict[str, Any] = {
        "start_s": 0.0,
        "end_s": 1.0,
        "repeat": 1,
        "prefill_requests": 0,
        "chunk": -1,
        "query_len": 0,
        "decode_requests": 1,
        "pending": 0,
        "waiting": 0,
        "ready": 1,
        "prefill_s": 0.0,
        "decode_s": 1.0,
    }
    return Step(**values | changes)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    steps, now = [], 0.0
    for length, repeat, prefill, decode in draw(
        st.lists(
            st.tuples(st.floats(1e-4, 10), st.integers(1, 50), st.integers(0, 3), st.integers(0, 9)),
            min_size=1,
            max_size=40,
        )
    ):
        decode = decode or (0 if prefill else 1)
        steps.append(
            make_step(start_s=now, end_s=now + length, repeat=repeat, prefill_requests=prefill, decode_requests=decode)
        )
        now += length
    return Timeline(steps=tuple(steps))


@pytest.fixture(scope="module")
def chunked() -> Evaluation:
    return service.evaluate(Scenario(input=20_000, max_batched_tokens=8192, batch=64))


@pytest.fixture(scope="module")
def wave() -> Evaluation:
    return service.evaluate(Scenario(batch=64))


@given(timelines())
def test_the_overview_keeps_all_time(timeline: Timeline) -> None:
    frame = tables.steps_frame(timeline)
    bins = tables.overview(frame, num_bins=37)
    widths = bins["end_s"] - bins["start_s"]
    for kind in tables.KINDS:
        part = frame[frame["kind"] == kind]
        assert (bins[kind] * widths).sum() == pytest.approx((part["end_s"] - part["start_s"]).sum(), rel=1e-9, abs=1e-9)
    assert bins[list(tables.KINDS)].sum(axis=1).to_numpy() == pytest.approx(1.0)


@given(timelines(), st.integers(1, 12))
def test_merging_keeps_steps_and_time(timeline: Timeline, max_bars: int) -> None:
    frame = tables.steps_frame(timeline)
    bars = tables.merged(frame, max_bars)
    assert len(bars) <= max(max_bars, 1) or len(frame) <= max_bars
    assert bars["repeat"].sum() == timeline.num_steps
    assert bars["entries"].sum() == len(frame)
    assert bars["start_s"].to_numpy()[1:] == pytest.approx(bars["end_s"].to_numpy()[:-1])
    assert bars["prefill_requests"].max() == frame["prefill_requests"].max()


@given(timelines(), st.floats(0, 1), st.floats(0, 1))
def test_lanes_stay_inside_the_window(timeline: Timeline, one: float, other: float) -> None:
    low, high = sorted((one * timeline.end_s, other * timeline.end_s))
    part = tables.within(tables.steps_frame(timeline), (low, high))
    lanes = tables.lanes(tables.merged(part), (low, high))
    assert (lanes["start_s"] >= low).all()
    assert (lanes["end_s"] <= high).all()
    assert len(lanes) == (part["prefill_requests"] > 0).sum() + (part["decode_requests"] > 0).sum()


def test_step_numbers_count_repeats() -> None:
    steps = (make_step(repeat=7), make_step(start_s=1.0, end_s=2.0), make_step(start_s=2.0, end_s=3.0))
    assert tables.steps_frame(Timeline(steps=steps))["step"].tolist() == [1, 8, 9]


def test_the_step_table_says_what_the_steps_say(chunked: Evaluation) -> None:
    frame = tables.steps_frame(chunked.run.timeline)
    table = tables.step_table(frame)
    steps = chunked.run.timeline.steps
    assert table["end_ms"].iloc[-1] == pytest.approx(steps[-1].end_s * 1e3)
    assert table["steps"].sum() == chunked.run.num_steps
    assert table["prefill_requests"].tolist() == [step.prefill_requests for step in steps]
    assert table["step_ms"].tolist() == pytest.approx([step.step_s * 1e3 for step in steps])
    assert set(table["chunk"]) == {0, 1, 2, 3}


def test_a_long_run_opens_where_prefill_and_decode_meet(chunked: Evaluation) -> None:
    frame = tables.steps_frame(chunked.run.timeline)
    begin, end = tables.default_window(frame)
    first_decode = frame.loc[frame["decode_requests"] > 0, "start_s"].iloc[0]
    assert begin < first_decode < end
    assert len(tables.within(frame, (begin, end))) == tables.FIRST_ENTRIES


def test_a_short_run_opens_whole(wave: Evaluation) -> None:
    frame = tables.steps_frame(wave.run.timeline)
    assert tables.default_window(frame) == (0.0, wave.run.timeline.end_s)


def test_an_empty_run_is_no_error() -> None:
    frame = tables.steps_frame(Timeline(steps=()))
    assert frame.empty
    assert tables.default_window(frame) == (0.0, 0.0)
    assert tables.overview(frame).empty


def test_the_headline(chunked: Evaluation, wave: Evaluation) -> None:
    mixed = sum(s.repeat for s in chunked.run.timeline.steps if s.prefill_requests and s.decode_requests)
    share = round(100 * mixed / chunked.run.num_steps)
    assert words.timeline_words(chunked).startswith("3 prefill chunks per prompt; decode starts after ")
    assert words.timeline_words(chunked).endswith(f"; {share}% of steps mix both")
    assert words.timeline_words(wave).endswith("; no step mixes both")
    assert "decided" in words.timing_words(chunked)
    assert "wave" in words.timing_words(wave)


def test_a_run_that_ends_for_want_of_memory_says_where() -> None:
    stopped = service.evaluate(Scenario(input=20_000, max_batched_tokens=8192, batch=1000, output=4000))
    sentence = words.out_of_memory_words(stopped)
    assert stopped.run.out_of_memory_step is not None
    assert sentence is not None
    assert "does not fit in memory" in sentence
    assert "GiB short per device" in sentence


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_charts_are_valid_vega_lite(chunked: Evaluation, wave: Evaluation, theme: Theme) -> None:
    for evaluation in (chunked, wave):
        frame = tables.steps_frame(evaluation.run.timeline)
        window = tables.default_window(frame)
        bars = tables.merged(tables.within(frame, window))
        for chart in (
            charts.overview_chart(tables.overview(frame), theme, titles.overview(evaluation), window),
            charts.lanes_chart(tables.lanes(bars, window), theme, titles.window(window, 1), window),
            charts.queues_chart(tables.queues(bars, window), theme, titles.queues(3), window),
        ):
            spec = chart.to_dict(validate=True)
            assert spec["description"].endswith(spec["title"]["text"]) or spec["title"]["subtitle"]


def test_queues_end_with_the_window(chunked: Evaluation) -> None:
    frame = tables.steps_frame(chunked.run.timeline)
    window = tables.default_window(frame)
    queues = tables.queues(tables.merged(tables.within(frame, window)), window)
    times = queues.loc[queues["queue"] == "ready", "time_s"].to_numpy()
    assert np.all(np.diff(times) >= 0)
    assert times[-1] == pytest.approx(window[1])
