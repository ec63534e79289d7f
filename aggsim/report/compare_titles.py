"""The Compare page in sentences: its headline and what each chart shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aggsim.report.comparison import METRICS, Entry, Metric, signed_percent, value_of
from aggsim.report.format import count, duration

__all__ = ["bars", "comparison_words", "headline", "memory_left", "passes", "timelines"]

_METRIC = {metric.key: metric for metric in METRICS}
_OUTPUT, _PER_DEVICE = _METRIC["output_tokens_per_s"], _METRIC["output_tokens_per_s_per_device"]


def headline(entries: Sequence[Entry], names: Sequence[str], baseline: int) -> tuple[str, str]:
    """Who carries most of those that meet their limits, per device where their numbers of devices differ."""
    base = entries[baseline]
    against = f"Measured against {base.letter}, the baseline."
    if len(entries) == 1:
        return "One scenario: there is nothing to compare it with yet.", ""
    failed = [e.letter for e in entries if e.evaluation is None]
    stopped = [e.letter for e in entries if e.evaluation and not e.evaluation.verdict.ok]
    notes = [against] if base.evaluation else [f"{base.letter}, the baseline, has no answer: there are no deltas."]
    if failed and failed != [base.letter]:
        notes.append(f"No answer: {', '.join(failed)}.")
    if stopped:
        notes.append(f"Over a limit: {', '.join(stopped)}.")
    fitting = [i for i, e in enumerate(entries) if e.evaluation and e.evaluation.verdict.ok]
    if not fitting:
        return "None of them meets its limits.", " ".join(notes)
    sizes = {entries[i].settled.devices for i in fitting}
    metric = _OUTPUT if len(sizes) == 1 else _PER_DEVICE
    rates = {i: value_of(metric, entries[i]) or 0.0 for i in fitting}
    best = max(fitting, key=lambda i: rates[i])
    if all(math.isclose(rate, rates[best], rel_tol=1e-9) for rate in rates.values()) and len(fitting) > 1:
        first = f"Level at {metric.words(rates[best])}"
        return f"{first}{' per device' if metric is _PER_DEVICE else ''}: {_listed(entries, fitting)}.", " ".join(notes)
    words = f"{entries[best].letter} ({names[best]}) carries most: {metric.words(rates[best])}"
    if metric is _PER_DEVICE:
        words += " per device"
    if len(fitting) > 1:
        second = max((i for i in fitting if i != best), key=lambda i: rates[i])
        ahead = signed_percent(rates[best] / rates[second] - 1) if rates[second] else ""
        words += f", {ahead} on {entries[second].letter}, the next" if ahead else ""
    return f"{words}.", " ".join(notes)


def comparison_words(entries: Sequence[Entry]) -> str:
    """For the line under the title."""
    return f"{count(len(entries), 'scenario')} side by side"


def bars(entries: Sequence[Entry], keys: Sequence[str]) -> str:
    """E.g. "B has the shortest TTFT, A the shortest TPOT; bars are scaled within each metric"."""
    said = [words for key in keys[:2] if (words := _winner(entries, _METRIC[key]))]
    if len(said) > 1 and said[0].partition(" the ")[0] == said[1].partition(" the ")[0]:
        said = [f"{said[0]} and {said[1].split(' the ')[-1].partition(' ')[2]}"]
    return f"{', '.join(said) or 'No answer to draw'}; bars are scaled within each metric"


def passes(entries: Sequence[Entry], which: str, baseline: int) -> str:
    """E.g. "Decode: B is shortest, 18.2 ms, −22% against A; one pass each, by what bounds it"."""
    costs = {
        e.letter: getattr(e.evaluation, which).latency_s
        for e in entries
        if e.evaluation and getattr(e.evaluation, which)
    }
    name = which.capitalize()
    if len(costs) < 2:
        return f"{name}: one pass, by what bounds it"
    best = min(costs, key=costs.__getitem__)
    base = entries[baseline].letter
    if max(costs.values()) <= costs[best] * (1 + 1e-9):
        return f"{name}: all take {duration(costs[best])}; one pass each, by what bounds it"
    against = (
        f", {signed_percent(costs[best] / costs[base] - 1)} against {base}" if base in costs and best != base else ""
    )
    return f"{name}: {best} is shortest, {duration(costs[best])}{against}; one pass each, by what bounds it"


def memory_left(entries: Sequence[Entry]) -> str:
    """Who has most room left."""
    return (
        f"{_winner(entries, _METRIC['memory_left_gib']) or 'Memory'}; one device in its tightest pass, to its capacity"
    )


def timelines(entries: Sequence[Entry]) -> str:
    """E.g. "B finishes first: 52.1 s; the longest takes 74.4 s; share of time in each kind of step"."""
    ends = {e.letter: e.evaluation.run.timeline.end_s for e in entries if e.evaluation}
    ran = {letter: end for letter, end in ends.items() if end > 0}
    note = "share of time in each kind of step, one burst each; the black mark is the mean TTFT"
    if not ran:
        return f"No step ran; {note}"
    first, last = min(ran, key=ran.__getitem__), max(ran, key=ran.__getitem__)
    if first == last:
        return f"{first} takes {duration(ran[first])}; {note}"
    return (
        f"{first} is through its burst first, in {duration(ran[first])}, {last} last, in {duration(ran[last])}; {note}"
    )


def _winner(entries: Sequence[Entry], metric: Metric) -> str:
    values = {e.letter: value for e in entries if (value := value_of(metric, e)) is not None and math.isfinite(value)}
    if not values:
        return ""
    pick = min if metric.better == "lower" else max
    best = pick(values, key=values.__getitem__)
    if len(values) > 1 and all(math.isclose(v, values[best], rel_tol=1e-9) for v in values.values()):
        return f"equal {_short(metric)}"
    word = "least" if metric.better == "lower" else "most"
    return f"{best} has the {word} {_short(metric)}"


def _short(metric: Metric) -> str:
    label = metric.label.removeprefix("… ")
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _listed(entries: Sequence[Entry], indices: Sequence[int]) -> str:
    letters = [entries[i].letter for i in indices]
    return " and ".join((", ".join(letters[:-1]), letters[-1])) if len(letters) > 1 else letters[0]
