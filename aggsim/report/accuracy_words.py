"""Error bars and what the Accuracy page claims, in words."""

from __future__ import annotations

from aggsim.planning.accuracy import Score
from aggsim.planning.accuracy_fit import Fit
from aggsim.planning.measurements import Measurement
from aggsim.planning.neighbours import ErrorBar

__all__ = ["BLIND", "NOTHING_MEASURED", "error_bar_words", "fit_words", "headline", "range_words", "row_words"]

BLIND = (
    "The three global parameters were fitted on the fit half only. No blind test: errors on the report half had been "
    "seen before what they are was settled."
)
"""What the halves are worth."""
NOTHING_MEASURED = "Measured accuracy: nothing comparable was ever measured."


_ABOVE = {
    "burst": " (the figures above are of a burst)",
    "closed": "",
    "open": " (the figures above are of requests that come by themselves)",
    "trace": " (the figures above are of a trace)",
}


def error_bar_words(engine: str, bar: ErrorBar | None, arrival: str = "burst") -> str:
    """What measurements say of an answer. The benchmarks are closed loops: said, too, where the answer is none."""
    if bar is None:
        return NOTHING_MEASURED
    measurements = "measurement" if bar.count == 1 else "measurements"
    return (
        f"**Measured accuracy** TTFT {range_words(bar.ttft)}, TPOT {range_words(bar.tpot)}: error of {engine}'s "
        f"closed-loop prediction against measured closed-loop benchmarks{_ABOVE[arrival]}, based on "
        f"{bar.count} {measurements}, nearest: {row_words(bar.nearest)}."
    )


def range_words(errors: tuple[float, float]) -> str:
    """Signed percent, the smaller first."""
    return " … ".join(f"{100 * error:+.0f}%".replace("-", "−") for error in errors)


def row_words(row: Measurement) -> str:
    """What was measured, in a few words."""
    return (
        f"{row.checkpoint} {row.precision or 'bf16'} on {row.tp * row.dp} × {row.system}, {row.backend}, "
        f"{row.users} users, {row.input_tokens:,} → {row.output_tokens:,} tokens"
    )


def headline(report: Score) -> str:
    """The claim, from the report half."""
    return (
        f"TPOT within {100 * report.median_ape:.1f}% (median) on {report.count:,} measurements that no parameter was "
        "fitted on"
    )


def fit_words(fit: Fit) -> str:
    """The three parameters and where they are from."""
    found = fit.overheads
    return (
        f"Global parameters: {1e6 * found.collective_s:g} µs for each collective of a pass beyond its table (none "
        f"under TensorRT-LLM), prefill work × {found.prefill_share:g}, a first token {found.ttft_steps:g} decode steps "
        "late. "
        f"Found {fit.date} on {fit.num_rows:,} rows of the fit half with silicon {fit.engine_version}: balanced median "
        f"error of TPOT {100 * fit.tpot_error:.1f}%, of TTFT without queueing {100 * fit.ttft_error:.1f}%."
    )
