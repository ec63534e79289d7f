"""The bundled models, files from elsewhere, and every way a config.json can be wrong."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.errors import InputError, UnsupportedModelError
from aggsim.models.catalog import DATA, MAX_CONFIG_BYTES, load_model, load_model_path, model_ids
from aggsim.models.parameters import count_parameters
from aggsim.models.parse import parse_config
from aggsim.models.spec import ModelSpec
from tests.models.configs import bundled

PARSED = (
    "MiniMaxAI/MiniMax-M2.5",
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-1.7B",
    "Qwen/Qwen3-235B-A22B",
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-32B",
    "Qwen/Qwen3-32B-FP8",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct",
    "Qwen/Qwen3-VL-8B-Instruct",
    "Qwen/Qwen3.5-27B",
    "Qwen/Qwen3.5-397B-A17B",
    "XiaomiMiMo/MiMo-V2-Flash",
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3",
    "deepseek-ai/DeepSeek-V3.2",
    "google/gemma-4-26B-A4B",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "meta-llama/Meta-Llama-3.1-405B",
    "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Meta-Llama-3.1-8B",
    "mistralai/Mixtral-8x22B-v0.1",
    "mistralai/Mixtral-8x7B-v0.1",
    "moonshotai/Kimi-K2-Instruct",
    "moonshotai/Kimi-K2.5",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "openai/gpt-oss-120b",
    "openai/gpt-oss-20b",
    "zai-org/GLM-5",
)
REFUSED: tuple[str, ...] = ()

LLAMA = "meta-llama/Meta-Llama-3.1-8B"


def parsed(config: dict[str, Any]) -> ModelSpec:
    return parse_config(config, "test/model", "test")


def test_the_lists_cover_every_bundled_file() -> None:
    assert tuple(sorted(PARSED + REFUSED)) == model_ids()
    assert len(list(DATA.iterdir())) == len(model_ids())


@pytest.mark.parametrize("model_id", PARSED)
def test_bundled_models_parse_whole(model_id: str) -> None:
    spec = load_model(model_id)
    assert spec.model_id == model_id
    assert spec.unread_fields == ()
    assert spec.source.startswith("bundled ")
    assert load_model(model_id) is spec


def test_loading_is_fast() -> None:
    load_model.cache_clear()
    start = time.perf_counter()
    for model_id in model_ids():
        load_model(model_id)
    assert (time.perf_counter() - start) / len(model_ids()) < 0.005  # 0.2 ms here; room for a busy machine


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("Qwen/Qwen3-32", "Qwen/Qwen3-32B"), ("qwen3-8b", "Qwen/Qwen3-8B"), ("DeepSeek-V3", "deepseek-ai/DeepSeek-V3")],
)
def test_an_unknown_id_names_the_closest(typed: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        load_model(typed)
    assert caught.value.field == "model"
    assert meant in caught.value.allowed


@pytest.mark.parametrize("typed", ["", "../parse.py", "Qwen/../Qwen--Qwen3-8B", "x" * 10_000, "a\x00b", "\ud800"])
def test_an_odd_id_is_an_input_error(typed: str) -> None:
    with pytest.raises(InputError, match=r"^model: "):
        load_model(typed)


def test_load_from_a_file_or_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(bundled(LLAMA)))
    by_folder, by_file = load_model_path(folder), load_model_path(str(folder / "config.json"))
    assert by_folder == by_file
    assert by_folder.model_id == "my-model"
    assert by_folder.layers == load_model(LLAMA).layers
    assert load_model_path(DATA / "Qwen--Qwen3-8B.json").model_id == "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "one JSON object"),
        (b"null", "one JSON object"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"vocab_size": ' + b"9" * 5000 + b"}", "not JSON"),
        (b" " * (MAX_CONFIG_BYTES + 1), "at most 2 MB"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        load_model_path(file)
    assert caught.value.field == "model"
    assert len(str(caught.value)) < 400


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "config.json"
    os.mkfifo(fifo)
    for path in (tmp_path / "missing", tmp_path, fifo, "/dev/zero", "a\x00b", "x" * 5000):
        with pytest.raises(InputError, match=r"^model: "):
            load_model_path(path)


@pytest.mark.parametrize("value", ["32", True, 0, -1, 31.5, math.nan, math.inf, 10**8, [32], {}, None, ...])
def test_a_wrong_layer_count_names_the_field(value: object) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        parsed(bundled(LLAMA, num_hidden_layers=value))
    assert (caught.value.architecture, caught.value.field) == ("LlamaForCausalLM", "num_hidden_layers")
    assert len(str(caught.value)) < 200


def test_an_endless_number_is_not_printed() -> None:
    with pytest.raises(UnsupportedModelError, match="vocab_size: is an enormous number"):
        parsed(bundled(LLAMA, vocab_size=10**5000))


def test_a_whole_float_is_a_whole_number() -> None:
    assert parsed(bundled(LLAMA, num_hidden_layers=32.0)).num_layers == 32


@pytest.mark.parametrize(
    ("model_id", "changes", "field"),
    [
        (LLAMA, {"model_type": "mamba9", "architectures": ["Mamba9"]}, "model_type"),
        (LLAMA, {"model_type": ..., "architectures": ...}, "model_type"),
        (LLAMA, {"hidden_act": "sine"}, "hidden_act"),
        (LLAMA, {"attention_bias": "false"}, "attention_bias"),
        (LLAMA, {"num_key_value_heads": 7}, "num_key_value_heads"),
        (LLAMA, {"num_attention_heads": 48}, "head_dim"),
        (LLAMA, {"torch_dtype": "int3"}, "torch_dtype"),
        (LLAMA, {"is_encoder_decoder": True}, "is_encoder_decoder"),
        (LLAMA, {"text_config": 3}, "text_config"),
        (LLAMA, {"quantization_config": "fp8"}, "quantization_config"),
        ("Qwen/Qwen3-30B-A3B", {"num_experts_per_tok": 129}, "num_experts_per_tok"),
        ("Qwen/Qwen3-30B-A3B", {"mlp_only_layers": [48]}, "mlp_only_layers"),
        ("Qwen/Qwen3-30B-A3B", {"shared_expert_intermediate_size": 64}, "shared_expert_intermediate_size"),
        ("openai/gpt-oss-20b", {"layer_types": ["full_attention"]}, "layer_types"),
        ("openai/gpt-oss-20b", {"layer_types": ["round_attention"] * 24}, "layer_types"),
        ("deepseek-ai/DeepSeek-V3", {"scoring_func": "softmax"}, "scoring_func"),
        ("deepseek-ai/DeepSeek-V3", {"kv_lora_rank": ...}, "kv_lora_rank"),
        ("deepseek-ai/DeepSeek-V3.2", {"q_lora_rank": None}, "q_lora_rank"),
        ("XiaomiMiMo/MiMo-V2-Flash", {"hybrid_layer_pattern": [2] * 48}, "hybrid_layer_pattern"),
        ("XiaomiMiMo/MiMo-V2-Flash", {"moe_layer_freq": [1]}, "moe_layer_freq"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"hybrid_override_pattern": "MXM"}, "hybrid_override_pattern"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"hybrid_override_pattern": "ME"}, "num_hidden_layers"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"moe_latent_size": 64}, "moe_latent_size"),
    ],
)
def test_what_changes_the_cost_unknown_is_refused(model_id: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        parsed(bundled(model_id, **changes))
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_fields_nobody_knows_are_reported() -> None:
    spec = parsed(bundled(LLAMA, z_new_trick=3, another="x", gone=None, odd_token_id=5))
    assert spec.unread_fields == ("another", "z_new_trick")
    assert spec.warnings == ("Fields of config.json not understood: another, z_new_trick.",)


def test_names_from_a_file_are_safe_to_print() -> None:
    spec = parsed(bundled(LLAMA, architectures=["Bad\x1b[31m\n" + "x" * 500], **{"a\nb\ud800": 1}))
    assert spec.architecture.isprintable()
    assert len(spec.architecture) < 100
    assert spec.unread_fields == ("a?b?",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([0, 1, 8, 128]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PARSED), st.data())
def test_a_config_with_any_field_garbled_parses_or_is_refused(model_id: str, data: st.DataObject) -> None:
    config = copy.deepcopy(bundled(model_id))
    target = config
    while True:
        key = data.draw(st.sampled_from(sorted(target)))
        if not isinstance(target[key], dict) or not target[key] or data.draw(st.booleans()):
            break
        target = target[key]
    target[key] = data.draw(JSON)
    try:
        count = count_parameters(parsed(config))
    except UnsupportedModelError:
        return
    assert 0 < count.active <= count.total


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["model_type", "architectures"]), JSON, max_size=6))
def test_any_json_object_parses_or_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModelError):
        parsed(config)
