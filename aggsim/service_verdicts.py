"""Whether an engine prices a combination, kept: an answer that is known needs no tables opened to be found again."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aggsim.devices.spec import DeviceSpec
from aggsim.engines import ask_engine
from aggsim.engines.base import Engine, EngineOptions
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization
from aggsim.service_answers import code_key
from aggsim.store import cache_key, default_store

__all__ = ["Verdicts"]

VERDICT_CODE = ("engines/{name}*.py", "engines/base.py", "models/*.py", "models/families/*.py")
"""What decides it beside the engine's version: a verdict of other code is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Verdicts about one model."""

    model: str
    """Stands for its whole contents: see service_answers.model_key."""

    def ask(
        self,
        engine: Engine,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> str | None:
        """As ask_engine; of an engine that is slow to ask, from the store where it was asked before."""

        def asked() -> dict[str, str | None]:
            return {"reason": ask_engine(engine, model, device, layout, quantization, options)}

        if not getattr(engine, "slow_to_ask", False) or engine.availability() is not None:
            return asked()["reason"]
        key = cache_key(
            "verdict",
            code=code_key(*(part.format(name=engine.name) for part in VERDICT_CODE)),
            engine=[engine.name, engine.version],
            model=self.model,
            device=device,
            layout=layout,
            quantization=quantization,
            options=asdict(options) | {"corrections": sorted(options.corrections)},
        )
        kept = default_store().get_or_compute(key, asked)
        if isinstance(kept, dict) and isinstance(reason := kept.get("reason"), str | None):
            return reason
        return asked()["reason"]
