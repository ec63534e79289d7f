"""Deployments for the tests of the forward pass: a bundled model or one made up of a single kind of layer."""

from __future__ import annotations

from typing import Any

from aggsim.devices import DeviceSpec
from aggsim.devices.catalog import load_device
from aggsim.engines.analytic import AnalyticEngine, AnalyticForward
from aggsim.engines.base import EngineOptions
from aggsim.forward.batch import RequestGroup
from aggsim.forward.cost import ForwardCost, OpCost
from aggsim.forward.layout import layout_problem
from aggsim.models.catalog import load_model
from aggsim.models.spec import AttentionSpec, FeedForward, LayerSpec, Mixer, MlpSpec, ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

MLP = MlpSpec(intermediate_size=4096)


def make_attention(**changes: Any) -> AttentionSpec:
    return AttentionSpec(**{"num_heads": 8, "num_kv_heads": 4, "head_dim": 128, "v_head_dim": 128, **changes})


def make_model(
    mixer: Mixer | None, feed_forward: FeedForward | tuple[FeedForward, ...] | None = MLP, **changes: Any
) -> ModelSpec:
    """One layer of this kind, 1,024 wide, with a vocabulary of 1,000."""
    layer = LayerSpec(mixer=mixer, feed_forward=feed_forward, num_norms=changes.pop("num_norms", 2))
    values: dict[str, Any] = {
        "model_id": "made/up",
        "architecture": "MadeUpForCausalLM",
        "hidden_size": 1024,
        "vocab_size": 1000,
        "layers": (layer,),
        "tie_word_embeddings": False,
        "max_position_embeddings": 4096,
    }
    return ModelSpec(**{**values, **changes})


def bind(
    model: ModelSpec | str,
    layout: ParallelLayout | None = None,
    quantization: Quantization | None = None,
    device: DeviceSpec | str = "TEST_DEVICE",
    **options: Any,
) -> AnalyticForward:
    return AnalyticEngine().bind(
        load_model(model) if isinstance(model, str) else model,
        load_device(device) if isinstance(device, str) else device,
        layout or ParallelLayout(),
        quantization or Quantization(),
        EngineOptions(**options),
    )


def all_of(mode: str, attention: str = "none") -> Quantization:
    return Quantization(linear=mode, experts=mode, attention=attention)


def decode(seq_len: int = 1000, num_requests: int = 8, query_len: int = 1) -> RequestGroup:
    return RequestGroup(num_requests=num_requests, query_len=query_len, seq_len=seq_len, is_decode=True)


def prefill(query_len: int = 1000, num_requests: int = 4, cached: int = 0) -> RequestGroup:
    return RequestGroup(num_requests=num_requests, query_len=query_len, seq_len=query_len + cached, is_decode=False)


def suitable_layout(model: ModelSpec, num_devices: int = 16) -> ParallelLayout:
    """Two stages; the largest tp that the model allows, experts spread over the devices of a stage."""
    device, stage = load_device("TEST_DEVICE"), num_devices // 2
    for tp in (8, 4, 2, 1):
        for ep in (stage, stage // 2, 1) if model.is_moe else (1,):
            layout = ParallelLayout(tp=tp, dp=stage // tp, pp=2, ep=ep, moe_tp=stage // ep if model.is_moe else 1)
            if layout_problem(model, device, layout) is None:
                return layout
    raise AssertionError(f"no layout for {model.model_id}")


def named(cost: ForwardCost, name: str) -> OpCost:
    """The one operator of this name."""
    (found,) = (op for op in cost.ops if op.name == name)
    return found


def names(cost: ForwardCost) -> set[str]:
    return {op.name for op in cost.ops}
