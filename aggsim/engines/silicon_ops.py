"""The operators of one phase, as aiconfigurator-core lists them, sorted by what a step has to be split into for them.

A step runs every token of every request through the same matmuls, norms, experts and collectives at once: those
operators see the sum of tokens. Attention and its kin (latent, sparse, linear attention, Mamba) see each group of
equal requests by itself. So one mixed step is priced as the shared operators once, over all tokens, plus the sequence
operators group by group. Adding up a prefill and a decode step instead would read the weights twice.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aggsim.forward.cost import Bound, Source

__all__ = ["SOURCES", "Call", "Entry", "Phase", "Program", "SiliconOp", "members"]

Entry = tuple[str, float, str]
"""Operator of the package, milliseconds, where the package has the number from."""

SOURCES: dict[str, Source] = {
    "silicon": "measured",
    "mixed": "interpolated",
    "estimated": "interpolated",
    "empirical": "analytic",
    "sol": "analytic",
}
"""The package's word for where a number is from → ours. mixed and estimated: measured values with a computed part.
mixed also where experts were measured with another framework."""

KERNELS: dict[str, str] = {
    "Gemm": "matmul",
    "Embedding": "embedding",
    "Elementwise": "elementwise",
    "Moe": "grouped_matmul",
    "MoeExpertCompute": "grouped_matmul",
    "MoeDispatch": "moe_dispatch",
    "MoeAllToAll": "all_to_all",
    "CustomAllReduce": "all_reduce",
    "Nccl": "collective",
    "P2P": "send",
    "MlaBmm": "batched_matmul",
    "Mhc": "hyper_connection",
    "ContextAttention": "attention",
    "GenerationAttention": "attention",
    "ContextMla": "latent_attention",
    "GenerationMla": "latent_attention",
    "MlaModuleContext": "latent_attention",
    "MlaModuleGeneration": "latent_attention",
    "DsaContext": "sparse_attention",
    "DsaGeneration": "sparse_attention",
    "Gdn": "linear_attention",
    "Mamba2": "state_space",
}
"""Operator family of the package → what runs there. A composite one is called after its attention or its experts."""

MAX_KEPT = 100_000
"""Shapes remembered for a deployment."""

SHARED = frozenset({"Gemm", "Embedding", "Elementwise", "Moe", "MoeExpertCompute", "MoeDispatch", "MoeAllToAll",
                    "CustomAllReduce", "Nccl", "P2P", "MlaBmm", "Mhc"})  # fmt: skip
COMMUNICATION = frozenset({"MoeDispatch", "MoeAllToAll", "CustomAllReduce", "Nccl", "P2P"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Operators evaluated together at one shape."""

    decode: bool
    """Operators of the decode phase; else of prefill."""
    indices: tuple[int, ...]
    batch_size: int
    seq_len: int
    """Prefill: new tokens of each request. Decode: tokens of context."""
    prefix: int = 0
    num_tokens: int | None = None
    """None: batch_size · seq_len in prefill, batch_size in decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiliconOp:
    """One operator of the package's list."""

    name: str
    kernel: str
    calls: float
    """Calls in one pass: layers, times (layers + drafts) ÷ layers where tokens are drafted."""
    families: frozenset[str]
    leaves: tuple[str, ...]
    """JSON of what it runs, for the package's roofline."""

    @classmethod
    def of(cls, spec: dict[str, Any]) -> SiliconOp:
        parts = list(members(spec))
        families = frozenset(family for part in parts for family in part)
        (fields,) = spec.values()
        return cls(
            name=fields["name"],
            kernel=KERNELS.get(min(families, key=_rank), "other"),
            calls=max(float(leaf.get("scale_factor", 1.0)) for part in parts for leaf in part.values()),
            families=families,
            leaves=tuple(json.dumps(part) for part in parts),
        )

    @property
    def is_shared(self) -> bool:
        return self.families <= SHARED

    @property
    def is_communication(self) -> bool:
        return self.families <= COMMUNICATION

    @property
    def family(self) -> str:
        """Of a single operator; empty for a composite one."""
        return next(iter(self.families)) if len(self.families) == 1 else ""

    @property
    def title(self) -> str:
        """The package's name without the phase, except where one pass may hold the operator in both phases."""
        phase, _, rest = self.name.partition("_")
        words = rest.replace("_", " ")
        return words if self.is_shared else f"{'prefill' if phase == 'context' else 'decode'} {words}"

    @property
    def is_logits(self) -> bool:
        return "logits" in self.name


