"""The catalog's tables and charts: numbers of the specs themselves, one row an entry, every chart valid."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aggsim import service
from aggsim.devices import load_device
from aggsim.engines import load_engine
from aggsim.engines.base import EngineOptions
from aggsim.forward.cache_use import cache_use
from aggsim.models.catalog import DATA, load_model, model_ids
from aggsim.models.parameters import count_parameters
from aggsim.models.spec import ModelSpec
from aggsim.report import catalog_charts as charts
from aggsim.report import catalog_tables as tables
from aggsim.report.theme import DARK, LIGHT
from aggsim.scenario import ParallelLayout, Quantization
from aggsim.service_own import find_device, find_model, own_device, own_model
from tests.factories import make_device, make_group

BLOCK = 128


def cached_bytes(model: ModelSpec, context_tokens: int, attention: str) -> float:
    """As a decode pass of one request counts it; whole blocks, the token to come included."""
    forward = load_engine("analytic").bind(
        model,
        load_device("TEST_DEVICE"),
        ParallelLayout(),
        Quantization(attention=attention),
        EngineOptions(num_mtp_tokens=0, reserved_bytes=0.0, backend="vllm", law=None),
    )
    return forward.cost((make_group(seq_len=context_tokens),)).memory.kv_cache


@pytest.mark.parametrize("attention", ["none", "int8"])
@pytest.mark.parametrize("model_id", model_ids())
def test_the_cache_of_a_model_is_what_a_pass_counts(model_id: str, attention: str) -> None:
    model = load_model(model_id)
    use = cache_use(model, attention)
    for context in (BLOCK - 1, 100 * BLOCK - 1, 1024 * BLOCK - 1):
        inside = sum(rate * -(-(min(context, tokens) + 1) // BLOCK) * BLOCK for tokens, rate in use.windows)
        whole = use.bytes_per_token * (context + 1) + inside + use.state_bytes
        assert cached_bytes(model, context, attention) == pytest.approx(whole, rel=1e-9)
        assert 0 <= whole - use.at(context) <= BLOCK * use.bytes_per_first_token


def test_the_cache_in_words_of_the_field() -> None:
    qwen = cache_use(load_model("Qwen/Qwen3-32B"))
    assert qwen.bytes_per_token == 64 * 8 * (128 + 128) * 2
    assert (qwen.windows, qwen.state_bytes) == ((), 0.0)
    deepseek = cache_use(load_model("deepseek-ai/DeepSeek-V3"))
    assert deepseek.bytes_per_token == 61 * (512 + 64) * 2
    gpt = cache_use(load_model("openai/gpt-oss-120b"))
    assert gpt.windows == ((128, 18 * 8 * (64 + 64) * 2.0),)
    assert gpt.bytes_per_first_token == 2 * gpt.bytes_per_token
    assert gpt.at(1000) - gpt.at(999) == gpt.bytes_per_token


def test_one_row_a_model() -> None:
    own = own_model((DATA / "openai--gpt-oss-20b.json").read_text(), "mine")
    models = {own: find_model(own), **service.models()}
    frame = tables.models_frame(models)
    assert list(frame["id"]) == [own, *(name for name, spec in service.models().items() if isinstance(spec, ModelSpec))]
    assert list(frame["id"])[1 : len(model_ids()) + 1] == list(model_ids())
    row = frame.set_index("model").loc["own:mine"]
    size = count_parameters(load_model("openai/gpt-oss-20b"))
    assert row["parameters_b"] == size.total / 1e9
    assert row["active_b"] == size.active / 1e9
    assert row["attention"] == "GQA 64:8 window 128 + GQA 64:8"
    assert row["experts"] == "4 of 32"
    assert row["quantization"] == "16 bit, experts MXFP4"
    assert row["source"] == "own"


@pytest.mark.parametrize(
    ("model_id", "words"),
    [
        ("deepseek-ai/DeepSeek-V3.2", "MLA, sparse"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "GQA 40:8 chunks of 8,192 + GQA 40:8"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Mamba-2 + GQA 32:2"),
        ("Qwen/Qwen3.5-27B", "gated delta + GQA 24:4"),
    ],
)
def test_kinds_of_attention_have_names(model_id: str, words: str) -> None:
    assert tables.attention_words(load_model(model_id)) == words


def test_one_row_a_device() -> None:
    own = own_device(make_device(), "chip")
    frame = tables.devices_frame({own: find_device(own), **service.devices()}).set_index("device")
    assert len(frame) == 1 + len(service.devices())
    row = frame.loc["own:chip"]
    assert (row["memory_gib"], row["bandwidth_tb_s"], row["bf16_tflops"], row["flop_per_byte"]) == (64, 1, 100, 100)
    assert (row["per_node"], row["node_gb_s"], row["outer_gb_s"]) == (8, 100, 10)
    assert math.isnan(row["fp4_tflops"])


@pytest.mark.parametrize("model_id", model_ids())
def test_every_model_has_facts_and_parts(model_id: str) -> None:
    spec = load_model(model_id)
    facts = dict(tables.model_facts(spec))
    assert {"Parameters", "Layers", "Attention", "KV cache", "Quantization", "Source"} <= facts.keys()
    assert all(facts.values())
    frame = tables.parameters_frame(spec)
    sums = frame.groupby("row")["billions"].sum()
    size = count_parameters(spec)
    assert sums["every parameter"] == pytest.approx(size.total / 1e9)
    assert sums["active for one token"] == pytest.approx(size.active / 1e9)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_chart_is_valid(theme: Any) -> None:
    models, devices = service.models(), service.devices()
    own = own_device(make_device(), "chip")
    spec = load_model("Qwen/Qwen3-30B-A3B")
    drawn = [
        charts.model_map(tables.models_frame(models), "Qwen/Qwen3-8B", theme),
        charts.device_map(tables.devices_frame({own: find_device(own), **devices}), None, theme),
        charts.parameters_chart(tables.parameters_frame(spec), theme, "title"),
        charts.cache_chart(tables.cache_frame({spec.model_id: spec}), theme, "title"),
        charts.device_roofline({"own:chip": find_device(own), "H200": devices["H200_SXM_141G"]}, theme, "title"),
        charts.device_roofline({"odd": make_device(mma_ops_per_s={"fp32": 1e12})}, theme, "title"),
    ]
    for chart in drawn:
        text = str(chart.to_dict(validate=True))
        assert "NaN" not in text


def test_the_roofline_of_a_device_has_its_peaks() -> None:
    spec = charts.device_roofline({"chip": make_device()}, LIGHT, "title").to_dict()
    (lines, *_) = spec["datasets"].values()
    tops = {row["y"] for row in lines if row["x"] == 10_000}
    assert tops == {100.0, 200.0}
    assert {row["y"] for row in lines if row["x"] == 1} == {1.0}
