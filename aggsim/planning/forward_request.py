"""One forward pass as scripts ask for it: the fields of a recorded pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aggsim.devices.spec import DeviceSpec
from aggsim.engines import LABEL_ONLY_ENGINES, choose_engine
from aggsim.engines.base import Engine, EngineOptions, ForwardModel
from aggsim.errors import InputError
from aggsim.forward.batch import RequestGroup
from aggsim.forward.layout import layout_problem
from aggsim.models.spec import ModelSpec
from aggsim.parameters import PARAMETER, Kind, LinearLaw, Parameter
from aggsim.parameters_choices import ATTENTION_MODES, LINEAR_MODES
from aggsim.parameters_values import shown
from aggsim.scenario import ParallelLayout, Quantization
from aggsim.units import bytes_of_gib

__all__ = ["Binding", "ForwardRequest"]

LAYOUT_KEYS = ("tp", "dp", "pp", "ep", "moe_tp", "moe_dp")


def _field(key: str, kind: Kind, **rest: Any) -> Parameter:
    return Parameter(key=key, kind=kind, group="Advanced", label=key, help="", default=None, **rest)


_COUNT: dict[str, Any] = {"minimum": 1, "maximum": 10_000_000}
_FIELDS = {
    field.key: field
    for field in (
        _field("num_devices", "whole", minimum=1, maximum=4096),
        *(_field(key, "whole", minimum=1, maximum=4096) for key in LAYOUT_KEYS),
        _field("quantize_linear", "choice", choices=LINEAR_MODES),
        _field("quantize_experts", "choice", choices=LINEAR_MODES),
        _field("quantize_attention", "choice", choices=ATTENTION_MODES),
        _field("concurrency", "whole", **_COUNT),
        _field("query_len", "whole", **_COUNT),
        _field("seq_len", "whole", **_COUNT),
        *(PARAMETER[key] for key in ("model", "device", "engine", "law", "reserved_gib")),
        _field("num_mtp_tokens", "whole", maximum=PARAMETER["mtp"].maximum),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What is deployed where, and who prices it."""

    model: ModelSpec
    device: DeviceSpec
    engine: Engine
    layout: ParallelLayout
    quantization: Quantization
    options: EngineOptions

    def bind(self) -> ForwardModel:
        """The engine bound to the deployment."""
        return self.engine.bind(self.model, self.device, self.layout, self.quantization, self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRequest:
    """Price `group` on this deployment; group.num_requests counts over the whole deployment."""

    model: str
    device: str
    layout: ParallelLayout
    quantization: Quantization
    group: RequestGroup
    num_mtp_tokens: int = 0
    reserved_gib: float = 0.0
    engine: str = "analytic"
    law: LinearLaw | None = None

    @classmethod
    def from_json(cls, line: object) -> ForwardRequest:
        """Read model, device, num_devices, parallel {tp, dp, pp, ep, moe_tp, moe_dp}, quantize_linear,
        quantize_experts, quantize_attention, num_mtp_tokens, is_decode, concurrency, query_len, seq_len,
        reserved_gib, engine and law.

        Other keys are not looked at: a recorded pass carries its answer. Raises InputError naming the field.
        """
        if not isinstance(line, Mapping):
            raise InputError("line", shown(line), "a JSON object")
        is_decode = line.get("is_decode")
        if not isinstance(is_decode, bool):
            raise InputError("is_decode", shown(is_decode), "true or false")
        query_len, seq_len = _read(line, "query_len"), _read(line, "seq_len")
        if seq_len < query_len:
            raise InputError(
                "seq_len", seq_len, f"at least query_len, {query_len}: the context includes the new tokens"
            )
        linear = _label(line, "quantize_linear", "none")
        return cls(
            model=_read(line, "model"),
            device=_read(line, "device"),
            layout=_layout(line),
            quantization=Quantization(
                linear=linear,
                experts=_label(line, "quantize_experts", linear),
                attention=_label(line, "quantize_attention", "none"),
            ),
            group=RequestGroup(
                num_requests=_read(line, "concurrency"), query_len=query_len, seq_len=seq_len, is_decode=is_decode
            ),
            num_mtp_tokens=_read(line, "num_mtp_tokens", 0),
            reserved_gib=_read(line, "reserved_gib", 0.0),
            engine=_read(line, "engine", "analytic"),
            law=_read(line, "law", None),
        )

    def resolve(self, model: ModelSpec, device: DeviceSpec) -> Binding:
        """The engine that answers, and about what. Raises InputError or EngineError where it cannot be priced."""
        layout = (
            self.layout if model.is_moe else ParallelLayout(tp=self.layout.tp, dp=self.layout.dp, pp=self.layout.pp)
        )
        if self.engine not in LABEL_ONLY_ENGINES and (problem := layout_problem(model, device, layout)):
            field, allowed = problem
            raise InputError(field, layout.num_devices if field == "devices" else getattr(layout, field), allowed)
        options = EngineOptions(
            num_mtp_tokens=self.num_mtp_tokens, reserved_bytes=bytes_of_gib(self.reserved_gib), law=self.law
        )
        engine, _ = choose_engine(self.engine, model, device, layout, self.quantization, options)
        return Binding(
            model=model,
            device=device,
            engine=engine,
            layout=layout,
            quantization=self.quantization,
            options=options,
        )


def _read(line: Mapping[Any, Any], key: str, *default: Any) -> Any:
    """The checked value; a missing or null one is the default, or an error where there is none."""
    value = line.get(key)
    return default[0] if default and value is None else _FIELDS[key].check(value)


def _label(line: Mapping[Any, Any], key: str, default: str) -> str:
    """A quantization label in either spelling: W8A8_DYNAMIC or w8a8_dynamic, DISABLED or none."""
    value = line.get(key)
    if isinstance(value, str):
        value = value.lower().replace("disabled", "none")
    return str(_read({key: value}, key, default))


def _layout(line: Mapping[Any, Any]) -> ParallelLayout:
    """The parallel object, 1 where it says nothing."""
    parts = line.get("parallel", {})
    if not isinstance(parts, Mapping):
        raise InputError("parallel", shown(parts), f"an object with {', '.join(LAYOUT_KEYS)}")
    layout = ParallelLayout(**{key: _read(parts, key, 1) for key in LAYOUT_KEYS})
    if _read(line, "num_devices", layout.num_devices) != layout.num_devices:
        raise InputError("num_devices", line["num_devices"], f"tp · dp · pp = {layout.num_devices}")
    return layout
