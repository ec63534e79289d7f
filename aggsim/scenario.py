"""What the user asks: the Scenario, its parts, and the rules between its fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from aggsim.errors import InputError
from aggsim.parameters import GROUPS, PARAMETER, PARAMETERS, LinearLaw, Parameter
from aggsim.parameters_choices import ATTENTION_MODES, LINEAR_MODES, SCHEDULER_NAMES
from aggsim.parameters_load import is_used
from aggsim.parameters_values import shown
from aggsim.scenario_own import named

__all__ = [
    "ATTENTION_MODES",
    "GROUPS",
    "LINEAR_MODES",
    "PARAMETER",
    "PARAMETERS",
    "SCHEDULER_NAMES",
    "LinearLaw",
    "ParallelLayout",
    "Parameter",
    "Quantization",
    "Scenario",
    "Workload",
    "shown",
]

BURST_SCHEDULERS = ("decode_first_with_slack",)
"""Of SCHEDULER_NAMES: those that know a burst."""
_DEFAULT: dict[str, Any] = {parameter.key: parameter.default for parameter in PARAMETERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelLayout:
    """How a deployment is cut. tp·dp·pp = num_devices; for MoE layers ep·moe_tp·moe_dp = tp·dp (all 1: not said)."""

    tp: int = 1
    dp: int = 1
    pp: int = 1
    ep: int = 1
    moe_tp: int = 1
    moe_dp: int = 1

    def __post_init__(self) -> None:
        for name, key in (
            ("tp", "tp"),
            ("dp", "dp"),
            ("pp", "pp"),
            ("ep", "ep"),
            ("moe_tp", "ep"),
            ("moe_dp", "moe_dp"),
        ):
            object.__setattr__(self, name, PARAMETER[key].check(getattr(self, name)))
        experts = self.ep * self.moe_tp * self.moe_dp
        if experts not in (1, self.tp * self.dp):
            raise InputError("ep", self.ep, f"ep · moe_tp · moe_dp = tp · dp = {self.tp * self.dp}, here {experts}")

    @property
    def num_devices(self) -> int:
        return self.tp * self.dp * self.pp


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Labels: linear and experts from LINEAR_MODES, attention (the KV cache) from ATTENTION_MODES."""

    linear: str = "none"
    experts: str = "none"
    attention: str = "none"

    def __post_init__(self) -> None:
        for key in ("linear", "experts", "attention"):
            label = getattr(self, key)
            if label not in PARAMETER[key].choices:
                raise InputError(key, label, ", ".join(PARAMETER[key].choices))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of request."""

    num_input_tokens: int
    num_output_tokens: int
    prefix_cache_hit_rate: float = 0.0
    num_mtp_tokens: int = 0
    mtp_acceptance_rates: tuple[float, ...] = _DEFAULT["mtp_rates"]

    def __post_init__(self) -> None:
        for name, key in (
            ("num_input_tokens", "input"),
            ("num_output_tokens", "output"),
            ("prefix_cache_hit_rate", "prefix_hit"),
            ("num_mtp_tokens", "mtp"),
            ("mtp_acceptance_rates", "mtp_rates"),
        ):
            object.__setattr__(self, name, PARAMETER[key].check(getattr(self, name)))
        rates = len(self.mtp_acceptance_rates)
        if self.num_mtp_tokens > rates + 1:
            allowed = f"at most {rates + 1}, one more than there are acceptance rates (mtp_rates)"
            raise InputError("mtp", self.num_mtp_tokens, allowed)

    @property
    def effective_input_tokens(self) -> int:
        """Prompt tokens that need prefill; at least 1, since the hit rate is below 1."""
        return self.num_input_tokens - int(self.num_input_tokens * self.prefix_cache_hit_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that determines an answer. Its attributes are the keys of PARAMETERS, in that order.

    None stands for a value still to be found (auto), for no limit (ttft, tpot) or for no law. A Scenario checks what it
    can alone; what depends on the model or the device is service's. ttft and tpot in milliseconds.
    """

    model: str = _DEFAULT["model"]
    device: str = _DEFAULT["device"]
    devices: int = _DEFAULT["devices"]
    tp: int | None = _DEFAULT["tp"]
    pp: int = _DEFAULT["pp"]
    dp: int | None = _DEFAULT["dp"]
    ep: int | None = _DEFAULT["ep"]
    moe_dp: int | None = _DEFAULT["moe_dp"]
    linear: str | None = _DEFAULT["linear"]
    experts: str | None = _DEFAULT["experts"]
    attention: str = _DEFAULT["attention"]
    input: int = _DEFAULT["input"]
    output: int = _DEFAULT["output"]
    batch: int | None = _DEFAULT["batch"]
    prefix_hit: float = _DEFAULT["prefix_hit"]
    mtp: int = _DEFAULT["mtp"]
    mtp_rates: tuple[float, ...] = _DEFAULT["mtp_rates"]
    max_batched_tokens: int | None = _DEFAULT["max_batched_tokens"]
    reserved_gib: float = _DEFAULT["reserved_gib"]
    ttft: float | None = _DEFAULT["ttft"]
    tpot: float | None = _DEFAULT["tpot"]
    engine: str = _DEFAULT["engine"]
    backend: str = _DEFAULT["backend"]
    law: LinearLaw | None = _DEFAULT["law"]
    corrections: str = _DEFAULT["corrections"]
    scheduler: str = _DEFAULT["scheduler"]
    timing: str = _DEFAULT["timing"]
    rules: str = _DEFAULT["rules"]
    arrival: str = _DEFAULT["arrival"]
    users: int | None = _DEFAULT["users"]
    rate: float | None = _DEFAULT["rate"]
    cv: float = _DEFAULT["cv"]
    trace: str | None = _DEFAULT["trace"]
    length_spread: str = _DEFAULT["length_spread"]
    max_num_seqs: int | None = _DEFAULT["max_num_seqs"]
    kv_block: int | None = _DEFAULT["kv_block"]
    mixed: str = _DEFAULT["mixed"]
    percentile: str = _DEFAULT["percentile"]
    seeds: int = _DEFAULT["seeds"]

    def __post_init__(self) -> None:
        for parameter in PARAMETERS:
            object.__setattr__(self, parameter.key, parameter.check(getattr(self, parameter.key)))
        self._check_layout()
        self._check_serving()

    # Every rule below blames a field that is not at its default: dropping that field always leads to a valid Scenario.

    def _check_layout(self) -> None:
        _check_divides("pp", self.pp, self.devices, "devices")
        stage = self.devices // self.pp
        where = "devices" if self.pp == 1 else f"devices ÷ pp = {self.devices} ÷ {self.pp}"
        _check_divides("tp", self.tp or 1, stage, where)
        _check_divides("dp", self.dp or 1, stage, where)
        if self.tp and self.dp and self.tp * self.dp != stage:
            allowed = f"devices ÷ (tp · pp) = {self.devices} ÷ ({self.tp} · {self.pp}) = {stage // self.tp}, or auto"
            raise InputError("dp", self.dp, allowed)
        _check_divides("ep", self.ep or 1, stage, "tp · dp")
        _check_divides("moe_dp", self.moe_dp or 1, stage // (self.ep or 1), "tp · dp ÷ ep")

    def _check_serving(self) -> None:
        prompt = self.workload().effective_input_tokens
        if self.timing == "wave" and self.max_batched_tokens and prompt > self.max_batched_tokens:
            allowed = (
                f"auto or stepped: the prompt's {prompt:,} tokens exceed max_batched_tokens {self.max_batched_tokens:,}"
            )
            raise InputError("timing", "wave", allowed)
        if self.engine == "linear" and self.law is None:
            raise InputError("engine", "linear", f"linear together with a law: {PARAMETER['law'].allowed}")
        if self.engine != "linear" and self.law is not None:
            raise InputError("law", "a law", f"none, since engine is {self.engine}; a law goes with engine linear")
        if self.arrival == "trace" and self.trace is None:
            raise InputError("arrival", "trace", f"trace together with a trace: {PARAMETER['trace'].allowed}")
        if self.arrival == "burst" and self.scheduler not in BURST_SCHEDULERS:
            needs = "the others need requests that arrive: arrival closed, open or trace"
            raise InputError("scheduler", self.scheduler, f"{', '.join(BURST_SCHEDULERS)} for a burst; {needs}")

    @property
    def model_name(self) -> str:
        """What the model is called on screen: an own one's id is long."""
        return named(self.model)

    @property
    def device_name(self) -> str:
        """What the device is called on screen."""
        return named(self.device)

    @property
    def is_complete(self) -> bool:
        """No value is left to be found: no auto anywhere."""
        spelled = (p.format(getattr(self, p.key)) for p in PARAMETERS if p.kind != "text" and self.uses(p.key))
        return "auto" not in spelled

    @property
    def is_load(self) -> bool:
        """Requests arrive one by one: it is simulated request by request."""
        return self.arrival != "burst"

    def uses(self, key: str) -> bool:
        """False: this kind of arrival does not look at that field."""
        return is_used(key, self.arrival)

    def as_burst(self) -> Scenario:
        """The same question of a burst, under a scheduler that knows one."""
        known = self.scheduler in BURST_SCHEDULERS
        return self.replace(arrival="burst", scheduler=self.scheduler if known else BURST_SCHEDULERS[0])

    def replace(self, **changes: Any) -> Scenario:
        """This scenario with other values, checked anew."""
        return replace(self, **changes)

    def workload(self) -> Workload:
        """What one request is."""
        return Workload(
            num_input_tokens=self.input,
            num_output_tokens=self.output,
            prefix_cache_hit_rate=self.prefix_hit,
            num_mtp_tokens=self.mtp,
            mtp_acceptance_rates=self.mtp_rates,
        )

    def layout(self) -> ParallelLayout:
        """How a resolved scenario is cut; moe_tp is what ep and moe_dp leave. InputError where a part is still auto."""
        tp, dp, ep, moe_dp = (self._found(key) for key in ("tp", "dp", "ep", "moe_dp"))
        return ParallelLayout(tp=tp, dp=dp, pp=self.pp, ep=ep, moe_tp=tp * dp // (ep * moe_dp), moe_dp=moe_dp)

    def quantization(self) -> Quantization:
        """The number formats of a resolved scenario. Raises InputError where one is auto."""
        return Quantization(linear=self._found("linear"), experts=self._found("experts"), attention=self.attention)

    def _found(self, key: str) -> Any:
        value = getattr(self, key)
        if value is None:
            raise InputError(key, "auto", "a value, once the scenario has been resolved against model and device")
        return value


def _check_divides(key: str, value: int, whole: int, name: str) -> None:
    if whole % value:
        divisors = [str(n) for n in range(1, whole + 1) if whole % n == 0]
        listed = ", ".join(divisors if len(divisors) <= 16 else [*divisors[:15], "…", divisors[-1]])
        raise InputError(key, value, f"a divisor of {name} ({whole}): {listed}")
