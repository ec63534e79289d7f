"""The routed experts of one rank: dispatch, their matmuls, combine.

Rank 0 is priced: it holds the first experts and so gets the most rows under an even routing. The original runs
experts as grouped matmuls, except where an expert's rows must be padded to a multiple of tp, or where moe_tp is neither
1 nor tp: then every expert is a chain of kernels (and collectives) of its own. We follow it there, unless corrected by
grouped_experts.
"""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.collectives import Group
from aggsim.forward.form import ZERO, Form, feature
from aggsim.forward.pieces import elementwise, exchange
from aggsim.forward.quantized import LinearMode, matmul, quantize, quantized_like
from aggsim.forward.routing import COLD, GROUPED, HOT
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import MoeSpec
from aggsim.scenario import ParallelLayout

SWIGLU_OPS, RELU2_OPS = 7, 2
"""Vector operations per output element of the activation fused into the grouped matmul: SiLU 6 and the product, or
without a gate a maximum and a square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Counts of rank 0's routed rows as features of the batch."""

    spec: MoeSpec
    layout: ParallelLayout
    slices: int
    copies: int
    always_grouped: bool = False

    @property
    def local_experts(self) -> int:
        return -(-self.spec.num_experts // self.layout.ep)

    @property
    def foreign(self) -> bool:
        """With expert parallelism, experts cut over other ranks than the attention: those hold different tokens."""
        return self.layout.ep > 1 and self.layout.moe_tp > 1 and self.layout.moe_tp != self.layout.tp

    @property
    def regathered(self) -> bool:
        """Tokens are exchanged around every expert."""
        return self.foreign and not self.always_grouped

    @property
    def multiple(self) -> int:
        """What the rows of an expert are padded to: of tp, or without expert parallelism of moe_tp. They come in
        multiples of ep."""
        ranks = self.layout.tp if self.layout.ep > 1 else self.layout.moe_tp
        return 1 if self.always_grouped or self.layout.ep % ranks == 0 else ranks

    @property
    def pads(self) -> bool:
        return self.multiple > 1

    @property
    def classes(self) -> tuple[int, ...]:
        """Classes of experts this layout can have."""
        if self.regathered:
            return (HOT, COLD)
        return (GROUPED, HOT, COLD) if self.pads else (GROUPED,)

    def of(self, kind: str) -> Form:
        return feature(kind, *self._routing)

    def of_class(self, kind: str, which: int) -> Form:
        return feature(kind, *self._routing, self.multiple, int(self.regathered), which)

    @property
    def _routing(self) -> tuple[int, ...]:
        spec = self.spec
        routed = (spec.num_experts, self.local_experts, self.layout.ep, spec.experts_per_token)
        return (*routed, self.slices, self.copies)


def routed_experts(
    trace: Trace, spec: MoeSpec, tokens: Tensor, weights: Tensor, rows: Rows, hidden: int, mode: LinearMode
) -> Tensor:
    """Weighted sum of the chosen experts' outputs for every token of `tokens`."""
    layout = rows.layout
    sent = Tensor(rows=rows.of("rows_sent"), width=hidden)
    indices = Tensor(rows=tokens.rows, width=spec.experts_per_token, dtype="int64")
    elementwise(trace, "dispatch: permute tokens", "permute", (tokens, indices), sent)
    arrived = sent
    group, remote = Group(size=layout.ep, stride=layout.moe_tp), rows.of("rows_remote") * (2.0 * hidden)
    if layout.ep > 1:
        arrived = Tensor(rows=rows.of("rows_received"), width=hidden)
        exchange(trace, "dispatch: all-to-all", "all_to_all", sent, arrived, group, size=remote)
        shuffled = arrived.view(rows=rows.of("rows_shuffled"))
        elementwise(trace, "dispatch: order by expert", "concatenate_grouped", (shuffled,), shuffled.view(),
                    present=rows.of("any_expert_idle"))  # fmt: skip
    done = Tensor(rows=arrived.rows, width=hidden)
    for which in rows.classes:
        _run_class(trace, spec, arrived, done, rows, mode, which)
    ordered = elementwise(
        trace, "combine: order by source", "concatenate", (done,), Tensor(rows=done.rows, width=hidden)
    )
    if layout.ep > 1:
        back = Tensor(rows=sent.rows, width=hidden)
        ordered = exchange(trace, "combine: all-to-all", "all_to_all", ordered, back, group, size=remote)
    chosen = Tensor(rows=sent.rows, width=hidden)
    elementwise(trace, "combine: unpermute tokens", "unpermute", (ordered, indices), chosen)
    weighted = elementwise(
        trace, "combine: weight", "multiply", (chosen, weights), Tensor(rows=sent.rows, width=hidden)
    )
    out = Tensor(rows=tokens.rows, width=hidden)
    return elementwise(trace, "combine: sum over experts", "sum", (weighted,), out)


def _run_class(
    trace: Trace, spec: MoeSpec, arrived: Tensor, done: Tensor, rows: Rows, mode: LinearMode, which: int
) -> None:
    layout = rows.layout
    launches, hit = rows.of_class("launches", which), rows.of_class("experts", which)
    padded = rows.of_class("rows_padded", which)
    # Stored once, with the first class described.
    stored = rows.local_experts if which == (HOT if rows.regathered else GROUPED) else 0
    block = _Block(trace=trace, spec=spec, mode=mode, hidden=arrived.width, width=_width(spec, layout),
                   launches=launches, hit=hit, stored=stored, grouped=which == GROUPED)  # fmt: skip
    x, out = arrived.view(rows=padded), done.view(rows=padded)
    if which != GROUPED and rows.pads:
        # Unpadded experts of a regathered layout need no padding kernel: their rows are whole already.
        short = arrived.view(rows=rows.of_class("rows_short", which))
        elementwise(trace, "experts: pad rows", "pad", (short,), arrived.view(rows=rows.of_class("rows_filled", which)),
                    present=rows.of_class("launches_short", which))  # fmt: skip
    if rows.regathered:
        block.run_regathered(x, out, layout)
    elif rows.foreign:
        block.run_foreign(x, out, Group(size=layout.moe_tp))
    else:
        block.run(x, out, reduce_over=layout.moe_tp)


def _width(spec: MoeSpec, layout: ParallelLayout) -> int:
    return -(-spec.expert_intermediate_size // layout.moe_tp)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """up (and gate), activation, down of one class of experts, once for all of them (grouped) or once per expert."""

    trace: Trace
    spec: MoeSpec
    mode: LinearMode
    hidden: float
    width: int
    launches: Form
    hit: Form
    stored: float
    grouped: bool

    def run(self, x: Tensor, out: Tensor, *, reduce_over: int) -> None:
        middle = self._up(x)
        self._down(middle, out)
        if reduce_over > 1:
            exchange(self.trace, "experts: all-reduce", "all_reduce", out, out.view(), Group(size=reduce_over),
                     present=self.launches)  # fmt: skip

    def run_foreign(self, x: Tensor, out: Tensor, ranks: Group) -> None:
        """Gather the rows of all ranks of the experts' group, run them, and add up each rank's own."""
        joined = Tensor(rows=x.rows * ranks.size, width=x.width)
        partial = Tensor(rows=joined.rows, width=out.width)
        self._down(self._up(self._gather("experts: gather rows", x, joined, ranks)), partial)
        exchange(self.trace, "experts: reduce-scatter", "reduce_scatter", partial, out, ranks, present=self.launches)

    def run_regathered(self, x: Tensor, out: Tensor, layout: ParallelLayout) -> None:
        """Every expert gathers its rows over moe_tp, and its halves and its output over tp."""
        own, joined = x.rows * (1 / layout.tp), x.rows * (layout.moe_tp / layout.tp)
        inner, outer, full = Group(size=layout.moe_tp), Group(size=layout.tp), self.width * layout.moe_tp
        part = self._gather("experts: gather rows", x.view(rows=own), Tensor(rows=joined, width=x.width), inner)
        halves = self._projected(part)
        parts = []
        for half in halves:
            wide = self._gather("experts: gather width", half, Tensor(rows=joined, width=full), inner)
            parts.append(
                self._gather("experts: gather halves", wide.view(rows=own), Tensor(rows=x.rows, width=full), outer)
            )
        middle = self._activated(tuple(parts))
        regathered = self._gather(
            "experts: gather activation", middle.view(rows=own), Tensor(rows=joined, width=full), inner
        )
        mine = Tensor(rows=joined, width=self.width)
        elementwise(
            self.trace,
            "experts: copy shard",
            "copy",
            (regathered.view(width=self.width), mine.view()),
            mine,
            present=self.launches,
        )
        partial = Tensor(rows=joined, width=out.width)
        self._down(mine, partial)
        exchange(self.trace, "experts: all-reduce", "all_reduce", partial, partial.view(), inner, present=self.launches)
        self._gather("experts: gather output", partial.view(rows=own), out, outer)

    def _gather(self, name: str, x: Tensor, out: Tensor, group: Group) -> Tensor:
        return exchange(self.trace, name, "all_gather", x, out, group, present=self.launches)

    def _up(self, x: Tensor) -> Tensor:
        if not self.grouped:
            return self._activated(self._projected(x))
        x = quantize(self.trace, "experts: quantize input", x, self.mode, present=self.launches)
        if self.spec.gated:
            name, epilogue, factor, ops = "experts: gate, up and activation", "swiglu", 2, float(SWIGLU_OPS)
        else:
            name, epilogue, factor, ops = "experts: up and activation", "relu2", 1, float(RELU2_OPS)
        out = Tensor(rows=x.rows, width=self.width)
        if self.mode.group and self.mode.quantizes:  # block-scaled formats are made in the same kernel
            out, epilogue, ops = quantized_like(out, self.mode), f"{epilogue}_quant", ops + self.mode.quantize_ops
        self._matmul(name, x, Tensor(rows=x.rows, width=self.width * factor), out,
                     f"grouped_{self.mode.kernel}_{epilogue}", x.rows * (self.width * ops))  # fmt: skip
        return out

    def _projected(self, x: Tensor) -> tuple[Tensor, ...]:
        x = quantize(self.trace, "experts: quantize input", x, self.mode, present=self.launches)
        factor = 2 if self.spec.gated else 1
        whole = Tensor(rows=x.rows, width=self.width * factor)
        name = "experts: gate and up projection" if self.spec.gated else "experts: up projection"
        self._matmul(name, x, whole, whole, self.mode.kernel)
        return (whole,) if factor == 1 else (whole.view(width=self.width), whole.view(width=self.width))

    def _activated(self, halves: tuple[Tensor, ...]) -> Tensor:
        middle = Tensor(rows=halves[0].rows, width=halves[0].width)
        kernel = "swiglu" if len(halves) > 1 else "activation"
        return elementwise(self.trace, "experts: activation", kernel, halves, middle, present=self.launches)

    def _down(self, x: Tensor, out: Tensor) -> None:
        x = quantize(self.trace, "experts: quantize activation", x, self.mode, present=self.launches)
        kernel = f"grouped_{self.mode.kernel}" if self.grouped else self.mode.kernel
        self._matmul("experts: down projection", x, out, out, kernel)

    def _matmul(
        self, name: str, x: Tensor, product: Tensor, written: Tensor, kernel: str, vector_ops: Form = ZERO
    ) -> None:
        """x by the experts' weights gives `product`; a fused activation writes the narrower `written`."""
        matmul(self.trace, name, x, product, self.mode, bias=self.spec.bias, kernel=kernel, written=written,
               weights_read=self.hit, weights_stored=self.stored, vector_ops=vector_ops,
               present=self.launches)  # fmt: skip
