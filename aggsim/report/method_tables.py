"""The operators of a pass and the ceilings of a device, as the Method page shows them. On screen rates are decimal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.cost import ForwardCost, OpCost
from aggsim.report.format import number, percent
from aggsim.report.provenance import SEVERAL, SOURCES, one_source
from aggsim.report.theme import BOUND_CONCEPT
from aggsim.units import GIGA, TERA, US_PER_S, ms

__all__ = ["SUM", "Roof", "operator_table", "ranked", "reports_work", "roofline_points", "roofs", "si", "without_flops"]

SUM = "all operators"
"""Name of the first row of the operator table."""
MATRIX_DTYPES = ("bf16", "int8", "fp8", "fp4")
"""Matrix peaks worth a ceiling: FP16 is BF16's on most devices, and nobody serves in FP32."""
_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """What bounds an operator from above: the memory slope up to the ridge, from there on the matrix units."""

    formats: str
    """Number formats with this peak: "FP8, INT8"."""
    is_reachable: bool
    """With the device's efficiencies, else as the data sheet has it."""
    tflop_per_s: float
    tb_per_s: float

    @property
    def ridge(self) -> float:
        """FLOP per byte."""
        return self.tflop_per_s / self.tb_per_s


def si(value: float, unit: str, digits: int = 3) -> str:
    """An amount with a decimal prefix, tera at most: 1.35 GB, 17.6 GFLOP, 1,979 TFLOP/s."""
    factor, prefix = next(((factor, prefix) for factor, prefix in _SI if value >= factor), (1.0, ""))
    return f"{number(value / factor, digits)} {prefix}{unit}"


def reports_work(cost: ForwardCost) -> bool:
    """The engine tells FLOPs and bytes of its operators; measured tables tell times only."""
    return any(op.mma_ops or op.gp_ops or op.memory_bytes for op in cost.ops)


def ranked(cost: ForwardCost) -> list[OpCost]:
    """Longest first."""
    return sorted(cost.ops, key=lambda op: (-op.total_s, op.name, op.kernel))


def operator_table(cost: ForwardCost) -> pd.DataFrame:
    """Their sum, which is the pass, and below it one row per operator, longest first.

    Columns: operator, share, ms, calls, us_per_call, bound (a concept), flop_per_byte, tflop_per_s,
    matrix_tflop, vector_tflop, memory_gb, exchanged_gb, source (its word on screen), kernel. NaN: none, or not
    reported by the engine.
    """
    rows = [_row(SUM, "", "", one_source(cost.ops), cost.ops)]
    rows += [_row(op.name, op.kernel, BOUND_CONCEPT[op.bound], SOURCES[op.source], (op,)) for op in ranked(cost)]
    frame = pd.DataFrame(rows)
    frame.insert(1, "share", frame["ms"] / ms(cost.latency_s) if cost.latency_s > 0 else 0.0)
    return frame


def _row(name: str, kernel: str, bound: str, source: str, ops: Sequence[OpCost]) -> dict[str, object]:
    seconds, calls = sum(op.total_s for op in ops), sum(op.calls for op in ops)
    matrix, vector = sum(op.mma_ops for op in ops), sum(op.gp_ops for op in ops)
    moved, exchanged = sum(op.memory_bytes for op in ops), sum(op.communication_bytes for op in ops)
    flops = matrix + vector
    return {
        "operator": name,
        "ms": ms(seconds),
        "calls": calls,
        "us_per_call": seconds / calls * US_PER_S if calls else math.nan,
        "bound": bound,
        "flop_per_byte": flops / moved if flops and moved else math.nan,
        "tflop_per_s": flops / seconds / TERA if flops and seconds else math.nan,
        "matrix_tflop": matrix / TERA or math.nan,
        "vector_tflop": vector / TERA or math.nan,
        "memory_gb": moved / GIGA or math.nan,
        "exchanged_gb": exchanged / GIGA or math.nan,
        "source": source,
        "kernel": kernel,
    }


def roofline_points(cost: ForwardCost) -> pd.DataFrame:
    """Operators that do arithmetic, longest first: the columns of operator_table."""
    frame = operator_table(cost)
    return frame[(frame["operator"] != SUM) & frame["flop_per_byte"].notna()].reset_index(drop=True)


def without_flops(cost: ForwardCost, top: int = 7) -> pd.DataFrame:
    """Operators that no FLOPs are counted for (collectives, copies, fused norms), the shorter ones as one row.

    Columns as tables.operators; share is of the pass.
    """
    frame = operator_table(cost)
    frame = frame[(frame["operator"] != SUM) & frame["flop_per_byte"].isna()]
    frame = frame[["operator", "ms", "share", "bound", "calls", "source"]]
    shown, rest = frame.head(top).copy(), frame.iloc[top:]
    if len(rest):
        sums, sources = rest[["ms", "share", "calls"]].sum(), set(rest["source"])
        source = sources.pop() if len(sources) == 1 else SEVERAL
        shown.loc[len(frame)] = [f"{len(rest)} more", sums["ms"], sums["share"], "other", sums["calls"], source]
    return shown.assign(label=[percent(share) for share in shown["share"]])


def roofs(device: DeviceSpec) -> list[Roof]:
    """Of every matrix peak, the highest first: what the data sheet says, and what of it counts as reachable."""
    formats: dict[float, list[str]] = {}
    for dtype in MATRIX_DTYPES:
        if peak := device.mma_ops_per_s.get(dtype):
            formats.setdefault(peak, []).append(dtype.upper())
    shares = ((1.0, 1.0), (device.compute_efficiency, device.memory_efficiency))
    return [
        Roof(
            formats=", ".join(sorted(formats[peak])),
            is_reachable=i > 0,
            tflop_per_s=peak * compute / TERA,
            tb_per_s=device.memory_bandwidth_bytes_per_s * memory / TERA,
        )
        for peak in sorted(formats, reverse=True)
        for i, (compute, memory) in enumerate(shares)
    ]
