"""The Compare page and frozen links in AppTest: pins, links, deltas, and what is said where a result has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from aggsim import service
from aggsim.report.compare_inputs import entry_names, input_rows
from aggsim.report.compare_titles import headline
from aggsim.report.comparison import Entry
from aggsim.report.format import duration
from aggsim.scenario import Scenario
from aggsim.service_own import find_device, own_device
from aggsim.share import decode, encode
from aggsim.share_compare import Comparison, decode_comparison_lenient, encode_comparison, encode_comparison_short
from aggsim.share_frozen import decode_frozen, encode_frozen
from aggsim.ui.freeze import frozen_query
from aggsim.units import GIB
from tests.pages.conftest import App

Open = Callable[..., App]
BASE = Scenario(engine="analytic", batch=16)
OTHERS = (BASE.replace(tp=4), BASE.replace(device="H100_SXM_80G"))
LAW = "engine=linear&law=fixed_s:0.008,per_token_s:5e-06,memory_gib:20&batch=8"


def comparing(open_app: Open, link: str, page: str = "compare") -> App:
    """The app after it has opened a link to the page; AppTest itself can open the first page only."""
    app = open_app("engine=analytic&batch=8")
    app.test.query_params.clear()
    for key, values in parse_qs(link, keep_blank_values=True).items():
        app.test.query_params[key] = values
    app.go(page)
    return app


def press(app: App, key: str) -> None:
    next(button for button in app.test.button if button.key == key).click()
    app.run()


def go(app: App, page: str) -> None:
    """As a click on a page's name, which comes with an empty query."""
    app.test.query_params.clear()
    app.go(page)


def of(*scenarios: Scenario) -> tuple[list[Entry], list[str]]:
    entries = [
        Entry(letter=letter, asked=scenario, evaluation=service.evaluate(scenario))
        for letter, scenario in zip("ABCDEF", scenarios, strict=False)
    ]
    return entries, entry_names(entries)


def said(app: App) -> str:
    """Messages, as they read."""
    kinds = (app.test.success, app.test.warning, app.test.error, app.test.info)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def frozen_link(scenario: Scenario = BASE) -> str:
    answer = service.evaluate(scenario)
    return frozen_query(encode(answer.scenario), [answer])


def with_frozen(link: str, change: Callable[[str], str]) -> str:
    """The link, its frozen part changed."""
    query = {key: values[-1] for key, values in parse_qs(link).items()}
    return urlencode(query | {"frozen": change(query["frozen"])})


# --- pins ---


def test_pins_are_compared_with_the_form(open_app: Open) -> None:
    app = open_app(encode(OTHERS[0]))
    press(app, "pin")
    app.enter("device", "H100_SXM_80G")
    app.enter("tp", None)
    press(app, "pin")
    app.enter("device", "H200_SXM_141G")
    go(app, "compare")
    assert decode_comparison_lenient(app.address).comparison == Comparison(
        current=BASE, pins=OTHERS, baseline=OTHERS[0]
    )
    entries, names = of(*OTHERS, BASE)
    assert headline(entries, names, 0)[0] in unescape(app.html)
    for entry in entries:
        assert entry.evaluation is not None
        assert f">{duration(entry.evaluation.ttft_s)}</div>" in app.html
    assert "in the form" in app.html
    names = [chart.partition(":")[0] for chart in app.charts]
    assert names == [
        *("Times compared", "Throughput compared", "Timelines compared"),
        *("Prefill passes compared", "Decode passes compared", "Memory compared"),
    ]
    # The form edits the current scenario only.
    app.enter("output", 700)
    assert decode_comparison_lenient(app.address).comparison.shown == (*OTHERS, BASE.replace(output=700))


def test_a_pin_is_taken_off_again_where_it_was_pinned(open_app: Open) -> None:
    app = open_app(encode(BASE))
    press(app, "pin")
    button = next(button for button in app.test.button if button.key == "pin")
    assert button.label == "Pinned (1)"
    press(app, "pin")
    assert next(button for button in app.test.button if button.key == "pin").label == "Pin to compare"
    go(app, "compare")
    assert "nothing to compare" in app.html


