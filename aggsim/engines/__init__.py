"""Who can price a forward pass. ENGINES is the list; an entry is imported when it is first asked for.

Another package adds to it with an entry point of group `aggsim.engines`: see plugins.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import Engine, EngineOptions, ForwardModel
from aggsim.engines.plugins import load_plugin, plugins
from aggsim.errors import EngineError, InputError
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

__all__ = [
    "AUTO_ORDER",
    "AUTO_VENDORS",
    "BULK_ENGINES",
    "CORRECTED_ENGINES",
    "ENGINES",
    "LABEL_ONLY_ENGINES",
    "Ask",
    "Engine",
    "EngineOptions",
    "ForwardModel",
    "ask_engine",
    "choose_engine",
    "engine_names",
    "load_engine",
    "not_asked",
]


def _analytic() -> Engine:
    from aggsim.engines.analytic import AnalyticEngine

    return AnalyticEngine()


def _linear() -> Engine:
    from aggsim.engines.linear import LinearEngine

    return LinearEngine()


def _silicon() -> Engine:
    from aggsim.engines.silicon import SiliconEngine

    return SiliconEngine()


def _tensor_cast() -> Engine:
    from aggsim.engines.tensor_cast import TensorCastEngine

    return TensorCastEngine()


ENGINES: dict[str, Callable[[], Engine]] = {
    "analytic": _analytic,
    "silicon": _silicon,
    "tensor_cast": _tensor_cast,
    "linear": _linear,
}
AUTO_ORDER = ("silicon", "analytic")
"""What `auto` asks, best evidence first: the first that supports the combination answers."""
AUTO_VENDORS = {"silicon": ("nvidia",)}
"""Where `auto` asks an engine at all: for devices of other vendors nobody expects an answer, and none is missed."""
LABEL_ONLY_ENGINES = ("linear",)
"""Know nothing of model and device, which only label the answer: any layout is taken as given."""
BULK_ENGINES = ("analytic", "linear")
"""Price a thousand shapes in one call for little more than one."""
CORRECTED_ENGINES = ("analytic",)
"""Know EngineOptions.corrections."""


def engine_names() -> tuple[str, ...]:
    """ENGINES, then what other packages bring."""
    return (*ENGINES, *(name for name in plugins() if name not in ENGINES))


@functools.cache
def load_engine(name: str) -> Engine:
    """The one instance of an engine. Raises InputError for a name that is none."""
    if name in ENGINES:
        return ENGINES[name]()
    if name not in plugins():
        raise InputError("engine", name, ", ".join(("auto", *engine_names())))
    return load_plugin(plugins()[name])


Ask = Callable[[Engine, ModelSpec, DeviceSpec, ParallelLayout, Quantization, EngineOptions], str | None]
"""Whether an engine prices a combination: None, or why not in one sentence."""


def ask_engine(
    engine: Engine,
    model: ModelSpec,
    device: DeviceSpec,
    layout: ParallelLayout,
    quantization: Quantization,
    options: EngineOptions,
) -> str | None:
    """The engine itself is asked."""
    return engine.availability() or engine.supports(model, device, layout, quantization, options)


def choose_engine(
    name: str,
    model: ModelSpec,
    device: DeviceSpec,
    layout: ParallelLayout,
    quantization: Quantization,
    options: EngineOptions,
    ask: Ask = ask_engine,
) -> tuple[Engine, str | None]:
    """The engine that answers and, where `auto` passed over a better one, why in one sentence.

    Raises EngineError when none of the candidates can price the combination.
    """
    passed_over: list[str] = []
    reason = ""
    candidates = _auto_candidates(device) if name == "auto" else (name,)
    for candidate in candidates:
        engine = load_engine(candidate)
        reason = ask(engine, model, device, layout, quantization, options) or ""
        if not reason:
            fallback = f"engine {candidate} answered: {'; '.join(passed_over)}" if passed_over else None
            return engine, fallback
        passed_over.append(f"{candidate} could not ({reason.rstrip('.')})")
    raise EngineError(candidates[-1], reason)


def not_asked(device: DeviceSpec) -> str | None:
    """Whom `auto` does not ask for such a device, and why, in one sentence; None: everybody is asked."""
    sentences = [
        f"{name} was not asked: it is for devices of {' and '.join(AUTO_VENDORS[name])}, not of {device.vendor}"
        for name in AUTO_ORDER
        if name not in _auto_candidates(device)
    ]
    return "; ".join(sentences) or None


def _auto_candidates(device: DeviceSpec) -> tuple[str, ...]:
    return tuple(name for name in AUTO_ORDER if device.vendor in AUTO_VENDORS.get(name, (device.vendor,)))
