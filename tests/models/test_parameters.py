"""Parameters counted from a config against what the makers publish and what the reference implementation allocates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import pytest

from aggsim.models.catalog import load_model, model_ids
from aggsim.models.parameters import ParameterCount, count_parameters
from aggsim.models.parse import parse_config
from aggsim.models.spec import ModelSpec
from tests.models.configs import PUBLISHED, published

ALL, NO_TABLE, NEITHER = "everything", "without the embedding table", "without embedding table and head"
"""What a card means by active parameters."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """Billions as published, in the digits published."""

    total: str
    source: str
    non_embedding: str = ""
    active: str = ""
    means: str = ALL
    uncounted: float = 0.0
    """Billions of a vision tower that the published total includes and we do not count."""


QWEN3 = "model card, Model Overview"
WITH_VISION = "model card, with the vision encoder"
STATED = {
    "Qwen/Qwen3-0.6B": Stated(total="0.6", non_embedding="0.44", source=QWEN3),
    "Qwen/Qwen3-1.7B": Stated(total="1.7", non_embedding="1.4", source=QWEN3),
    "Qwen/Qwen3-8B": Stated(total="8.2", non_embedding="6.95", source=QWEN3),
    "Qwen/Qwen3-VL-8B-Instruct": Stated(total="8", source="name; its language model is Qwen3-8B's"),
    "Qwen/Qwen3-32B": Stated(total="32.8", non_embedding="31.2", source=QWEN3),
    "Qwen/Qwen3-32B-FP8": Stated(total="32.8", non_embedding="31.2", source=QWEN3),
    "Qwen/Qwen3-30B-A3B": Stated(total="30.5", non_embedding="29.9", active="3.3", source=QWEN3),
    "Qwen/Qwen3-235B-A22B": Stated(total="235", non_embedding="234", active="22", source=QWEN3),
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": Stated(total="480", active="35", source=QWEN3),
    "Qwen/Qwen3.5-27B": Stated(total="27", uncounted=0.46, source=WITH_VISION),
    "Qwen/Qwen3.5-397B-A17B": Stated(total="397", active="17", uncounted=0.46, source=WITH_VISION),
    "meta-llama/Meta-Llama-3.1-8B": Stated(total="8.03", source="model card and its weight index"),
    "meta-llama/Meta-Llama-3.1-70B": Stated(total="70.6", source="model card and its weight index"),
    # The first upload held each KV head twice (num_key_value_heads 16, 410B); this config has the paper's 8.
    "meta-llama/Meta-Llama-3.1-405B": Stated(total="405", source="model card; The Llama 3 Herd of Models, table 3"),
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": Stated(
        total="109", active="17", uncounted=0.87, source=WITH_VISION
    ),
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": Stated(
        total="400", active="17", uncounted=0.87, source=WITH_VISION
    ),
    "mistralai/Mixtral-8x7B-v0.1": Stated(total="46.7", active="12.9", source="Mistral AI, announcement"),
    "mistralai/Mixtral-8x22B-v0.1": Stated(total="141", active="39", source="Mistral AI, announcement"),
    "deepseek-ai/DeepSeek-V3": Stated(total="671", active="36.6", means=NO_TABLE, source="README_WEIGHTS.md"),
    "deepseek-ai/DeepSeek-R1": Stated(total="671", active="37", means=NO_TABLE, source="model card"),
    "deepseek-ai/DeepSeek-V3.2": Stated(total="671", active="37", means=NO_TABLE, source="as V3; indexers add 0.85"),
    "moonshotai/Kimi-K2-Instruct": Stated(total="1e3", active="32", means=NO_TABLE, source="model card: 1T, 32B"),
    "moonshotai/Kimi-K2.5": Stated(total="1e3", active="32", means=NO_TABLE, source="model card: 1T, 32B"),
    "openai/gpt-oss-120b": Stated(total="116.83", active="5.13", means=NO_TABLE, source="model card, table 1"),
    "openai/gpt-oss-20b": Stated(total="20.91", active="3.61", means=NO_TABLE, source="model card, table 1"),
    "MiniMaxAI/MiniMax-M2.5": Stated(total="229.9", active="9.8", means=NEITHER, source="technical report"),
    "zai-org/GLM-5": Stated(total="744", active="40", means=NEITHER, source="technical report"),
    "XiaomiMiMo/MiMo-V2-Flash": Stated(total="309", active="15", source="technical report"),
    "google/gemma-4-26B-A4B": Stated(total="25.2", active="3.8", source="model card, without the vision encoder"),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": Stated(
        total="31.6", active="3.2", means=NO_TABLE, source="technical report; 3.6 with embeddings"
    ),
    "mistralai/Mistral-7B-v0.1": Stated(total="7.24", source="weight index"),
    "microsoft/phi-4": Stated(total="14.7", source="weight index"),
    "Qwen/Qwen2.5-7B": Stated(total="7.61", non_embedding="6.53", source="model card"),
    "google/gemma-7b": Stated(total="8.54", source="weight index"),
    "google/gemma-2-9b": Stated(total="9.24", source="weight index"),
    "google/gemma-3-27b-it": Stated(total="27.4", uncounted=0.42, source="weight index, with the vision encoder"),
    "Qwen/Qwen1.5-MoE-A2.7B": Stated(total="14.3", active="2.7", source="model card"),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": Stated(total="80", non_embedding="79", active="3", source="model card"),
    "deepseek-ai/DeepSeek-V2": Stated(total="236", active="21", source="model card"),
}  # fmt: skip

ALLOCATED = {
    "MiniMaxAI/MiniMax-M2.5": 228_689_764_864,
    "Qwen/Qwen1.5-MoE-A2.7B": 14_315_784_192,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-32B-FP8": 32_762_123_264,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 480_154_875_392,
    "Qwen/Qwen3-Next-80B-A3B-Instruct": 79_674_391_296,
    "Qwen/Qwen3-VL-8B-Instruct": 8_190_735_360,
    "Qwen/Qwen3.5-27B": 26_895_998_464,
    "Qwen/Qwen3.5-397B-A17B": 396_346_350_336,
    "XiaomiMiMo/MiMo-V2-Flash": 308_778_780_864,
    "deepseek-ai/DeepSeek-R1": 671_026_419_200,
    "deepseek-ai/DeepSeek-V2": 235_741_434_880,
    "deepseek-ai/DeepSeek-V3": 671_026_419_200,
    "deepseek-ai/DeepSeek-V3.2": 671_877_944_064,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-4-26B-A4B": 25_233_141_760,
    "google/gemma-3-27b-it": 27_009_346_304,
    "google/gemma-7b": 8_537_680_896,
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": 400_711_848_960,
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 107_769_861_120,
    "meta-llama/Meta-Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Meta-Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Meta-Llama-3.1-8B": 8_030_261_248,
    "microsoft/phi-4": 14_659_507_200,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mixtral-8x22B-v0.1": 140_620_634_112,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "moonshotai/Kimi-K2-Instruct": 1_026_408_232_448,
    "moonshotai/Kimi-K2.5": 1_026_408_232_448,
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 31_577_940_288,
    "openai/gpt-oss-120b": 116_829_156_672,
    "openai/gpt-oss-20b": 20_914_757_184,
    "zai-org/GLM-4.5": 352_797_829_024,
    "zai-org/GLM-5": 743_911_218_432,
}
"""Numbers in the language model's tensors as Hugging Face transformers 5.13.1 allocates them from the same config.json
(on torch's meta device, no vision towers, with the routers' correction biases); Kimi-K2-Instruct is Kimi-K2.5's."""


