"""A frozen link against today's answer: does it reproduce, and if not, what changed and by how much."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from aggsim.errors import InputError
from aggsim.planning.evaluation import Evaluation
from aggsim.report.comparison import signed_percent
from aggsim.report.format import MISSING, duration, full, number
from aggsim.report.words import LIMIT_NAMES
from aggsim.scenario import PARAMETERS, Parameter, Scenario
from aggsim.share import encode
from aggsim.share_frozen import NUMBERS, Frozen, FrozenAnswer
from aggsim.units import gib, ms, seconds

__all__ = ["Change", "Check", "check_answer", "frozen_answer", "link_changes"]

TOLERANCE = 1e-9
"""Relative: what is closer is the same number, computed on another machine perhaps."""
_MOST_DIGITS = 12
_NUMBER_NAMES: Mapping[str, tuple[str, str]] = {
    "ttft_ms": ("TTFT", "ms"),
    "tpot_ms": ("TPOT", "ms"),
    "output_tokens_per_s": ("Output", "tokens/s"),
    "end_to_end_ms": ("End to end", "ms"),
    "concurrency": ("Concurrency", "requests"),
    "memory_left_gib": ("Memory left", "GiB"),
    "prefill_ms": ("One prefill pass", "ms"),
    "decode_ms": ("One decode pass", "ms"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as it was."""

    kind: Literal["input", "engine", "description", "result"]
    what: str
    before: str
    after: str
    difference: str = ""
    """By how much, of a number."""
    exact: str = ""
    """Before and after with all the digits there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One scenario of a frozen link."""

    changes: tuple[Change, ...]
    num_results: int
    """How many numbers were compared."""

    @property
    def reproduces(self) -> bool:
        """No result differs, whatever else has changed."""
        return all(change.kind != "result" for change in self.changes)


def frozen_answer(evaluation: Evaluation, *, model: str, device: str) -> FrozenAnswer:
    """What a link keeps of an answer; model, device: digests of their descriptions."""
    passes = {"prefill_ms": evaluation.prefill, "decode_ms": evaluation.decode}
    numbers = {
        "ttft_ms": ms(evaluation.ttft_s),
        "tpot_ms": ms(evaluation.tpot_s),
        "output_tokens_per_s": evaluation.output_tokens_per_s,
        "end_to_end_ms": ms(evaluation.end_to_end_s),
        "concurrency": float(evaluation.concurrency),
        "memory_left_gib": gib(evaluation.run.memory_left_bytes),
        **{name: ms(cost.latency_s) for name, cost in passes.items() if cost is not None},
    }
    return FrozenAnswer(
        engine=evaluation.engine.name,
        version=evaluation.engine.version,
        model=model,
        device=device,
        verdict=evaluation.verdict.limit or "ok",
        numbers=numbers,
    )


def check_answer(before: FrozenAnswer | None, now: FrozenAnswer | None, scenario: Scenario, error: str = "") -> Check:
    """before: of the link; now: of today, None: no answer, for the reason in `error`. scenario: for names."""
    if before is None or now is None:
        if before is now:
            return Check(changes=(), num_results=0)
        words = ("no answer", "answered") if before is None else ("answered", f"no answer: {error}" if error else "")
        return Check(
            changes=(Change(kind="result", what="Answer", before=words[0], after=words[1] or "no answer"),),
            num_results=0,
        )
    changes = [*_engine_changes(before, now), *_description_changes(before, now, scenario)]
    if before.verdict != now.verdict:
        verdicts = [_verdict(answer.verdict) for answer in (before, now)]
        changes.append(Change(kind="result", what="Verdict", before=verdicts[0], after=verdicts[1]))
    names = [name for name in NUMBERS if name in before.numbers or name in now.numbers]
    for name in names:
        change = _number_change(name, before.numbers.get(name), now.numbers.get(name))
        changes += [change] if change else []
    return Check(changes=tuple(changes), num_results=len(names))


