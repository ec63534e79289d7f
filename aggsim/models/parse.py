"""A Hugging Face config.json → ModelSpec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aggsim.models.families import FAMILIES
from aggsim.models.quantization import read_quantization
from aggsim.models.reader import ConfigReader, printable
from aggsim.models.spec import ModelSpec

__all__ = ["parse_config"]

TOWERS = {"vision_config": "vision tower", "audio_config": "audio tower"}
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4, "auto": 2}
MAX_HIDDEN = 2**20
MAX_POSITIONS = 10**9


def parse_config(config: Mapping[str, Any], model_id: str, source: str) -> ModelSpec:
    """Read one model description.

    config: the decoded config.json; model_id and source: what answers call the model and where it is from.
    Of a multimodal model the language model inside (text_config) is read. Raises UnsupportedModelError, naming the
    architecture and the field, where the cost of the model cannot be known.
    """
    outer = ConfigReader(config, _architecture(config))
    inner = outer.section("text_config")
    text = outer if inner is None else ConfigReader(inner, outer.architecture)
    text.fixed("is_encoder_decoder", False)
    stack = FAMILIES[_family(outer, text)](text)
    quantization, doubts = read_quantization(outer, text, len(stack.layers))
    towers = tuple(f"The {tower} is not counted." for name, tower in TOWERS.items() if outer.section(name) is not None)
    if inner is not None and not towers:
        towers = ("Only the language model is counted, no vision tower.",)
    tied = text.flag("tie_word_embeddings", default=stack.ties_by_default)
    sizes = {
        "hidden_size": text.count("hidden_size", at_most=MAX_HIDDEN),
        "vocab_size": text.count("vocab_size"),
        "max_position_embeddings": text.count("max_position_embeddings", at_most=MAX_POSITIONS),
        "dtype_bytes": _dtype_bytes(text) or _dtype_bytes(outer) or 2,
    }
    unread = text.unread()
    strange = (f"Fields of config.json not understood: {', '.join(unread)}.",) if unread else ()
    return ModelSpec(
        model_id=model_id,
        architecture=outer.architecture,
        layers=stack.layers,
        tie_word_embeddings=outer.flag("tie_word_embeddings", default=tied),
        quantization=quantization,
        num_mtp_layers=stack.num_mtp_layers,
        mtp_layer=stack.mtp_layer,
        rms_norm_eps=text.small_number("rms_norm_eps", default=1e-6),
        warnings=towers + stack.warnings + doubts + strange,
        unread_fields=unread,
        source=source,
        **sizes,
    )


def _architecture(config: Mapping[str, Any]) -> str:
    """The class a checkpoint names first, else its model_type: what error messages call the model."""
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else config.get("model_type")
    return printable(name) if isinstance(name, str) else ""


def _family(outer: ConfigReader, text: ConfigReader) -> str:
    """The FAMILIES key: the model_type, else what the class is called (DeepseekV3ForCausalLM → deepseek_v3)."""
    model_type = text.text("model_type") or outer.text("model_type") or ""
    family = model_type.removesuffix("_text")
    if family not in FAMILIES:
        by_class = {key.replace("_", ""): key for key in FAMILIES}
        family = by_class.get(outer.architecture.split("For")[0].replace("_", "").lower(), "")
    if not family:
        shown = f'"{printable(model_type)}"' if model_type else "missing"
        raise outer.refuse("model_type", f"is {shown}, which is no model family that aggsim reads")
    return family


def _dtype_bytes(reader: ConfigReader) -> int | None:
    for name in ("dtype", "torch_dtype"):
        word = reader.word(name, tuple(DTYPE_BYTES), default="")
        if word:
            return DTYPE_BYTES[word]
    return None