def test_one_scenario_says_how_to_get_others(open_app: Open) -> None:
    app = comparing(open_app, "engine=analytic&batch=16")
    assert "One scenario" in app.html
    assert any("How to compare" in text.value for text in app.test.markdown)
    assert app.charts == []
    assert app.address == {"engine": "analytic", "batch": "16"}


def test_six_at_most(open_app: Open) -> None:
    link = encode_comparison(Comparison(current=BASE, pins=tuple(BASE.replace(output=n) for n in range(10, 70, 10))))
    app = comparing(open_app, link)
    assert any("there is no room" in caption.value for caption in app.test.caption)
    assert next(button for button in app.test.button if button.key == "pin").disabled
    press(app, "remove-A")
    assert [s.output for s in decode_comparison_lenient(app.address).comparison.shown] == [20, 30, 40, 50, 60, 1500]


# --- its own link ---


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(current=BASE, pins=OTHERS),
        Comparison(current=OTHERS[0], pins=OTHERS, baseline=OTHERS[1]),
        Comparison(current=BASE, pins=OTHERS, is_current_hidden=True, baseline=OTHERS[1]),
        Comparison(current=BASE, pins=(decode(LAW).scenario,), baseline=BASE),
    ],
)
def test_a_link_is_compared_and_stays_in_the_address(open_app: Open, comparison: Comparison) -> None:
    app = comparing(open_app, encode_comparison_short(comparison))
    assert app.warnings == ""
    entries, names = of(*comparison.shown)
    assert headline(entries, names, comparison.baseline_index)[0] in unescape(app.html)
    decoded = decode_comparison_lenient(app.address).comparison
    assert decoded.shown == comparison.shown
    assert decoded.baseline_index == comparison.baseline_index
    settled = {entry.asked: entry.settled for entry in entries}
    complete = encode_comparison(comparison.mapped(lambda scenario: settled.get(scenario, scenario)))
    assert complete in str(app.test.get("bidi_component")[0].proto)


def test_what_is_wrong_with_a_link_is_told_and_the_rest_compared(open_app: Open) -> None:
    app = comparing(open_app, "engine=analytic&batch=16&pin1=tp:3;output:99&pin2=tp:4&baseline=7&colour=red")
    for words in ("pin1.tp", "baseline", "colour"):
        assert words in app.warnings
    shown = decode_comparison_lenient(app.address).comparison.shown
    assert shown == (BASE.replace(output=99), BASE.replace(tp=4), BASE)
    app.enter("output", 98)
    assert "Ignored" not in app.warnings


def test_a_scenario_without_an_answer_has_a_place_and_a_reason(open_app: Open) -> None:
    app = comparing(open_app, "engine=analytic&batch=16&pin1=devices:6;tp:3&pin2=tp:4&baseline=3")
    assert any(error.value.startswith("**A** has no answer: tp") for error in app.test.error)
    assert "✗ no answer" in app.html
    assert "No answer: A." in app.html
    assert len(app.charts) == 6
    app = comparing(open_app, "engine=analytic&batch=16&pin1=devices:6;tp:3&pin2=devices:9;tp:9&current=hidden")
    assert "nothing to draw" in said(app)
    assert "None of them meets its limits." in app.html


def test_the_baseline_is_chosen_and_follows_the_form(open_app: Open) -> None:
    app = comparing(open_app, encode_comparison_short(Comparison(current=BASE, pins=OTHERS)))
    control = next(widget for widget in app.test.button_group if widget.key == "compare-baseline")
    control.set_value("C")
    app.run()
    assert app.address["baseline"] == "3"
    assert "Measured against C" in app.html
    app.enter("output", 900)
    assert app.address["baseline"] == "3"
    press(app, "remove-A")
    assert app.address["baseline"] == "2"
    assert "Measured against B" in app.html


def test_the_form_s_scenario_is_left_out_until_it_is_another(open_app: Open) -> None:
    app = comparing(open_app, encode_comparison_short(Comparison(current=BASE, pins=OTHERS)))
    press(app, "remove-C")
    assert app.address["current"] == "hidden"
    press(app, "show-current")
    assert "current" not in app.address
    press(app, "remove-C")
    app.enter("output", 900)
    assert "current" not in app.address


