"""The global parameters: kept in data/accuracy_fit.toml, found by accuracy_search.py on the half called `fit`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from aggsim.planning.closed_loop import Overheads

__all__ = ["Fit", "load_fit", "overheads_of", "write_fit"]

FILE = Path(__file__).parent / "data" / "accuracy_fit.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The three parameters with their provenance, for whoever shows them."""

    overheads: Overheads
    tpot_error: float
    ttft_error: float
    """Balanced median APE on the fit half, TTFT of the rows that did not queue; the fit makes their sum least."""
    num_rows: int
    """Of the fit half, those that engine silicon prices."""
    engine_version: str
    date: str
    """When it was found, ISO."""


def load_fit() -> Fit:
    """What data/accuracy_fit.toml holds."""
    values = tomllib.loads(FILE.read_text())
    return Fit(overheads=Overheads(**values.pop("overheads")), **values)


def write_fit(fit: Fit, file: Path = FILE) -> None:
    """Replace what is kept."""
    parts = fit.overheads
    file.write_text(
        "# Written by `python -m aggsim accuracy --fit --store`; planning/accuracy_search.py says what is made least.\n"
        "# Only the fit half has a part in it. What the parameters are was chosen when errors on the report half had\n"
        "# been seen.\n"
        f'date = "{fit.date}"\n'
        f'engine_version = "{fit.engine_version}"\n'
        f"num_rows = {fit.num_rows}\n"
        f"tpot_error = {fit.tpot_error:.4f}\n"
        f"ttft_error = {fit.ttft_error:.4f}\n\n"
        "[overheads]\n"
        f"collective_s = {parts.collective_s!r}\n"
        f"prefill_share = {parts.prefill_share!r}\n"
        f"ttft_steps = {parts.ttft_steps!r}\n"
    )


def overheads_of(engine: str) -> Overheads:
    """The parameters as an engine needs them. They were found for measured tables; the analytic law has static costs of
    its own for every operator and collective, so it goes without collective_s."""
    found = load_fit().overheads
    return Overheads(
        collective_s=found.collective_s if engine == "silicon" else 0.0,
        prefill_share=found.prefill_share,
        ttft_steps=found.ttft_steps,
    )
