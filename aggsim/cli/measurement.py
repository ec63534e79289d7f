"""One line of a bench."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Measurement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A figure and what it is compared with."""

    name: str
    value: float
    unit: str
    compared_with: str
