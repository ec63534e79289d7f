"""Device files: strict TOML in, DeviceSpec out, and back. Users bring their own, so every value is checked."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from aggsim.devices.spec import GP_DTYPES, MMA_DTYPES, DeviceSpec, LinkLevel
from aggsim.errors import InputError
from aggsim.scenario import shown

__all__ = ["device_to_toml", "device_values", "parse_device", "read_device"]

MAX_FILE_CHARS = 20_000
MAX_LINK_LEVELS = 8
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_EFFICIENCY = (0.001, 1.0)
_COST_S = (0.0, 1.0)
_PER_S = (1.0, 1e21)
_BYTES = (1.0, 1e18)


def parse_device(text: str, name: str) -> DeviceSpec:
    """The device that a TOML file describes; its keys are the fields of DeviceSpec, links those of LinkLevel.

    name is how errors call the file. Raises InputError, naming file and key: missing, unknown or out of range.
    """
    if len(text) > MAX_FILE_CHARS:
        raise InputError(name, f"a file of {len(text):,} characters", f"at most {MAX_FILE_CHARS:,}")
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, or an integer of thousands of digits
        raise InputError(name, f"{error}", "a TOML file with the fields of a device") from error
    return read_device(values, name)


def read_device(values: Mapping[str, Any], name: str) -> DeviceSpec:
    """The device of these fields, as device_values gives them or a TOML file spells them. Raises InputError."""
    table = _Table(values, name)
    table.expect_fields_of(DeviceSpec)
    return DeviceSpec(
        device_id=table.text("device_id", 64, _ID),
        vendor=table.text("vendor", 40),
        source=table.text("source", 2000),
        mma_ops_per_s=table.rates("mma_ops_per_s", MMA_DTYPES),
        gp_ops_per_s=table.rates("gp_ops_per_s", GP_DTYPES),
        memory_bytes=table.number("memory_bytes", _BYTES),
        memory_bandwidth_bytes_per_s=table.number("memory_bandwidth_bytes_per_s", _PER_S),
        compute_efficiency=table.number("compute_efficiency", _EFFICIENCY),
        memory_efficiency=table.number("memory_efficiency", _EFFICIENCY),
        mma_op_cost_s=table.number("mma_op_cost_s", _COST_S),
        gp_op_cost_s=table.number("gp_op_cost_s", _COST_S),
        comm_op_cost_s=table.number("comm_op_cost_s", _COST_S),
        links=tuple(_link(level) for level in table.levels("links")),
    )


def device_values(spec: DeviceSpec) -> dict[str, Any]:
    """Every field as plain values: what read_device reads back to an equal DeviceSpec."""
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return values | {"links": [asdict(link) for link in spec.links]}


def device_to_toml(spec: DeviceSpec) -> str:
    """The device as a file that parse_device reads back to an equal DeviceSpec."""
    blocks = [_assignments({f.name: getattr(spec, f.name) for f in fields(spec)})]
    blocks += [f"[{key}]\n{_assignments(getattr(spec, key))}" for key in ("mma_ops_per_s", "gp_ops_per_s")]
    blocks += [f"[[links]]\n{_assignments({f.name: getattr(ln, f.name) for f in fields(ln)})}" for ln in spec.links]
    return "\n".join(blocks)


def _link(table: _Table) -> LinkLevel:
    table.expect_fields_of(LinkLevel)
    size = table.number("size", (1, 1_000_000))
    if not size.is_integer():
        raise table.error("size", size, "a whole number")
    return LinkLevel(
        size=int(size),
        bandwidth_bytes_per_s=table.number("bandwidth_bytes_per_s", _PER_S),
        latency_s=table.number("latency_s", _COST_S),
        efficiency=table.number("efficiency", _EFFICIENCY),
        full_mesh=table.flag("full_mesh"),
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a device file, read strictly."""

    values: Mapping[str, Any]
    where: str

    def error(self, key: str, value: object, allowed: str) -> InputError:
        return InputError(f"{self.where}: {shown(key[:80])}", shown(value), allowed)

    def expect(self, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        for key in self.values:
            if key not in required and key not in optional:
                raise self.error(key, "an unknown key", "only " + ", ".join((*required, *optional)))
        for key in required:
            if key not in self.values:
                raise self.error(key, "nothing", "a value: the key is missing")

    def expect_fields_of(self, kind: type[DeviceSpec | LinkLevel]) -> None:
        optional = [f.name for f in fields(kind) if f.default is not MISSING]
        self.expect([f.name for f in fields(kind) if f.default is MISSING], optional)

    def number(self, key: str, limits: tuple[float, float]) -> float:
        value, (low, high) = self.values[key], limits
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # false for NaN, too
            raise self.error(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def text(self, key: str, max_chars: int, pattern: re.Pattern[str] | None = None) -> str:
        value = self.values[key]
        printable = isinstance(value, str) and value.isprintable() and value == value.strip()
        if not printable or not 0 < len(value) <= max_chars:
            raise self.error(key, value, f"1 to {max_chars} printable characters, on one line")
        if pattern and not pattern.fullmatch(value):
            raise self.error(key, value, "letters, digits, and _ . - after the first")
        return str(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, value, "true or false")
        return value

    def rates(self, key: str, dtypes: Sequence[str]) -> dict[str, float]:
        """Operations per second by dtype, in the order of dtypes; at least one of them."""
        if not isinstance(self.values[key], dict) or not self.values[key]:
            raise self.error(key, self.values[key], f"a table with one or more of {', '.join(dtypes)}")
        table = _Table(self.values[key], f"{self.where}: {key}")
        table.expect((), dtypes)
        return {dtype: table.number(dtype, _PER_S) for dtype in dtypes if dtype in table.values}

    def levels(self, key: str) -> list[_Table]:
        value = self.values[key]
        if not isinstance(value, list) or not all(isinstance(level, dict) for level in value):
            raise self.error(key, value, "tables, outer level first, each headed [[links]]")
        if not 1 <= len(value) <= MAX_LINK_LEVELS:
            raise self.error(key, f"{len(value)} levels", f"1 to {MAX_LINK_LEVELS} levels")
        return [_Table(level, f"{self.where}: {key}[{index}]") for index, level in enumerate(value)]


def _assignments(values: Mapping[str, Any]) -> str:
    """TOML lines of the plain values (JSON spells them alike); tables and lists have blocks of their own."""
    plain = {key: value for key, value in values.items() if isinstance(value, str | int | float)}
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in plain.items())
