"""One scenario through several engines, each answer kept as any other."""

from __future__ import annotations

from collections.abc import Iterable

from aggsim.devices.spec import DeviceSpec
from aggsim.engines import LABEL_ONLY_ENGINES, engine_names, load_engine
from aggsim.errors import AggsimError, InputError
from aggsim.models.spec import ModelSpec
from aggsim.planning.compare_engines import EngineAnswer, EngineComparison
from aggsim.planning.evaluation import Evaluation
from aggsim.service import evaluate

__all__ = ["ask_engine", "compare_engines", "is_slow_engine", "other_engines"]


def other_engines(base: Evaluation) -> tuple[str, ...]:
    """Every engine but the one that answered, usable here or not."""
    return tuple(name for name in engine_names() if name != base.engine.name)


def is_slow_engine(name: str) -> bool:
    """It could be asked, and a pass takes seconds."""
    engine = load_engine(name)
    return bool(getattr(engine, "slow", False)) and engine.availability() is None


def ask_engine(
    name: str, base: Evaluation, *, model: ModelSpec | None = None, device: DeviceSpec | None = None
) -> EngineAnswer:
    """What another engine says at the batch size, token budget and timing of an answer; never raises AggsimError."""
    engine = load_engine(name)
    version = engine.version
    if name in LABEL_ONLY_ENGINES and base.scenario.law is None:
        reason = "it needs a law of your own, and the scenario gives none"
        return EngineAnswer(engine=name, version=version, evaluation=None, reason=reason)
    law = base.scenario.law if name in LABEL_ONLY_ENGINES else None
    try:
        answer = evaluate(base.scenario.replace(engine=name, law=law), model=model, device=device)
    except AggsimError as error:
        reason = str(error).removeprefix(f"engine {name}: ")
        return EngineAnswer(engine=name, version=version, evaluation=None, reason=reason)
    return EngineAnswer(engine=name, version=answer.engine.version, evaluation=answer)


def compare_engines(
    base: Evaluation,
    names: Iterable[str] | None = None,
    *,
    model: ModelSpec | None = None,
    device: DeviceSpec | None = None,
) -> EngineComparison:
    """An answer beside those of other engines; names: only these, None: all.

    Raises InputError for a name that is none.
    """
    chosen = other_engines(base) if names is None else [name for name in names if name != base.engine.name]
    for name in chosen:
        if name not in engine_names():
            raise InputError("engines", name, ", ".join(engine_names()))
    answers = tuple(ask_engine(name, base, model=model, device=device) for name in chosen)
    return EngineComparison(base=base, others=answers)
