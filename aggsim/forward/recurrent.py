"""Mixers with a constant state instead of a KV cache: gated delta rule (Qwen3.5) and Mamba-2 (Nemotron-3).

Prefill works on chunks of tokens, so that most of it is matrix work; decode updates the state token by token.
"""

from __future__ import annotations

from aggsim.forward.deployment import Deployment
from aggsim.forward.form import TOKENS, Form, Phase, feature
from aggsim.forward.quantized import linear, norm
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import GatedDeltaSpec, MambaSpec

DELTA_CHUNK_TOKENS = 64
SILU_OPS, SIGMOID_OPS, SOFTPLUS_OPS, NORM_OPS, L2_NORM_OPS = 6, 4, 4, 5, 4
"""Vector operations per element, as the original counts them."""
HALF_BYTES, SINGLE_BYTES = 2.0, 4.0
PHASES: tuple[Phase, Phase] = ("prefill", "decode")


def gated_delta(trace: Trace, spec: GatedDeltaSpec, x: Tensor, deployment: Deployment) -> Tensor:
    """Projections, short convolution, gates, delta rule, gated norm, output projection, before the all-reduce.

    Operation counts follow the original's linear attention operators, but for requests of their own: each is cut into
    chunks, reads its state where it continues and writes it once a pass.
    """
    heads, k_dim, v_dim = deployment.share(spec.num_v_heads), spec.head_k_dim, spec.head_v_dim
    keys, values = deployment.share(spec.num_k_heads) * k_dim, heads * v_dim
    mode = deployment.linear
    x, _ = norm(trace, "attention norm", x, mode, fuses=deployment.fuses_norms)
    widths = (2 * keys + values, values, heads, heads)
    mixed, gate, strength, decay = linear(trace, "linear attention projection", x, widths, mode)
    mixed = _convolution(trace, mixed, spec.conv_kernel)
    spread = Tensor(rows=x.rows, width=2 * heads * k_dim)
    gates = Tensor(rows=x.rows, width=heads * 1.5)  # write strengths in 16 bits, decays in 32
    trace.emit(
        "linear attention gates",
        "delta_gates",
        reads=(mixed.view(width=2 * keys), strength, decay),
        writes=(spread, gates.view(width=heads * 3)),
        weight_bytes=2 * heads * HALF_BYTES,
        gp_ops={
            "fp16": TOKENS * (heads * SIGMOID_OPS),
            "fp32": TOKENS * (heads * (SOFTPLUS_OPS + 3)) + heads,
        },
    )
    out = Tensor(rows=x.rows, width=values)
    state = heads * k_dim * v_dim * SINGLE_BYTES
    inputs = (spread, mixed.view(width=values), gates.view(width=heads * 3))
    normed_ops = 2 * heads * k_dim * L2_NORM_OPS
    # Prefill. Products within chunks, between them, and the triangular systems that make a chunk's updates at once.
    chunk, chunks = DELTA_CHUNK_TOKENS, feature("chunks", DELTA_CHUNK_TOKENS, phase="prefill") * heads
    positions, pairs = chunks * chunk, chunks * chunk**2
    trace.emit(
        "delta rule",
        "delta_rule_chunked",
        reads=_rows(inputs, "prefill"),
        writes=_rows((out,), "prefill"),
        extra_bytes=(feature("requests", phase="prefill") + feature("resumed", phase="prefill")) * state
        + positions * (2 * (k_dim + v_dim) * HALF_BYTES + 2 * (2 * k_dim + v_dim + 3) * SINGLE_BYTES)
        + pairs * (2 * 4 * SINGLE_BYTES),
        mma_ops={"fp32": pairs * (6 * k_dim + 4 * v_dim) + positions * (6 * k_dim * v_dim)},
        gp_ops={
            "fp16": feature("tokens", phase="prefill") * normed_ops,
            "fp32": positions * (3 * k_dim + 3 * v_dim + 3)
            + pairs * 6
            + chunks * ((chunk - 1) * chunk * (2 * chunk - 1) // 3 + 2 * k_dim * v_dim + 1),
        },
        launches=9,
        present=feature("any", phase="prefill"),
    )
    decoded = feature("tokens", phase="decode")
    trace.emit(
        "delta rule",
        "delta_rule_recurrent",
        reads=_rows(inputs, "decode"),
        writes=_rows((out,), "decode"),
        extra_bytes=feature("requests", phase="decode") * (2 * state),
        mma_ops={"fp32": decoded * (4 * heads * k_dim * v_dim)},
        gp_ops={"fp16": decoded * normed_ops,
                "fp32": decoded * (heads * (k_dim + 2 * v_dim + 2 + 2 * k_dim * v_dim))},
        present=feature("any", phase="decode"),
    )  # fmt: skip
    normed = _gated_norm(trace, out, gate, weight_width=v_dim)
    return linear(trace, "output projection", normed, (deployment.hidden_size,), mode)[0]


def mamba(trace: Trace, spec: MambaSpec, x: Tensor, deployment: Deployment) -> Tensor:
    """Mamba-2: projection, short convolution, state-space scan, gated norm, output projection, before the all-reduce.

    Prefill is the chunked algorithm of state-space duality in five kernels (Dao and Gu, "Transformers are SSMs", 2024,
    section 6): products of C and B within a chunk for each group; with them the chunk's outputs, the chunk's state and
    the part of the outputs that comes from the state before it, for each head.
    """
    heads, groups, p, n = (
        deployment.share(spec.num_heads), deployment.share(spec.num_groups), spec.head_dim, spec.state_size
    )  # fmt: skip
    inner, mode = heads * p, deployment.linear
    x, _ = norm(trace, "attention norm", x, mode, fuses=deployment.fuses_norms)
    widths = (inner, inner + 2 * groups * n, heads)
    gate, mixed, steps = linear(trace, "Mamba projection", x, widths, mode, bias=spec.proj_bias)
    mixed = _convolution(trace, mixed, spec.conv_kernel, bias=spec.conv_bias)
    out = Tensor(rows=x.rows, width=inner)
    state, inputs = inner * n * SINGLE_BYTES, (mixed, steps)
    constants = 3 * heads * SINGLE_BYTES  # decay, skip and step bias
    # Steps are biased and made positive; a position is scaled by its decay and skips to the output.
    per_token = heads * (SOFTPLUS_OPS + 3) + 3 * inner
    chunk, chunks = spec.chunk_size, feature("chunks", spec.chunk_size, phase="prefill")
    positions = chunks * chunk
    trace.emit(
        "state-space scan",
        "mamba_scan_chunked",
        reads=_rows(inputs, "prefill"),
        writes=_rows((out,), "prefill"),
        weight_bytes=constants,
        weight_read_bytes=feature("any", phase="prefill") * constants,
        extra_bytes=(feature("requests", phase="prefill") + feature("resumed", phase="prefill")) * state
        + chunks * (2 * state)
        + positions * (2 * groups * chunk * SINGLE_BYTES),
        mma_ops={"fp16": positions * (2 * groups * chunk * n + 2 * chunk * inner + 4 * inner * n)},
        gp_ops={"fp32": positions * (3 * heads * chunk + per_token) + chunks * (2 * inner * n)},
        launches=5,
        present=feature("any", phase="prefill"),
    )
    decoded = feature("tokens", phase="decode")
    trace.emit(
        "state-space scan",
        "mamba_state_update",
        reads=_rows(inputs, "decode"),
        writes=_rows((out,), "decode"),
        extra_bytes=feature("requests", phase="decode") * (2 * state) + feature("any", phase="decode") * constants,
        gp_ops={"fp32": decoded * (5 * inner * n + per_token)},
        present=feature("any", phase="decode"),
    )
    normed = _gated_norm(trace, out, gate, weight_width=inner)
    return linear(trace, "output projection", normed, (deployment.hidden_size,), mode, bias=spec.proj_bias)[0]


def state_bytes(spec: GatedDeltaSpec | MambaSpec, deployment: Deployment) -> float:
    """State of one request on one rank: the recurrent state in FP32, the convolution's last inputs in 16 bits."""
    share = deployment.share
    if isinstance(spec, GatedDeltaSpec):
        values = share(spec.num_v_heads) * spec.head_v_dim
        mixed, recurrent = 2 * share(spec.num_k_heads) * spec.head_k_dim + values, values * spec.head_k_dim
    else:
        inner = share(spec.num_heads) * spec.head_dim
        mixed, recurrent = inner + 2 * share(spec.num_groups) * spec.state_size, inner * spec.state_size
    return recurrent * SINGLE_BYTES + mixed * (spec.conv_kernel - 1) * HALF_BYTES


def _convolution(trace: Trace, x: Tensor, kernel: int, *, bias: bool = False) -> Tensor:
    """Causal convolution of each channel over its last `kernel` tokens, and SiLU; decode keeps the last inputs."""
    out = Tensor(rows=x.rows, width=x.width)
    weights = x.width * (kernel + bias) * HALF_BYTES
    for phase in PHASES:
        is_decode = phase == "decode"
        trace.emit(
            "short convolution",
            "causal_conv_update" if is_decode else "causal_conv",
            reads=_rows((x,), phase),
            writes=_rows((out,), phase),
            weight_bytes=0.0 if is_decode else weights,
            weight_read_bytes=feature("any", phase=phase) * weights,
            extra_bytes=feature("requests", phase="decode") * (x.width * kernel * HALF_BYTES) if is_decode else Form(),
            gp_ops={"fp16": feature("tokens", phase=phase) * (x.width * (2 * kernel + SILU_OPS))},
            present=feature("any", phase=phase),
        )
    return out


def _gated_norm(trace: Trace, x: Tensor, gate: Tensor, *, weight_width: float) -> Tensor:
    """RMS norm of x, times SiLU of the gate."""
    out = Tensor(rows=x.rows, width=x.width)
    trace.emit(
        "gated norm",
        "gated_rms_norm",
        reads=(x, gate),
        writes=(out,),
        weight_bytes=weight_width * HALF_BYTES,
        gp_ops={"fp32": x.elements * (NORM_OPS + SILU_OPS + 2)},
    )
    return out


def _rows(tensors: tuple[Tensor, ...], phase: Phase) -> tuple[Tensor, ...]:
    """The rows of one phase's tokens."""
    return tuple(tensor.view(rows=feature("tokens", phase=phase)) for tensor in tensors)
