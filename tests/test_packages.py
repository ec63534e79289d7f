"""Models and devices that aiconfigurator-core brings along: marked, read late, and absent where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggsim import service
from aggsim.cli import main
from aggsim.devices import catalog as devices
from aggsim.devices import package as package_devices
from aggsim.devices.parse import device_to_toml, parse_device
from aggsim.engines.silicon_tables import availability
from aggsim.errors import InputError, UnsupportedModelError
from aggsim.models import catalog as models
from aggsim.models import package as package_models
from aggsim.models.spec import ModelSpec
from aggsim.scenario import Scenario
from aggsim.units import GIB

needs_package = pytest.mark.skipif(availability() is not None, reason=availability() or "")
SOURCE = "aiconfigurator-core "
CACHES = (
    models.catalog_ids,
    models.load_model,
    package_models.package_config_files,
    package_models._parsed,
    devices.catalog_ids,
    devices._parsed,
    package_devices._systems,
    package_devices._read,
    package_devices.load_package_device,
)


@pytest.fixture
def _fresh() -> Iterator[None]:
    """Catalogs that are read anew, and again after the test."""
    for cached in CACHES:
        cached.cache_clear()
    yield
    for cached in CACHES:
        cached.cache_clear()


def made_up(folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """A package of these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for module in (package_models, package_devices):
        monkeypatch.setattr(module, "package_folder", lambda: folder)
        monkeypatch.setattr(module, "package_title", lambda: "aiconfigurator-core 9.9")


@pytest.mark.usefixtures("_fresh")
def test_without_the_package_the_catalog_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (package_models, package_devices):
        monkeypatch.setattr(module, "package_folder", lambda: None)
    assert models.catalog_ids() == models.model_ids()
    assert tuple(service.models()) == models.model_ids()
    assert tuple(service.devices()) == devices.device_ids()
    assert package_devices.package_device_problems() == {}
    with pytest.raises(InputError, match="an id in the catalog"):
        models.load_model("Qwen/Qwen3-30B-A3B-FP8")
    with pytest.raises(InputError, match="an id of the catalog"):
        devices.load_device("GB300_288G")


@needs_package
def test_models_are_marked_and_those_not_understood_have_a_reason() -> None:
    found = service.models()
    own = set(models.model_ids())
    assert len(found) > 80
    theirs = {model_id: spec for model_id, spec in found.items() if model_id not in own}
    read = {model_id: spec for model_id, spec in theirs.items() if isinstance(spec, ModelSpec)}
    assert len(read) > 30
    assert all(spec.source.startswith(SOURCE) and spec.source.endswith(" model config") for spec in read.values())
    assert all(str(spec) for spec in theirs.values() if isinstance(spec, UnsupportedModelError))
    assert not any("/site-packages" in str(spec) for spec in theirs.values())
    assert all(found[model_id].source.startswith("bundled ") for model_id in own)  # type: ignore[union-attr]


@needs_package
@pytest.mark.parametrize(
    ("model_id", "formats"),
    [
        ("nvidia/Llama-3.1-70B-Instruct-FP8", ("fp8", "fp8")),
        ("nvidia/Qwen3-235B-A22B-NVFP4", ("nvfp4", "nvfp4")),
        ("nvidia/MiniMax-M2.5-NVFP4", ("none", "nvfp4")),
        ("Qwen/Qwen3-30B-A3B-FP8", ("fp8", "fp8")),
    ],
)
def test_number_formats_are_read_from_the_file_that_tells_them(model_id: str, formats: tuple[str, str]) -> None:
    own = models.load_model(model_id).quantization
    assert own is not None
    assert (own.linear, own.experts) == formats


@needs_package
def test_a_model_of_the_package_is_answered_and_named_in_a_message() -> None:
    answer = service.evaluate(Scenario(model="Qwen/Qwen3-30B-A3B-FP8", batch=4, engine="analytic"))
    assert answer.is_moe
    assert answer.quantization.linear == "fp8"
    with pytest.raises(UnsupportedModelError, match="no model family that aggsim reads"):
        service.evaluate(Scenario(model="deepseek-ai/DeepSeek-V4-Pro", batch=4))
    with pytest.raises(InputError, match="Qwen/Qwen3-30B-A3B-FP8"):
        models.load_model("Qwen/Qwen3-30B-A3B-FP9")


@needs_package
@pytest.mark.parametrize("device_id", package_devices.package_device_ids())
def test_a_device_of_the_package(device_id: str) -> None:
    device = devices.load_device(device_id)
    assert device.device_id == device_id
    assert device.source.startswith(SOURCE)
    assert device.num_devices_max >= 4096
    assert parse_device(device_to_toml(device), "copy") == device
    assert service.evaluate(Scenario(device=device_id, engine="analytic", batch=1, tp=8, input=128)).ttft_s > 0


