"""Multi-token prediction: draft tokens made one layer at a time after the main pass."""

from __future__ import annotations

from collections.abc import Callable

from aggsim.forward.collectives import Group
from aggsim.forward.form import REQUESTS, TOKENS, feature
from aggsim.forward.pieces import elementwise, exchange
from aggsim.forward.quantized import LinearMode, linear, matmul, norm
from aggsim.forward.trace import Tensor, Trace

_PLAIN = LinearMode()


def draft_tokens(
    trace: Trace,
    layer: Callable[[Trace, Tensor], Tensor],
    *,
    count: int,
    own_layers: int,
    shares_vocabulary: bool,
    hidden_size: int,
    vocab_size: int,
    rope_widths: tuple[int, ...],
    mode: LinearMode,
    tp: int,
) -> None:
    """`count` draft tokens: each embeds the token before it, joins it with the hidden state, and runs one layer.

    layer describes the decoder layer and returns its output. The original leaves the projection of the joined state
    whole on every rank, computes the rotary tables anew, and holds an embedding and a head for each draft token.
    own_layers: how many different layers there are, the first is repeated for drafts beyond. shares_vocabulary: drafts
    use the embedding and the head of the model.
    """
    _pick_tokens(trace, vocab_size, main=True)
    vocabularies = 0.0 if shares_vocabulary else 1.0
    for draft in range(count):
        begin = len(trace.operators)
        for width in rope_widths:
            rotary_tables(trace, "MTP rotary", width)
        ids = Tensor(rows=TOKENS, width=1, dtype="int64")
        elementwise(trace, "MTP shift tokens", "shift_ids", (ids,), ids.view())
        embedded = Tensor(rows=TOKENS, width=hidden_size)
        table = 2.0 * vocab_size * hidden_size * vocabularies
        trace.emit("MTP word embedding", "embedding", reads=(ids, embedded.view()), writes=(embedded,),
                   weight_bytes=table, weight_read_bytes=0.0)  # fmt: skip
        previous = Tensor(rows=TOKENS, width=hidden_size)
        left, _ = norm(trace, "MTP embedding norm", embedded)
        right, _ = norm(trace, "MTP hidden norm", previous)
        joined = elementwise(
            trace, "MTP join", "concatenate", (left, right), Tensor(rows=TOKENS, width=2 * hidden_size)
        )
        x = linear(trace, "MTP projection", joined, (hidden_size,), mode)[0]
        out = layer(trace, x)
        head(trace, out, vocab_size, tp, stored=vocabularies, drafts=True, last_only=True, name="MTP ")
        _pick_tokens(trace, vocab_size, main=False)
        if draft >= own_layers:
            trace.hold_no_weights(begin)


def head(
    trace: Trace,
    x: Tensor,
    vocab_size: int,
    tp: int,
    *,
    stored: float,
    drafts: bool,
    last_only: bool = False,
    name: str = "",
) -> None:
    """The rows whose logits are wanted, the vocabulary projection over tp, the gather of logits.

    Wanted are the last token of a prefill request and every token of a decode request (drafts are checked against
    them), or with last_only one token a request. Without drafts a pass that wants every row does not pick any.
    """
    if drafts:
        ids = Tensor(rows=REQUESTS, width=1, dtype="int64")
        elementwise(trace, f"{name}transfer indices", "transfer_ids", (ids,), ids.view(),
                    present=feature("any", phase="decode"))  # fmt: skip
    rows = x.view(rows=REQUESTS if last_only else feature("logit_rows"))
    source, taken, present = x, rows, feature("any")
    if not drafts:
        source, taken = x.view(rows=feature("gathered_tokens")), x.view(rows=feature("gathered_rows"))
        present = feature("any", phase="prefill")
    trace.emit(f"{name}select last tokens", "select_rows", reads=(source,),
               writes=(Tensor(rows=taken.rows, width=x.width),), present=present)  # fmt: skip
    vocabulary = -(-vocab_size // tp)
    logits = Tensor(rows=rows.rows, width=vocabulary)
    matmul(trace, f"{name}vocabulary projection", rows, logits, _PLAIN, weights_stored=stored)
    if tp > 1:
        whole = Tensor(rows=rows.rows, width=vocabulary * tp)
        exchange(trace, f"{name}gather logits", "all_gather", logits, whole, Group(size=tp))


def _pick_tokens(trace: Trace, vocab_size: int, *, main: bool) -> None:
    """Greedy choice of the next token; in a decode pass also of every token the drafts are checked against."""
    picked = Tensor(rows=REQUESTS, width=1, dtype="int64")
    last = Tensor(rows=REQUESTS, width=vocab_size)
    elementwise(trace, "MTP pick token", "argmax", (last,), picked)
    if main:
        checked = feature("tokens", phase="decode") - feature("requests", phase="decode")
        decoding = feature("any", phase="decode")
        others = Tensor(rows=checked, width=1, dtype="int64")
        elementwise(
            trace, "MTP pick token", "argmax", (Tensor(rows=checked, width=vocab_size),), others, present=decoding
        )
        joined = Tensor(rows=feature("tokens", phase="decode"), width=1, dtype="int64")
        elementwise(trace, "MTP join tokens", "concatenate", (joined.view(),), joined, present=decoding)
    elementwise(trace, "MTP keep token", "copy", (picked,), picked.view())
    elementwise(trace, "MTP place token", "scatter", (picked,), picked.view())


def rotary_tables(trace: Trace, name: str, width: int) -> None:
    """Cosines and sines of the new positions in FP32."""
    positions = Tensor(rows=TOKENS, width=1, dtype="int64")
    single = Tensor(rows=TOKENS, width=1, dtype="fp32")
    elementwise(trace, f"{name} positions", "convert", (positions,), single)
    half = Tensor(rows=TOKENS, width=width // 2, dtype="fp32")
    trace.emit(f"{name} angles", "batched_matmul", reads=(single,), writes=(half,),
               mma_ops={"fp32": half.elements * 2})  # fmt: skip
    whole = Tensor(rows=TOKENS, width=width, dtype="fp32")
    elementwise(trace, f"{name} angles", "clone", (whole.view(),), whole)
    for function, kernel in (("cosines", "cosine"), ("sines", "sine")):
        table = Tensor(rows=TOKENS, width=width, dtype="fp32")
        scaled = Tensor(rows=TOKENS, width=width, dtype="fp32")
        elementwise(trace, f"{name} {function}", kernel, (whole,), table)
        elementwise(trace, f"{name} {function}", "multiply", (table,), scaled)
        elementwise(trace, f"{name} {function}", "convert", (scaled,), Tensor(rows=TOKENS, width=width))
