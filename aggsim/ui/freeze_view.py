"""What the page says where a frozen link was opened: it reproduces, or what changed, before and after."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from html import escape

import streamlit as st

from aggsim import __version__
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import count
from aggsim.report.frozen_check import Change, Check, check_answer, link_changes
from aggsim.scenario import Scenario
from aggsim.share_frozen import inputs_digest
from aggsim.ui import freeze
from aggsim.ui.frame import current_answer
from aggsim.ui.markdown import plain
from aggsim.ui.style import asset


def draw_check(evaluation: Evaluation) -> None:
    """Of the one scenario on screen; nothing where it was not opened from a frozen link."""
    if not current_answer().is_stale:
        draw_checks(evaluation.asked, [("", evaluation.asked, evaluation, "")], is_comparison=False)


def draw_checks(
    asked: Hashable, entries: Sequence[tuple[str, Scenario, Evaluation | None, str]], *, is_comparison: bool
) -> None:
    """asked: the Scenario or Comparison on screen; entries: letter, scenario, its answer or why there is none."""
    opened = freeze.in_force(asked, is_comparison=is_comparison)
    if opened is None:
        return
    frozen = opened.frozen
    if len(frozen.answers) != len(entries):
        words = (
            f"The link froze {count(len(frozen.answers), 'answer')}; it asks {count(len(entries), 'scenario')} today."
        )
        st.warning(f"{words} They cannot be held against each other.", icon=":material/ac_unit:")
        return
    current = entries[0][1] if not is_comparison else asked.current  # type: ignore[attr-defined]
    of_link = link_changes(opened.given, current, frozen, inputs_digest(dict(opened.given)), __version__)
    checks = [
        (letter, check_answer(before, freeze.today(evaluation), scenario, error))
        for (letter, scenario, evaluation, error), before in zip(entries, frozen.answers, strict=True)
    ]
    engines = dict.fromkeys(f"{e.engine.name} {e.engine.version}" for _, _, e, _ in entries if e is not None)
    _draw(checks, of_link, ", ".join(engines))


def _draw(checks: Sequence[tuple[str, Check]], of_link: Sequence[Change], engines: str) -> None:
    changes = [("", change) for change in of_link]
    changes += [(letter, change) for letter, check in checks for change in check.changes]
    reproduced = all(check.reproduces for _, check in checks)
    results = sum(check.num_results for _, check in checks)
    if reproduced:
        same = f"all {count(results, 'frozen result')} come out again" if results else "no answer then, none today"
        by = f" (engine {plain(engines)})" if engines else ""
        end = "; what is different all the same:" if changes else "."
        st.success(f"**Reproduces:** {same}{by}{end}", icon=":material/ac_unit:")
    else:
        wrong = [change for _, change in changes if change.kind == "result"]
        letters = [letter for letter, check in checks if letter and not check.reproduces]
        where = f" in {', '.join(letters)}" if letters else ""
        st.warning(
            f"**Does not reproduce:** {count(len(wrong), 'result')} changed{where} since this link was frozen. "
            f"{plain(_cause(changes))}",
            icon=":material/ac_unit:",
        )
    if changes:
        st.html(f"<style>{asset('compare.css')}</style>{_table(changes)}")


def _cause(changes: Sequence[tuple[str, Change]]) -> str:
    """What else changed, in words: the table below says it exactly."""
    names = {
        "input": "inputs of the link",
        "engine": "the version of the software",
        "description": "the description of the model or the device",
    }
    kinds = dict.fromkeys(change.kind for _, change in changes if change.kind != "result")
    if not kinds:
        return "Inputs, engine version and descriptions are the same: aggsim's own arithmetic or data changed."
    return f"What changed besides: {', '.join(names[kind] for kind in kinds)}."


def _table(changes: Sequence[tuple[str, Change]]) -> str:
    with_letters = any(letter for letter, _ in changes)
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in (*(("Scenario",) if with_letters else ()), "What", "Then", "Today", "Difference")
    )
    rows = "".join(
        f'<tr class="{change.kind}">{f"<td>{escape(letter)}</td>" if with_letters else ""}'
        f'<th scope="row">{escape(change.what)}</th><td>{escape(change.before)}</td><td>{escape(change.after)}</td>'
        f'<td title="{escape(change.exact, quote=True)}">{escape(change.difference)}</td></tr>'
        for letter, change in changes
    )
    return f'<table class="aggsim-changes"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
