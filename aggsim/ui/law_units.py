"""The coefficients of a law as people type them: in units that leave a handful of digits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

__all__ = ["FIELDS", "LawField", "shifted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LawField:
    """A coefficient in a unit that leaves a handful of digits: unit = 10^places of the coefficient's own."""

    label: str
    unit: str
    places: int
    most: float

    @property
    def allowed(self) -> str:
        return f"0 to {self.most:,g} {self.unit}"


FIELDS: Final[dict[str, LawField]] = {
    "fixed_s": LawField(label="Each step", unit="ms", places=-3, most=1e6),
    "per_token_s": LawField(label="Each new token", unit="µs", places=-6, most=1e9),
    "per_ctx_s": LawField(label="Each token of context", unit="ns", places=-9, most=1e9),
    "per_token_ctx_s": LawField(label="New token × token of context", unit="ps", places=-12, most=1e9),
    "memory_gib": LawField(label="KV cache may take", unit="GiB", places=0, most=1e6),
    "gib_per_ctx": LawField(label="1,000 tokens take", unit="GiB", places=-3, most=1e6),
}


def shifted(value: float, places: int) -> float:
    """value · 10^places, to the digit: what was typed is what is kept."""
    return float(Decimal(repr(float(value))).scaleb(places))
