"""Engine `tensor_cast`: the real package of Ascend/msmodeling, in a Python of its own (see tensor_cast_worker.py).

Its operators are named as they are there; kernel is our name for the same thing.
"""

from __future__ import annotations

import functools
import json
import math
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggsim.devices.catalog import device_ids, load_device
from aggsim.devices.spec import DeviceSpec
from aggsim.engines import tensor_cast_worker
from aggsim.engines.base import EngineOptions
from aggsim.engines.tensor_cast_pool import Job, VersionsChangedError, WorkerPool
from aggsim.engines.tensor_cast_settings import NAME, Settings
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import BoundTimes, ForwardCost, MemoryUse, OpCost, Prices
from aggsim.forward.layout import layout_problem
from aggsim.forward.names import TENSOR_CAST_NAMES
from aggsim.models.catalog import raw_config
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization
from aggsim.units import bytes_of_gib, gib

__all__ = ["TensorCastEngine", "TensorCastForward"]

WORKER = Path(tensor_cast_worker.__file__)
PROBE_S = 60.0
TORCH_TESTED = ((2, 8), (2, 10))
LINEAR_ACTIONS = {
    "none": "DISABLED",
    **{label: label.upper() for label in ("w8a16_static", "w8a8_static", "w4a8_static", "fp8", "mxfp4")},
    **{label: label.upper() for label in ("w8a16_dynamic", "w8a8_dynamic", "w4a8_dynamic")},
}
ATTENTION_ACTIONS = {"none": "DISABLED", "int8": "INT8", "fp8": "FP8"}
SAME_ARCHITECTURE = {"kimi_k2": "deepseek_v3"}
"""Model types that are another one under a name of their own, which only code from the hub would know."""
KERNELS = {theirs: ours for ours, theirs in reversed(TENSOR_CAST_NAMES.items())}
"""Of two kernels of ours that are one operator there, the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCastForward:
    """One deployment; its worker is started by the first pass that is priced."""

    pool: WorkerPool
    job: Job
    reserved_bytes: float
    warnings: tuple[str, ...]

    def cost(self, batch: Batch) -> ForwardCost:
        return self._costs([batch])[0]

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        return Prices.of(self._costs(list(batches.rows() if isinstance(batches, Batches) else batches)))

    def _costs(self, batches: list[Batch]) -> list[ForwardCost]:
        if not batches:
            return []
        shapes = [
            [
                {
                    "num_requests": group.num_requests,
                    "query_len": group.query_len,
                    "seq_len": group.seq_len,
                    "is_decode": group.is_decode,
                }
                for group in batch
            ]
            for batch in batches
        ]
        question = {"price": shapes, "reserved_gib": gib(self.reserved_bytes)}
        try:
            return self.pool.ask(self.job, question, len(shapes), _cost)
        except VersionsChangedError:
            _probe.cache_clear()
            raise


class TensorCastEngine:
    """Answers for the devices that TensorCast has and for bundled models."""

    name = NAME
    slow = True
    """A pass takes seconds: service keeps each one."""

    def __init__(self, worker: Path = WORKER) -> None:
        """worker: the script that runs in the other Python."""
        self._worker = worker
        self._pool = WorkerPool()

    @property
    def version(self) -> str:
        """Commit and digest of the checkout, torch, transformers; empty where they cannot be told."""
        try:
            found = _probe(Settings.read(), self._worker)
        except EngineError:
            return ""
        commit = f"{found['commit'][:12]} " if found["commit"] else ""
        source, torch, transformers = found["source"], found["torch"], found["transformers"]
        return f"{commit}(source {source}), torch {torch}, transformers {transformers}"

    def availability(self) -> str | None:
        try:
            _probe(Settings.read(), self._worker)
        except EngineError as error:
            return error.reason
        return None

    def supports(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> str | None:
        try:
            self._job(model, device, layout, quantization, options)
        except EngineError as error:
            return error.reason
        return None

    def bind(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> TensorCastForward:
        job = self._job(model, device, layout, quantization, options)
        return TensorCastForward(
            pool=self._pool,
            job=job,
            reserved_bytes=options.reserved_bytes,
            warnings=_torch_warnings(json.loads(job.versions)["torch"]),
        )

    def cancel(self) -> None:
        """End what is being priced; who waits for it gets an EngineError."""
        self._pool.cancel()

    def close(self) -> None:
        """End every worker."""
        self._pool.close()

    def _job(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> Job:
        """Starts nothing but the question for versions. Raises EngineError with the reason why not."""
        settings = Settings.read()
        _check_device(device, settings.home)
        if problem := layout_problem(model, device, layout):
            raise EngineError(NAME, f"{problem[0]}: allowed is {problem[1]}")
        if options.num_microbatches > 1 or options.corrections:
            raise EngineError(NAME, "it has no micro-batches and no corrections: engine analytic has")
        config = raw_config(model)
        if config is None:
            raise EngineError(NAME, f"it prices bundled models only, and {model.model_id} is from elsewhere")
        model_type = SAME_ARCHITECTURE.get(config["model_type"], config["model_type"])
        if model.is_moe:
            _check_experts(model_type, settings.home)
        versions = _probe(settings, self._worker)
        deployment = {
            "model": model.model_id,
            "config": {**config, "model_type": model_type},
            "device": device.device_id,
            **_actions(model, quantization),
            "num_mtp_tokens": options.num_mtp_tokens,
            "tp": layout.tp,
            "dp": layout.dp,
            "pp": layout.pp,
            "ep": layout.ep,
            "moe_tp": layout.moe_tp,
            # it wants the product to be right even where there are no experts
            "moe_dp": layout.tp * layout.dp // (layout.ep * layout.moe_tp),
        }
        return Job(
            command=(str(settings.python), str(self._worker), str(settings.home), f"{settings.limits.memory_gib:g}"),
            versions=json.dumps(versions),
            bind=json.dumps(deployment),
            limits=settings.limits,
        )


def _check_device(device: DeviceSpec, home: Path) -> None:
    files = [home / "tensor_cast" / "device.py", *(home / "tensor_cast" / "device_profiles").glob("*.py")]
    known = {name for path in files for name in re.findall(r'name="(\w+)"', path.read_text(encoding="utf-8"))}
    if device.device_id not in known:
        raise EngineError(NAME, f"TensorCast has no device {device.device_id}, only {', '.join(sorted(known))}")
    if device.device_id not in device_ids() or load_device(device.device_id) != device:
        raise EngineError(NAME, f"TensorCast has its own {device.device_id}, which is not the device given here")


def _check_experts(model_type: str, home: Path) -> None:
    """A family without a profile is built too, as it is in transformers, and priced wrong."""
    files = (home / "tensor_cast" / "transformers" / "builtin_model").glob("*.py")
    known = {name for path in files for name in re.findall(r'model_type="(\w+)"', path.read_text(encoding="utf-8"))}
    if model_type not in known:
        raise EngineError(NAME, f"TensorCast has no profile of {model_type}: it would not shard the experts")


def _actions(model: ModelSpec, quantization: Quantization) -> dict[str, str]:
    """TensorCast quantizes everything as the experts, and the rest otherwise only where it is quantized at all."""
    experts = quantization.experts if model.is_moe else quantization.linear
    unknown = [label for label in (quantization.linear, experts) if label not in LINEAR_ACTIONS]
    if unknown:
        raise EngineError(NAME, f"TensorCast has no {unknown[0]}, only {', '.join(LINEAR_ACTIONS)}")
    if quantization.linear == "none" != experts:
        raise EngineError(NAME, f"TensorCast cannot quantize the experts alone (experts {experts}, linear none)")
    same = experts == quantization.linear
    return {
        "linear": LINEAR_ACTIONS[experts],
        "non_expert_linear": "DISABLED" if same else LINEAR_ACTIONS[quantization.linear],
        "attention": ATTENTION_ACTIONS[quantization.attention],
    }


@functools.cache
def _probe(settings: Settings, worker: Path) -> dict[str, Any]:
    """What the worker would say it is, without its imports. Raises EngineError; what failed is tried anew."""
    command = (str(settings.python), str(worker), str(settings.home))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=True)  # noqa: S603
        versions = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EngineError(NAME, f"its Python cannot run the worker: {last[:200]}") from error
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EngineError(NAME, f"its Python cannot run the worker ({type(error).__name__})") from error
    if not isinstance(versions, dict) or versions.get("protocol") != tensor_cast_worker.PROTOCOL:
        raise EngineError(NAME, "its worker speaks another protocol")
    missing = [package for package in ("torch", "transformers") if versions[package] == "missing"]
    if missing:
        raise EngineError(NAME, f"its Python {settings.python} has no {' and no '.join(missing)}")
    return versions


def _torch_warnings(torch: str) -> tuple[str, ...]:
    release = tuple(int(part) for part in re.findall(r"\d+", torch)[:2])
    first, last = TORCH_TESTED
    if first <= release <= last:
        return ()
    wanted = f"{'.'.join(map(str, first))} to {'.'.join(map(str, last))}"
    return (f"TensorCast is made for torch {wanted}; with {torch} it loses fusions and prices extra clones.",)


def _cost(reply: dict[str, Any]) -> ForwardCost:
    """Raises KeyError, TypeError or ValueError where the reply is no price."""
    cost = reply["cost"]
    ops = tuple(
        OpCost(name=name, kernel=KERNELS.get(name, name), calls=calls, total_s=total_s, bound=bound, source="analytic")
        for name, calls, total_s, bound in cost["ops"]
    )
    memory = {name: bytes_of_gib(float(amount)) for name, amount in cost["memory_gib"].items()}
    bound_s = {name: float(seconds) for name, seconds in cost["bound_s"].items()}
    latency_s = float(cost["latency_s"])
    if not all(map(math.isfinite, (latency_s, *memory.values(), *bound_s.values(), *(op.total_s for op in ops)))):
        raise ValueError("a number that is none")
    return ForwardCost(
        latency_s=latency_s, memory=MemoryUse(**memory), bound_s=BoundTimes(**bound_s), ops=ops, source="analytic"
    )
