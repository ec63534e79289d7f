"""Tables of the HTML report: inputs and results, one column an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from aggsim.planning.evaluation import Evaluation
from aggsim.report.compare_inputs import told_apart
from aggsim.report.format import MISSING, duration, full, memory, number
from aggsim.report.words import TPOT_LABELS, verdict_words
from aggsim.scenario import PARAMETERS, Parameter
from aggsim.units import gib, ms

__all__ = ["inputs_table", "results_table"]


def inputs_table(evaluations: Sequence[Evaluation], names: Sequence[str], *, differing: bool | None = None) -> str:
    """Every field of the form as it was resolved. differing: only those that differ, or only those that do not."""
    rows = []
    for parameter in PARAMETERS:
        values = _values(parameter, evaluations)
        if differing is not None and differing != (len(set(values)) > 1):
            continue
        if not any(e.scenario.uses(parameter.key) and _says_something(parameter, e) for e in evaluations):
            continue
        shown = values[:1] if differing is False else values
        rows.append((parameter.label, [(value, "", value) for value in shown]))
    if not rows:
        return "<p>None.</p>"
    return _table(rows, [] if differing is False or len(evaluations) == 1 else names)


def results_table(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    """The headline figures; from the second column on with the difference to the first. Hover has every digit."""
    rows = [("Verdict", [(_verdict_words(e), "", verdict_words(e)[0]) for e in evaluations])]
    for label, values in _figures(evaluations):
        first = values[0][0]
        cells = []
        for i, (value, words, exact) in enumerate(values):
            cells.append((words, _delta(value, first) if i else "", exact))
        rows.append((label, cells))
    return _table(rows, names)


def _figures(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[tuple[float, str, str]]]]:
    """Label, and for each answer the value, as it is written, and with every digit."""

    def times(values: Sequence[float]) -> list[tuple[float, str, str]]:
        return [(value, duration(value), full(ms(value), "ms")) for value in values]

    def rates(values: Sequence[float], unit: str) -> list[tuple[float, str, str]]:
        return [(value, f"{number(value)} {unit}", full(value, unit)) for value in values]

    kinds = dict.fromkeys(e.run.timing for e in evaluations)
    tpot = f"TPOT {TPOT_LABELS[next(iter(kinds))]}" if len(kinds) == 1 else "TPOT (definitions differ)"
    left = [e.run.memory_left_bytes for e in evaluations]
    return [
        ("TTFT", times([e.ttft_s for e in evaluations])),
        (tpot, times([e.tpot_s for e in evaluations])),
        ("End to end", times([e.end_to_end_s for e in evaluations])),
        ("Output", rates([e.output_tokens_per_s for e in evaluations], "tokens/s")),
        ("Output per device", rates([e.output_tokens_per_s_per_device for e in evaluations], "tokens/s")),
        ("Prompts", rates([e.prompt_tokens_per_s for e in evaluations], "tokens/s")),
        ("Requests", rates([e.requests_per_s for e in evaluations], "requests/s")),
        ("Concurrency", rates([e.concurrency for e in evaluations], "requests")),
        ("Memory left per device", [(size, memory(size), full(gib(size), "GiB")) for size in left]),
    ]


def _delta(value: float, first: float) -> str:
    if value == first:
        return "(=)"
    if not (math.isfinite(value) and math.isfinite(first)) or first == 0:
        return ""
    share = 100 * (value - first) / abs(first)
    return f"({'+' if share > 0 else '−'}{number(abs(share), 2)}%)"


def _verdict_words(evaluation: Evaluation) -> str:
    return f"{'✓' if evaluation.verdict.ok else '✗'} {verdict_words(evaluation)[0]}"


def _values(parameter: Parameter, evaluations: Sequence[Evaluation]) -> list[str]:
    """As they are written."""
    if parameter.key in ("model", "device"):  # an own one's id is its whole contents: it is in the link
        return told_apart([getattr(evaluation.scenario, parameter.key) for evaluation in evaluations])
    return [_input_words(parameter, evaluation) for evaluation in evaluations]


def _input_words(parameter: Parameter, evaluation: Evaluation) -> str:
    value = getattr(evaluation.scenario, parameter.key)
    if not evaluation.scenario.uses(parameter.key):
        return MISSING
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{number(value)} {_unit(value, parameter.unit)}".rstrip()
    return parameter.format(value)


def _says_something(parameter: Parameter, evaluation: Evaluation) -> bool:
    """A law and a trace are spoken of where there is one."""
    return parameter.kind not in ("law", "trace") or getattr(evaluation.scenario, parameter.key) is not None


def _unit(value: float, unit: str) -> str:
    """In the singular where there is one of them."""
    noun, _, rest = unit.partition(" ")
    if value == 1 and noun.endswith("s") and noun != "ms":
        noun = f"{noun[:-3]}y" if noun.endswith("ies") else noun[:-1]
    return f"{noun} {rest}".rstrip()


def _table(rows: Sequence[tuple[str, Sequence[tuple[str, str, str]]]], names: Sequence[str]) -> str:
    """rows: a label, and for each column the words, a quieter remark and what hover says; names: of the columns."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = [
        f"<tr><th>{escape(label)}</th>"
        + "".join(
            f'<td title="{escape(exact)}">{escape(words)}'
            + (f'<span class="delta">{escape(remark)}</span>' if remark else "")
            + "</td>"
            for words, remark, exact in cells
        )
        + "</tr>"
        for label, cells in rows
    ]
    top = f"<thead><tr><th></th>{head}</tr></thead>" if names else ""
    return f"<table>{top}<tbody>{''.join(lines)}</tbody></table>"
