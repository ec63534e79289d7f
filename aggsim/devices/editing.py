"""A device as the fields of a form: numbers as texts in the units that data sheets use, checked one by one.

A text that was not touched stands for the exact value it was made from, so editing one field changes no other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aggsim.devices.parse import MAX_LINK_LEVELS, device_values, read_device
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import InputError
from aggsim.units import GIB, GIGA, TERA, US_PER_S

__all__ = ["COSTS", "LINK_FIELDS", "MATRIX", "MEMORY", "SHARES", "VECTOR", "Field", "device_of", "link_key", "texts_of"]

PERCENT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One number of a device."""

    key: str
    """Of DeviceSpec or LinkLevel; inside a table of rates: table.dtype."""
    label: str
    unit: str
    factor: float
    """Plain value of one unit."""
    low: float
    high: float
    help: str
    optional: bool = False

    @property
    def allowed(self) -> str:
        """What may be written, in words that finish the sentence of an InputError."""
        words = f"a number from {self.low:,g} to {self.high:,.0f} {self.unit}".rstrip()
        return f"{words}, or nothing where there are no such units" if self.optional else words

    def parse(self, text: str, name: str = "") -> float | None:
        """The plain value that a text spells; None: empty, and it may be. name: what errors call the field."""
        digits = text.strip().replace(",", "")
        if not digits and self.optional:
            return None
        try:
            number = float(digits) if digits.isascii() and "_" not in digits else math.nan
        except ValueError:
            number = math.nan
        if not self.low <= number <= self.high:  # false for NaN, too
            raise InputError(name or self.label, text.strip() or "nothing", self.allowed)
        return number * self.factor

    def format(self, value: float | None) -> str:
        """A text of a plain value, to six digits at least."""
        if value is None:
            return ""
        shown = value / self.factor
        return f"{shown:.6g}" if shown < 1e6 else f"{shown:.12g}"


def _field(key: str, label: str, unit: str, factor: float, low: float, high: float, text: str) -> Field:
    return Field(key=key, label=label, unit=unit, factor=factor, low=low, high=high, help=text)


MEMORY = (
    _field("memory_bytes", "Memory", "GiB", GIB, 0.01, 1e6, "What one device holds, as its driver reports it. Data "
           "sheets often count in GB: 141 GB are 131 GiB."),
    _field("memory_bandwidth_bytes_per_s", "Memory bandwidth", "TB/s", TERA, 1e-4, 1e6, "Peak of the device memory, "
           "in 10^12 bytes per second."),
)  # fmt: skip
MATRIX = tuple(
    Field(
        key=f"mma_ops_per_s.{dtype}",
        label=dtype.upper(),
        unit="TOP/s" if dtype.startswith("int") else "TFLOP/s",
        factor=TERA,
        low=1e-3,
        high=1e9,
        optional=True,
        help=f"Dense peak of the matrix units in {dtype.upper()}: data sheets that count sparsity say twice as much. "
        "Empty: there are no such units, and work in this format costs only its memory traffic.",
    )
    for dtype in ("bf16", "fp16", "fp8", "int8", "fp4", "fp32")
)
VECTOR = tuple(
    Field(
        key=f"gp_ops_per_s.{dtype}",
        label=f"Vector {dtype.upper()}",
        unit="TFLOP/s",
        factor=TERA,
        low=1e-3,
        high=1e9,
        optional=True,
        help=f"Peak of the vector units in {dtype.upper()}: softmax, norms, activations. Empty: costs no time.",
    )
    for dtype in ("bf16", "fp16", "fp32")
)
SHARES = (
    _field("compute_efficiency", "Reachable compute", "%", PERCENT, 0.1, 100, "Share of the peaks that kernels reach."),
    _field("memory_efficiency", "Reachable bandwidth", "%", PERCENT, 0.1, 100, "Share of the memory bandwidth that "
           "kernels reach."),
)  # fmt: skip
COSTS = (
    _field("mma_op_cost_s", "Matrix operator", "µs", 1 / US_PER_S, 0, 1e6, "Static cost of one launch."),
    _field("gp_op_cost_s", "Vector operator", "µs", 1 / US_PER_S, 0, 1e6, "Static cost of one launch."),
    _field("comm_op_cost_s", "Collective", "µs", 1 / US_PER_S, 0, 1e6, "Static cost of one launch."),
)
LINK_FIELDS = (
    _field("size", "Joins", "", 1, 1, 1e6, "How many of the next inner level (at the innermost: devices) it joins."),
    _field("bandwidth_bytes_per_s", "Bandwidth", "GB/s", GIGA, 1e-4, 1e6, "One way, per device."),
    _field("latency_s", "Latency", "µs", 1 / US_PER_S, 0, 1e6, "Of one hop."),
    _field("efficiency", "Reachable", "%", PERCENT, 0.1, 100, "Share of the bandwidth that collectives reach."),
)
_PLAIN = (*MEMORY, *MATRIX, *VECTOR, *SHARES, *COSTS)