@needs_package
def test_gb300_is_read_from_its_system_file_and_its_tables_answer() -> None:
    device = devices.load_device("GB300_288G")
    assert device.mma_ops_per_s == {
        "bf16": 2500e12,
        "fp16": 2500e12,
        "int8": 165e12,
        "fp8": 5000e12,
        "fp4": 15000e12,
    }
    assert (device.memory_bandwidth_bytes_per_s, device.num_devices_per_node) == (8e12, 72)
    assert round(device.memory_bytes / GIB, 1) == 277.5
    answer = service.evaluate(Scenario(device="GB300_288G", batch=8))
    assert answer.engine.name == "silicon"
    assert any("on gb300" in warning for warning in answer.warnings)


def test_all_devices_are_the_same_everywhere() -> None:
    """What "all" stands for in a search must not depend on what else is installed."""
    assert not set(devices.device_ids()) & set(package_devices.package_device_ids())


@pytest.mark.usefixtures("_fresh")
def test_a_system_file_without_a_needed_peak_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = "node:\n  num_gpus_per_node: 8\n  intra_node_bw: 32000000000\n"
    gpu = "gpu:\n  mem_bw: 1000000000000\n  mem_capacity: 25769803776\n"
    files = {
        "systems/l4.yaml": gpu + node,
        "systems/a30.yaml": "[1, 2",
        "systems/gb300.yaml": gpu + "  bfloat16_tc_flops: 100000000000000\n" + node,
    }
    made_up(tmp_path, monkeypatch, files)
    assert package_devices.package_device_ids() == ("GB300_288G",)
    assert package_devices.package_device_problems() == {
        "A30_24G": "its system file has no gpu.mem_bw",
        "L4_24G": "its system file has no gpu.bfloat16_tc_flops",
    }
    device = devices.load_device("GB300_288G")
    assert device.source.startswith("aiconfigurator-core 9.9, systems/gb300.yaml")
    assert device.mma_ops_per_s == {"bf16": 1e14, "fp16": 1e14}
    assert [link.size for link in device.links] == [512, 8]


@pytest.mark.usefixtures("_fresh")
def test_a_broken_model_config_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "model_configs/a--broken_config.json": "{",
        "model_configs/a--list_config.json": "[]",
        "model_configs/a--broken_hf_quant_config.json": "{}",
    }
    made_up(tmp_path, monkeypatch, files)
    found = service.models()
    assert {name: type(found[name]) for name in ("a/broken", "a/list")} == {
        "a/broken": UnsupportedModelError,
        "a/list": UnsupportedModelError,
    }
    assert "not JSON" in str(found["a/broken"])
    assert str(tmp_path) not in str(found["a/broken"])
    assert "a/broken_hf_quant" not in found


@needs_package
def test_the_command_line_says_where_entries_are_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["Qwen/Qwen3-32B"]["source"] == "bundled Qwen--Qwen3-32B.json"
    assert rows["Qwen/Qwen3-30B-A3B-FP8"]["source"].startswith(SOURCE)
    assert rows["deepseek-ai/DeepSeek-V4-Pro"]["source"].startswith(SOURCE)
    assert "model family" in rows["deepseek-ai/DeepSeek-V4-Pro"]["problem"]
    assert main(["devices", "--json"]) == 0
    sources = {row["device"]: row["source"] for row in json.loads(capsys.readouterr().out)}
    assert sources["H100_SXM_80G"] == "bundled"
    assert sources["GB300_288G"].startswith(SOURCE)
    assert main(["engines", "--json"]) == 0
    engines = {row["engine"]: row for row in json.loads(capsys.readouterr().out)}
    covers = {row["system"]: row for row in engines["silicon"]["covers"]}
    assert covers["h100_sxm"] == {
        "system": "h100_sxm",
        "device": "H100_SXM_80G",
        "backends": ["vllm", "sglang", "trtllm"],
    }
    assert covers["l4"]["backends"] == []
    assert "covers" not in engines["analytic"]
    assert main(["engines"]) == 0
    assert "not measured" in capsys.readouterr().out


def test_nothing_of_the_package_is_read_before_a_catalog_is_asked_for() -> None:
    program = (
        "import sys; from aggsim import service;"
        "from aggsim.models import package; from aggsim.devices import package as d;"
        "print(package.package_config_files.cache_info().currsize, package._parsed.cache_info().currsize,"
        " d._read.cache_info().currsize, 'yaml' in sys.modules, 'aiconfigurator_core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0 0 0 False False\n"
