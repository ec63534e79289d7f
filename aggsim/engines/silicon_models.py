"""Our ModelSpec → a config.json that aiconfigurator-core builds the same model from."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aggsim.engines.silicon_tables import silicon_models
from aggsim.errors import InputError, UnsupportedModelError
from aggsim.models.catalog import load_model_path
from aggsim.models.spec import AttentionSpec, LayerSpec, MlpSpec, ModelSpec, MoeSpec

__all__ = ["has_own_config", "model_folder", "model_problem"]


def has_own_config(model: ModelSpec) -> bool:
    """The package brings this very model along: by its id, and equal to ours in everything that costs time."""
    known = _known(model.model_id)
    return known is not None and _shape(known) == _shape(model)


def model_problem(model: ModelSpec) -> str | None:
    """None: the package can build the model; else why not."""
    if has_own_config(model) or _plain_config(model) is not None:
        return None
    return (
        f"{model.model_id} is none of its models, and its layers are more than attention over the whole context "
        "followed by one gated MLP or one set of routed experts"
    )


@contextlib.contextmanager
def model_folder(model: ModelSpec) -> Iterator[str]:
    """What to call the model there: an id that it knows, or a folder that exists meanwhile and holds a config.json."""
    if has_own_config(model):
        from aiconfigurator_core.sdk.common import DefaultHFModels

        if model.model_id in DefaultHFModels:
            yield model.model_id
            return
        text = _config_file(model.model_id).read_text()
    else:
        text = json.dumps(_plain_config(model))
    with tempfile.TemporaryDirectory(prefix="aggsim-") as folder:
        (Path(folder) / "config.json").write_text(text)
        yield folder


@functools.cache
def _known(model_id: str) -> ModelSpec | None:
    with contextlib.suppress(KeyError, InputError, UnsupportedModelError):
        return load_model_path(_config_file(model_id))
    return None


def _config_file(model_id: str) -> Path:
    return {known.model_id: known.path for known in silicon_models()}[model_id]


def _shape(model: ModelSpec) -> tuple[Any, ...]:
    return model.architecture, model.layers, model.hidden_size, model.vocab_size


def _plain_config(model: ModelSpec) -> dict[str, Any] | None:
    """The config.json of a decoder whose layers are all alike and plain; None: it is not one."""
    (layer, *others) = set(model.layers)
    if others or not isinstance(layer.mixer, AttentionSpec) or not _is_whole_context(layer.mixer):
        return None
    feed_forward = _feed_forward(layer)
    if feed_forward is None:
        return None
    attention = layer.mixer
    norms = {True: "Qwen3ForCausalLM", False: "LlamaForCausalLM"}
    expert_norms = {True: "Qwen3MoeForCausalLM", False: "MixtralForCausalLM"}
    architecture = (expert_norms if model.is_moe else norms)[attention.qk_norm]
    return {
        "architectures": [architecture],
        "num_hidden_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.head_dim,
        "vocab_size": model.vocab_size,
        "max_position_embeddings": model.max_position_embeddings,
        **feed_forward,
    }


def _is_whole_context(attention: AttentionSpec) -> bool:
    unusual = attention.window_tokens or attention.chunk_tokens or attention.sinks or attention.output_gate
    return not unusual and attention.v_head_dim == attention.head_dim and not attention.kv_shared


def _feed_forward(layer: LayerSpec) -> dict[str, Any] | None:
    match layer.feed_forward_parts:
        case (MlpSpec(gated=True) as mlp,):
            return {"intermediate_size": mlp.intermediate_size}
        case (MoeSpec(gated=True, shared_intermediate_size=0) as moe,):
            return {
                "intermediate_size": moe.expert_intermediate_size,
                "moe_intermediate_size": moe.expert_intermediate_size,
                "num_experts": moe.num_experts,
                "num_experts_per_tok": moe.experts_per_token,
            }
        case _:
            return None
