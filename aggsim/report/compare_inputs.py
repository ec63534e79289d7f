"""Scenarios side by side: what they are called, and in which inputs they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aggsim.parameters_choices import EXPERT_KEYS
from aggsim.report.comparison import Cell, Entry, Row
from aggsim.report.format import count, duration, number
from aggsim.report.words import mode_words, short_model
from aggsim.scenario import PARAMETERS, Parameter
from aggsim.scenario_own import named
from aggsim.units import seconds

__all__ = ["entry_names", "input_rows", "told_apart"]

SEARCHED = "searched"
_SETTLED = ("tp", "dp", "ep", "moe_dp", "linear", "experts", "engine")
"""Inputs that matter as they were settled; what else was left open (batch, token budget, timing) is a result."""
_IDS = ("model", "device")
_MAX_NAME_PARTS = 3


def entry_names(entries: Sequence[Entry]) -> list[str]:
    """What tells each scenario from the others, in a few words: "TP 4 · FP8"; the model where nothing does.

    What more than half of three or more have in common goes without saying.
    """
    parts = [_name_parts(key, entries) for key in _told([parameter.key for parameter, _ in _differing(entries)])]
    names = []
    for index, entry in enumerate(entries):
        every = [words[index] for words in parts if words[index]]
        usual = [_usual(words) for words in parts]
        said = [words[index] for words, most in zip(parts, usual, strict=True) if words[index] not in ("", most)]
        said = said or every
        more = [f"+{len(said) - _MAX_NAME_PARTS}"] if len(said) > _MAX_NAME_PARTS else []
        names.append(" · ".join((*said[:_MAX_NAME_PARTS], *more)) or short_model(named(entry.asked.model)))
    return names


def _name_parts(key: str, entries: Sequence[Entry]) -> list[str]:
    if key in _IDS:
        names = told_apart([getattr(entry.settled, key) for entry in entries])
        return [short_model(name) if key == "model" else name.replace("_", " ") for name in names]
    return [_name_part(key, entry) for entry in entries]


def told_apart(ids: Sequence[str]) -> list[str]:
    """Names of models or devices by their ids; of different own ones with one name, the later ones are numbered."""
    same: dict[str, list[str]] = {}
    names = []
    for entry_id in ids:
        name = named(entry_id)
        known = same.setdefault(name, [])
        if entry_id not in known:
            known.append(entry_id)
        position = known.index(entry_id)
        names.append(f"{name} ({position + 1})" if position else name)
    return names


def _usual(words: Sequence[str]) -> str | None:
    """What more than half say; None: there is no such thing."""
    (most, times), *_ = Counter(words).most_common(1)
    return most if len(words) > 2 and times > len(words) / 2 else None


def input_rows(entries: Sequence[Entry]) -> list[Row]:
    """The inputs in which at least two scenarios differ, in the order of the form."""
    return [Row(label=_label(parameter), help=parameter.help, cells=cells) for parameter, cells in _differing(entries)]


def _differing(entries: Sequence[Entry]) -> list[tuple[Parameter, tuple[Cell, ...]]]:
    """What auto would have come to in a scenario without an answer is not known: it does not count as a difference;
    nor do fields that none of them looks at."""
    any_experts = any(entry.evaluation is not None and entry.evaluation.is_moe for entry in entries)
    found = []
    for parameter in PARAMETERS:
        if parameter.key in EXPERT_KEYS and not any_experts:
            continue
        if not any(entry.asked.uses(parameter.key) for entry in entries):
            continue
        cells = tuple(_input_cell(parameter, entry) for entry in entries)
        if parameter.key in _IDS:
            names = told_apart([getattr(entry.settled, parameter.key) for entry in entries])
            cells = tuple(Cell(text=name.replace("_", " ")) for name in names)
        known = {
            cell.text
            for cell, entry in zip(cells, entries, strict=True)
            if entry.evaluation is not None or not _is_open(parameter, entry)
        }
        if len(known) > 1:
            found.append((parameter, cells))
    return found


def _is_open(parameter: Parameter, entry: Entry) -> bool:
    """Asked for as auto."""
    asked = getattr(entry.asked, parameter.key)
    return asked == "auto" or (asked is None and parameter.none_word == "auto")


def _input_cell(parameter: Parameter, entry: Entry) -> Cell:
    asked, key = getattr(entry.asked, parameter.key), parameter.key
    is_open = _is_open(parameter, entry)
    if is_open and key not in _SETTLED:
        return Cell(text=SEARCHED if key == "batch" else "auto")
    settled = getattr(entry.settled, key)
    return Cell(
        text=_input_words(parameter, settled), note="auto" if is_open and settled != asked and key != "dp" else ""
    )


def _input_words(parameter: Parameter, value: Any) -> str:
    match parameter.key:
        case "linear" | "experts" | "attention":
            none = "16 bit" if parameter.key == "attention" else "unquantized"
            return "auto" if value is None else mode_words(value, none)
    if isinstance(value, int | float):
        return number(value)
    return parameter.format(value)


def _label(parameter: Parameter) -> str:
    """The short name where there is one ("Tensor parallel (TP)" is TP), else the name and its unit."""
    name, unit = parameter.label, parameter.unit
    if name.endswith(")"):
        return name[name.index("(") + 1 : -1]
    return name if unit.lower() in name.lower() else f"{name} ({unit})"


def _told(keys: Sequence[str]) -> list[str]:
    """Without what follows from the rest: a different TP comes with a different DP, experts with the linear layers."""
    implied = {"dp": "tp", "experts": "linear", "moe_dp": "ep"}
    return [key for key in keys if implied.get(key) not in keys]


def _name_part(key: str, entry: Entry) -> str:
    value = getattr(entry.settled, key)
    match key:
        case "devices":
            return count(value, "device")
        case "input":
            return f"{number(value)} in"
        case "output":
            return f"{number(value)} out"
        case "batch":
            return f"batch {SEARCHED if entry.asked.batch is None else number(value)}"
        case "linear":
            return "auto" if value is None else mode_words(value, "unquantized")
        case "experts":
            return "" if value is None else f"experts {mode_words(value, 'unquantized')}"
        case "attention":
            return f"KV {mode_words(value, '16 bit')}"
        case "ttft" | "tpot":
            return f"no {key.upper()} limit" if value is None else f"{key.upper()} ≤ {duration(seconds(value))}"
        case "tp" | "pp" | "dp" | "ep" | "mtp":
            return f"{key.upper()} {'auto' if value is None else value}"
        case "prefix_hit":
            return f"{number(value * 100)}% cached"
        case "engine" | "backend" | "scheduler":
            return str(value)
        case "timing" | "rules":
            return f"{key} {value}"
        case "reserved_gib":
            return f"{number(value)} GiB reserved"
        case "max_batched_tokens":
            asked = entry.asked.max_batched_tokens
            return f"budget {'auto' if asked is None else number(asked)}"
        case "law":
            return "own law" if value is not None else ""
    return key.replace("_", " ")
