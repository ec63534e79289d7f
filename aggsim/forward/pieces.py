"""Small operators many blocks share."""

from __future__ import annotations

from aggsim.forward.collectives import Collective, Group
from aggsim.forward.form import ONCE, Form, feature
from aggsim.forward.trace import Tensor, Trace


def elementwise(
    trace: Trace, name: str, kernel: str, reads: tuple[Tensor, ...], out: Tensor, *, present: Form = ONCE
) -> Tensor:
    """Reads and writes, nothing else counted, as in the original; returns out."""
    trace.emit(name, kernel, reads=reads, writes=(out,), present=present)
    return out


def exchange(
    trace: Trace,
    name: str,
    kind: str,
    x: Tensor,
    out: Tensor,
    group: Group,
    *,
    size: Form | None = None,
    present: Form = ONCE,
) -> Tensor:
    """A collective over a group of ranks; size defaults to x's bytes; returns out, for a single rank x itself."""
    if group.size == 1:
        return x
    collective = Collective(kind=kind, group=group, bytes=x.bytes if size is None else size)
    trace.emit(name, kind, reads=(x,), writes=(out,), collective=collective, present=present)
    return out


def all_reduce(trace: Trace, name: str, x: Tensor, ranks: int) -> Tensor:
    """Sum of the ranks' partial results; x itself for a single rank."""
    return exchange(trace, name, "all_reduce", x, Tensor(rows=x.rows, width=x.width), Group(size=ranks))


def pad_to_multiple(trace: Trace, name: str, x: Tensor, multiple: int) -> None:
    """Copies x into rows padded to a multiple, in batches that need it; x keeps standing for the result."""
    rows, padded = (x.view(rows=feature(kind, multiple)) for kind in ("tokens_to_pad", "tokens_padded"))
    elementwise(trace, name, "pad", (rows,), padded, present=feature("needs_padding", multiple))
