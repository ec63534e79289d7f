"""What aiconfigurator-core brings along: its systems, models and measured tables. Imported only to open tables."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import platform
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggsim.devices.package import PACKAGE_DEVICES
from aggsim.models.package import package_config_files
from aggsim.packages import DISTRIBUTION, package_folder, package_title

__all__ = [
    "LOCK",
    "SYSTEMS",
    "SiliconModel",
    "SiliconSystem",
    "Tables",
    "availability",
    "captured_log",
    "measured_backends",
    "open_tables",
    "package_folder",
    "package_version",
    "silicon_models",
    "silicon_systems",
]

MODULE = "aiconfigurator_core"
BACKENDS = ("vllm", "sglang", "trtllm")

SYSTEMS: dict[str, str] = {
    "A100_SXM_80G": "a100_sxm",
    "L40S_48G": "l40s",
    "H100_SXM_80G": "h100_sxm",
    "H200_SXM_141G": "h200_sxm",
    "B200_SXM_180G": "b200_sxm",
    "B300_SXM_288G": "b300_sxm",
    "GB200_186G": "gb200",
    "RTX_PRO_6000_96G": "rtx_pro_6000_server",
    **{entry.device_id: system for system, entry in PACKAGE_DEVICES.items()},
}
"""Device of our catalog → system of the package."""

LOCK = threading.RLock()
"""Opening tables and compiling touch module state of the package: one thread at a time. Pricing needs no lock."""

_CURRENT = re.compile(r'^  (\w+): \{current: "([^"]+)"', re.MULTILINE)
"""A framework and the version its tables are of, on most systems."""
_DONOR = re.compile(r"for (\w+?)_perf\.parquet from .*/(\w+)/([^/]+)/[^/]+\.parquet")
"""Table, framework and version whose rows fill its gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiliconSystem:
    """One system of the package."""

    system: str
    device_id: str | None
    """The same hardware in our catalog, None: it has no entry there."""
    backends: tuple[str, ...]
    """Serving frameworks with measured tables; empty: a description without measurements."""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiliconModel:
    """One model configuration of the package."""

    model_id: str
    path: Path
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The measured tables of one serving framework on one system."""

    system: str
    backend: str
    version: str
    """Of the framework that was measured."""
    database: Any
    donors: dict[str, str]
    """Table → the framework that fills its gaps here, where the package says so ("low fidelity")."""

    @property
    def title(self) -> str:
        return f"{self.backend} {self.version} on {self.system}"


@functools.cache
def availability() -> str | None:
    """None: the package can be used here; else why not."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return f"{DISTRIBUTION} is built for Linux on x86-64 only"
    return None if package_folder() else f"{DISTRIBUTION} is not installed (pip install {DISTRIBUTION})"


@functools.cache
def package_version() -> str:
    """The package's version and those of the frameworks that its tables were measured with."""
    folder = package_folder()
    if folder is None:
        return "not installed"
    current = _CURRENT.findall((folder / "systems" / "query_versions.yaml").read_text())
    return ", ".join((importlib.metadata.version(DISTRIBUTION), *(f"{name} {version}" for name, version in current)))


@functools.cache
def measured_backends(system: str) -> tuple[str, ...]:
    """The frameworks whose matmuls and attention were measured on a system."""
    data = (package_folder() or Path()) / "systems" / "data" / system
    return tuple(
        backend
        for backend in BACKENDS
        if all(any(data.glob(f"{family}/{backend}/*/*.parquet")) for family in ("gemm", "attention"))
    )


@functools.cache
def silicon_systems() -> tuple[SiliconSystem, ...]:
    """Every system of the package, those without measurements too; empty where it is not installed."""
    device_of = {system: device for device, system in SYSTEMS.items()}
    data = sorted((package_folder() or Path()).glob("systems/data/*"))
    return tuple(
        SiliconSystem(
            system=folder.name,
            device_id=device_of.get(folder.name),
            backends=measured_backends(folder.name),
            source=f"{package_title()}, systems/{folder.name}.yaml",
        )
        for folder in data
    )


@functools.cache
def silicon_models() -> tuple[SiliconModel, ...]:
    """Every model configuration of the package; empty where it is not installed."""
    return tuple(
        SiliconModel(model_id=model_id, path=file, source=f"{package_title()}, model_configs/{file.name}")
        for model_id, file in package_config_files().items()
    )


def open_tables(system: str, backend: str) -> Tables:
    """The current tables of a framework on a system that has some. About a second the first time, LOCK is held."""
    with LOCK:
        return _open_tables(system, backend)


@functools.cache
def _open_tables(system: str, backend: str) -> Tables:
    with captured_log() as log:
        from aiconfigurator_core.sdk import perf_database
        from aiconfigurator_core.sdk.operations.attention import resolved_lane_order_for_op

        version = perf_database.resolve_query_version(system, backend, "current")
        database = perf_database.get_database_view(system, backend, version, database_mode="SILICON")
        for table in ("_context_attention_data", "_generation_attention_data"):
            resolved_lane_order_for_op(database, table, None)  # slow once; warns of every table that has donors
    donors = {found[1]: f"{found[2]} {found[3]}" for line in log if (found := _DONOR.search(line))}
    return Tables(system=system, backend=backend, version=version, database=database, donors=donors)


@contextlib.contextmanager
def captured_log() -> Iterator[list[str]]:
    """What the package warns of meanwhile, kept from the log of the process."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(MODULE)
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
