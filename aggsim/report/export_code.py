"""The same answer without a browser: a command line and a few lines of Python. Both are run by the tests."""

from __future__ import annotations

from aggsim.parameters import LinearLaw
from aggsim.scenario import PARAMETERS, Scenario
from aggsim.share import VERSION, encode, encode_short

__all__ = ["command_line", "python_snippet"]

LINE_CHARS = 88


def command_line(scenario: Scenario, *, complete: bool = False) -> str:
    """For a shell. complete: every field, so that it outlives a change of a default; else what differs from them.

    The query is percent-encoded: nothing in it means anything to a shell inside double quotes.
    """
    query = encode(scenario) if complete else encode_short(scenario) or f"v={VERSION}"
    return f'python -m aggsim evaluate "{query}"'


def python_snippet(scenario: Scenario, *, complete: bool = False) -> str:
    """A program that prints the headline figures, full precision. complete: as for command_line."""
    given = [p for p in PARAMETERS if complete or getattr(scenario, p.key) != p.default]
    fields = [f"{p.key}={getattr(scenario, p.key)!r}" for p in given]
    law = isinstance(scenario.law, LinearLaw)
    return "\n".join(
        (
            "from aggsim import service",
            *(["from aggsim.parameters import LinearLaw"] if law else []),
            "from aggsim.scenario import Scenario",
            "",
            *_call(fields),
            "answer = service.evaluate(scenario)",
            'print("TTFT (s)", answer.ttft_s)',
            'print("TPOT (s)", answer.tpot_s)',
            'print("output tokens/s", answer.output_tokens_per_s)',
            'print("prompt tokens/s", answer.prompt_tokens_per_s)',
            'print("requests/s", answer.requests_per_s)',
            "",
        )
    )


def _call(fields: list[str]) -> list[str]:
    """On one line where it is short, else as many fields a line as fit."""
    if len(", ".join(fields)) < LINE_CHARS:
        return [f"scenario = Scenario({', '.join(fields)})"]
    lines = [""]
    for field in fields:
        if lines[-1] and len(lines[-1]) + len(field) > LINE_CHARS:
            lines.append("")
        lines[-1] += f"{field}, "
    return ["scenario = Scenario(", *(f"    {line.rstrip()}" for line in lines), ")"]