def test_a_chip_opens_on_plan_and_the_comparison_is_still_there(open_app: Open) -> None:
    app = comparing(open_app, encode_comparison_short(Comparison(current=BASE, pins=OTHERS)))
    press(app, "open-B")
    assert app.address == {"device": "H100_SXM_80G", "batch": "16", "engine": "analytic"}
    assert "Fits" in app.html
    app.go("plan")  # AppTest does not notice that the script has changed the page
    go(app, "compare")
    assert decode_comparison_lenient(app.address).comparison.shown == OTHERS


# --- links that are pasted ---


def paste(app: App, text: str) -> None:
    next(field for field in app.test.text_input if field.key == "compare-link").set_value(text)
    next(button for button in app.test.button if button.label == "Add").click()
    app.run()


def test_pasted_links_are_pinned(open_app: Open) -> None:
    app = comparing(open_app, encode(BASE))
    paste(app, f"http://planner.example/timeline?{encode(OTHERS[0])}")
    assert decode_comparison_lenient(app.address).comparison.shown == (OTHERS[0], BASE)
    paste(app, encode_comparison(Comparison(current=BASE.replace(output=5), pins=OTHERS)))
    assert len(decode_comparison_lenient(app.address).comparison.shown) == 4
    paste(app, frozen_link(BASE.replace(output=6)))
    assert len(decode_comparison_lenient(app.address).comparison.shown) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["link", "nothing"]),
        ("hello", ["link", "hello"]),
        ("tp=3", ["tp", "3"]),
        ("tp=4&colour=red", ["link", "colour"]),
        ("model=nobody/nothing", ["model", "nobody/nothing", "catalog"]),
        ("tp=1,2,4", ["tp", "1,2,4"]),
        ("device=own:mine:zAAAA", ["device", "own:mine", "damaged"]),
        ("model=own:mine:x", ["model", "own:mine", "damaged"]),
        ("<script>alert(1)</script>", ["link", "<script>"]),
        ("tp=4&input=" + "9" * 20_000, ["link", "characters"]),
    ],
)
def test_a_bad_link_is_refused_in_one_message(open_app: Open, text: str, words: list[str]) -> None:
    app = comparing(open_app, encode(BASE))
    paste(app, text)
    assert len(app.test.error) == 1
    for word in words:
        assert word in said(app)
    assert decode_comparison_lenient(app.address).comparison.shown == (BASE,)


# --- names ---


def test_own_entries_of_one_name_are_told_apart() -> None:
    base = find_device(BASE.device)
    mine = [own_device(replace(base, memory_bytes=size * GIB), "mine") for size in (96, 141)]
    entries, names = of(BASE, *(BASE.replace(device=device) for device in mine))
    assert names == ["H200 SXM 141G", "own:mine", "own:mine (2)"]
    row = next(row for row in input_rows(entries) if row.label == "Device")
    assert [cell.text for cell in row.cells] == names
    assert of(*(BASE.replace(device=mine[0], tp=tp) for tp in (4, 8)))[1] == ["TP 4", "TP 8"]


def test_what_no_scenario_looks_at_does_not_differ() -> None:
    entries, _ = of(BASE, BASE.replace(percentile="p99"))
    assert input_rows(entries) == []


# --- frozen ---


def test_a_frozen_link_reproduces_and_stays_in_the_address(open_app: Open) -> None:
    link = frozen_link()
    app = open_app(link)
    assert "Reproduces:** all 8 frozen results" in said(app)
    assert app.warnings == ""
    assert app.address == {key: values[-1] for key, values in parse_qs(link).items()}
    go(app, "timeline")
    assert "Reproduces" in said(app)
    app.enter("output", 900)
    assert "Reproduces" not in said(app)
    assert "frozen" not in app.address
    app.enter("output", 1500)
    assert "Reproduces" in said(app)


