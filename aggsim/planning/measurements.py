"""The measured end-to-end rows: read from the installed aiconfigurator-core, never from a copy.

Which of its rows are clean, which half each belongs to, and what AIConfigurator itself predicts for them lie beside
this file (data/measured_ids.csv); lengths, layout and measured times come from the package's silicon_sample.csv.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from aggsim.engines.silicon_tables import SYSTEMS, package_folder
from aggsim.errors import EngineError
from aggsim.planning.recipes import INFERENCEX_LENGTH_SPREAD, Recipe, recipe_of
from aggsim.scenario import Scenario

__all__ = ["Measurement", "Times", "load_measurements"]

IDS = Path(__file__).parent / "data" / "measured_ids.csv"
SAMPLE = Path("systems") / "silicon_sample.csv"

MODELS: dict[str, str] = {
    "MiniMaxAI/MiniMax-M2.5": "MiniMaxAI/MiniMax-M2.5",
    "Qwen/Qwen3-235B-A22B-FP8": "Qwen/Qwen3-235B-A22B",
    "Qwen/Qwen3-32B": "Qwen/Qwen3-32B",
    "Qwen/Qwen3.5-397B-A17B": "Qwen/Qwen3.5-397B-A17B",
    "deepseek-ai/DeepSeek-R1": "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3": "deepseek-ai/DeepSeek-V3",
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "moonshotai/Kimi-K2.5": "moonshotai/Kimi-K2.5",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai/DeepSeek-R1",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-ai/DeepSeek-V3",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Qwen3-32B-NVFP4": "Qwen/Qwen3-32B",
    "openai/gpt-oss-120b": "openai/gpt-oss-120b",
    "zhipuai/GLM-5": "zai-org/GLM-5",
}
"""Checkpoint of a row → the catalog's model with the same layers."""
WEIGHTS = {"bf16": "none", "": "none", "fp8": "fp8", "fp4": "nvfp4", "int4": "w4a16"}
"""A row's precision → our label of matmuls and experts. Rows without one ran checkpoints published in BF16."""
OWN_WEIGHTS = frozenset(
    {("openai/gpt-oss-120b", "fp4"), ("openai/gpt-oss-120b", "fp8"), ("moonshotai/Kimi-K2.5", "int4")}
)
"""(checkpoint, precision) of rows that ran the published checkpoint, quantized in its own way (MXFP4, INT4 experts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds."""

    ttft_ms: float
    tpot_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One clean row."""

    id: str
    split: str
    """fit or report."""
    queued: bool
    """Its TTFT shows queueing."""
    suspect_mtp: bool
    """Speculative decoding that no label tells of is suspected: shown apart, never scored."""
    backend: str
    backend_version: str
    checkpoint: str
    model: str
    """The catalog's model with the same layers."""
    system: str
    precision: str
    input_tokens: int
    output_tokens: int
    users: int
    """Closed loop, of one data-parallel replica."""
    tp: int
    dp: int
    ep: int
    recipe: Recipe
    length_spread: float
    """Lengths are uniform from 1 − this to 1 times the nominal ones."""
    measured: Times
    aic: dict[str, Times]
    """AIConfigurator with the row's quantization labels (label) and the checkpoint's (native)."""

    @property
    def device(self) -> str:
        return next(device for device, system in SYSTEMS.items() if system == self.system)

    @property
    def load(self) -> str:
        """Users of a replica, in four classes."""
        return next(name for name, most in LOADS.items() if self.users <= most)

    @property
    def weights(self) -> str | None:
        """Number format of the linear layers and experts; None: the checkpoint's own."""
        return None if (self.checkpoint, self.precision) in OWN_WEIGHTS else WEIGHTS[self.precision]

    def scenario(self, engine: str = "auto") -> Scenario:
        """The row as a question: layout, formats, lengths and users as measured."""
        return Scenario(
            model=self.model,
            device=self.device,
            devices=self.tp * self.dp,
            tp=self.tp,
            ep=self.ep,
            linear=self.weights,
            experts=self.weights,
            attention=self.recipe.attention,
            input=self.input_tokens,
            output=self.output_tokens,
            batch=self.users,
            max_batched_tokens=self.recipe.budget_tokens,
            ttft=None,
            tpot=None,
            engine=engine,
            backend=self.backend,
        )


LOADS = {"1–8 users": 8, "9–32 users": 32, "33–64 users": 64, "over 64 users": 10**9}


@functools.cache
def load_measurements() -> tuple[Measurement, ...]:
    """All clean rows, in the order of the package. Raises EngineError where aiconfigurator-core is not installed."""
    folder = package_folder()
    if folder is None or not (folder / SAMPLE).is_file():
        raise EngineError("silicon", "the measurements are part of aiconfigurator-core, which is not installed")
    with IDS.open(newline="") as file:
        known = {row["id"]: row for row in csv.DictReader(file)}
    with (folder / SAMPLE).open(newline="") as file:
        return tuple(_measurement(row, known[row["id"]]) for row in csv.DictReader(file) if row["id"] in known)


def _measurement(row: dict[str, str], known: dict[str, str]) -> Measurement:
    checkpoint, backend, system, precision = (row[k] for k in ("model_path", "backend", "system", "precision"))
    input_tokens = _whole(row["isl"])
    return Measurement(
        id=row["id"],
        split=known["split"],
        queued=known["queued"] == "1",
        suspect_mtp=known["suspect_mtp"] == "1",
        backend=backend,
        backend_version=row["backend_version"],
        checkpoint=checkpoint,
        model=MODELS[checkpoint],
        system=system,
        precision=precision,
        input_tokens=input_tokens,
        output_tokens=_whole(row["osl"]),
        users=_whole(row["batch_size"]),
        tp=_whole(row["tp_size"]),
        dp=_whole(row["attention_dp_size"]),
        ep=_whole(row["moe_ep_size"]),
        recipe=recipe_of(
            model=checkpoint.split("/")[1],
            backend=backend,
            system=system,
            precision=precision,
            input_tokens=input_tokens,
            output_tokens=_whole(row["osl"]),
            tp=_whole(row["tp_size"]),
            users=_whole(row["batch_size"]) * _whole(row["attention_dp_size"]),
        ),
        length_spread=INFERENCEX_LENGTH_SPREAD if _INFERENCEX.match(row["silicon_data_source"]) else 0.0,
        measured=Times(ttft_ms=float(row["silicon_ttft_ms"]), tpot_ms=float(row["silicon_tpot_ms"])),
        aic={
            name: Times(ttft_ms=float(known[f"aic_{name}_ttft_ms"]), tpot_ms=float(known[f"aic_{name}_tpot_ms"]))
            for name in ("label", "native")
        },
    )


_INFERENCEX = re.compile(r"db-dump/|source_file=\d{4}-")


def _whole(text: str) -> int:
    """A count; nothing and 0 stand for 1, as the rows write them."""
    return int(float(text or 1)) or 1
