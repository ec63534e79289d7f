"""Answers are kept, found again, and never mixed up."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.devices.catalog import device_ids, load_device
from aggsim.engines.analytic import AnalyticEngine
from aggsim.errors import InputError
from aggsim.models.catalog import load_model, model_ids
from aggsim.models.spec import ModelSpec
from aggsim.planning.forward_request import ForwardRequest
from aggsim.planning.resolve import Deployment
from aggsim.scenario import Scenario
from aggsim.service_answers import Memory
from aggsim.store import default_store

pytestmark = pytest.mark.usefixtures("empty_store")

QUESTION = Scenario(device="TEST_DEVICE", tp=8)


@pytest.fixture
def binds(monkeypatch: pytest.MonkeyPatch) -> list[Deployment]:
    """Every deployment an engine was bound to: one entry for each answer that had to be computed."""
    bound: list[Deployment] = []
    original = Deployment.bind

    def bind(self: Deployment) -> Any:
        bound.append(self)
        return original(self)

    monkeypatch.setattr(Deployment, "bind", bind)
    return bound


def test_the_same_question_is_answered_once(binds: list[Deployment]) -> None:
    first = service.evaluate(QUESTION)
    assert service.evaluate(QUESTION) is first
    assert len(binds) == 1


def test_the_store_outlives_the_process_memory(binds: list[Deployment]) -> None:
    computed = service.evaluate(QUESTION)
    service.forget()
    stored = service.evaluate(QUESTION)
    assert stored == computed
    assert stored is not computed
    assert len(binds) == 1


def test_a_stepped_answer_is_stored_with_its_timeline(binds: list[Deployment]) -> None:
    question = QUESTION.replace(batch=4, output=16, max_batched_tokens=1024)
    computed = service.evaluate(question)
    service.forget()
    assert service.evaluate(question) == computed
    assert len(computed.run.timeline.steps) > 4
    assert len(binds) == 1


def test_questions_with_one_answer_keep_what_was_asked(binds: list[Deployment]) -> None:
    spelled_out = QUESTION.replace(linear="w8a8_dynamic")
    assert service.evaluate(QUESTION).asked == QUESTION
    assert service.evaluate(spelled_out).asked == spelled_out
    assert service.evaluate(QUESTION).run == service.evaluate(spelled_out).run


def test_contents_count_not_names(binds: list[Deployment]) -> None:
    catalog = service.evaluate(QUESTION)
    roomy = replace(load_device("TEST_DEVICE"), memory_bytes=2 * load_device("TEST_DEVICE").memory_bytes)
    shallow = replace(load_model(QUESTION.model), layers=load_model(QUESTION.model).layers[:32])
    assert service.evaluate(QUESTION, device=roomy).memory.total == 2 * catalog.memory.total
    assert service.evaluate(QUESTION, model=shallow).memory.weight < catalog.memory.weight
    assert service.evaluate(QUESTION, model=load_model(QUESTION.model), device=load_device("TEST_DEVICE")) == catalog
    assert len(binds) == 3


@pytest.mark.parametrize("what", ["engine version", "code"])
def test_a_new_version_answers_anew(what: str, binds: list[Deployment], monkeypatch: pytest.MonkeyPatch) -> None:
    service.evaluate(QUESTION)
    if what == "code":
        monkeypatch.setattr("aggsim.service_answers._code_digest", lambda *_: "edited")
    else:
        newer = AnalyticEngine(version="next")
        monkeypatch.setattr("aggsim.engines.load_engine", lambda _: newer)
    service.evaluate(QUESTION)
    assert len(binds) == 2


def test_sessions_that_ask_together_compute_once(binds: list[Deployment]) -> None:
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(service.evaluate(QUESTION))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(binds) == 1
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


def test_without_a_disk_there_are_answers_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("AGGSIM_CACHE_DIR", str(tmp_path / "file"))
    default_store.cache_clear()
    assert service.evaluate(QUESTION).verdict.ok


def test_errors_are_not_kept(binds: list[Deployment], monkeypatch: pytest.MonkeyPatch) -> None:
    question = QUESTION.replace(batch=1)

    def refuse(*_: object) -> None:
        raise InputError("batch", 1, "something else")

    with monkeypatch.context() as broken:
        broken.setattr("aggsim.service_load.evaluate_any", refuse)
        with pytest.raises(InputError):
            service.evaluate(question)
    assert service.evaluate(question).run.batch_size == 1


def test_memory_is_bounded() -> None:
    memory = Memory(2)
    answers = [service.evaluate(QUESTION.replace(batch=size)) for size in (1, 2, 3)]
    memory.put("a", answers[0])
    memory.put("b", answers[1])
    assert memory.get("a") is answers[0]
    memory.put("c", answers[2])
    assert [memory.get(name) for name in "abc"] == [answers[0], None, answers[2]]


@pytest.mark.parametrize(
    ("scenario", "field"),
    [(Scenario(model="nobody/Nothing-1B"), "model"), (Scenario(device="ABACUS"), "device")],
)
def test_what_is_not_in_the_catalog(scenario: Scenario, field: str) -> None:
    with pytest.raises(InputError) as caught:
        service.evaluate(scenario)
    assert caught.value.field == field


def test_catalogs() -> None:
    models = service.models()
    assert tuple(models)[: len(model_ids())] == model_ids()
    assert isinstance(models["Qwen/Qwen3-32B"], ModelSpec)
    assert tuple(service.devices())[: len(device_ids())] == device_ids()
    engines = {status.name: status for status in service.engines()}
    assert engines["analytic"].reason is None
    assert engines["linear"].version


def test_a_recorded_pass() -> None:
    request = ForwardRequest.from_json(
        {
            "model": "Qwen/Qwen3-32B",
            "device": "TEST_DEVICE",
            "num_devices": 8,
            "parallel": {"tp": 8},
            "quantize_linear": "W8A8_DYNAMIC",
            "quantize_attention": "DISABLED",
            "is_decode": False,
            "concurrency": 1,
            "query_len": 512,
            "seq_len": 512,
        }
    )
    cost = service.forward(request)
    assert cost.latency_s == pytest.approx(0.02618798402205798, rel=0.01)
    assert cost.memory.reserved == 0
