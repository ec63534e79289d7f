"""python -m aggsim models | devices | engines"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from aggsim import service
from aggsim.cli.jsonl import dump
from aggsim.devices.catalog import device_ids
from aggsim.devices.package import package_device_problems
from aggsim.devices.spec import DeviceSpec
from aggsim.engines.silicon import silicon_systems
from aggsim.errors import UnsupportedModelError
from aggsim.models.catalog import model_source
from aggsim.models.parameters import count_parameters
from aggsim.models.spec import ModelSpec
from aggsim.packages import package_title
from aggsim.report.format import number
from aggsim.units import GIGA, TERA, gib

__all__ = ["devices", "engines", "models", "table"]

BILLION = 1e9


def models(options: argparse.Namespace) -> int:
    """The catalog of models."""
    return _show(options, [_model(model_id, found) for model_id, found in service.models().items()])


def devices(options: argparse.Namespace) -> int:
    """The catalog of devices."""
    problems = [
        {"device": device_id, "source": package_title(), "problem": problem}
        for device_id, problem in package_device_problems().items()
    ]
    return _show(options, [*(_device(spec) for spec in service.devices().values()), *problems])


def engines(options: argparse.Namespace) -> int:
    """Every engine with version, availability and reason; of measured tables also what they cover."""
    rows = [
        {"engine": e.name, "version": e.version, "available": e.reason is None, "reason": e.reason or ""}
        for e in service.engines()
    ]
    covered = [
        {"system": entry.system, "device": entry.device_id or "", "backends": list(entry.backends)}
        for entry in silicon_systems()
    ]
    if options.json:
        return _show(options, [row | ({"covers": covered} if row["engine"] == "silicon" else {}) for row in rows])
    _show(options, rows)
    if covered:
        print("\nTables of engine silicon")
        print(table([row | {"backends": ", ".join(row["backends"]) or "not measured"} for row in covered]))
    return 0


def _model(model_id: str, found: ModelSpec | UnsupportedModelError) -> dict[str, Any]:
    if isinstance(found, UnsupportedModelError):
        return {"model": model_id, "source": model_source(model_id), "problem": str(found)}
    size = count_parameters(found)
    return {
        "model": model_id,
        "parameters_billion": round(size.total / BILLION, 3),
        "active_billion": round(size.active / BILLION, 3),
        "layers": found.num_layers,
        "kind": "MoE" if found.is_moe else "dense",
        "max_context_tokens": found.max_position_embeddings,
        "linear": found.quantization.linear if found.quantization else "none",
        "experts": found.quantization.experts if found.quantization and found.is_moe else "none",
        "source": found.source,
        "problem": "",
    }


def _device(spec: DeviceSpec) -> dict[str, Any]:
    return {
        "device": spec.device_id,
        "vendor": spec.vendor,
        "memory_gib": round(gib(spec.memory_bytes), 1),
        "memory_gb_per_s": round(spec.memory_bandwidth_bytes_per_s / GIGA),
        "bf16_tops": round(spec.mma_ops_per_s.get("bf16", 0) / TERA, 1),
        "int8_tops": round(spec.mma_ops_per_s.get("int8", 0) / TERA, 1),
        "fp8_tops": round(spec.mma_ops_per_s.get("fp8", 0) / TERA, 1),
        "devices_per_node": spec.num_devices_per_node,
        "devices_max": spec.num_devices_max,
        "source": "bundled" if spec.device_id in device_ids() else package_title(),
    }


def _show(options: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> int:
    print(dump(rows, indent=2) if options.json else table(rows))
    return 0


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Columns of all rows in first-seen order; numbers to the right."""
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if any(row.get(name, "") != "" for row in rows)
    ]
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)]
    right = [isinstance(rows[0].get(name), int | float) and not isinstance(rows[0].get(name), bool) for name in names]
    lines = [
        "  ".join(
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(line, widths, right, strict=True)
        )
        for line in (names, *cells)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)
