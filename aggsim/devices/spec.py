"""One accelerator and the grid it sits in. Plain bytes, bytes per second, operations per second, seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLevel:
    """One level of the device grid, outer to inner in DeviceSpec.links."""

    size: int
    """How many of the next inner level (at the innermost: devices) this level joins."""
    bandwidth_bytes_per_s: float
    """One way, per device."""
    latency_s: float
    efficiency: float
    full_mesh: bool = False
    """Point-to-point links to every peer: a group of n out of m devices has (n−1)/(m−1) of the bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """Peaks are dense and theoretical; the efficiencies scale them. A dtype that is absent costs no time, as in the
    original. Checked where it is read (parse.py); not hashable, since its rates are dicts."""

    device_id: str
    vendor: str
    mma_ops_per_s: dict[str, float]
    """Matrix units: keys of MMA_DTYPES."""
    gp_ops_per_s: dict[str, float]
    """Vector units: keys of GP_DTYPES."""
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    compute_efficiency: float
    memory_efficiency: float
    mma_op_cost_s: float
    gp_op_cost_s: float
    comm_op_cost_s: float
    links: tuple[LinkLevel, ...]
    """Outer to inner: outer levels are slower and span more devices."""
    source: str

    @property
    def num_devices_max(self) -> int:
        """Devices in the whole grid."""
        return math.prod(level.size for level in self.links)

    @property
    def num_devices_per_node(self) -> int:
        """Devices joined by every level but the outermost one (all of them when there is a single level)."""
        inner = self.links[1:] if len(self.links) > 1 else self.links
        return math.prod(level.size for level in inner)


MMA_DTYPES = ("fp32", "bf16", "fp16", "int8", "fp8", "fp4")
GP_DTYPES = ("fp32", "bf16", "fp16")
