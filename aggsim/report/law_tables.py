"""A fitted law's rows as DataFrames."""

from __future__ import annotations

import pandas as pd

from aggsim.planning.law_fit import LawFit
from aggsim.report.law_words import fit_rows, worst_rows

__all__ = ["fit_table", "worst_table"]


def fit_table(fit: LawFit) -> pd.DataFrame:
    """Every row; the columns of law_words.fit_rows."""
    return pd.DataFrame(fit_rows(fit))


def worst_table(fit: LawFit, rows: int = 5) -> pd.DataFrame:
    """The rows of fit_table that the law misses by most, worst first."""
    return pd.DataFrame(worst_rows(fit, rows))
