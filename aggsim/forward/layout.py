"""Which parallel layouts are possible for a model on a device, and why not."""

from __future__ import annotations

from aggsim.devices.spec import DeviceSpec
from aggsim.models.spec import AttentionSpec, MlaSpec, ModelSpec, MoeSpec
from aggsim.scenario import ParallelLayout


def layout_problem(model: ModelSpec, device: DeviceSpec, layout: ParallelLayout) -> tuple[str, str] | None:
    """(Scenario key at fault, what is allowed) when the layout is impossible, else None."""
    if layout.num_devices > device.num_devices_max:
        return "devices", f"at most {device.num_devices_max}, the whole grid of {device.device_id}"
    if layout.pp > model.num_layers:
        return "pp", f"at most {model.num_layers}, the layers of {model.model_id}"
    for heads in sorted({h for layer in model.layers if (h := _heads(layer.mixer))}):
        if heads % layout.tp:
            return "tp", f"a divisor of the {heads} attention heads of {model.model_id}"
    for experts in sorted({p.num_experts for layer in model.layers for p in layer.feed_forward_parts
                           if isinstance(p, MoeSpec)}):  # fmt: skip
        if layout.ep > experts:
            return "ep", f"at most {experts}, the experts of {model.model_id}"
    for width in sorted(_widths(model)):
        if layout.moe_tp > 1 and width % layout.moe_tp:
            return (
                "ep",
                f"a value that leaves moe_tp a divisor of the experts' width {width} (it would be {layout.moe_tp})",
            )
    return None


def _heads(mixer: object) -> int:
    return mixer.num_heads if isinstance(mixer, AttentionSpec | MlaSpec) else 0


def _widths(model: ModelSpec) -> set[int]:
    parts = (part for layer in model.layers for part in layer.feed_forward_parts)
    return {part.expert_intermediate_size for part in parts if isinstance(part, MoeSpec)}
