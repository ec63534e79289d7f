"""With this folder on PYTHONPATH, engine tensor_cast of a process is the analytic one, slowed on purpose.

Worker processes inherit it, which no monkeypatch does. AGGSIM_TEST_PASS_S: seconds a pass takes; AGGSIM_TEST_PASSES: a
file that gets one line a pass, the process that priced it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aggsim import engines
from aggsim.engines.analytic import AnalyticEngine
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import ForwardCost, Prices


@dataclass(frozen=True, slots=True)
class SlowForward:
    forward: Any

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.forward.warnings

    def cost(self, batch: Batch) -> ForwardCost:
        time.sleep(float(os.environ.get("AGGSIM_TEST_PASS_S", "0")))
        log = os.environ.get("AGGSIM_TEST_PASSES")
        if log:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
        return self.forward.cost(batch)

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        rows = batches.rows() if isinstance(batches, Batches) else batches
        return Prices.of([self.cost(batch) for batch in rows])


@dataclass(frozen=True, slots=True)
class SlowEngine:
    name: str = "tensor_cast"
    version: str = "slowed"
    slow: bool = True
    analytic: AnalyticEngine = field(default_factory=AnalyticEngine)

    def availability(self) -> str | None:
        return None

    def supports(self, *asked: Any) -> str | None:
        return self.analytic.supports(*asked)

    def bind(self, *asked: Any) -> SlowForward:
        return SlowForward(self.analytic.bind(*asked))


engines.ENGINES["tensor_cast"] = SlowEngine
