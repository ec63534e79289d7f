"""Linear layers and the norms that feed them, in every quantization mode.

The operator names, fusions, bytes and FLOPs follow what TensorCast's compiled graph runs (forward-cost rules): a norm
in front of a quantized linear quantizes in the same kernel; equal-input projections are one matmul.
"""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.form import ONCE, ZERO, Form
from aggsim.forward.trace import Tensor, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMode:
    """How one linear layer stores its weights, takes its inputs and multiplies."""

    activation: str = "fp16"
    """Dtype of the input payload."""
    weight_bits: int = 16
    weight_scale_bytes: float = 0.0
    """Per weight: block scales stored and read beside the payload."""
    activation_scale_bytes: float = 0.0
    mma: str = "fp16"
    """Dtype the matrix units run in."""
    unpack_ops: float = 0.0
    """FP32 vector operations per weight to unpack it."""
    group: int = 0
    """Block size of the scales; 0: per tensor, not counted."""
    kernel: str = "matmul"
    suffix: str = ""
    """Distinguishes the fused norm and quantize kernels: "" none, "dynamic", "static", "mxfp4"."""
    merges_unequal: bool = True
    """Projections of different widths on one input become one matmul (block-scaled ones only merge equal widths)."""

    @property
    def quantizes(self) -> bool:
        return self.activation != "fp16"

    @property
    def quantize_ops(self) -> float:
        """Vector operations per element to quantize; block-scaled formats reduce, convert, and make a scale per block,
        the others are priced by their bytes alone, as in the original."""
        return 2 + 1 / self.group if self.group and self.quantizes else 0.0

    @property
    def weight_bytes(self) -> float:
        """Stored bytes per weight, scales included."""
        return self.weight_bits / 8 + self.weight_scale_bytes


def _int8(suffix: str) -> LinearMode:
    return LinearMode(activation="int8", weight_bits=8, mma="int8", kernel="quant_linear", suffix=suffix)


def _int4(suffix: str) -> LinearMode:
    return LinearMode(
        activation="int8", weight_bits=4, mma="int8", unpack_ops=1.0, kernel="quant_linear_int4", suffix=suffix
    )


LINEAR: dict[str, LinearMode] = {
    "none": LinearMode(),
    # The original quantizes the activations of its W8A16 modes as well and multiplies in INT8: so do we.
    "w8a16_static": _int8("static"),
    "w8a16_dynamic": _int8("dynamic"),
    "w8a8_static": _int8("static"),
    "w8a8_dynamic": _int8("dynamic"),
    "w4a8_static": _int4("static"),
    "w4a8_dynamic": _int4("dynamic"),
    # 4-bit weights with a 16-bit scale for every 128, unpacked beside a 16-bit matmul: GPTQ (Frantar et al., 2022),
    # AWQ (Lin et al., 2023), the pack-quantized format of compressed-tensors; the unpacking as in the W4A8 modes.
    "w4a16": LinearMode(
        weight_bits=4, weight_scale_bytes=2 / 128, unpack_ops=1.0, group=128, kernel="weight_only_linear"
    ),
    "fp8": LinearMode(activation="fp8", weight_bits=8, mma="fp8", kernel="fp8_linear", suffix="dynamic"),
    # An E8M0 scale for every 32 weights and activations: OCP Microscaling Formats 1.0.
    "mxfp4": LinearMode(
        activation="fp4",
        weight_bits=4,
        weight_scale_bytes=1 / 32,
        activation_scale_bytes=1 / 32,
        mma="fp4",
        group=32,
        kernel="mxfp4_linear",
        suffix="mxfp4",
        merges_unequal=False,
    ),
    # An E4M3 scale for every 16, applied in the matrix units as MXFP4's are (NVIDIA Blackwell, cuBLAS block scaling).
    "nvfp4": LinearMode(
        activation="fp4",
        weight_bits=4,
        weight_scale_bytes=1 / 16,
        activation_scale_bytes=1 / 16,
        mma="fp4",
        group=16,
        kernel="nvfp4_linear",
        suffix="nvfp4",
    ),
}

W8A16_WIDE = LinearMode(weight_bits=8, unpack_ops=1.0, kernel="weight_only_linear")
"""W8A16 as its name says, for the correction w8a16_wide: one scale per tensor, unpacked beside a 16-bit matmul."""


def quantized_like(x: Tensor, mode: LinearMode) -> Tensor:
    """The tensor x becomes when quantized for a linear of this mode."""
    return Tensor(
        rows=x.rows, width=x.width, dtype=mode.activation, scale_bytes_per_element=mode.activation_scale_bytes
    )


