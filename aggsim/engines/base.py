"""The contract between whoever prices forward passes and everyone who asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from aggsim.devices.spec import DeviceSpec
from aggsim.errors import InputError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.corrections import check_corrections
from aggsim.forward.cost import ForwardCost, Prices
from aggsim.models.spec import ModelSpec
from aggsim.scenario import LinearLaw, ParallelLayout, Quantization


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What besides model, device, layout and quantization changes a price."""

    num_mtp_tokens: int = 0
    reserved_bytes: float = 0.0
    """Memory per device that serving software keeps for itself."""
    backend: str = "vllm"
    law: LinearLaw | None = None
    num_microbatches: int = 1
    """Parts that a pass is cut into by requests to fill a pipeline of stages; 1: the stages wait for one another, as
    in the original. Engine analytic only."""
    corrections: frozenset[str] = frozenset()
    """Names of CORRECTIONS: where not to follow the original. Engine analytic only."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "corrections", check_corrections(self.corrections))
        if self.num_microbatches < 1:
            raise InputError("num_microbatches", self.num_microbatches, "a whole number from 1")


@runtime_checkable
class ForwardModel(Protocol):
    """An engine bound to one deployment; pure: the same batch always costs the same."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence each: what this engine left out or fell back on for this deployment."""
        ...

    def cost(self, batch: Batch) -> ForwardCost:
        """Price one pass; group counts are deployment-wide."""
        ...

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        """Price many passes at once; equal to cost() of each to 1e-12 relative."""
        ...


@runtime_checkable
class Engine(Protocol):
    """One way to price forward passes. An entry of ENGINES."""

    @property
    def name(self) -> str:
        """Its key in ENGINES."""
        ...

    @property
    def version(self) -> str:
        """Part of every cache key and of every frozen link."""
        ...

    def availability(self) -> str | None:
        """None: usable here; else why not, in one sentence."""
        ...

    def supports(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> str | None:
        """None: this engine prices the combination; else why not, in one sentence."""
        ...

    def bind(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> ForwardModel:
        """Raises EngineError where supports() gives a reason."""
        ...
