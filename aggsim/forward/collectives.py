"""Collectives over the device grid: which link a group uses and what a transfer costs.

Source: the rules of Ascend msModeling's analytic model (tensor_cast/performance_model/comm_analytic.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aggsim.devices.spec import DeviceSpec, LinkLevel
from aggsim.forward.form import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Ranks first, first + stride, …: usually the group of rank 0 (tensor-parallel groups are consecutive)."""

    size: int
    stride: int = 1
    first: int = 0

    @property
    def last(self) -> int:
        """The highest rank."""
        return self.first + (self.size - 1) * self.stride


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One exchange. bytes: of the rank's tensor (all_reduce, reduce_scatter), of what one rank contributes
    (all_gather), of what leaves the rank (all_to_all, send)."""

    kind: str
    group: Group
    bytes: Form
    on_mesh: bool = True
    """A full mesh of m devices gives the group of n only (n−1)/(m−1) of its bandwidth."""


def link_of(device: DeviceSpec, group: Group, *, on_mesh: bool = True) -> tuple[LinkLevel, float]:
    """The innermost level that joins all ranks of the group, and its effective bandwidth in bytes/s for a group of
    this size. ValueError: the grid is too small."""
    reach = 1
    for level in reversed(device.links):
        reach *= level.size
        if group.first // reach == group.last // reach:
            bandwidth = level.bandwidth_bytes_per_s * level.efficiency
            if level.full_mesh and on_mesh:
                bandwidth *= (group.size - 1) / (reach - 1)
            return level, bandwidth
    raise ValueError(f"rank {group.last} is outside the grid of {device.device_id}, which holds {reach} devices")


def transfer_s(device: DeviceSpec, collective: Collective, count: Form) -> tuple[Form, Form]:
    """Seconds of `count` exchanges by the two algorithms to choose from (the faster one counts), as forms of the batch.

    collective.bytes is the sum over the exchanges.
    """
    n, size = collective.group.size, collective.bytes
    level, bandwidth = link_of(device, collective.group, on_mesh=collective.on_mesh)
    hops, tree_hops = n - 1, math.log2(n)
    if collective.kind == "all_reduce":
        ring = size * (2 * (n - 1) / n / bandwidth) + count * (2 * hops * level.latency_s)
        tree = size * (2 / bandwidth) + count * (2 * tree_hops * level.latency_s)
        return ring, tree
    volume = {"all_gather": n - 1, "reduce_scatter": (n - 1) / n, "all_to_all": 1.0, "send": 1.0}[collective.kind]
    moved = size * (volume / bandwidth)
    if collective.kind == "send":
        once = moved + count * level.latency_s
        return once, once
    return moved + count * (hops * level.latency_s), moved + count * (tree_hops * level.latency_s)
