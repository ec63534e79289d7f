"""Devices from the system files of aiconfigurator-core, where that package is installed and ours has no file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggsim.devices.spec import DeviceSpec, LinkLevel
from aggsim.packages import package_folder, package_title
from aggsim.units import TERA

__all__ = ["PACKAGE_DEVICES", "load_package_device", "package_device_ids", "package_device_problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageDevice:
    """What a system file does not tell."""

    device_id: str
    vendor: str
    vector_fp32: float
    """Operations per second of the vector units, of the vendor's data sheet."""
    vector_half: float
    """In BF16 and FP16: 4 times that on GA100, twice on Hopper, Blackwell and Xe2, once on Ada."""


def _entry(device_id: str, vendor: str, fp32: float, half: float) -> PackageDevice:
    return PackageDevice(device_id=device_id, vendor=vendor, vector_fp32=fp32 * TERA, vector_half=half * TERA)


PACKAGE_DEVICES: dict[str, PackageDevice] = {
    "a100_pcie": _entry("A100_PCIE_80G", "nvidia", 19.5, 78),
    "a30": _entry("A30_24G", "nvidia", 10.3, 41.2),
    "b60": _entry("ARC_PRO_B60_24G", "intel", 12.28, 24.56),
    "gb300": _entry("GB300_288G", "nvidia", 80, 160),
    "h100_pcie": _entry("H100_PCIE_80G", "nvidia", 51, 102),
    "l4": _entry("L4_24G", "nvidia", 30.3, 30.3),
}
"""System of the package → the rest. Systems that our own files describe are not here."""
MMA_FIELDS = {
    "fp32": "float32_tc_flops",
    "bf16": "bfloat16_tc_flops",
    "fp16": "bfloat16_tc_flops",
    "int8": "int8_tc_flops",
    "fp8": "fp8_tc_flops",
    "fp4": "fp4_tc_flops",
}
NEEDED = {"gpu": ("mem_bw", "mem_capacity", "bfloat16_tc_flops"), "node": ("num_gpus_per_node", "intra_node_bw")}
GRID = 4096
"""Devices that the grid spans at least: wide enough for any scenario."""


def package_device_ids() -> tuple[str, ...]:
    """Sorted; empty where the package is not installed."""
    return tuple(sorted(device_id for device_id, (_, problem) in _systems().items() if not problem))


def package_device_problems() -> dict[str, str]:
    """Device → why it cannot be read from its system file."""
    return {device_id: problem for device_id, (_, problem) in _systems().items() if problem}


@functools.cache
def load_package_device(device_id: str) -> DeviceSpec:
    """One of package_device_ids; its dicts are shared."""
    system, _ = _systems()[device_id]
    entry = PACKAGE_DEVICES[system.stem]
    values = _read(system)
    gpu, node = values["gpu"], values["node"]
    return DeviceSpec(
        device_id=device_id,
        vendor=entry.vendor,
        source=f"{package_title()}, systems/{system.name}; vector units: single precision of the vendor's data sheet, "
        "half precision by the architecture's ratio (GA100 4, Hopper, Blackwell and Xe2 2, Ada 1). Efficiencies, "
        "static costs and link latencies are starting values; the grid is wide enough for any scenario.",
        mma_ops_per_s={dtype: float(gpu[field]) for dtype, field in MMA_FIELDS.items() if field in gpu},
        gp_ops_per_s={"fp32": entry.vector_fp32, "bf16": entry.vector_half, "fp16": entry.vector_half},
        memory_bytes=float(gpu["mem_capacity"]),
        memory_bandwidth_bytes_per_s=float(gpu["mem_bw"]),
        compute_efficiency=0.7,
        memory_efficiency=0.8,
        mma_op_cost_s=3e-6,
        gp_op_cost_s=2e-6,
        comm_op_cost_s=5e-6,
        links=_links(node),
    )


def _links(node: Mapping[str, Any]) -> tuple[LinkLevel, ...]:
    """What joins the devices of a node, or of a rack where NVLink joins that, and what is beyond it."""
    if "num_gpus_per_rack" in node:
        size, inner, outer, latency_s = (
            int(node["num_gpus_per_rack"]),
            node["inter_node_bw"],
            node["inter_rack_bw"],
            2e-6,
        )
    else:
        size, inner = int(node["num_gpus_per_node"]), node["intra_node_bw"]
        outer, latency_s = node.get("inter_node_bw", inner), 4e-6  # PCIe
    return (
        LinkLevel(size=-(-GRID // size), bandwidth_bytes_per_s=float(outer), latency_s=5e-6, efficiency=0.7),
        LinkLevel(size=size, bandwidth_bytes_per_s=float(inner), latency_s=latency_s, efficiency=0.7),
    )


@functools.cache
def _systems() -> dict[str, tuple[Path, str]]:
    """Device id → file and what is wrong with it, "": nothing."""
    folder = package_folder()
    found: dict[str, tuple[Path, str]] = {}
    for system, entry in PACKAGE_DEVICES.items() if folder else ():
        file = (folder or Path()) / "systems" / f"{system}.yaml"
        if file.is_file():
            found[entry.device_id] = file, _problem(_read(file))
    return found


@functools.cache
def _read(file: Path) -> Mapping[str, Any]:
    import yaml  # the package brings it along

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, Mapping) else {}


def _problem(values: Mapping[str, Any]) -> str:
    for part, names in NEEDED.items():
        table = values.get(part)
        table = table if isinstance(table, Mapping) else {}
        for name in names:
            value = table.get(name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
                return f"its system file has no {part}.{name}"
    return ""
