"""Where TensorCast is, and what its workers may use: environment variables AGGSIM_TENSOR_CAST_…

HOME         a checkout of Ascend/msmodeling; without it the engine is off
PYTHON       its interpreter; else the one in HOME/.venv, else the one that runs aggsim
WORKERS      processes at most, 2              MEMORY_GIB   address space of each, 16
IDLE_S       how long an idle one stays, 300   START_S      to import and to build a model, 300
SHAPE_S      to price one pass, 300
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aggsim.errors import EngineError

__all__ = ["NAME", "Limits", "Settings"]

NAME = "tensor_cast"
PREFIX = "AGGSIM_TENSOR_CAST_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of the worker processes."""

    workers: int = 2
    memory_gib: float = 16.0
    idle_s: float = 300.0
    start_s: float = 300.0
    shape_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A place where TensorCast could be started; nothing has been started to find out."""

    home: Path
    python: Path
    limits: Limits

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises EngineError with the variable that is missing or wrong."""
        home = environment.get(f"{PREFIX}HOME", "")
        if not home:
            raise _wrong("HOME", "is not set; it names a checkout of Ascend/msmodeling")
        checkout = Path(home).expanduser().absolute()
        if not (checkout / "tensor_cast" / "device.py").is_file():
            raise _wrong("HOME", "names no checkout of Ascend/msmodeling: tensor_cast/device.py is missing there")
        python = _python(environment.get(f"{PREFIX}PYTHON", ""), checkout)
        return cls(home=checkout, python=python, limits=Limits(**_numbers(environment)))


def _python(asked: str, home: Path) -> Path:
    if asked:
        found = shutil.which(os.path.expanduser(asked))
        if found is None:
            raise _wrong("PYTHON", "names no program that can be run")
        return Path(found).absolute()
    own = home / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    return own if own.is_file() else Path(sys.executable)


def _numbers(environment: Mapping[str, str]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for field in fields(Limits):
        text = environment.get(PREFIX + field.name.upper(), "")
        if not text:
            continue
        is_count = field.name == "workers"
        try:
            number = int(text) if is_count else float(text)
        except ValueError:
            number = math.nan
        if not 0 < number <= 1e6:
            raise _wrong(field.name.upper(), f"must be a {'whole ' if is_count else ''}number above 0")
        numbers[field.name] = number
    return numbers


def _wrong(name: str, what: str) -> EngineError:
    return EngineError(NAME, f"{PREFIX}{name} {what}")
