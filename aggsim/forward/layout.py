"""Which parallel layouts are possible for a model on a device, and why not.

Widths that tp does not divide (a feed-forward block's, the vocabulary's) are padded, as in the original: the fullest
rank is priced. Heads and experts are never split.
"""

from __future__ import annotations

from collections.abc import Iterator

from aggsim.devices.spec import DeviceSpec
from aggsim.models.spec import AttentionSpec, GatedDeltaSpec, MambaSpec, Mixer, MlaSpec, ModelSpec, MoeSpec
from aggsim.scenario import ParallelLayout

Problem = tuple[str, str]
"""Scenario key at fault, and what is allowed."""


def layout_problem(model: ModelSpec, device: DeviceSpec, layout: ParallelLayout) -> Problem | None:
    """What makes the layout impossible, or None."""
    if layout.num_devices > device.num_devices_max:
        return "devices", f"at most {device.num_devices_max}, the whole grid of {device.device_id}"
    if layout.pp > model.num_layers:
        return "pp", f"at most {model.num_layers}, the layers of {model.model_id}"
    layers = {id(layer): layer for layer in model.layers}.values()
    problems = [problem for layer in layers for problem in _mixer_problems(layer.mixer, layout.tp, model.model_id)]
    for layer in layers:
        for part in layer.feed_forward_parts:
            if isinstance(part, MoeSpec):
                problems.extend(_expert_problems(part, layout, model.model_id))
    return problems[0] if problems else None


def _mixer_problems(mixer: Mixer | None, tp: int, model_id: str) -> Iterator[Problem]:
    whole, shared = _heads(mixer)
    for count, name in whole:
        if count % tp:
            yield "tp", f"a divisor of the {count} {name} of {model_id}"
    for count, name in shared:
        if count % tp and tp % count:
            yield "tp", f"a divisor or a multiple of the {count} {name} of {model_id}"


def _heads(mixer: Mixer | None) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Heads that are dealt out to the ranks, and those that more ranks than heads may hold copies of."""
    match mixer:
        case AttentionSpec():
            return [(mixer.num_heads, "attention heads")], [(mixer.num_kv_heads, "KV heads")]
        case MlaSpec():
            return [(mixer.num_heads, "attention heads")], []
        case GatedDeltaSpec():
            return [(mixer.num_k_heads, "linear key heads"), (mixer.num_v_heads, "linear value heads")], []
        case MambaSpec():
            return [(mixer.num_heads, "Mamba heads")], [(mixer.num_groups, "Mamba groups")]
        case None:
            return [], []


def _expert_problems(moe: MoeSpec, layout: ParallelLayout, model_id: str) -> Iterator[Problem]:
    width, moe_tp = moe.expert_intermediate_size, layout.moe_tp
    if layout.ep > moe.num_experts:
        yield "ep", f"at most {moe.num_experts}, the experts of {model_id}"
    if width % moe_tp:
        yield "ep", f"a value that leaves moe_tp a divisor of the experts' width {width} (it would be {moe_tp})"
