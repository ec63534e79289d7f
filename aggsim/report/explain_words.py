"""What holds an answer back, in sentences."""

from __future__ import annotations

from aggsim.planning.changes import Change
from aggsim.planning.explain import Explanation, LimitReach
from aggsim.report.format import duration, number, percent
from aggsim.report.words import LIMIT_NAMES, mode_words, stop_words
from aggsim.scenario import Scenario
from aggsim.scenario_own import named
from aggsim.units import seconds

_LEVEL = 0.005
"""A smaller gain is none."""


def what_stops(explanation: Explanation) -> str:
    """E.g. "TPOT stops batch 622: 50.02 ms > 50 ms."."""
    binding = explanation.binding
    if binding is None or binding.stop is None:
        return "Nothing stops it: no limit is reached at any batch size."
    return stop_words(explanation.scenario, binding.stop)


def what_is_behind(explanation: Explanation) -> str:
    """What each other limit alone would allow, the next one first: "Memory would allow 961."."""
    return " ".join(_allowed(reach) for reach in explanation.reaches[1:] if explanation.binding)


def _allowed(reach: LimitReach) -> str:
    name = LIMIT_NAMES[reach.limit]
    name = name[:1].upper() + name[1:]
    if reach.stop is None:
        return f"{name} alone would never stop it."
    if not reach.largest_batch:
        return f"{name} would not allow batch 1 either."
    about = "" if reach.is_exact else "at least "
    return f"{name} would allow {about}{number(reach.largest_batch)}."


def of_a_burst(asked: Scenario) -> str:
    """Beside a load, for which nothing is explained yet."""
    limits = "under the same limits" if asked.ttft is None else "without the limit on TTFT"
    return (
        f"Worked out for a burst {limits}, not for these arrivals: all requests at once, at the batch size that is "
        "best for it. It says what holds the deployment back; what a change does to these arrivals is said on Plan "
        "once it is opened."
    )


def change_words(change: Change) -> str:
    """What is changed: "KV cache FP8", "TPOT limit 55 ms", "TP 4"."""
    value = change.value
    match change.key:
        case "tpot" | "ttft":
            return f"{LIMIT_NAMES[change.key]} limit {duration(seconds(float(value)))}"
        case "prefix_hit":
            return f"{percent(float(value))} of prompts cached"
        case "devices":
            return f"{number(float(value))} devices"
        case "attention":
            return f"KV cache {mode_words(str(value), '16 bit')}"
        case "linear":
            return f"Linear {mode_words(str(value), 'unquantized')}"
        case "device":
            return named(str(value)).replace("_", " ")
    return f"{change.key.upper()} {value}"


def gain_words(change: Change) -> str:
    """E.g. "+33%", "−4%", "level"; of what has no answer now, "possible"."""
    if change.gain is None:
        return "possible" if change.best else "still impossible"
    if abs(change.gain) < _LEVEL:
        return "level"
    return f"{'+' if change.gain > 0 else '−'}{percent(abs(change.gain))}"


def helps(change: Change) -> bool:
    """It buys throughput per device, or an answer where there is none."""
    return change.best is not None and (change.gain is None or change.gain >= _LEVEL)


def title(explanation: Explanation) -> str:
    """What buys most."""
    useful = [change for change in explanation.changes if helps(change)]
    if not useful:
        return "No single change helps; see below what was tried"
    first = useful[0]
    if first.gain is None:
        return f"{change_words(first)} makes it possible; output tokens/s per device with one change at a time"
    words = f"{change_words(first)} would buy {gain_words(first)}"
    return f"{words}; output tokens/s per device with one change at a time, batch size found anew"


def without_gain(explanation: Explanation) -> list[str]:
    """What was tried and does not help, and what is impossible and why; one line each."""
    tried = [change for change in explanation.changes if not helps(change)]
    lines = []
    if tried:
        listed = ", ".join(f"{change_words(c)} ({gain_words(c)})" for c in tried)
        lines.append(f"No help: {listed}.")
    lines += [f"{change_words(c)}: {c.reason}" for c in explanation.skipped]
    return lines
