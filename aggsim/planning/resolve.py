"""A Scenario meets its model and device: defaults that depend on them are filled in, what cannot be is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aggsim.devices.spec import DeviceSpec
from aggsim.engines import (
    BULK_ENGINES,
    CORRECTED_ENGINES,
    LABEL_ONLY_ENGINES,
    Ask,
    ask_engine,
    choose_engine,
    not_asked,
)
from aggsim.engines.base import Engine, EngineOptions, ForwardModel
from aggsim.errors import InputError
from aggsim.forward.corrections import CORRECTIONS
from aggsim.forward.layout import layout_problem
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization, Scenario
from aggsim.units import bytes_of_gib, gib

__all__ = ["Deployment", "resolve"]

INT8_VENDORS = ("ascend", "huawei", "test")
"""Where W8A8 is what people deploy, whether or not the device could do FP8; also whose devices the original knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A question that can be answered: what is deployed where, and who prices it."""

    asked: Scenario
    scenario: Scenario
    """As asked, with layout, quantization and engine settled; batch and token budget may still be to be found."""
    model: ModelSpec
    device: DeviceSpec
    engine: Engine
    layout: ParallelLayout
    quantization: Quantization
    options: EngineOptions
    fallback: str | None = None
    """Why `auto` did not take a better engine, in one sentence; None: this is the best, or was asked for by name."""
    notes: tuple[str, ...]
    """One sentence each, for the warnings of the answer."""

    @property
    def is_label_only(self) -> bool:
        """The engine knows nothing of the model and the device."""
        return self.engine.name in LABEL_ONLY_ENGINES

    @property
    def prices_in_bulk(self) -> bool:
        """A thousand shapes cost little more than one."""
        return self.engine.name in BULK_ENGINES

    @property
    def is_slow(self) -> bool:
        """A pass takes seconds."""
        return bool(getattr(self.engine, "slow", False))

    def bind(self) -> ForwardModel:
        """The engine bound to this deployment."""
        return self.engine.bind(self.model, self.device, self.layout, self.quantization, self.options)


def resolve(scenario: Scenario, model: ModelSpec, device: DeviceSpec, ask: Ask = ask_engine) -> Deployment:
    """Fill in layout, quantization and engine. ask: how an engine is asked whether it prices the combination.

    Raises InputError (naming the field) for what this model or device rules out, EngineError when nobody can price it.
    """
    label_only = scenario.engine in LABEL_ONLY_ENGINES
    if not label_only and bytes_of_gib(scenario.reserved_gib) > device.memory_bytes:
        allowed = f"0 to {gib(device.memory_bytes):g}, the memory of {device.device_id}"
        raise InputError("reserved_gib", scenario.reserved_gib, allowed)
    layout = _layout(scenario, model, device, label_only=label_only)
    quantization = _quantization(scenario, model, device)
    options = EngineOptions(
        num_mtp_tokens=scenario.mtp,
        reserved_bytes=bytes_of_gib(scenario.reserved_gib),
        backend=scenario.backend,
        law=scenario.law,
    )
    engine, fallback = choose_engine(scenario.engine, model, device, layout, quantization, options, ask)
    corrections = _corrections(scenario, device)
    if corrections == "all" and engine.name in CORRECTED_ENGINES:
        options = replace(options, corrections=frozenset(CORRECTIONS))
    settled = scenario.replace(
        tp=layout.tp,
        dp=layout.dp,
        ep=layout.ep,
        moe_dp=layout.moe_dp,
        linear=quantization.linear,
        experts=quantization.experts,
        engine=engine.name,
        corrections=corrections,
    )
    return Deployment(
        asked=scenario,
        scenario=settled,
        model=model,
        device=device,
        engine=engine,
        layout=layout,
        quantization=quantization,
        options=options,
        fallback=fallback or (not_asked(device) if scenario.engine == "auto" else None),
        notes=(*_ignored(scenario, model), *([fallback] if fallback else [])),
    )


def _layout(scenario: Scenario, model: ModelSpec, device: DeviceSpec, *, label_only: bool) -> ParallelLayout:
    """The first layout without a problem, larger tp and ep first; where all are fixed, the one that is asked for."""
    refusal: InputError | None = None
    for layout in _candidates(scenario, model, device):
        problem = None if label_only else layout_problem(model, device, layout)
        if problem is None:
            return layout
        field, allowed = problem
        value = scenario.devices if field == "devices" else getattr(layout, field)
        refusal = refusal or InputError(field, value, allowed)
    raise refusal or InputError("moe_dp", scenario.moe_dp, "a divisor of tp · dp")


def _candidates(scenario: Scenario, model: ModelSpec, device: DeviceSpec) -> Iterator[ParallelLayout]:
    stage = scenario.devices // scenario.pp
    if scenario.tp or scenario.dp:
        tensor = [scenario.tp or stage // (scenario.dp or 1)]
    else:
        tensor = [n for n in _powers_of_two_down(min(stage, device.num_devices_per_node)) if stage % n == 0]
    if model.is_moe:
        copies = scenario.moe_dp or 1
        ranks = stage // copies
        expert = [scenario.ep] if scenario.ep else [n for n in range(ranks, 0, -1) if ranks % n == 0]
    else:
        copies, expert = 1, [1]
    for tp in tensor:
        for ep in expert:
            yield ParallelLayout(
                tp=tp, dp=stage // tp, pp=scenario.pp, ep=ep, moe_tp=stage // (ep * copies), moe_dp=copies
            )


def _powers_of_two_down(limit: int) -> list[int]:
    return [1 << i for i in range(limit.bit_length() - 1, -1, -1)]


def _quantization(scenario: Scenario, model: ModelSpec, device: DeviceSpec) -> Quantization:
    own = model.quantization
    if scenario.linear is not None:
        linear, experts = scenario.linear, scenario.linear
    elif own is not None:
        linear, experts = own.linear, own.experts
    elif device.vendor.lower() in INT8_VENDORS:
        linear = experts = "w8a8_dynamic"
    else:
        linear = experts = "fp8" if device.mma_ops_per_s.get("fp8") else "none"
    return Quantization(linear=linear, experts=scenario.experts or experts, attention=scenario.attention)


def _corrections(scenario: Scenario, device: DeviceSpec) -> str:
    """none or all. Where the original can be asked too, its figures are the default; elsewhere what is measured is
    nearer to the corrected ones (the Accuracy page shows both)."""
    if scenario.corrections != "auto":
        return scenario.corrections
    return "none" if device.vendor.lower() in INT8_VENDORS else "all"


def _ignored(scenario: Scenario, model: ModelSpec) -> list[str]:
    if (scenario.ep or 1) * (scenario.moe_dp or 1) == 1 or model.is_moe:
        return []
    return [f"{model.model_id} has no experts: ep and moe_dp are ignored."]
