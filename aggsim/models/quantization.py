"""quantization_config of a checkpoint → our labels (scenario.LINEAR_MODES, ATTENTION_MODES)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aggsim.models.reader import ConfigReader, printable
from aggsim.models.spec import CheckpointQuantization

__all__ = ["read_quantization"]

Fields = Mapping[str, Any]
Label = tuple[str, str, str]
"""Mode of the matmuls, mode of the routed experts, and what the file said."""

ATTENTION_WORDS = frozenset({"self_attn", "attn", "attention"})
SMALL_ATTENTION_WORDS = frozenset({"indexer", "kv_b_proj", "kv_a_proj_with_mqa", "q_a_proj", "k_proj", "v_proj"})
EXPERT_WORDS = frozenset({"experts", "block_sparse_moe"})
ROUTER_WORDS = frozenset({"gate"})
"""block_sparse_moe.gate chooses experts and is none."""


def read_quantization(
    outer: ConfigReader, text: ConfigReader, num_layers: int
) -> tuple[CheckpointQuantization | None, tuple[str, ...]]:
    """What the checkpoint says about its weights, and a sentence where that is not understood.

    (None, ()) without a quantization_config. A method we do not know is no reason to refuse the model.
    """
    config = outer.section("quantization_config") or text.section("quantization_config")
    if not config:
        return None, ()
    method = config.get("quant_method")
    read = METHODS.get(method) if isinstance(method, str) else None
    label = read(config) if read else None
    if label is None:
        name = f'"{printable(method)}"' if isinstance(method, str) else "a method without a name"
        return None, (f"quantization_config: {name} as written there is not understood; choose the weights' type.",)
    linear, experts, detail = label
    kept = _kept_wide(config, num_layers)
    # Attention is most of what is not an expert: where it stays wide, we call everything beside the experts wide.
    linear = "none" if kept(ATTENTION_WORDS, SMALL_ATTENTION_WORDS) else linear
    experts = "none" if kept(EXPERT_WORDS, ROUTER_WORDS) else experts
    where = (
        ", experts only" if linear == "none" != experts else ", experts left as they are" if experts == "none" else ""
    )
    source = f"quantization_config: {detail}{where}"
    return CheckpointQuantization(linear=linear, experts=experts, attention=_kv_cache(config), source=source), ()


def _fp8(config: Fields) -> Label:
    block = config.get("weight_block_size")
    if isinstance(block, list) and all(_bits(size) for size in block):
        return "fp8", "fp8", "fp8, block " + "×".join(map(str, block))
    return "fp8", "fp8", "fp8"


def _mxfp4(_: Fields) -> Label:
    return "none", "mxfp4", "mxfp4"


def _weights_only(config: Fields) -> Label | None:
    """GPTQ, AWQ and AutoRound: integers of 4 or 8 bits, activations as they are."""
    bits = _bits(config.get("bits", config.get("w_bit")))
    mode = {4: "w4a16", 8: "w8a16_static"}.get(bits)
    return (mode, mode, f"{config['quant_method']}, {bits} bits") if mode else None


def _bitsandbytes(config: Fields) -> Label | None:
    if config.get("load_in_4bit") is True:
        return "w4a16", "w4a16", "bitsandbytes, 4 bits"
    if config.get("load_in_8bit") is True:
        return "w8a8_dynamic", "w8a8_dynamic", "bitsandbytes, 8 bits"
    return None


def _modelopt(config: Fields) -> Label | None:
    algorithm = config.get("quant_algo")
    modes = {"FP8": "fp8", "NVFP4": "nvfp4", "W4A16_AWQ": "w4a16", "W4A8_AWQ": "w4a8_dynamic", "MXFP4": "mxfp4"}
    mode = modes.get(algorithm) if isinstance(algorithm, str) else None
    return (mode, mode, f"modelopt, {algorithm}") if mode else None


def _compressed_tensors(config: Fields) -> Label | None:
    """Groups of modules by name or class, each with the numbers of its weights and activations."""
    groups = config.get("config_groups")
    linear = experts = ""
    details = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if not isinstance(group, Mapping) or (found := _group_mode(group)) is None:
            return None
        mode, detail = found
        details.append(detail)
        if any(_words(target) & EXPERT_WORDS for target in _strings(group.get("targets"))):
            experts = mode
        else:
            linear = mode
    if not details:
        return None
    return linear or "none", experts or linear, "compressed-tensors, " + " and ".join(details)


def _group_mode(group: Fields) -> tuple[str, str] | None:
    weights, activations = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, Mapping):
        return None
    wide = activations is None
    inputs: Fields = activations if isinstance(activations, Mapping) else {}
    bits, kind = _bits(weights.get("num_bits")), weights.get("type")
    input_bits = 16 if wide else _bits(inputs.get("num_bits"))
    scaled = "static" if inputs.get("dynamic") is False else "dynamic"
    size = _bits(weights.get("group_size"))
    detail = f"{kind if kind in ('int', 'float') else 'unknown'}{bits} weights, " + (
        "16 bit activations" if wide else f"{input_bits} bit activations"
    )
    modes = {
        ("int", 4, 16): "w4a16",
        ("float", 4, 16): "w4a16",
        ("int", 8, 16): "w8a16_static",
        ("float", 8, 16): "w8a16_static",
        ("int", 8, 8): f"w8a8_{scaled}",
        ("int", 4, 8): f"w4a8_{scaled}",
        ("float", 8, 8): "fp8",
        ("float", 4, 4): "mxfp4" if size == 32 else "nvfp4",
    }
    mode = modes.get((kind, bits, input_bits)) if isinstance(kind, str) else None
    return (mode, detail) if mode else None


METHODS: dict[str, Callable[[Fields], Label | None]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "mxfp4": _mxfp4,
    "gptq": _weights_only,
    "awq": _weights_only,
    "auto-round": _weights_only,
    "bitsandbytes": _bitsandbytes,
    "modelopt": _modelopt,
    "compressed-tensors": _compressed_tensors,
}
"""quant_method → how to read the rest."""


def _kv_cache(config: Fields) -> str:
    """The KV cache's type, for an attention mode."""
    scheme = config.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and _bits(scheme.get("num_bits")) == 8:
        return "int8" if scheme.get("type") == "int" else "fp8"
    return "fp8" if config.get("kv_cache_quant_algo") == "FP8" else "none"


def _kept_wide(config: Fields, num_layers: int) -> Callable[[frozenset[str], frozenset[str]], bool]:
    """Whether the modules of a kind are left unquantized, in at least half of the layers if listed one by one.

    Patterns are compared by the words in them and never run: a regular expression out of a file may take for ever.
    """
    names = ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules")
    listed = [pattern for name in names for pattern in _strings(config.get(name))]

    def kept(words: frozenset[str], not_words: frozenset[str]) -> bool:
        layers: set[str] = set()
        for pattern in listed:
            found = _words(pattern)
            if found & words and not found & not_words:
                number = re.search(r"layers\\?\.(\d{1,6})\b", pattern)
                if number is None:
                    return True
                layers.add(number[1])
        return 2 * len(layers) >= num_layers

    return kept


def _words(pattern: str) -> set[str]:
    return set(re.split(r"[^A-Za-z0-9_]+", pattern))


def _strings(values: object) -> Iterable[str]:
    """The first 10,000 strings of a list, each cut at 500 characters."""
    return [value[:500] for value in values[:10_000] if isinstance(value, str)] if isinstance(values, list) else []


def _bits(value: object) -> int:
    """A small positive whole number, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 4096 else 0