def link_changes(given: Mapping[str, str], asked: Scenario, frozen: Frozen, digest: str, aggsim: str) -> list[Change]:
    """What the link says and what is asked today: fields it does not carry, or that are read in another way.

    given: the link's own texts; digest: inputs_digest of them today; aggsim: today's version.
    """
    changes = []
    edited = digest != frozen.inputs
    carried = dict(parse_qsl(encode(asked), keep_blank_values=True))
    for parameter in PARAMETERS:
        value = getattr(asked, parameter.key)
        if parameter.key not in given:
            if parameter.key in carried:  # others mean nothing to this scenario
                before = "not in the link any more" if edited else "not in the link: it is older"
                after = f"{_spelled(parameter, value)}, today's default"
                changes.append(Change(kind="input", what=parameter.label, before=before, after=after))
        elif not _says(parameter, given[parameter.key], value):
            after = f"{_spelled(parameter, value)}, since that is not possible today"
            changes.append(Change(kind="input", what=parameter.label, before=given[parameter.key], after=after))
    if edited and not changes:
        before, after = "as frozen", "edited afterwards: the frozen results are of other inputs"
        changes.append(Change(kind="input", what="The link's inputs", before=before, after=after))
    if frozen.aggsim != aggsim:
        changes.append(Change(kind="engine", what="aggsim", before=frozen.aggsim, after=aggsim))
    return changes


def _engine_changes(before: FrozenAnswer, now: FrozenAnswer) -> list[Change]:
    changes = []
    if before.engine != now.engine:
        changes.append(Change(kind="engine", what="Engine", before=before.engine, after=now.engine))
    if before.version != now.version or before.engine != now.engine:
        changes.append(Change(kind="engine", what="Engine version", before=before.version, after=now.version))
    return changes


def _description_changes(before: FrozenAnswer, now: FrozenAnswer, scenario: Scenario) -> list[Change]:
    pairs = (("Model", scenario.model, before.model, now.model), ("Device", scenario.device, before.device, now.device))
    return [
        Change(
            kind="description",
            what=f"{what} {name[:60]}",
            before=f"description {old}",
            after=f"description {new}: the catalog's entry was changed",
        )
        for what, name, old, new in pairs
        if old != new
    ]


def _number_change(name: str, before: float | None, now: float | None) -> Change | None:
    label, unit = _NUMBER_NAMES[name]
    if before is None or now is None:
        if before is now:
            return None
        texts = [MISSING if value is None else _words(value, unit) for value in (before, now)]
        return Change(kind="result", what=label, before=texts[0], after=texts[1])
    if before == now or abs(now - before) <= TOLERANCE * abs(before):
        return None
    old, new = _told_apart(before, now, lambda value, digits: _words(value, unit, digits))
    finite = math.isfinite(before) and math.isfinite(now)
    difference = ""
    if finite:
        step = now - before
        sign = "+" if step > 0 else "−"
        share = f" ({signed_percent(step / abs(before))})" if before else ""
        difference = f"{sign}{_words(abs(step), unit)}{share}"
    return Change(
        kind="result",
        what=label,
        before=old,
        after=new,
        difference=difference,
        exact=f"{full(before, unit)} → {full(now, unit)}",
    )


def _told_apart(before: float, now: float, words: Callable[[float, int], str]) -> tuple[str, str]:
    """Both with as many digits as it takes to see that they differ."""
    for digits in range(3, _MOST_DIGITS):
        if words(before, digits) != words(now, digits):
            return words(before, digits), words(now, digits)
    return words(before, _MOST_DIGITS), words(now, _MOST_DIGITS)


def _words(value: float, unit: str, digits: int = 3) -> str:
    return duration(seconds(value), digits) if unit == "ms" else f"{number(value, digits)} {unit}"


def _verdict(verdict: str) -> str:
    return "fits and meets the limits" if verdict == "ok" else f"stopped by {LIMIT_NAMES[verdict]}"


def _says(parameter: Parameter, text: str, value: object) -> bool:
    try:
        found: object = parameter.parse(text)
    except InputError:
        return False
    return found == value


def _spelled(parameter: Parameter, value: object) -> str:
    text = parameter.format(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
