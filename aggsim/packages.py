"""What aiconfigurator-core brings along besides measured tables, found without importing it: files to read."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from pathlib import Path

__all__ = ["DISTRIBUTION", "package_folder", "package_title"]

DISTRIBUTION = "aiconfigurator-core"
MODULE = "aiconfigurator_core"


@functools.cache
def package_folder() -> Path | None:
    """Where the package lies; None: it is not installed."""
    spec = importlib.util.find_spec(MODULE)
    return Path(spec.origin).parent if spec and spec.origin else None


@functools.cache
def package_title() -> str:
    """Its name and version."""
    return f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"
