"""Operators of one rank, in order, as linear forms: one description gives FLOPs, bytes, weights and peak memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aggsim.forward.collectives import Collective
from aggsim.forward.form import ONCE, ZERO, Feature, Form, weighted_sum

DTYPE_BYTES = {"fp32": 4.0, "int64": 8.0, "int32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "fp8": 1.0, "fp4": 0.5}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tensor:
    """An activation in device memory: rows × width elements of dtype. Identity matters, not value."""

    rows: Form
    width: float
    dtype: str = "fp16"
    scale_bytes_per_element: float = 0.0
    """Block scales stored beside the payload (MXFP4, NVFP4)."""
    base: Tensor | None = None
    """The tensor this one is a view of: it keeps that one alive and takes no memory of its own."""
    split: bool = False
    """A view made by splitting a merged projection: TensorCast's memory tracker frees the whole at the split."""

    def view(self, *, rows: Form | None = None, width: float | None = None, split: bool = False) -> Tensor:
        """A part of this tensor, or the same memory in another shape."""
        return Tensor(
            rows=self.rows if rows is None else rows,
            width=self.width if width is None else width,
            dtype=self.dtype,
            scale_bytes_per_element=self.scale_bytes_per_element,
            base=self.base or self,
            split=self.split or split,
        )

    @property
    def elements(self) -> Form:
        return self.rows * self.width

    @property
    def row_bytes(self) -> float:
        return self.width * (DTYPE_BYTES[self.dtype] + self.scale_bytes_per_element)

    @property
    def bytes(self) -> Form:
        return self.rows * self.row_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One kernel launch of one rank, as often as its block is in the model."""

    name: str
    """Where it stands: "qkv projection", "attention", …"""
    kernel: str
    """What runs: a key of names.TENSOR_CAST_NAMES, or a kernel the original has not."""
    memory_bytes: Form = ZERO
    """Read and written, weights included."""
    weight_bytes: float = 0.0
    """Held in device memory for this operator by one call's layer."""
    resident_bytes: float = 0.0
    """Working copies of weights held beside them (MLA's absorbed matrices, an FP32 router): counted as activations."""
    mma_ops: Mapping[str, Form] = field(default_factory=dict)
    gp_ops: Mapping[str, Form] = field(default_factory=dict)
    launches: float = 1.0
    """Kernel launches it stands for: multiplies the static cost."""
    present: Form = ONCE
    """How often a layer runs it: 1, 0 when the batch does not need it, or a count (one launch an expert)."""
    collective: Collective | None = None


@dataclass(slots=True)
class Trace:
    """Collects operators while a layer is being described; knows what is alive after each of them."""

    operators: list[Operator] = field(default_factory=list)
    _reads: list[tuple[Tensor, ...]] = field(default_factory=list)
    _writes: list[tuple[Tensor, ...]] = field(default_factory=list)

    def emit(
        self,
        name: str,
        kernel: str,
        *,
        reads: Sequence[Tensor] = (),
        writes: Sequence[Tensor] = (),
        weight_bytes: float = 0.0,
        weight_read_bytes: Form | float | None = None,
        resident_bytes: float = 0.0,
        extra_bytes: Form = ZERO,
        mma_ops: Mapping[str, Form] | None = None,
        gp_ops: Mapping[str, Form] | None = None,
        launches: float = 1.0,
        present: Form = ONCE,
        collective: Collective | None = None,
    ) -> None:
        """Append one operator; by default every tensor is read or written once and all its weights are read."""
        read = weight_bytes if weight_read_bytes is None else weight_read_bytes
        moved = [(t.rows, t.row_bytes) for t in (*reads, *writes)]
        moved.append((read, 1.0) if isinstance(read, Form) else (ONCE, read))
        memory = weighted_sum([*moved, (extra_bytes, 1.0)])
        self.operators.append(
            Operator(
                name=name,
                kernel=kernel,
                memory_bytes=memory,
                weight_bytes=weight_bytes,
                resident_bytes=resident_bytes,
                mma_ops=mma_ops or {},
                gp_ops=gp_ops or {},
                launches=launches,
                present=present,
                collective=collective,
            )
        )
        self._reads.append(tuple(reads))
        self._writes.append(tuple(writes))

    def hold_no_weights(self, begin: int) -> None:
        """The operators from index `begin` on use weights that are held elsewhere."""
        for i in range(begin, len(self.operators)):
            self.operators[i] = replace(self.operators[i], weight_bytes=0.0, resident_bytes=0.0)

    def live_bytes(self, *, keep_splits: bool = False) -> tuple[Form, ...]:
        """Bytes alive while each operator runs: a tensor lives from the operator that writes it to its last reader.

        Tensors nobody wrote are the trace's inputs and live from the start; those nobody reads are outputs and live on.
        keep_splits: the parts of a split projection keep it alive (true of hardware; the original's tracker says no).
        """
        reads = [tuple((t.base or t, t.split and not keep_splits) for t in tensors) for tensors in self._reads]
        writes = [tuple(dict.fromkeys(t.base or t for t in tensors)) for tensors in self._writes]
        made: dict[Tensor, int] = {}
        last_use: dict[Tensor, int] = {}
        for i, (read, written) in enumerate(zip(reads, writes, strict=True)):
            for tensor in written:
                made.setdefault(tensor, i)
            for tensor, freed in read:
                last_use[tensor] = last_use.get(tensor, made.get(tensor, i)) if freed else i
        ending: list[list[Tensor]] = [[] for _ in reads]
        for tensor, index in last_use.items():
            ending[index].append(tensor)
        alive: dict[Feature, float] = {}

        def count(tensor: Tensor, sign: float) -> None:
            for wanted, coefficient in tensor.rows.terms.items():
                alive[wanted] = alive.get(wanted, 0.0) + sign * coefficient * tensor.row_bytes

        for tensor in last_use:
            if tensor not in made:
                count(tensor, 1.0)
        peaks = []
        for i, written in enumerate(writes):
            for tensor in written:
                if made[tensor] == i:
                    count(tensor, 1.0)
            peaks.append(Form(alive.copy()))
            for tensor in ending[i]:
                count(tensor, -1.0)
        return tuple(peaks)
