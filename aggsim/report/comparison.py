"""Scenarios side by side: every result with its delta to the baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import MISSING, duration, full, memory, number
from aggsim.report.words import LIMIT_NAMES, TPOT_LABELS
from aggsim.scenario import Scenario
from aggsim.units import bytes_of_gib, gib, ms, seconds

__all__ = ["LETTERS", "METRICS", "Cell", "Delta", "Entry", "Metric", "Row", "delta", "result_rows", "results_frame",
           "signed_percent", "value_of"]  # fmt: skip

LETTERS = "ABCDEF"
SAME = "same"
_TOLERANCE = 1e-9
"""Two results that differ by less, relative to the baseline's, are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One of the scenarios."""

    letter: str
    asked: Scenario
    evaluation: Evaluation | None
    """None: there is no answer, and `error` says why."""
    error: str = ""
    is_current: bool = False
    """It is the form's."""

    @property
    def settled(self) -> Scenario:
        """With what auto came to, where that is known."""
        return self.evaluation.scenario if self.evaluation else self.asked


Direction = Literal["lower", "higher", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One result."""

    key: str
    label: str
    unit: str
    """Of the exported number."""
    better: Direction
    """Which way is better; "": neither."""
    value: Callable[[Evaluation], float | None]
    """In that unit; None: nothing ran that would have one."""
    words: Callable[[float], str]
    """As it is written on screen, with a unit."""
    is_absolute: bool = False
    """Its delta is a difference, not a share: it may be 0 or negative."""
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A result against the baseline's."""

    text: str
    """E.g. "−22%", "+1.5 GiB", "same"; "" where there is nothing to compare."""
    better: bool | None = None
    """None: neither better nor worse."""

    @property
    def words(self) -> str:
        """E.g. "−22% better": never by sign or colour alone."""
        return self.text if self.better is None else f"{self.text} {'better' if self.better else 'worse'}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One scenario in one row."""

    text: str
    note: str = ""
    exact: str = ""
    """For hover."""
    better: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    label: str
    help: str
    cells: tuple[Cell, ...]


def _time(milliseconds: float) -> str:
    return duration(seconds(milliseconds))


def _tokens(rate: float) -> str:
    return f"{number(rate)} tokens/s"


def _gib_words(size: float) -> str:
    return memory(bytes_of_gib(size))


def _tpot(timing: str) -> Callable[[Evaluation], float]:
    """TPOT by one definition, whichever of the two the answer carries."""
    return lambda answer: ms(answer.tpot_s if answer.run.timing == timing else answer.tpot_other_s)


METRICS: tuple[Metric, ...] = (
    Metric(key="ttft_ms", label="TTFT", unit="ms", better="lower", value=lambda e: ms(e.ttft_s), words=_time,
           help="Mean time to first token, waiting for prefill included."),
    *(
        Metric(key=f"tpot_{timing}_ms", label=f"TPOT {label}", unit="ms", better="lower", value=_tpot(timing),
               words=_time, help="Mean time per output token. One definition spreads TTFT over the output tokens, the "
               "other starts after the first token: each row compares like with like.")
        for timing, label in TPOT_LABELS.items()
    ),
    Metric(key="end_to_end_ms", label="End to end", unit="ms", better="lower", value=lambda e: ms(e.end_to_end_s),
           words=_time, help="Mean time from a request's arrival to its last token."),
    Metric(key="output_tokens_per_s", label="Output", unit="tokens/s", better="higher",
           value=lambda e: e.output_tokens_per_s, words=_tokens, help="Generated tokens, over the whole deployment."),
    Metric(key="output_tokens_per_s_per_device", label="Output per device", unit="tokens/s", better="higher",
           value=lambda e: e.output_tokens_per_s_per_device, words=_tokens,
           help="Compares deployments of different size."),
    Metric(key="prompt_tokens_per_s", label="Prompts", unit="tokens/s", better="higher",
           value=lambda e: e.prompt_tokens_per_s, words=_tokens,
           help="Prompt tokens taken in, cached ones included, over the whole deployment."),
    Metric(key="requests_per_s", label="Requests", unit="requests/s", better="higher",
           value=lambda e: e.requests_per_s, words=lambda rate: f"{number(rate)} requests/s",
           help="Finished requests, over the whole deployment."),
    Metric(key="concurrency", label="Concurrency", unit="requests", better="", value=lambda e: e.concurrency,
           words=number, help="Requests in flight: batch size · DP · PP."),
    Metric(key="batch_size", label="Batch size", unit="requests", better="", value=lambda e: e.run.batch_size,
           words=number, help="Requests per replica."),
    Metric(key="memory_left_gib", label="Memory left", unit="GiB", better="higher", is_absolute=True,
           value=lambda e: gib(e.run.memory_left_bytes), words=_gib_words,
           help="Per device, in the tightest priced pass."),
    Metric(key="memory_left_at_last_token_gib", label="… at the last token", unit="GiB", better="higher",
           is_absolute=True, value=lambda e: gib(e.memory_left_at_last_token_bytes), words=_gib_words,
           help="Per device, when every request of the burst holds its full context."),
    Metric(key="prefill_ms", label="One prefill pass", unit="ms", better="lower",
           value=lambda e: ms(e.prefill.latency_s) if e.prefill else None, words=_time,
           help="A single forward pass over prompts."),
    Metric(key="decode_ms", label="One decode pass", unit="ms", better="lower",
           value=lambda e: ms(e.decode.latency_s) if e.decode else None, words=_time,
           help="A single forward pass that makes the next tokens."),
    Metric(key="num_chunks", label="Prefill chunks", unit="", better="", value=lambda e: e.run.num_chunks,
           words=number, help="Pieces one prompt is cut into under the token budget."),
)  # fmt: skip


def value_of(metric: Metric, entry: Entry) -> float | None:
    """None: there is no such number."""
    return None if entry.evaluation is None else metric.value(entry.evaluation)


def delta(metric: Metric, value: float | None, base: float | None) -> Delta:
    """Of one result against the baseline's."""
    if value is None or base is None or math.isnan(value) or math.isnan(base):
        return Delta(text="")
    if value == base or abs(value - base) <= _TOLERANCE * abs(base):
        return Delta(text=SAME)
    better = (value < base) == (metric.better == "lower") if metric.better else None
    if math.isinf(value) or math.isinf(base):
        return Delta(text="", better=better)
    if metric.is_absolute:
        difference = value - base
        return Delta(text=f"{'+' if difference > 0 else ''}{metric.words(difference)}", better=better)
    return Delta(text=signed_percent(value / base - 1) if base else "", better=better)


def signed_percent(share: float) -> str:
    """E.g. "+2.8%", "−22%", "+340%", "<+0.01%": as many digits as it takes to see what changed."""
    sign, size = ("−" if share < 0 else "+"), abs(share) * 100
    if size < 0.01:
        return f"<{sign}0.01%"
    return f"{sign}{size:,.{2 if size < 1 else 1 if size < 10 else 0}f}%"


def result_rows(entries: Sequence[Entry], baseline: int) -> list[Row]:
    """Every result of every scenario, and its delta to entries[baseline]."""
    verdicts = tuple(_verdict_cell(entry) for entry in entries)
    rows = [Row(label="Verdict", help="Does it fit and meet its own limits; if not, what stops it.", cells=verdicts)]
    for metric in METRICS:
        base = value_of(metric, entries[baseline])
        cells = []
        for index, entry in enumerate(entries):
            value = value_of(metric, entry)
            against = Delta(text="") if index == baseline else delta(metric, value, base)
            text = MISSING if value is None else metric.words(value)
            exact = "" if value is None else full(value, metric.unit)
            note = "" if against.text == SAME and not metric.better else against.words
            cells.append(Cell(text=text, note=note, exact=exact, better=against.better))
        rows.append(Row(label=metric.label, help=metric.help, cells=tuple(cells)))
    engines = tuple(_engine_cell(entry) for entry in entries)
    return [*rows, Row(label="Engine", help="Who priced the passes, and where its numbers come from.", cells=engines)]


def results_frame(entries: Sequence[Entry], names: Sequence[str], baseline: int) -> pd.DataFrame:
    """For export: one row a metric; of each scenario the value and, but for the baseline, value ÷ baseline − 1."""
    frame = pd.DataFrame({"metric": [m.key for m in METRICS], "unit": [m.unit for m in METRICS]})
    base = [value_of(metric, entries[baseline]) for metric in METRICS]
    for index, (entry, name) in enumerate(zip(entries, names, strict=True)):
        head = f"{entry.letter}: {name}"
        values = [value_of(metric, entry) for metric in METRICS]
        frame[head] = pd.Series(values, dtype=float)
        if index != baseline:
            shares = [v / b - 1 if v is not None and b else None for v, b in zip(values, base, strict=True)]
            frame[f"{entry.letter} / {entries[baseline].letter} - 1"] = pd.Series(shares, dtype=float)
    return frame


def _verdict_cell(entry: Entry) -> Cell:
    if entry.evaluation is None:
        return Cell(text="✗ no answer", exact=entry.error)
    verdict = entry.evaluation.verdict
    if verdict.ok:
        limits = (entry.settled.ttft, entry.settled.tpot)
        return Cell(text="✓ meets limits" if any(limit is not None for limit in limits) else "✓ fits")
    if verdict.limit == "memory":
        return Cell(text="✗ does not fit", better=False)
    return Cell(text=f"✗ {LIMIT_NAMES[verdict.limit or 'tpot']} over", better=False)


def _engine_cell(entry: Entry) -> Cell:
    if entry.evaluation is None:
        return Cell(text=MISSING)
    engine = entry.evaluation.engine
    return Cell(text=engine.name, note=engine.source, exact=f"version {engine.version}")