def _rank(family: str) -> tuple[int, str]:
    """What a composite operator is called after: attention and its kin, then experts, then the rest."""
    return (0 if family not in SHARED else 1 if KERNELS[family] == "grouped_matmul" else 2), family


def members(spec: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The operator itself, or those that a composite one runs."""
    ((family, fields),) = spec.items()
    match family:
        case "Overlap":
            parts = [*fields["group_a"], *fields["group_b"]]
        case "Fallback":
            parts = [fields["primary"], *fields["fallback"]]
        case _:
            return [spec]
    return [leaf for part in parts for leaf in members(part)]


class Phase:
    """The operators of prefill or decode."""

    def __init__(self, specs: Sequence[dict[str, Any]], *, decode: bool) -> None:
        self.decode = decode
        self.ops = tuple(SiliconOp.of(spec) for spec in specs)
        every = range(len(self.ops))
        self.shared = tuple(i for i in every if self.ops[i].is_shared and not self.ops[i].is_logits)
        self.logits = tuple(i for i in every if self.ops[i].is_logits)
        self.sequence = tuple(i for i in every if not self.ops[i].is_shared)


class Program:
    """Both phases, compiled, and what is known of their shapes. Safe to use from several threads."""

    def __init__(self, *, handle: Any, prefill: Phase, decode: Phase, lent: Mapping[str, Any] | None = None) -> None:
        """lent: operator family → the same operators bound to the tables of another framework, read for that family."""
        self.handle = handle
        self._lent = lent or {}
        self.prefill = prefill
        self.decode = decode
        self._known: dict[Call, tuple[Entry, ...]] = {}

    def named(self, name: str, *, decode: bool) -> list[SiliconOp]:
        """Several operators may go by one name; the package sums them."""
        return [op for op in (self.decode if decode else self.prefill).ops if op.name == name]

    def entries(self, call: Call) -> tuple[Entry, ...]:
        """Remembered, or from the tables."""
        known = self._known.get(call)
        if known is None:
            if len(self._known) >= MAX_KEPT:
                self._known.clear()
            known = self._known[call] = self.evaluate(call)
        return known

    def evaluate(self, call: Call) -> tuple[Entry, ...]:
        """From the tables. Raises the package's errors where one is missing."""
        if not self._lent:
            return _rows(self.handle, call, call.indices)
        ops = (self.decode if call.decode else self.prefill).ops
        own = tuple(i for i in call.indices if ops[i].family not in self._lent)
        found = _rows(self.handle, call, own)
        for family, handle in self._lent.items():
            rows = _rows(handle, call, tuple(i for i in call.indices if ops[i].family == family))
            found += tuple((name, ms, "mixed" if family == "Moe" else source) for name, ms, source in rows)
        return found

    def bound(self, ops: Sequence[SiliconOp], call: Call) -> Bound:
        """The longer side of the package's own roofline at this shape, unknown where a family has none."""
        if all(op.is_communication for op in ops):
            return "communication"
        matrix = memory = 0.0
        for leaf in (leaf for op in ops for leaf in op.leaves):
            with contextlib.suppress(RuntimeError, ValueError):
                rows = self.handle.evaluate_ops_sol_json(
                    f"[{leaf}]",
                    is_context=not call.decode,
                    batch_size=call.batch_size,
                    s=call.seq_len,
                    prefix=call.prefix,
                    x=call.num_tokens,
                )
                matrix += sum(row[2] for row in rows)
                memory += sum(row[3] for row in rows)
        if matrix == memory == 0.0:
            return "unknown"
        return "mma" if matrix > memory else "memory"


def _rows(handle: Any, call: Call, indices: tuple[int, ...]) -> tuple[Entry, ...]:
    if not indices:
        return ()
    shape = {"batch_size": call.batch_size, "s": call.seq_len, "x": call.num_tokens}
    if call.decode:
        rows = handle.evaluate_generation_ops(indices, **shape)
    else:
        rows = handle.evaluate_context_ops(indices, prefix=call.prefix, **shape)
    return tuple((name, milliseconds, source) for name, milliseconds, _, source in rows)