def changed(link: str, **changes: Any) -> str:
    """The link as if its first answer had been another one then."""

    def change(text: str) -> str:
        frozen = decode_frozen(text)
        first = frozen.answers[0]
        assert first is not None
        fields = {name: getattr(first, name) for name in ("engine", "version", "model", "device", "verdict", "numbers")}
        numbers = {**first.numbers, **{key: value for key, value in changes.items() if key in first.numbers}}
        fields |= {key: value for key, value in changes.items() if key in fields} | {"numbers": numbers}
        inputs = changes.get("inputs", frozen.inputs)
        answers = (type(first)(**fields), *frozen.answers[1:])
        return encode_frozen(type(frozen)(aggsim=changes.get("aggsim", frozen.aggsim), inputs=inputs, answers=answers))

    return with_frozen(link, change)


def test_a_changed_number_is_told_before_and_after_and_by_how_much(open_app: Open) -> None:
    answer = service.evaluate(BASE)
    app = open_app(changed(frozen_link(), ttft_ms=answer.ttft_s * 1e3 / 2, version="1.9", aggsim="0.0.9"))
    assert "Does not reproduce:** 1 result changed" in said(app)
    table = unescape(app.html)
    assert f"<td>{duration(answer.ttft_s / 2)}</td><td>{duration(answer.ttft_s)}</td>" in table
    assert f"+{duration(answer.ttft_s / 2)} (+100%)" in table
    assert "<td>1.9</td><td>2</td>" in table
    assert "<td>0.0.9</td>" in table
    assert duration(answer.ttft_s) in app.html.replace(table, "")


def test_what_changed_without_a_consequence_is_told_too(open_app: Open) -> None:
    app = open_app(changed(frozen_link(), version="1.9", device="00000000"))
    assert "Reproduces:** all 8" in said(app)
    assert "Engine version" in app.html
    assert "Device H200_SXM_141G" in app.html


def test_a_verdict_that_changed(open_app: Open) -> None:
    app = open_app(changed(frozen_link(), verdict="memory"))
    assert "Does not reproduce" in said(app)
    assert "<td>stopped by memory</td><td>fits and meets the limits</td>" in app.html


def test_an_input_that_the_link_does_not_carry_takes_today_s_default(open_app: Open) -> None:
    app = open_app(frozen_link().replace("&tpot=50", ""))
    assert "Reproduces" in said(app)
    assert "TPOT limit" in app.html
    assert "50, today's default" in unescape(app.html)


def test_an_input_that_is_not_possible_any_more(open_app: Open) -> None:
    app = open_app(frozen_link().replace("scheduler=decode_first_with_slack", "scheduler=gone"))
    assert "scheduler" in app.warnings
    assert "<td>gone</td>" in app.html


def test_an_edited_link_is_not_taken_for_a_change_of_aggsim(open_app: Open) -> None:
    app = open_app(frozen_link().replace("output=1500", "output=800"))
    assert "Does not reproduce" in said(app)
    assert "edited afterwards" in app.html


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-3],
        lambda text: text[:0],
        lambda text: text.replace("ttft_ms:", "ttft_ms:9"),
        lambda text: f"2{text[1:]}",
        lambda text: f"<b>{text}</b>",
    ],
)
def test_a_damaged_frozen_part_is_one_message_and_the_scenario_answers(
    open_app: Open, damage: Callable[[str], str]
) -> None:
    app = open_app(with_frozen(frozen_link(), damage))
    assert len(app.test.warning) == 1
    assert "frozen" in app.warnings
    assert "eproduce" not in said(app)
    assert "Fits and meets the limits at batch 16" in app.html
    assert "frozen" not in app.address


def test_a_frozen_comparison_reproduces(open_app: Open) -> None:
    comparison = Comparison(current=BASE, pins=OTHERS)
    entries, _ = of(*comparison.shown)
    settled = {entry.asked: entry.settled for entry in entries}
    resolved = encode_comparison(comparison.mapped(settled.__getitem__))
    link = frozen_query(resolved, [entry.evaluation for entry in entries])
    app = comparing(open_app, link)
    assert "Reproduces:** all 24 frozen results" in said(app)
    assert app.address == {key: values[-1] for key, values in parse_qs(link).items()}
    press(app, "remove-B")
    assert "Reproduces" not in said(app)
    assert "frozen" not in app.address
    app = comparing(open_app, changed(link, concurrency=1.0))
    assert "1 result changed in A" in said(app)
