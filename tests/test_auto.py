"""Engine `auto`: the best evidence there is, never silently, and without opening tables for what is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.engines import silicon
from aggsim.engines.silicon_tables import availability
from aggsim.planning.evaluation import Evaluation
from aggsim.report.json_form import evaluation_json
from aggsim.report.provenance import evidence
from aggsim.scenario import Scenario
from aggsim.share import decode, encode
from aggsim.store import default_store

pytestmark = pytest.mark.usefixtures("empty_store")

needs_package = pytest.mark.skipif(availability() is not None, reason=availability() or "")

COVERED = Scenario(device="H100_SXM_80G", batch=16)
NOT_MEASURED = COVERED.replace(linear="w8a8_dynamic")
OTHER_VENDOR = COVERED.replace(device="MI300X_192G")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each time that silicon was asked for a deployment."""
    asked: list[object] = []
    original = silicon.compile_deployment

    def spy(*deployment: Any) -> Any:
        asked.append(deployment)
        return original(*deployment)

    monkeypatch.setattr(silicon, "compile_deployment", spy)
    return asked


def told(evaluation: Evaluation) -> dict[str, Any]:
    engine: dict[str, Any] = json.loads(json.dumps(evaluation_json(evaluation)))["engine"]
    return engine


@needs_package
def test_where_tables_cover_the_question_silicon_answers() -> None:
    answer = service.evaluate(COVERED)
    engine = told(answer)
    assert (engine["name"], engine["asked"], engine["fallback"]) == ("silicon", "auto", None)
    assert answer.decode is not None
    measured = sum(op.total_s for op in answer.decode.ops if op.source == "measured")
    assert engine["shares"]["decode"]["measured"] == pytest.approx(measured / answer.decode.latency_s)
    assert 0 < measured < answer.decode.latency_s
    assert evidence(answer).chosen == "chosen by auto"
    assert not evidence(answer).is_warning


@needs_package
def test_where_they_do_not_analytic_answers_and_says_why() -> None:
    answer = service.evaluate(NOT_MEASURED)
    engine = told(answer)
    assert (engine["name"], engine["asked"]) == ("analytic", "auto")
    assert engine["fallback"].startswith("engine analytic answered: silicon could not (vllm 0.24.0 on h100_sxm: qkv ")
    assert engine["fallback"] in answer.warnings
    assert engine["shares"] == {"prefill": {"analytic": 1.0}, "decode": {"analytic": 1.0}}
    assert evidence(answer).is_warning
    assert evidence(answer).fallback == "E" + engine["fallback"][1:]


def test_who_is_not_asked_is_told_but_no_warning() -> None:
    answer = service.evaluate(OTHER_VENDOR)
    engine = told(answer)
    assert engine["name"] == "analytic"
    assert engine["fallback"] == "silicon was not asked: it is for devices of nvidia, not of amd"
    assert answer.warnings == ()
    assert not evidence(answer).is_warning


def test_without_the_package_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silicon, "availability", lambda: "aiconfigurator-core is not installed (pip install it)")
    answer = service.evaluate(COVERED)
    assert answer.engine.name == "analytic"
    assert answer.engine.fallback == (
        "engine analytic answered: silicon could not (aiconfigurator-core is not installed (pip install it))"
    )


@needs_package
def test_a_new_reason_is_not_answered_with_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = service.evaluate(NOT_MEASURED).engine.fallback
    monkeypatch.setattr(silicon, "availability", lambda: "it is not installed")
    assert service.evaluate(NOT_MEASURED).engine.fallback != first


def test_who_was_asked_for_by_name_fell_back_on_nobody() -> None:
    answer = service.evaluate(COVERED.replace(engine="analytic"))
    assert (told(answer)["asked"], told(answer)["fallback"]) == ("analytic", None)
    assert evidence(answer).chosen == ""


@pytest.mark.parametrize(
    "asked", [pytest.param(COVERED, marks=needs_package), pytest.param(NOT_MEASURED, marks=needs_package), OTHER_VENDOR]
)
def test_a_copied_link_names_the_engine_that_answered(asked: Scenario) -> None:
    answer = service.evaluate(asked)
    linked = decode(encode(answer.scenario)).scenario
    assert linked.engine == answer.engine.name != "auto"
    again = service.evaluate(linked)
    assert again.engine.asked == again.engine.name == answer.engine.name
    assert (again.ttft_s, again.tpot_s, again.memory) == (answer.ttft_s, answer.tpot_s, answer.memory)


@needs_package
@pytest.mark.parametrize("asked", [COVERED, NOT_MEASURED], ids=["priced by silicon", "not covered"])
def test_a_known_answer_needs_no_tables(asked: Scenario, compiled: list[object]) -> None:
    first = service.evaluate(asked)
    assert compiled
    compiled.clear()
    service.forget()
    assert service.evaluate(asked) == first
    assert compiled == []


@needs_package
def test_other_inputs_are_asked_about_anew(compiled: list[object]) -> None:
    service.evaluate(COVERED)
    compiled.clear()
    service.evaluate(COVERED.replace(tp=2))
    assert compiled


@needs_package
@pytest.mark.parametrize("kept", ["not a verdict", {"reason": 7}, {}, [None]])
def test_a_strange_verdict_in_the_store_is_not_believed(kept: object, monkeypatch: pytest.MonkeyPatch) -> None:
    first = service.evaluate(COVERED)
    service.forget()
    genuine = type(default_store()).get_or_compute

    def strange(self: Any, key: str, compute: Any) -> Any:
        return kept if compute.__qualname__.startswith("Verdicts") else genuine(self, key, compute)

    monkeypatch.setattr(type(default_store()), "get_or_compute", strange)
    assert service.evaluate(COVERED) == first


@needs_package
def test_a_second_process_never_loads_the_package() -> None:
    """The answer of this process is found in the store: importing the package and its tables takes seconds."""
    answer = service.evaluate(COVERED)
    asks = (
        "import sys; from aggsim import service; from aggsim.share import decode;"
        f"found = service.evaluate(decode({encode(COVERED)!r}).scenario);"
        "print(found.engine.name, repr(found.ttft_s), any(name.startswith('aiconfigurator') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asks],
        cwd=Path(__file__).parent.parent,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["silicon", repr(answer.ttft_s), "False"]


def test_the_roofline_is_corrected_where_the_original_knows_no_device() -> None:
    ascend = service.evaluate(Scenario(device="ATLAS_800_A3_752T_128G_DIE", engine="analytic", batch=4))
    assert ascend.scenario.corrections == "none"
    h200 = Scenario(engine="analytic", batch=4)
    answers = {name: service.evaluate(h200.replace(corrections=name)) for name in ("auto", "none", "all")}
    assert answers["auto"].scenario == answers["all"].scenario
    assert answers["none"].prefill.latency_s > answers["all"].prefill.latency_s
    assert service.evaluate(answers["none"].scenario).prefill == answers["none"].prefill
