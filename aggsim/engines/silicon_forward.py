"""A deployment priced by measured tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from aggsim.engines.silicon_ops import SOURCES, Call, Program
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import Bound, BoundTimes, ForwardCost, MemoryUse, OpCost, Prices, Source

__all__ = ["MemoryFormulas", "SiliconForward", "SiliconMemory"]

Group = tuple[int, int, int, bool]
"""Requests of one replica, new tokens, context after the pass, is_decode."""

MAX_TOKENS = 2**31 - 1
"""Of one replica in one pass: the package counts in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFormulas:
    """Bytes per device, by the package's own formulas.

    KV cache: the exact tokens of each request (no rounding to blocks), of the layers of one pipeline stage.
    Activations: so many bytes a token of the pass, by model family, framework and tp, and never less than a floor.
    """

    weight: float
    kv_cache_of: Callable[[int], float]
    """Tokens of a request → bytes."""
    activation_per_token: float
    activation_floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SiliconMemory:
    """One device. What the package sets aside for NCCL and the CUDA context is in what serving reserves."""

    formulas: MemoryFormulas
    total: float
    reserved: float

    def use(self, groups: Sequence[Group]) -> MemoryUse:
        """Memory of a pass of one replica."""
        formulas = self.formulas
        kv_cache = sum(n * formulas.kv_cache_of(seq) for n, _, seq, _ in groups)
        tokens = sum(n * q for n, q, _, _ in groups)
        activation = max(formulas.activation_floor, formulas.activation_per_token * tokens)
        return MemoryUse(
            weight=formulas.weight,
            kv_cache=kv_cache,
            activation=activation,
            reserved=self.reserved,
            available=self.total - self.reserved - formulas.weight - kv_cache - activation,
            total=self.total,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class SiliconForward:
    """Prices equal the package's own for a pure prefill or decode pass; see silicon_ops for mixed ones."""

    program: Program
    memory: SiliconMemory
    dp: int
    warnings: tuple[str, ...]

    def cost(self, batch: Batch) -> ForwardCost:
        """One pass in detail.

        source: where most of its time is from. bound_s: the operators' measured times by what bounds them according
        to the package's roofline of the same shape; those that it has none for are charged to no bound.
        """
        groups = self._replica(batch)
        ops = [op for call in self._calls(groups) for op in self._op_costs(call)]
        seconds: dict[Source, float] = {}
        bounds: dict[Bound, float] = {}
        for op in ops:
            seconds[op.source] = seconds.get(op.source, 0.0) + op.total_s
            bounds[op.bound] = bounds.get(op.bound, 0.0) + op.total_s
        bounds.pop("unknown", None)
        return ForwardCost(
            latency_s=sum(op.total_s for op in ops),
            memory=self.memory.use(groups),
            bound_s=BoundTimes(**bounds),
            ops=tuple(ops),
            source=max(seconds, key=seconds.__getitem__, default="measured"),
        )

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        latency, available = [], []
        for batch in batches.rows() if isinstance(batches, Batches) else batches:
            groups = self._replica(batch)
            latency.append(sum(entry[1] for call in self._calls(groups) for entry in self.program.entries(call)) / 1e3)
            available.append(self.memory.use(groups).available)
        return Prices(latency_s=np.array(latency, np.float64), available_bytes=np.array(available, np.float64))

    def _replica(self, batch: Batch) -> list[Group]:
        """What one data-parallel replica sees."""
        mine = [(-(-group.num_requests // self.dp), group.query_len, group.seq_len, group.is_decode) for group in batch]
        if sum(n * q for n, q, _, _ in mine) > MAX_TOKENS or any(seq > MAX_TOKENS for _, _, seq, _ in mine):
            raise EngineError("silicon", f"one pass of a replica holds at most {MAX_TOKENS:,} tokens")
        return mine

    def _calls(self, groups: Sequence[Group]) -> list[Call]:
        """The operators of a pass and the shapes they run at."""
        if not groups:
            return []
        tokens = sum(n * q for n, q, _, _ in groups)
        # a prompt needs the logits of its last token only, a decode pass those of each token
        rows = sum(n * q if is_decode else n for n, q, _, is_decode in groups)
        program = self.program
        shared = program.decode if all(is_decode for _, _, _, is_decode in groups) else program.prefill
        calls = [
            Call(decode=shared.decode, indices=indices, batch_size=1, seq_len=count, num_tokens=count)
            for indices, count in ((shared.shared, tokens), (shared.logits, rows))
        ]
        for n, q, seq, is_decode in groups:
            if is_decode:
                calls.append(Call(decode=True, indices=program.decode.sequence, batch_size=n * q, seq_len=seq))
            else:
                calls.append(
                    Call(decode=False, indices=program.prefill.sequence, batch_size=n, seq_len=q, prefix=seq - q)
                )
        return [call for call in calls if call.indices]

    def _op_costs(self, call: Call) -> Iterable[OpCost]:
        for name, milliseconds, source in self.program.entries(call):
            if milliseconds > 0:
                ops = self.program.named(name, decode=call.decode)
                yield OpCost(
                    name=ops[0].title,
                    kernel=ops[0].kernel,
                    calls=round(sum(op.calls for op in ops)),
                    total_s=milliseconds / 1e3,
                    bound=self.program.bound(ops, call),
                    source=SOURCES[source],
                )
