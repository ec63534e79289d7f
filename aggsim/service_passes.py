"""Passes of a slow engine, each kept in the store by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aggsim import codec
from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import ForwardCost, Prices
from aggsim.store import Store, cache_key

__all__ = ["CachedForward", "WatchedForward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedForward:
    """A ForwardModel that asks `forward` only for what neither it nor the store has seen."""

    forward: ForwardModel
    store: Store
    key: str
    """Of everything but the batch."""
    _seen: dict[Batch, ForwardCost] = field(default_factory=dict)
    """The store may be switched off; one answer still asks for the same pass several times."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.forward.warnings

    def cost(self, batch: Batch) -> ForwardCost:
        if batch not in self._seen:
            key = cache_key("pass", deployment=self.key, batch=batch, form=codec.signature(ForwardCost))
            packed = self.store.get_or_compute(key, lambda: codec.pack(self.forward.cost(batch)))
            self._seen[batch] = codec.unpack(ForwardCost, packed)
        return self._seen[batch]

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        return Prices.of([self.cost(batch) for batch in (batches.rows() if isinstance(batches, Batches) else batches)])


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedForward:
    """A ForwardModel that reports before it prices: once for each call to `forward`, thousands of shapes or one."""

    forward: ForwardModel
    report: Callable[[], None]

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.forward.warnings

    def cost(self, batch: Batch) -> ForwardCost:
        self.report()
        return self.forward.cost(batch)

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        self.report()
        return self.forward.price(batches)
