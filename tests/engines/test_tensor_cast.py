"""The engine around the worker: whether it can answer, what it says it is, and that answers are kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggsim import service
from aggsim.cli import main
from aggsim.devices.catalog import load_device
from aggsim.engines import ENGINES, load_engine
from aggsim.engines.base import Engine, EngineOptions, ForwardModel
from aggsim.engines.tensor_cast import TensorCastEngine
from aggsim.engines.tensor_cast_settings import Limits, Settings
from aggsim.errors import EngineError
from aggsim.forward.batch import Batches
from aggsim.forward.names import TENSOR_CAST_NAMES
from aggsim.models.catalog import load_model
from aggsim.planning.forward_request import ForwardRequest
from aggsim.scenario import ParallelLayout, Quantization, Scenario
from aggsim.store import default_store
from aggsim.units import GIB
from tests.factories import make_group

FAKE = Path(__file__).parent / "fake_tensor_cast_worker.py"
MODEL = "Qwen/Qwen3-30B-A3B"
LAYOUT = ParallelLayout(tp=4, ep=4)
W8A8 = Quantization(linear="w8a8_dynamic", experts="w8a8_dynamic")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "checkout"
    (home / "tensor_cast").mkdir(parents=True)
    families = home / "tensor_cast/transformers/builtin_model"
    families.mkdir(parents=True)
    (families / "qwen3_moe.py").write_text('ModelProfile(\n    model_type="qwen3_moe",\n)\n')
    (home / "tensor_cast/device.py").write_text('DeviceProfile(\n    name="TEST_DEVICE",\n    name="H100_SXM_80G")\n')
    for name in ("PYTHON", "WORKERS", "MEMORY_GIB", "IDLE_S", "START_S", "SHAPE_S"):
        monkeypatch.delenv(f"AGGSIM_TENSOR_CAST_{name}", raising=False)
    monkeypatch.setenv("AGGSIM_TENSOR_CAST_HOME", str(home))
    return home


@pytest.fixture
def engine(home: Path) -> Iterator[TensorCastEngine]:
    engine = TensorCastEngine(FAKE)
    yield engine
    engine.close()


def bind(engine: TensorCastEngine, **options: Any) -> ForwardModel:
    return engine.bind(load_model(MODEL), load_device("TEST_DEVICE"), LAYOUT, W8A8, EngineOptions(**options))


def started(home: Path) -> int:
    file = home / "pids"
    return len(file.read_text().split()) if file.exists() else 0


class TestAvailability:
    def test_here(self, engine: TensorCastEngine, home: Path) -> None:
        assert engine.availability() is None
        assert (home / "probes").read_text() == "1"
        assert started(home) == 0

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("HOME", "", "HOME is not set; it names a checkout of Ascend/msmodeling"),
            ("HOME", "/nowhere", "HOME names no checkout of Ascend/msmodeling: tensor_cast/device.py is missing there"),
            ("PYTHON", "no-such-python", "PYTHON names no program that can be run"),
            ("WORKERS", "1.5", "WORKERS must be a whole number above 0"),
            ("WORKERS", "0", "WORKERS must be a whole number above 0"),
            ("MEMORY_GIB", "lots", "MEMORY_GIB must be a number above 0"),
            ("SHAPE_S", "nan", "SHAPE_S must be a number above 0"),
        ],
    )
    def test_why_not(
        self, engine: TensorCastEngine, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
    ) -> None:
        monkeypatch.setenv(f"AGGSIM_TENSOR_CAST_{name}", value)
        assert engine.availability() == f"AGGSIM_TENSOR_CAST_{reason}"
        assert engine.version == ""
        with pytest.raises(EngineError, match=name):
            bind(engine)

    def test_its_python_is_the_one_given_else_its_own_else_ours(self, home: Path) -> None:
        environment = {"AGGSIM_TENSOR_CAST_HOME": str(home)}
        assert Settings.read(environment).python == Path(sys.executable)
        own = home / ".venv/bin/python"
        own.parent.mkdir(parents=True)
        own.touch(mode=0o755)
        assert Settings.read(environment).python == own
        given = environment | {"AGGSIM_TENSOR_CAST_PYTHON": sys.executable}
        assert Settings.read(given).python == Path(sys.executable)

    def test_limits(self, home: Path) -> None:
        environment = {"AGGSIM_TENSOR_CAST_HOME": str(home)}
        assert Settings.read(environment).limits == Limits(
            workers=2, memory_gib=16, idle_s=300, start_s=300, shape_s=300
        )
        asked = environment | {"AGGSIM_TENSOR_CAST_WORKERS": "5", "AGGSIM_TENSOR_CAST_IDLE_S": "0.5"}
        assert Settings.read(asked).limits == Limits(workers=5, idle_s=0.5)

    def test_the_list_of_engines(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.delenv("AGGSIM_TENSOR_CAST_HOME", raising=False)
        assert main(["engines"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tensor_cast")]
        assert line.split(maxsplit=2)[1:] == ["no", "AGGSIM_TENSOR_CAST_HOME is not set; it names a checkout of "
                                              "Ascend/msmodeling"]  # fmt: skip


class TestSupport:
    def why_not(
        self,
        engine: Engine,
        *,
        model: str = MODEL,
        device: str = "TEST_DEVICE",
        layout: ParallelLayout = LAYOUT,
        quantization: Quantization = W8A8,
        options: EngineOptions = EngineOptions(),  # noqa: B008
    ) -> str | None:
        return engine.supports(load_model(model), load_device(device), layout, quantization, options)

    def test_yes(self, engine: TensorCastEngine, home: Path) -> None:
        assert self.why_not(engine) is None
        assert isinstance(engine, Engine)
        assert started(home) == 0

    @pytest.mark.parametrize(
        ("question", "reason"),
        [
            ({"model": "openai/gpt-oss-20b"}, "TensorCast has no profile of gpt_oss: it would not shard the experts"),
            ({"device": "H200_SXM_141G"}, "TensorCast has no device H200_SXM_141G, only H100_SXM_80G, TEST_DEVICE"),
            ({"layout": ParallelLayout(tp=3)}, "tp: allowed is a divisor of the 32 attention heads of"),
            ({"quantization": Quantization(linear="nvfp4", experts="fp8")}, "TensorCast has no nvfp4, only none, w8a1"),
            ({"quantization": Quantization(linear="fp8", experts="w4a16")}, "TensorCast has no w4a16, only none, w8a1"),
            ({"quantization": Quantization(experts="fp8")}, "TensorCast cannot quantize the experts alone"),
            ({"options": EngineOptions(num_microbatches=2)}, "it has no micro-batches"),
        ],
    )
    def test_why_not(self, engine: TensorCastEngine, question: dict[str, Any], reason: str) -> None:
        found = self.why_not(engine, **question)
        assert found is not None
        assert found.startswith(reason)

    def test_a_device_or_model_that_only_has_the_name(self, engine: TensorCastEngine) -> None:
        model, device = load_model(MODEL), load_device("TEST_DEVICE")
        faster = replace(device, memory_bandwidth_bytes_per_s=1e13)
        reason = engine.supports(model, faster, LAYOUT, W8A8, EngineOptions())
        assert reason == "TensorCast has its own TEST_DEVICE, which is not the device given here"
        wider = replace(model, vocab_size=1000)
        reason = engine.supports(wider, device, LAYOUT, W8A8, EngineOptions())
        assert reason == f"it prices bundled models only, and {MODEL} is from elsewhere"

    def test_a_python_without_torch(self, engine: TensorCastEngine, home: Path) -> None:
        (home / "torch").write_text("missing")
        reason = f"its Python {sys.executable} has no torch"
        assert engine.availability() == reason
        assert engine.version == ""
        assert self.why_not(engine) == reason
        (home / "torch").write_text("2.9.1")  # installed meanwhile
        assert engine.availability() is None

    @pytest.mark.usefixtures("home")
    def test_a_python_that_cannot_run_the_worker(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("raise SystemExit('too old')")
        assert self.why_not(TensorCastEngine(tmp_path / "broken.py")) == "its Python cannot run the worker: too old"
        (tmp_path / "silent.py").write_text("")
        assert self.why_not(TensorCastEngine(tmp_path / "silent.py")) == (
            "its Python cannot run the worker (JSONDecodeError)"
        )
        (tmp_path / "older.py").write_text("print('{\"protocol\": 0}')")
        assert self.why_not(TensorCastEngine(tmp_path / "older.py")) == "its worker speaks another protocol"


class TestVersions:
    def test_version_names_checkout_and_packages(self, engine: TensorCastEngine, home: Path) -> None:
        assert engine.version == "0123456789ab (source feedface), torch 2.9.1, transformers 5.13.1"
        assert engine.version
        assert (home / "probes").read_text() == "1"  # asked once
        assert started(home) == 0

    @pytest.mark.parametrize(
        ("torch", "warns"),
        [("2.7.1", True), ("2.8.0+cpu", False), ("2.10.0", False), ("2.11.0", True), ("2.13.0+cpu", True)],
    )
    def test_a_torch_that_it_is_not_made_for(
        self, engine: TensorCastEngine, home: Path, torch: str, warns: bool
    ) -> None:
        (home / "torch").write_text(torch)
        sentence = f"TensorCast is made for torch 2.8 to 2.10; with {torch} it loses fusions and prices extra clones."
        assert bind(engine).warnings == ((sentence,) if warns else ())


class TestPrices:
    def test_binding_starts_nothing(self, engine: TensorCastEngine, home: Path) -> None:
        forward = bind(engine)
        assert isinstance(forward, ForwardModel)
        assert started(home) == 0
        assert len(forward.price([])) == 0
        assert started(home) == 0

    def test_price_is_cost(self, engine: TensorCastEngine) -> None:
        forward = bind(engine, reserved_bytes=10 * GIB)
        batches = [(make_group(num_requests=n),) for n in (1, 5)] + [(make_group(), make_group(is_decode=False))]
        costs = [forward.cost(batch) for batch in batches]
        for asked in (batches, Batches.of(batches)):
            prices = forward.price(asked)
            assert prices.latency_s.tolist() == [cost.latency_s for cost in costs]
            assert prices.available_bytes.tolist() == [cost.memory.available for cost in costs]
        assert costs[0].memory.reserved == 10 * GIB

    def test_operators_have_their_name_and_our_kernel(self, engine: TensorCastEngine) -> None:
        ops = bind(engine).cost((make_group(),)).ops
        assert [(op.name, op.kernel) for op in ops] == [
            ("tensor_cast.attention.default", "attention"),
            ("aten.index.Tensor", "table_lookup"),
            ("tensor_cast.brand_new.default", "tensor_cast.brand_new.default"),
        ]
        assert all(TENSOR_CAST_NAMES.get(op.kernel, op.kernel) == op.name for op in ops)

    @pytest.mark.parametrize("how", ["no price", "not a number"])
    def test_what_is_no_price_is_an_error(self, engine: TensorCastEngine, home: Path, how: str) -> None:
        (home / "behaviour").write_text(how)
        with pytest.raises(EngineError, match="sent what is no answer"):
            bind(engine).cost((make_group(),))


class TestKept:
    """Every pass is kept by itself; what is known starts no worker."""

    QUESTION = Scenario(model=MODEL, device="TEST_DEVICE", devices=4, tp=4, batch=8, engine="tensor_cast")

    @pytest.fixture(autouse=True)
    def _instead_of_the_real_one(
        self, engine: TensorCastEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        def clear() -> None:
            load_engine.cache_clear()
            default_store.cache_clear()
            service.forget()

        monkeypatch.setitem(ENGINES, "tensor_cast", lambda: engine)
        monkeypatch.setenv("AGGSIM_CACHE_DIR", str(tmp_path / "cache"))
        clear()
        yield
        default_store().close()
        clear()

    @pytest.fixture
    def asked(self, engine: TensorCastEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The number of shapes of every question to a worker."""
        numbers: list[int] = []
        original: Callable[..., Any] = engine._pool.ask

        def ask(job: Any, question: Any, num_replies: int, read: Any) -> Any:
            numbers.append(num_replies)
            return original(job, question, num_replies, read)

        monkeypatch.setattr(engine._pool, "ask", ask)
        return numbers

    def test_an_answer_is_found_again_without_a_worker(self, engine: TensorCastEngine, home: Path) -> None:
        first = service.evaluate(self.QUESTION)
        assert first.engine.name == "tensor_cast"
        assert first.engine.version == engine.version
        assert first.scenario.engine == "tensor_cast"
        engine.close()
        service.forget()
        assert service.evaluate(self.QUESTION) == first
        assert started(home) == 1

    def test_another_question_asks_only_for_passes_that_are_new(self, asked: list[int]) -> None:
        service.evaluate(self.QUESTION)
        passes = len(asked)
        assert passes > 0
        service.evaluate(self.QUESTION.replace(ttft=100))
        assert len(asked) == passes
        service.evaluate(self.QUESTION.replace(batch=9))
        assert len(asked) > passes

    def test_without_a_store_one_answer_asks_for_no_pass_twice(
        self, asked: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service.evaluate(self.QUESTION)
        passes = len(asked)
        monkeypatch.setenv("AGGSIM_CACHE_DIR", "off")
        default_store.cache_clear()
        service.forget()
        service.evaluate(self.QUESTION)
        assert len(asked) == 2 * passes

    def test_a_failure_is_not_kept(self, home: Path) -> None:
        (home / "behaviour").write_text("die")
        with pytest.raises(EngineError, match="exit code 3"):
            service.evaluate(self.QUESTION)
        (home / "behaviour").write_text("")
        assert service.evaluate(self.QUESTION).tpot_s > 0

    def test_a_search_agrees_with_its_points(self, home: Path) -> None:
        found = service.evaluate(self.QUESTION.replace(batch=None, tpot=2000))
        assert found.scenario.batch is not None
        again = service.evaluate(self.QUESTION.replace(batch=found.scenario.batch, tpot=2000))
        assert again.output_tokens_per_s == found.output_tokens_per_s
        assert started(home) == 1

    def test_single_passes_are_kept_too(self, asked: list[int]) -> None:
        request = ForwardRequest(
            model=MODEL,
            device="TEST_DEVICE",
            layout=LAYOUT,
            quantization=W8A8,
            group=make_group(),
            engine="tensor_cast",
        )
        costs = [service.forward(request) for _ in range(2)]
        assert costs[0] == costs[1]
        assert asked == [1]

    def test_another_version_is_asked_anew(self, asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        service.evaluate(self.QUESTION)
        passes = len(asked)
        monkeypatch.setattr(TensorCastEngine, "version", "newer")
        service.evaluate(self.QUESTION)
        assert len(asked) == 2 * passes


def test_batches_come_back_as_rows() -> None:
    batches = [(make_group(num_requests=2), make_group(is_decode=False)), (make_group(),)]
    assert list(Batches.of(batches).rows()) == batches
    uniform = Batches.uniform(np.array([1, 3]), 1, 1000, is_decode=True)
    assert list(uniform.rows()) == [(make_group(),), (make_group(num_requests=3),)]