def norm(
    trace: Trace,
    name: str,
    x: Tensor,
    mode: LinearMode | None = None,
    residual: Tensor | None = None,
    *,
    fuses: bool = True,
    learned: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """RMS norm of x (of x + residual when given): (output, new residual).

    With a quantizing mode the output is quantized in the same kernel, where the original fuses the two.
    learned: it has a weight per channel.
    """
    quantizes = mode is not None and mode.quantizes and fuses
    out = quantized_like(x, mode) if mode is not None and quantizes else Tensor(rows=x.rows, width=x.width)
    kernel = "rms_norm"
    if quantizes and mode is not None:
        kernel += f"_quant_{mode.suffix}"
    total = None
    if residual is not None:
        kernel = f"add_{kernel}"
        total = Tensor(rows=x.rows, width=x.width)
    plain = kernel == "rms_norm"
    trace.emit(
        name,
        kernel,
        reads=(x,) if residual is None else (x, residual),
        writes=(out,) if total is None else (out, total),
        weight_bytes=2 * x.width * learned,
        # The fused kernels are priced by their bytes alone, as in the original.
        gp_ops={"fp32": x.elements * 5} if plain else {},
    )
    return out, total


def quantize(trace: Trace, name: str, x: Tensor, mode: LinearMode, *, present: Form = ONCE) -> Tensor:
    """x, quantized for a linear of this mode by a kernel of its own; x itself where nothing is to be done."""
    if not mode.quantizes or x.dtype == mode.activation:
        return x
    out = quantized_like(x, mode)
    vector = {"fp16": x.elements * mode.quantize_ops} if mode.quantize_ops else {}
    trace.emit(name, f"quantize_{mode.suffix}", reads=(x,), writes=(out,), gp_ops=vector, present=present)
    return out


def linear(
    trace: Trace, name: str, x: Tensor, widths: tuple[float, ...], mode: LinearMode, *, bias: bool = False
) -> tuple[Tensor, ...]:
    """Projections of x to each of `widths`, as few matmuls as the mode allows; outputs in the given order."""
    x = quantize(trace, f"{name}: quantize input", x, mode)
    outputs: dict[int, Tensor] = {}
    for members in _merged(widths, mode):
        out = Tensor(rows=x.rows, width=sum(widths[i] for i in members))
        matmul(trace, name, x, out, mode, bias=bias, scales_read=widths[members[0]] / out.width)
        for i in members:
            outputs[i] = out if len(members) == 1 else out.view(width=widths[i], split=True)
    return tuple(outputs[i] for i in range(len(widths)))


def _merged(widths: tuple[float, ...], mode: LinearMode) -> list[list[int]]:
    """Which projections run as one matmul: all of them, or for block-scaled weights those of equal width."""
    if mode.merges_unequal:
        return [list(range(len(widths)))]
    by_width: dict[float, list[int]] = {}
    for i, width in enumerate(widths):
        by_width.setdefault(width, []).append(i)
    return list(by_width.values())


def matmul(
    trace: Trace,
    name: str,
    x: Tensor,
    out: Tensor,
    mode: LinearMode,
    *,
    bias: bool = False,
    kernel: str = "",
    written: Tensor | None = None,
    scales_read: float = 1.0,
    weights_read: Form = ONCE,
    weights_stored: float = 1.0,
    stored_bits: int | None = None,
    vector_ops: Form = ZERO,
    present: Form = ONCE,
) -> None:
    """rows × x.width by x.width × out.width, with as many weight matrices read as weights_read says (experts).

    scales_read: share of the weight scales that is read: the original hands a merged block-scaled matmul those of one
    member only; they are stored in full. vector_ops: a fused epilogue in 16 bits, which writes `written`, not out.
    stored_bits: the checkpoint's width where the kernel works on a wider copy of its own.
    """
    weights = x.width * out.width
    payload, scales, bias_bytes = (
        weights * mode.weight_bits / 8,
        weights * mode.weight_scale_bytes,
        2.0 * out.width * bias,
    )
    stored = payload if stored_bits is None else weights * stored_bits / 8
    share = scales_read if not mode.merges_unequal else 1.0
    half = vector_ops + x.rows * (out.width * bias)
    gp = {} if half.is_zero else {"fp16": half}
    if mode.unpack_ops:
        gp["fp32"] = weights_read * (weights * mode.unpack_ops)
    trace.emit(
        name,
        kernel or mode.kernel,
        reads=(x,),
        writes=(written or out,),
        weight_bytes=(stored + scales + bias_bytes) * weights_stored,
        resident_bytes=max(payload - stored, 0.0),
        weight_read_bytes=weights_read * (payload + scales * share + bias_bytes),
        mma_ops={mode.mma: x.rows * (2 * weights)},
        gp_ops=gp,
        present=present,
    )