def link_key(level: int, key: str) -> str:
    """Of a field of a link level, the outer level first."""
    return f"links.{level}.{key}"


def texts_of(spec: DeviceSpec) -> dict[str, str]:
    """Every number of the device as its form shows it: key → text."""
    texts = {field.key: field.format(_plain_value(spec, field.key)) for field in _PLAIN}
    for level, link in enumerate(spec.links):
        texts |= {link_key(level, field.key): field.format(getattr(link, field.key)) for field in LINK_FIELDS}
    return texts


def device_of(
    texts: Mapping[str, str], meshes: tuple[bool, ...], start: DeviceSpec, vendor: str, source: str
) -> tuple[DeviceSpec | None, dict[str, InputError]]:
    """The device that a form spells, or what is wrong with it, by key ("" where no field is to blame).

    texts: as texts_of gives them, one level of links for each of meshes (its full_mesh); start: what it was begun from.
    """
    given = texts_of(start)
    errors: dict[str, InputError] = {}
    values: dict[str, Any] = device_values(start) | {"mma_ops_per_s": {}, "gp_ops_per_s": {}}
    values |= {"vendor": vendor.strip(), "source": " ".join(source.split()), "links": []}

    def read(field: Field, key: str, name: str, original: float | None) -> float | None:
        try:
            value = field.parse(texts[key], name)
        except InputError as error:
            errors[key] = error
            return None
        return original if texts[key] == given.get(key) else value

    for field in _PLAIN:
        value = read(field, field.key, field.label, _plain_value(start, field.key))
        table, _, dtype = field.key.partition(".")
        if not dtype:
            values[table] = value
        elif value is not None:
            values[table][dtype] = value
    for level, mesh in enumerate(meshes[:MAX_LINK_LEVELS]):
        link = start.links[level] if level < len(start.links) else None
        numbers = {
            field.key: read(
                field,
                link_key(level, field.key),
                f"Link {level + 1}, {field.label.lower()}",
                getattr(link, field.key) if link else None,
            )
            for field in LINK_FIELDS
        }
        values["links"].append(numbers | {"full_mesh": mesh})
    if not errors and not values["mma_ops_per_s"]:
        first = MATRIX[0]
        errors[first.key] = InputError("Matrix units", "nothing", f"a peak for one format at least, in {first.unit}")
    if not errors and not values["gp_ops_per_s"]:
        first = VECTOR[0]
        errors[first.key] = InputError("Vector units", "nothing", f"a peak for one format at least, in {first.unit}")
    if errors:
        return None, errors
    try:
        return read_device(values, "device"), {}
    except InputError as error:
        return None, {"": error}


def _plain_value(spec: DeviceSpec, key: str) -> float | None:
    name, _, dtype = key.partition(".")
    value: Any = getattr(spec, name)
    number: float | None = value.get(dtype) if dtype else value
    return number
