"""Which scenarios a search consists of: every combination of what its question leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.quantized import LINEAR
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ATTENTION_MODES, LINEAR_MODES, Quantization
from aggsim.scenario_search import ALL, OPEN, SearchQuestion, Value

__all__ = ["Variant", "lacking_units", "powers_of_two_in", "variants"]

Variant = dict[str, Value]
"""The keys of AXES that a variant settles; the others are as in the question's base."""
Values = Sequence[Value | None]
CACHE_UNITS = {"int8": "int8", "fp8": "fp8"}
"""What attention multiplies in, by the format of the KV cache."""


def variants(question: SearchQuestion, model: ModelSpec, device_ids: Sequence[str]) -> Iterator[Variant]:
    """In the order of AXES, ascending where all are tried; what a list names is yielded even where it is impossible.

    device_ids: what device=all stands for.
    """
    asked = _Asked(question)
    mtp_tokens = range(len(question.base.mtp_rates) + 1)
    formats = [
        {"linear": linear, "experts": experts, "attention": attention, "mtp": mtp}
        for linear in asked.values("linear", LINEAR_MODES)
        for experts in asked.values("experts", LINEAR_MODES)
        for attention in asked.values("attention", ATTENTION_MODES)
        for mtp in asked.values("mtp", mtp_tokens)
    ]
    for device in asked.values("device", device_ids):
        for devices in asked.numbers("devices"):
            stages = [n for n in powers_of_two_in(devices) if n <= model.num_layers]
            for pp in asked.numbers("pp", stages):
                for cut in _cuts(asked, max(1, devices // pp), is_moe=model.is_moe):
                    for labels in formats:
                        settled = {"device": device, "devices": devices, "pp": pp, **cut, **labels}
                        yield {key: value for key, value in settled.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question's values, key by key."""

    question: SearchQuestion

    def values(self, key: str, every: Values = ()) -> Values:
        """Those of the axis, or the one of base; `every` where all are asked for."""
        base = self.question.base
        values: Values = self.question.varied.get(key, (getattr(base, key),))
        is_open = values == (None,) and key in OPEN
        return every if is_open or values == (ALL,) else values

    def numbers(self, key: str, every: Values = ()) -> list[int]:
        """The values of a field that is never auto."""
        return [int(value) for value in self.values(key, every) if value is not None]


def _cuts(asked: _Asked, stage: int, *, is_moe: bool) -> Iterator[dict[str, Value | None]]:
    """tp, dp, ep and moe_dp of the devices of one stage; what is open is every power of two that divides the rest."""
    for dp in asked.values("dp"):
        for tp in asked.values("tp", powers_of_two_in(stage) if dp is None else [max(1, stage // int(dp))]):
            for ep in asked.values("ep", powers_of_two_in(stage)) if is_moe else (None,):
                copies = powers_of_two_in(max(1, stage // int(ep or 1)))
                for moe_dp in asked.values("moe_dp", copies) if is_moe else (None,):
                    yield {"tp": tp, "dp": dp, "ep": ep, "moe_dp": moe_dp}


def powers_of_two_in(number: int) -> list[int]:
    """The powers of two that divide a positive number, ascending."""
    return [1 << i for i in range((number & -number).bit_length())]


def lacking_units(device: DeviceSpec, quantization: Quantization) -> str | None:
    """Why the matrix units of a device cannot run one of these formats; None: they can.

    Work in a dtype that the device lacks costs no time, as in the original: whoever compares formats or devices would
    take it for the best.
    """
    needs = {"linear": LINEAR[quantization.linear].mma, "experts": LINEAR[quantization.experts].mma}
    needs["attention"] = CACHE_UNITS.get(quantization.attention, "fp16")
    for key, dtype in needs.items():
        if dtype not in device.mma_ops_per_s:
            return f"{key} {getattr(quantization, key)}: {device.device_id} has no matrix units for {dtype.upper()}."
    return None
