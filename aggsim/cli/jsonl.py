"""JSON Lines in, JSON Lines out, in the same order; a bad line gets an error in its place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from aggsim.errors import AggsimError, InputError
from aggsim.models.catalog import load_model_path, model_ids
from aggsim.models.spec import ModelSpec
from aggsim.report.json_form import error_json
from aggsim.scenario_own import is_own
from aggsim.share import Decoded
from aggsim.share_search import DecodedSearch

__all__ = ["answer_lines", "dump", "model_at", "tell_notes"]


def dump(value: Any, *, indent: int | None = None) -> str:
    """JSON that every reader takes: no NaN, no Infinity."""
    return json.dumps(value, indent=indent, allow_nan=False)


def answer_lines(source: str, answer: Callable[[Any], Any]) -> int:
    """Print answer(line) for every line of the file (- : standard input) that is not blank; 2 if any was bad."""
    status = 0
    for line in _lines(source):
        try:
            result = answer(_parsed(line))
        except AggsimError as error:
            result, status = error_json(error), 2
        print(dump(result), flush=True)
    return status


def model_at(name: str) -> ModelSpec | None:
    """The model of a path to a config.json or its folder; None: the name is left to the catalog."""
    is_path = name not in model_ids() and not is_own(name) and os.path.exists(name)
    return load_model_path(name) if is_path else None


def tell_notes(decoded: Decoded | DecodedSearch) -> None:
    """What a query says that is read in another way or not at all, on standard error."""
    for note in (*decoded.notes, *(f"{key} is not a known parameter: ignored" for key in decoded.unknown_keys)):
        print(f"aggsim: {note}", file=sys.stderr)


def _lines(source: str) -> Iterator[str]:
    try:
        with open(sys.stdin.fileno() if source == "-" else source, "rb", closefd=source != "-") as file:
            for line in file:
                text = line.decode("utf-8-sig", "replace").strip()
                if text:
                    yield text
    except OSError as error:
        raise InputError("jsonl", source, f"a file that can be read ({error.strerror})") from error


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError("line", line[:80], f"one JSON object a line ({reason})") from error
