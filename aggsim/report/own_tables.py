"""What was made of a config.json that somebody brought: every field, and whether it counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from aggsim.models.reader import NO_COST_FIELDS, printable
from aggsim.models.spec import ModelSpec
from aggsim.report.format import count, number

__all__ = ["FREE", "READ", "STATUSES", "UNKNOWN", "fields_frame", "fields_words"]

READ, FREE, UNKNOWN, EMPTY = "counts", "changes no cost", "not understood", "null"
STATUSES = (UNKNOWN, READ, FREE, EMPTY)
MAX_VALUE_CHARS = 120


def fields_frame(config: Mapping[str, Any], spec: ModelSpec) -> pd.DataFrame:
    """One row a field of the language model (of text_config where there is one), what is not understood first.

    Columns: field, value (its JSON, cut), status (of STATUSES). spec: what parse_config made of config.
    """
    inner = config.get("text_config")
    text = inner if isinstance(inner, Mapping) else config
    rows = [(printable(name), _short(value), _status(name, value, spec)) for name, value in text.items()]
    rows.sort(key=lambda row: (STATUSES.index(row[2]), row[0]))
    return pd.DataFrame(rows, columns=["field", "value", "status"])


def fields_words(frame: pd.DataFrame) -> str:
    """How many fields there are of each status, in one line."""
    found = [(int((frame["status"] == status).sum()), status) for status in STATUSES]
    parts = [f"{number(times)} {'are null' if status == EMPTY else status}" for times, status in found if times]
    return f"{count(len(frame), 'field')}: {', '.join(parts)}"


def _status(name: str, value: object, spec: ModelSpec) -> str:
    if value is None:
        return EMPTY
    if printable(name) in spec.unread_fields:
        return UNKNOWN
    return FREE if name in NO_COST_FIELDS or name.endswith(("_token_id", "_token_index")) else READ


def _short(value: object) -> str:
    if isinstance(value, Mapping | list):
        head = f"{count(len(value), 'entry', 'entries')}: " if value else ""
        return head + _cut(json.dumps(value, ensure_ascii=False)) if len(value) < 1000 else head.rstrip(": ")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "an enormous number"
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return printable(text, MAX_VALUE_CHARS)
