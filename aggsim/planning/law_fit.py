"""The law of engine linear that comes closest to measurements: least squares with no coefficient below zero."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from aggsim.engines.linear import LATENCY_TERMS, law_features
from aggsim.errors import InputError
from aggsim.forward.batch import FloatArray
from aggsim.planning.law_rows import Measured, Measurements
from aggsim.scenario import LinearLaw

__all__ = ["ERRORS", "Errors", "LawFit", "fit_law", "nonnegative_least_squares", "r_squared"]

Errors = Literal["relative", "absolute"]
ERRORS: Final[tuple[Errors, ...]] = ("relative", "absolute")
MIN_ROWS = len(LATENCY_TERMS) + 1
DIGITS = 6
"""Significant digits of a fitted coefficient: more than any benchmark has, few enough for a link."""
SAME = 1e-9
"""Below this share of the largest singular value, columns that are scaled to length 1 say the same."""
BETTER = 1e-12
"""A further coefficient has to lower the sum of squares by more than this share of it: a tie goes to fewer."""
PREFERENCE = (0, 1, 3, 2)
"""Of coefficients that explain the measurements equally well the earlier one is taken: per_ctx_s before
per_token_ctx_s, which would price prompts after what was seen in decoding only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LawFit:
    """A law and how well it says what was measured."""

    law: LinearLaw
    rows: tuple[Measured, ...]
    fitted_s: tuple[float, ...]
    """What the law says of each row."""
    errors: Errors
    """Which errors' squares were minimised: relative to the measured value, or in seconds."""
    r2: float | None
    """1 − Σ(measured − law)² ÷ Σ(measured − mean)², in seconds; None: all rows measured the same."""
    r2_by_phase: dict[str, float | None]
    same: tuple[str, ...]
    """Coefficients that these rows cannot tell apart."""

    @property
    def relative(self) -> tuple[float, ...]:
        """law ÷ measured − 1 of each row."""
        return tuple(fitted / row.latency_s - 1 for fitted, row in zip(self.fitted_s, self.rows, strict=True))

    def worst(self, count: int = 5) -> list[int]:
        """Indices of the rows with the largest errors, of the kind that was minimised."""
        off = [
            abs(share) * (row.latency_s if self.errors == "absolute" else 1.0)
            for share, row in zip(self.relative, self.rows, strict=True)
        ]
        return sorted(range(len(off)), key=lambda i: (-off[i], i))[:count]


def fit_law(measurements: Measurements, *, errors: Errors = "relative", memory: LinearLaw | None = None) -> LawFit:
    """The law; memory: whose memory_gib and gib_per_ctx it keeps, which times cannot tell.

    Raises InputError for fewer than MIN_ROWS rows.
    """
    rows = measurements.rows
    if len(rows) < MIN_ROWS:
        raise InputError("file", f"{len(rows)} usable rows", f"at least {MIN_ROWS}, one more than coefficients")
    features, measured = law_features(measurements.batches()), np.array([row.latency_s for row in rows])
    weights = 1 / measured if errors == "relative" else np.ones(len(rows))
    weighted = features * weights[:, None]
    found = nonnegative_least_squares(weighted, measured * weights)
    coefficients = [_rounded(value) for value in found.tolist()]
    law = replace(memory or LinearLaw(fixed_s=1.0), **dict(zip(LATENCY_TERMS, coefficients, strict=True)))
    fitted = features @ np.array(coefficients)
    by_phase = {}
    for phase in ("prefill", "decode"):
        mine = np.array([row.phase == phase for row in rows])
        if mine.any():
            by_phase[phase] = r_squared(measured[mine], fitted[mine])
    return LawFit(
        law=law,
        rows=rows,
        fitted_s=tuple(fitted.tolist()),
        errors=errors,
        r2=r_squared(measured, fitted),
        r2_by_phase=by_phase,
        same=_indistinct(weighted),
    )


def nonnegative_least_squares(matrix: FloatArray, target: FloatArray) -> FloatArray:
    """x ≥ 0, shape (F,), that minimises ‖matrix·x − target‖² (matrix: shape (N, F), few columns, not negative).

    The minimum is the plain least-squares solution on the columns that it uses: every subset of columns is solved, and
    of the solutions without a negative part the best is taken; the fewest columns win a tie. Exact, where an iteration
    would have to stop somewhere; 2^F solutions, 16 for a law.
    """
    lengths = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(lengths > 0, lengths, 1.0)
    best, least = np.zeros(matrix.shape[1]), float(target @ target)
    noise = BETTER**2 * least
    places = [place for place in _order(matrix.shape[1]) if lengths[place] > 0]
    for size in range(1, len(places) + 1):
        for subset in itertools.combinations(places, size):
            columns = scaled[:, subset]
            solution, _, rank, _ = np.linalg.lstsq(columns, target, rcond=SAME)
            if rank < size or (solution < 0).any():
                continue
            rest = columns @ solution - target
            squares = float(rest @ rest)
            if squares < least * (1 - BETTER) - noise:
                least = squares
                best = np.zeros(matrix.shape[1])
                best[list(subset)] = solution / lengths[list(subset)]
    return best


def r_squared(measured: FloatArray, fitted: FloatArray) -> float | None:
    """Share of the variance that is explained; negative: the mean would say more. None: there is no variance."""
    around_mean = measured - measured.mean()
    variance = float(around_mean @ around_mean)
    rest = measured - fitted
    return 1 - float(rest @ rest) / variance if variance > 0 else None


def _order(count: int) -> tuple[int, ...]:
    return PREFERENCE if count == len(PREFERENCE) else tuple(range(count))


def _indistinct(matrix: FloatArray) -> tuple[str, ...]:
    """Names of the columns that some of the others add up to."""
    lengths = np.linalg.norm(matrix, axis=0)
    _, values, directions = np.linalg.svd(matrix / np.where(lengths > 0, lengths, 1.0), full_matrices=False)
    parts = np.abs(directions[values <= SAME * values[0]]).max(axis=0, initial=0.0)
    return tuple(name for name, part in zip(LATENCY_TERMS, parts, strict=True) if part > SAME)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if value > 0 and math.isfinite(value) else 0.0
