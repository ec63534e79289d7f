"""Dense feed-forward blocks."""

from __future__ import annotations

from aggsim.forward.quantized import LinearMode, linear
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import MlpSpec


def mlp(
    trace: Trace, spec: MlpSpec, x: Tensor, hidden_size: int, mode: LinearMode, *, tp: int = 1, name: str = "MLP"
) -> Tensor:
    """gate, up, activation, down, the intermediate width cut over tp; the rank's share before the all-reduce."""
    width = -(-spec.intermediate_size // tp)
    widths = (width, width) if spec.gated else (width,)
    label = "gate and up projection" if spec.gated else "up projection"
    outputs = linear(trace, f"{name} {label}", x, widths, mode, bias=spec.bias)
    middle = Tensor(rows=x.rows, width=width)
    trace.emit(f"{name} activation", "swiglu" if spec.gated else "activation", reads=outputs, writes=(middle,))
    return linear(trace, f"{name} down projection", middle, (hidden_size,), mode, bias=spec.bias)[0]