def spec_of(model_id: str) -> ModelSpec:
    if model_id in PUBLISHED:
        return parse_config(published(model_id), model_id, "test")
    return load_model(model_id)


def same_digits(count: float, stated: str) -> bool:
    """Equal in the digits stated, rounded or cut; to 1% where there are three digits or more."""
    number = Decimal(stated)
    unit = 10.0 ** int(number.as_tuple().exponent)
    if len(number.as_tuple().digits) >= 3:
        return abs(count - float(number)) <= 0.01 * float(number)
    return math.isclose(float(number), round(count / unit) * unit) or math.isclose(float(number), count // unit * unit)


def active(count: ParameterCount, means: str) -> int:
    without = {ALL: 0, NO_TABLE: count.embedding, NEITHER: count.embedding + count.head}
    return count.active - without[means]


def test_every_bundled_model_has_a_stated_size() -> None:
    assert set(model_ids()) <= set(STATED)


@pytest.mark.parametrize("model_id", STATED)
def test_counts_match_what_is_published(model_id: str) -> None:
    stated, count = STATED[model_id], count_parameters(spec_of(model_id))
    assert same_digits(count.total / 1e9 + stated.uncounted, stated.total)
    if stated.non_embedding:
        assert same_digits(count.non_embedding / 1e9, stated.non_embedding)
    if stated.active:
        assert same_digits(active(count, stated.means) / 1e9, stated.active)
    else:
        assert count.active == count.total


@pytest.mark.parametrize("model_id", ALLOCATED)
def test_counts_equal_the_allocated_tensors(model_id: str) -> None:
    assert count_parameters(spec_of(model_id)).total == ALLOCATED[model_id]


def test_mtp_layers_are_counted_apart() -> None:
    deepseek = count_parameters(load_model("deepseek-ai/DeepSeek-V3"))
    assert deepseek.mtp / 1e9 == pytest.approx(11.5, rel=0.01)  # README_WEIGHTS.md: unique parameters of the module
    glm = count_parameters(spec_of("zai-org/GLM-4.5"))
    # GLM-4.5 report: 355B with the MTP layer and without embeddings
    assert (glm.non_embedding + glm.mtp) / 1e9 == pytest.approx(355, rel=0.01)
    assert count_parameters(load_model("Qwen/Qwen3-8B")).mtp == 0


def test_gpt_oss_by_kind() -> None:
    """The gpt-oss model card's table 1: MLP 114.71, attention 0.96, embedding and head 1.16 billion."""
    count = count_parameters(load_model("openai/gpt-oss-120b"))
    assert (count.embedding + count.head) / 1e9 == pytest.approx(1.16, abs=0.005)
    routers = 36 * (2880 * 128 + 128)
    norms = (2 * 36 + 1) * 2880
    assert (count.experts + routers) / 1e9 == pytest.approx(114.71, abs=0.005)
    assert (count.dense - routers - norms) / 1e9 == pytest.approx(0.96, abs=0.005)
