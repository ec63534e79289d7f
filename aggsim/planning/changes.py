"""Single changes to a scenario that a planner would think of next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aggsim.devices.spec import DeviceSpec
from aggsim.errors import AggsimError
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.resolve import Deployment
from aggsim.scenario import Scenario

__all__ = ["Change", "Proposal", "proposals"]

RELAXED = 1.1
PREFIX_HIT = 0.5
LINEAR_FAMILIES = ("none", "w8a8_dynamic", "w4a8_dynamic", "w4a16", "fp8", "mxfp4", "nvfp4")
"""One label of each that costs something else: static and dynamic scales, and W8A16, cost what W8A8 does."""
CACHE_FORMATS = ("int8", "fp8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One field at another value."""

    key: str
    value: str | int | float
    scenario: Scenario | None
    """Batch size open; None: no such scenario."""
    reason: str = ""
    """Why it is impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proposal, answered."""

    key: str
    """The field that changes."""
    value: str | int | float
    scenario: Scenario | None
    """To open, batch size open; None: impossible in itself."""
    best: TriedBatch | None = None
    """None: no batch size meets the limits."""
    first: TriedBatch | None = None
    """Batch size 1, and what stops it where there is no best."""
    num_devices: int = 1
    engine: str = ""
    now_per_device: float = 0.0
    """Output tokens/s per device without the change, by the engine that answered with it."""
    reason: str = ""
    """Why it was not tried, in one sentence; empty: it was."""

    @classmethod
    def impossible(cls, proposal: Proposal, reason: str) -> Change:
        return cls(key=proposal.key, value=proposal.value, scenario=proposal.scenario, reason=reason)

    @property
    def output_tokens_per_s(self) -> float:
        return self.best.output_tokens_per_s if self.best else 0.0

    @property
    def output_tokens_per_s_per_device(self) -> float:
        return self.output_tokens_per_s / self.num_devices

    @property
    def gain(self) -> float | None:
        """Throughput per device ÷ that of now, − 1; None: now there is none."""
        return self.output_tokens_per_s_per_device / self.now_per_device - 1 if self.now_per_device else None


def proposals(asked: Scenario, now: Deployment, devices: Mapping[str, DeviceSpec]) -> Iterator[Proposal]:
    """In a fixed order. The cut of now stays where the change leaves it: tp as it is, dp and open ep follow."""
    scenario = asked.replace(tp=now.layout.tp, dp=None, batch=None)

    def propose(key: str, value: Any, of: Scenario = scenario) -> Proposal:
        try:
            return Proposal(key=key, value=value, scenario=of.replace(**{key: value}))
        except AggsimError as error:
            return Proposal(key=key, value=value, scenario=None, reason=str(error))

    for key in ("tpot", "ttft"):
        limit = getattr(asked, key)
        if limit is not None:
            yield propose(key, round(limit * RELAXED, 6))
    if asked.prefix_hit < PREFIX_HIT:
        yield propose("prefix_hit", PREFIX_HIT)
    yield propose("devices", 2 * asked.devices)
    if now.is_label_only:  # a law knows nothing of formats, devices and cuts
        return
    for label in CACHE_FORMATS:
        if label != now.quantization.attention:
            yield propose("attention", label)
    for label in LINEAR_FAMILIES:
        if label != _family(now.quantization.linear):
            yield propose("linear", label)
    for tp in (2 * now.layout.tp, now.layout.tp // 2):
        if tp:
            yield propose("tp", tp)
    yield propose("mtp", asked.mtp + 1)
    for device_id, device in devices.items():
        if device.vendor == now.device.vendor and device_id != asked.device:
            yield propose("device", device_id)


def _family(linear: str) -> str:
    bits, _, scales = linear.partition("_")
    return f"{'w8a8' if bits == 'w8a16' else bits}_dynamic" if scales else linear
