"""The script that runs in the other Python, driven by the engine on a stub of TensorCast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aggsim.devices.catalog import load_device
from aggsim.engines import tensor_cast_worker
from aggsim.engines.base import EngineOptions
from aggsim.engines.tensor_cast import TensorCastEngine, TensorCastForward
from aggsim.errors import EngineError
from aggsim.forward.cost import BoundTimes, MemoryUse
from aggsim.models.catalog import load_model
from aggsim.scenario import ParallelLayout, Quantization
from aggsim.units import GIB
from tests.engines.stub_checkout import write_checkout
from tests.factories import make_group

WORKER = tensor_cast_worker.__file__
PATIENT_S = 20.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGGSIM_TENSOR_CAST_HOME", str(tmp_path / "checkout"))
    monkeypatch.setenv("AGGSIM_TENSOR_CAST_PYTHON", sys.executable)
    monkeypatch.setenv("AGGSIM_TENSOR_CAST_MEMORY_GIB", "4")
    return write_checkout(tmp_path / "checkout")


@pytest.fixture
def bind(home: Path) -> Iterator[Callable[..., TensorCastForward]]:
    engine = TensorCastEngine()

    def bind(
        model: str = "Qwen/Qwen3-8B",
        *,
        layout: ParallelLayout = ParallelLayout(tp=2, dp=2),  # noqa: B008
        linear: str = "w8a8_dynamic",
        experts: str = "w8a8_dynamic",
        **options: Any,
    ) -> TensorCastForward:
        quantization = Quantization(linear=linear, experts=experts)
        device = load_device("TEST_DEVICE")
        return engine.bind(load_model(model), device, layout, quantization, EngineOptions(**options))

    yield bind
    engine.close()


def seen(home: Path) -> dict[str, Any]:
    found = json.loads((home / "seen.json").read_text())
    assert isinstance(found, dict)
    return found


def ends(pid: int) -> bool:
    """Also a zombie has ended: in some containers nobody reaps orphans."""
    deadline = time.monotonic() + PATIENT_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_versions_are_told_without_heavy_imports(home: Path) -> None:
    run = subprocess.run([sys.executable, WORKER, home], capture_output=True, text=True, check=True)
    told = json.loads(run.stdout)
    assert told.keys() == {"protocol", "commit", "source", "torch", "transformers", "python"}
    assert (told["torch"], told["transformers"], told["commit"]) == ("2.9.1", "5.13.1", "")
    assert not (home / "torch_was_imported").exists()


def test_an_edited_checkout_is_another_version(home: Path) -> None:
    before = tensor_cast_worker.versions(str(home))
    with (home / "tensor_cast/core/user_config.py").open("a") as file:
        file.write("# edited\n")
    assert tensor_cast_worker.versions(str(home))["source"] != before["source"]


def test_the_commit_of_a_checkout(home: Path) -> None:
    git = ["git", "-C", str(home), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert tensor_cast_worker.versions(str(home))["commit"] == head


def test_what_tensor_cast_is_given(home: Path, bind: Callable[..., TensorCastForward]) -> None:
    bind("deepseek-ai/DeepSeek-V3", layout=ParallelLayout(tp=4, dp=2, ep=8), num_mtp_tokens=1).cost((make_group(),))
    given = seen(home)
    assert given["device"] == "TEST_DEVICE"
    assert Path(given["model_id"]).name == "deepseek-ai--DeepSeek-V3"
    assert given["do_compile"] is True
    assert given["num_mtp_tokens"] == 1
    sizes = {"world": 8, "tp": 4, "dp": 2, "pp": 1, "ep": 8, "moe_tp": 1, "moe_dp": 1}
    assert {key: given[f"{key}_size"] for key in sizes} == sizes
    actions = [given[f"quantize_{key}_action"] for key in ("linear", "non_expert_linear", "attention")]
    assert actions == ["W8A8_DYNAMIC", "DISABLED", "DISABLED"]
    assert given["limits"] == [10_000, 100_000]


def test_no_code_from_elsewhere_can_run(home: Path, bind: Callable[..., TensorCastForward]) -> None:
    """Only a config.json, without auto_map (which names code on the hub), no hub, and gone after the build."""
    bind("deepseek-ai/DeepSeek-V3", layout=ParallelLayout(tp=4, dp=2, ep=8)).cost((make_group(),))
    given = seen(home)
    assert given["files"] == ["config.json"]
    assert given["offline"] == "1"
    assert given["writable"] == "00"
    assert given["folder_is_gone"]
    bundled = load_config("deepseek-ai--DeepSeek-V3")
    assert "auto_map" in bundled
    assert given["config"] == {key: value for key, value in bundled.items() if key != "auto_map"}


def test_a_family_that_only_has_a_name_of_its_own(home: Path, bind: Callable[..., TensorCastForward]) -> None:
    """Kimi K2 is a DeepSeek-V3 whose name only code on the hub would know."""
    bind("moonshotai/Kimi-K2-Instruct", layout=ParallelLayout(tp=4, dp=2, ep=8)).cost((make_group(),))
    bundled = load_config("moonshotai--Kimi-K2-Instruct")
    assert bundled["model_type"] == "kimi_k2"
    bundled.pop("auto_map")
    assert seen(home)["config"] == bundled | {"model_type": "deepseek_v3"}


def load_config(name: str) -> dict[str, Any]:
    data = json.loads((Path(tensor_cast_worker.__file__).parents[1] / "models/data" / f"{name}.json").read_text())
    assert isinstance(data, dict)
    return data


def test_experts_may_be_quantized_otherwise(home: Path, bind: Callable[..., TensorCastForward]) -> None:
    moe = ParallelLayout(tp=4, ep=4)
    bind("Qwen/Qwen3-30B-A3B", layout=moe, linear="fp8", experts="w8a8_dynamic").cost((make_group(),))
    assert seen(home)["quantize_linear_action"] == "W8A8_DYNAMIC"
    assert seen(home)["quantize_non_expert_linear_action"] == "FP8"


def test_a_dense_model_has_no_experts_to_quantize(home: Path, bind: Callable[..., TensorCastForward]) -> None:
    bind(linear="fp8", experts="nvfp4").cost((make_group(),))
    assert seen(home)["quantize_linear_action"] == "FP8"
    assert seen(home)["quantize_non_expert_linear_action"] == "DISABLED"


def test_a_cost_in_our_words(bind: Callable[..., TensorCastForward]) -> None:
    cost = bind(reserved_bytes=10 * GIB).cost((make_group(),))
    assert cost.latency_s == 0.006
    gib = {"weight": 5, "kv_cache": 2, "activation": 0.5, "reserved": 10, "available": 46.5, "total": 64}
    assert cost.memory == MemoryUse(**{name: amount * GIB for name, amount in gib.items()})
    assert cost.bound_s == BoundTimes(memory=0.001, communication=0.002, mma=0.003)
    assert [(op.name, op.kernel, op.calls, op.total_s, op.bound, op.source) for op in cost.ops] == [
        ("aten.mm.default", "matmul", 2, 0.004, "mma", "analytic"),
        ("tensor_cast.all_reduce.default", "all_reduce", 1, 0.002, "communication", "analytic"),
    ]


def test_stages_of_a_pipeline_add_up(bind: Callable[..., TensorCastForward]) -> None:
    cost = bind(layout=ParallelLayout(tp=2, pp=2)).cost((make_group(),))
    assert cost.latency_s == 0.012
    assert cost.bound_s.total == pytest.approx(0.012)
    assert [op.calls for op in cost.ops] == [4, 2]


def test_a_pass_does_not_depend_on_the_one_before(home: Path, bind: Callable[..., TensorCastForward]) -> None:
    forward = bind()
    costs = {forward.cost((make_group(num_requests=n),)) for n in (1, 1, 7)}
    assert len(costs) == 1
    assert seen(home)["resets"] == 3
    assert seen(home)["remembered"] == 1


def test_one_group_is_given_as_a_whole_and_several_request_by_request(
    home: Path, bind: Callable[..., TensorCastForward]
) -> None:
    forward = bind()  # dp = 2
    prefill = make_group(num_requests=3, query_len=100, seq_len=100, is_decode=False)
    decode = make_group(num_requests=4, query_len=1, seq_len=900)
    forward.cost((decode,))
    forward.cost((prefill, decode))
    assert seen(home)["calls"] == [
        ["generate_inputs", [[1, 900, True, 4]]],
        ["generate_inputs_varlen", [[100, 100, False, 1]] * 2 + [[1, 900, True, 1]] * 2],
    ]


class TestFailures:
    def test_a_pass_that_tensor_cast_cannot_do(self, bind: Callable[..., TensorCastForward]) -> None:
        forward = bind()
        with pytest.raises(EngineError, match=r"cannot price this: RuntimeError: Dynamo failed$"):
            forward.cost((make_group(query_len=13),))
        assert forward.cost((make_group(),)).latency_s == 0.006

    def test_a_model_that_tensor_cast_cannot_build(self, bind: Callable[..., TensorCastForward]) -> None:
        with pytest.raises(EngineError, match=r"cannot build this: ValueError: too many MTP layers$"):
            bind(num_mtp_tokens=9).cost((make_group(),))

    def test_leaving_is_death(self, bind: Callable[..., TensorCastForward]) -> None:
        with pytest.raises(EngineError, match=r"ended with exit code 1 \(it last said: cannot go on\)"):
            bind().cost((make_group(query_len=14),))

    def test_memory_is_bounded(self, bind: Callable[..., TensorCastForward]) -> None:
        with pytest.raises(EngineError, match="needs more than the 4 GiB that AGGSIM_TENSOR_CAST_MEMORY_GIB allows"):
            bind().cost((make_group(query_len=15),))

    def test_an_import_that_fails(self, home: Path, bind: Callable[..., TensorCastForward]) -> None:
        (home / "torch/_dynamo/config.py").write_text("import no_such_module\n")
        with pytest.raises(EngineError, match=r"ended with exit code 1 .*No module named 'no_such_module'"):
            bind().cost((make_group(),))

    @pytest.mark.parametrize("failure", ["MemoryError()", "ImportError('lib.so: failed to map segment')"])
    def test_an_import_that_does_not_fit(
        self, home: Path, bind: Callable[..., TensorCastForward], failure: str
    ) -> None:
        (home / "torch/_dynamo/config.py").write_text(f"raise {failure}\n")
        with pytest.raises(EngineError, match="said: it needs more than the 4 GiB that AGGSIM_TENSOR_CAST_MEMORY_GIB"):
            bind().cost((make_group(),))

    def test_a_checkout_that_changes_is_noticed_and_looked_at_again(
        self, home: Path, bind: Callable[..., TensorCastForward]
    ) -> None:
        stale = bind()
        with (home / "tensor_cast/core/user_config.py").open("a") as file:
            file.write("# edited\n")
        with pytest.raises(EngineError, match="has changed since it was looked at; ask again"):
            stale.cost((make_group(),))
        assert bind().cost((make_group(),)).latency_s == 0.006


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_it_does_not_outlive_its_parent_not_even_in_the_middle_of_a_pass(home: Path, ending: signal.Signals) -> None:
    code = (
        "import json, subprocess, sys\n"
        f"worker = subprocess.Popen([sys.executable, {WORKER!r}, {str(home)!r}, '4'], stdin=subprocess.PIPE)\n"
        f"for message in {messages()!r}:\n"
        "    worker.stdin.write(json.dumps(message).encode() + b'\\n')\n"
        "worker.stdin.flush()\n"
        "worker.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sleeping = home / "sleeping"
    deadline = time.monotonic() + PATIENT_S
    while not (sleeping.exists() and sleeping.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(parent.pid, ending)
    parent.wait()
    assert ends(int(sleeping.read_text()))


def messages() -> list[dict[str, Any]]:
    layout = dict.fromkeys(("tp", "dp", "pp", "ep", "moe_tp", "moe_dp"), 1)
    labels = dict.fromkeys(("linear", "non_expert_linear", "attention"), "DISABLED")
    deployment = {"model": "m", "config": {}, "device": "TEST_DEVICE", "num_mtp_tokens": 0, **layout, **labels}
    shape = {"num_requests": 1, "query_len": 16, "seq_len": 16, "is_decode": False}
    return [{"id": 1, "bind": deployment}, {"id": 2, "price": [[shape]], "reserved_gib": 0}]
